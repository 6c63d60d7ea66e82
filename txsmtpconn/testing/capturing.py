"""What a capture server does with its clients where no rule says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from txsmtpconn.envelope import Envelope
from txsmtpconn.sasl import Finished, ScramKeys
from txsmtpconn.server import ServerOptions, Session
from txsmtpconn.server.hooks import Hooks
from txsmtpconn.sink.rulebook import RuleBook
from txsmtpconn.sink.ruled import RuledFactory
from txsmtpconn.sink.ruledsession import RuledProtocol
from txsmtpconn.testing.captured import CapturedMessage, CapturedSession
from txsmtpconn.wire.reply import Reply


class CaptureFactory(RuledFactory):
    """Serves a capture server's clients.

    Args:
        clock: Where the time comes from.
        options: The server's.
        book: What to ask before each answer.
        users: Passwords by user name; None offers no AUTH.
        took: Called with each message that was accepted.

    Attributes:
        sessions: The protocol of each session since the start, or since they were forgotten.
    """

    def __init__(
        self,
        clock: IReactorTime,
        options: ServerOptions,
        book: RuleBook,
        users: Mapping[str, str] | None,
        took: Callable[[CapturedMessage], None],
    ) -> None:
        self._users = users
        self.took = took
        application = Hooks(on_data=self._capture)
        if users is not None:
            application = Hooks(
                on_auth=self._judge, on_auth_secret=self._secret, on_data=self._capture
            )
        super().__init__(clock, application, options, book, records=True)

    def forget(self, session_id: str) -> None:
        """Remember a session when it has ended, too."""

    def forget_sessions(self) -> None:
        """Forget the sessions that have ended."""
        self.sessions = {
            name: each for name, each in self.sessions.items() if each in self._protocols
        }

    def _judge(self, session: Session, credentials: Finished) -> bool | str:
        del session
        assert self._users is not None
        user = credentials.authcid or credentials.authzid
        secret = self._users.get(user)
        if secret is None:
            return False
        if credentials.token is not None:
            return credentials.token == secret and user
        return credentials.verified or credentials.proves(secret)

    def _secret(self, session: Session, user: str, mechanism: str) -> Any:
        del session
        assert self._users is not None
        password = self._users.get(user)
        if password is None or mechanism == "CRAM-MD5":
            return password
        return ScramKeys.derive(password, mechanism=mechanism)

    def _capture(self, session: Session, envelope: Envelope) -> Capture:
        return Capture(self.sessions[session.id], envelope, self.took)


class Capture:
    """Takes one message.

    Args:
        protocol: Whose message it is.
        envelope: Its envelope.
        took: Is given the message.
    """

    def __init__(
        self,
        protocol: RuledProtocol,
        envelope: Envelope,
        took: Callable[[CapturedMessage], None],
    ) -> None:
        self._protocol = protocol
        self._envelope = envelope
        self._took = took
        self._octets = bytearray()

    def write(self, data: bytes) -> None:
        """Keep octets."""
        self._octets += data

    def abort(self, reason: Exception) -> None:
        """Forget them."""
        del reason
        self._octets.clear()

    def finish(self) -> Reply:
        """Take the message for everybody."""
        return self.finish_for([each.address for each in self._envelope.recipients])

    def finish_for(self, rcpt_to: Sequence[str]) -> Reply:
        """Take the message for those whom no rule has refused."""
        session = snapshot(self._protocol)
        self._took(CapturedMessage(self._envelope, bytes(self._octets), session, tuple(rcpt_to)))
        return Reply.of(250, "2.0.0 Ok: captured")


def snapshot(protocol: RuledProtocol) -> CapturedSession:
    """Return what is known of a session now."""
    session = protocol.session
    return CapturedSession(
        id=session.id,
        client=session.remote_address,
        hello_name=session.hello_name,
        user=session.identity,
        tls=None if session.tls is None else session.tls.version,
        protocol=session.protocol,
        transcript=() if protocol.record is None else tuple(protocol.record.lines),
        closed=protocol.is_closed,
    )
