"""A server that asks a rule book before it answers: protocol, factory and hooks.

Hooks carry out the rules about CONNECT, AUTH, MAIL, RCPT, DATA and MESSAGE; the other verbs have
none, so `RuledSession` stops there itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, Logger

from txsmtpconn.envelope import Envelope
from txsmtpconn.net.transcript import Transcript
from txsmtpconn.sasl import Finished, ScramKeys
from txsmtpconn.server import ServerOptions, Session, SMTPRejection, SMTPServerFactory
from txsmtpconn.server.hooks import FinalAnswer, Hooks
from txsmtpconn.server.protocol import SMTPServerProtocol
from txsmtpconn.session.server import replies
from txsmtpconn.session.server.rules import ServerRules
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.session.trace import Trace
from txsmtpconn.testing.captured import CapturedMessage, CapturedSession
from txsmtpconn.testing.rules import NOBODY, Delay, Drop, Effect, Reject, RuleBook
from txsmtpconn.wire.commands import Command
from txsmtpconn.wire.reply import Reply

#: The verbs that no hook is asked about -> what rules call them.
_WITHOUT_HOOK = {"EHLO": "EHLO", "HELO": "EHLO", "LHLO": "EHLO"} | {
    verb: verb for verb in ("STARTTLS", "RSET", "NOOP", "VRFY", "HELP", "QUIT")
}


class RuledSession(ServerSession):
    """A server session that can be held up before a command, and dropped.

    Args:
        rules: The server's policy.
        strike: Says what is to happen at a verb.
        hold: Called with seconds, and with what is to be called after them.
        trace: Sees each line.
    """

    def __init__(
        self,
        rules: ServerRules,
        strike: Callable[[str], tuple[Effect, ...]],
        hold: Callable[[float, Callable[[float], None]], None],
        trace: Trace | None = None,
    ) -> None:
        super().__init__(rules, trace=trace)
        self._strike = strike
        self._hold = hold

    def drop(self, *, reset: bool = False) -> None:
        """Say nothing more; close when all is written, or reset the connection at once."""
        self._leave()
        self.aborting = reset

    def _obey(self, command: Command, now: float) -> None:
        verb = _WITHOUT_HOOK.get(command.verb)
        self._carry_out(command, () if verb is None else self._strike(verb), now)

    def _carry_out(self, command: Command, effects: tuple[Effect, ...], now: float) -> None:
        """Let the effects of rules have their way, one after the other, then obey."""
        if not effects:
            super()._obey(command, now)
            return
        match effects[0]:
            case Reject(reply=reply):
                self._refuse(reply)
            case Drop(reset=reset):
                self.drop(reset=reset)
            case Delay(seconds=seconds):
                # A question that nobody is asked: no command is read before it is settled.
                held = self.question = _Held()  # type: ignore[assignment]
                self._hold(seconds, partial(self._released, held, command, effects[1:]))

    def _answer(self, question: Any, reply: Reply | None, now: float) -> None:
        if isinstance(question, _Held):
            # Held for longer than the options let any answer take.
            self._refuse(reply or replies.LOCAL_ERROR)
        else:
            super()._answer(question, reply, now)

    def _released(
        self, held: object, command: Command, effects: tuple[Effect, ...], now: float
    ) -> None:
        if self.question is held:
            self.question = None
            self._moved = True
            self._carry_out(command, effects, now)


class _Held:
    """Stands for the question whether it is time to go on."""


class RuledProtocol(SMTPServerProtocol):
    """One client's connection to a capture server.

    Attributes:
        transcript: What was said so far, without secrets and mail data.
    """

    factory: CaptureFactory

    def __init__(self, factory: CaptureFactory, turned_away: Reply | None = None) -> None:
        super().__init__(factory, turned_away)
        self.transcript: list[str] = []
        self._holding: Any = None
        observer = cast(ILogObserver, self._note)
        trace = Transcript(Logger(observer=observer), self._id)
        self._ruled = RuledSession(factory.rules, factory.strike, self._hold, trace)
        self._smtp = self._ruled

    def snapshot(self) -> CapturedSession:
        """Return what is known of the session now."""
        session = self.session
        return CapturedSession(
            id=session.id,
            client=session.remote_address,
            hello_name=session.hello_name,
            user=session.identity,
            tls=None if session.tls is None else session.tls.version,
            protocol=session.protocol,
            transcript=tuple(self.transcript),
            closed=self._gone,
        )

    def drop(self, *, reset: bool) -> None:
        """Close the connection without another word."""
        self._ruled.drop(reset=reset)
        self._advance()

    def connectionLost(self, *arguments: Any) -> None:
        """Wait for nothing any more."""
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        super().connectionLost(*arguments)

    def _note(self, event: LogEvent) -> None:
        self.transcript.append(f"{event['direction']}: {event['text']}")

    def _hold(self, seconds: float, go_on: Callable[[float], None]) -> None:
        def release() -> None:
            self._holding = None
            go_on(self._clock.seconds())
            self._advance()

        self._holding = self._clock.callLater(seconds, release)


class CaptureFactory(SMTPServerFactory):
    """Serves a capture server's clients.

    Args:
        clock: Where the time comes from.
        options: The server's.
        rules: What to ask before each answer.
        users: Passwords by user name; None offers no AUTH.
        took: Called with each message that was accepted.

    Attributes:
        sessions: The protocol of each session since the start, or since this was cleared.
    """

    def __init__(
        self,
        clock: IReactorTime,
        options: ServerOptions,
        rules: RuleBook,
        users: Mapping[str, str] | None,
        took: Callable[[CapturedMessage], None],
    ) -> None:
        self.book = rules
        self.users = users
        self.took = took
        self.sessions: dict[str, RuledProtocol] = {}
        self._pauses: set[Deferred[None]] = set()
        judged = users is not None
        hooks = Hooks(
            on_connect=self._on_connect,
            on_auth=self._on_auth if judged else None,
            on_auth_secret=self._on_auth_secret if judged else None,
            on_mail_from=self._on_mail_from,
            on_rcpt_to=self._on_rcpt_to,
            on_data=self._on_data,
        )
        super().__init__(clock, hooks, options)

    def make_protocol(self, turned_away: Reply | None) -> RuledProtocol:
        """Make a protocol that asks the rules."""
        return RuledProtocol(self, turned_away)

    def strike(self, verb: str) -> tuple[Effect, ...]:
        """Say what is to happen at a verb that concerns nobody in particular."""
        return self.book.strike(verb)

    def connection_opened(self, protocol: Any) -> None:
        """Remember a session."""
        self.sessions[protocol.session.id] = protocol
        super().connection_opened(protocol)

    def forget_sessions(self) -> None:
        """Forget the sessions that have ended."""
        self.sessions = {
            name: each for name, each in self.sessions.items() if each in self._protocols
        }

    def cancel_pauses(self) -> None:
        """Let nobody wait any more."""
        for pause in list(self._pauses):
            pause.cancel()

    # -- hooks

    def _on_connect(self, session: Session) -> Any:
        return self._consult(session, "CONNECT")

    def _on_auth(self, session: Session, credentials: Finished) -> Any:
        # A token names nobody by itself; who shows one says whom it is to act as.
        user = credentials.authcid or credentials.authzid
        effects = self.book.strike("AUTH", {"user": [user]})
        answer = self._judge(user, credentials)
        return self._after(session, effects, answer) if effects else answer

    def _judge(self, user: str, credentials: Finished) -> bool | str:
        assert self.users is not None
        secret = self.users.get(user)
        if secret is None:
            return False
        if credentials.token is not None:
            return credentials.token == secret and user
        return credentials.verified or credentials.proves(secret)

    def _on_auth_secret(self, session: Session, user: str, mechanism: str) -> Any:
        del session
        assert self.users is not None
        password = self.users.get(user)
        if password is None or mechanism == "CRAM-MD5":
            return password
        return ScramKeys.derive(password, mechanism=mechanism)

    def _on_mail_from(self, session: Session, address: str, parameters: object) -> Any:
        del parameters
        session.data["mail_from"] = address
        return self._consult(session, "MAIL", {"mail_from": [address]})

    def _on_rcpt_to(self, session: Session, address: str, parameters: object) -> Any:
        del parameters
        who = {"mail_from": [session.data["mail_from"]], "rcpt": [address]}
        return self._consult(session, "RCPT", who)

    def _on_data(self, session: Session, envelope: Envelope) -> Any:
        capture = Capture(self, session, envelope)
        effects = self.book.strike("DATA", capture.who)
        return self._after(session, effects, capture) if effects else capture

    # -- rules

    def _consult(
        self, session: Session, verb: str, who: Mapping[str, Collection[str]] = NOBODY
    ) -> Any:
        if session.identity is not None:
            who = {**who, "user": [session.identity]}
        effects = self.book.strike(verb, who)
        return self._after(session, effects, None) if effects else None

    async def _after(self, session: Session, effects: Sequence[Effect], answer: Any) -> Any:
        await self.carry_out(session, effects)
        return answer

    async def carry_out(self, session: Session, effects: Sequence[Effect]) -> None:
        """Let the effects of rules have their way.

        Raises:
            SMTPRejection: One of them refuses, or has dropped the connection.
        """
        for effect in effects:
            match effect:
                case Delay():
                    await self._pause(effect.seconds)
                case Reject():
                    raise SMTPRejection.of(effect.reply)
                case Drop():
                    self.sessions[session.id].drop(reset=effect.reset)
                    raise _Dropped

    async def _pause(self, seconds: float) -> None:
        pause: Deferred[None] = deferLater(self.clock, seconds)
        self._pauses.add(pause)
        try:
            await pause
        finally:
            self._pauses.discard(pause)


class _Dropped(SMTPRejection):
    """Ends a hook whose client is not to hear its answer."""

    def __init__(self) -> None:
        super().__init__(421, "4.3.2", "Dropped")


class Capture:
    """Takes one message.

    Args:
        factory: Carries out rules, and is given the message.
        session: Whose message it is.
        envelope: Its envelope.
    """

    def __init__(self, factory: CaptureFactory, session: Session, envelope: Envelope) -> None:
        self._factory = factory
        self._session = session
        self._envelope = envelope
        self._octets = bytearray()
        self.who: dict[str, Collection[str]] = {
            "mail_from": [envelope.mail_from],
            "rcpt": [each.address for each in envelope.recipients],
        }
        if session.identity is not None:
            self.who["user"] = [session.identity]

    def write(self, data: bytes) -> None:
        """Keep octets."""
        self._octets += data

    def abort(self, reason: Exception) -> None:
        """Forget them."""
        del reason
        self._octets.clear()

    def finish(self) -> Any:
        """Take the message, unless a rule says otherwise; in LMTP, for each recipient."""
        if self._factory.options.lmtp:
            return self._finish_for_each()
        effects = self._factory.book.strike("MESSAGE", self.who)
        return self._finish(effects) if effects else self._taken(list(self.who["rcpt"]))

    async def _finish(self, effects: Sequence[Effect]) -> Reply:
        await self._carry_out(effects)
        return self._taken(list(self.who["rcpt"]))

    async def _finish_for_each(self) -> FinalAnswer:
        book = self._factory.book
        common = {role: names for role, names in self.who.items() if role != "rcpt"}
        await self._carry_out(book.strike("MESSAGE", common))
        refusals: list[SMTPRejection | None] = []
        for address in self.who["rcpt"]:
            try:
                await self._carry_out(
                    book.strike("MESSAGE", {**common, "rcpt": [address]}, for_each=True)
                )
            except _Dropped:
                raise
            except SMTPRejection as refusal:
                refusals.append(refusal)
            else:
                refusals.append(None)
        taken = [
            address
            for address, refusal in zip(self.who["rcpt"], refusals, strict=True)
            if refusal is None
        ]
        consent = self._taken(taken) if taken else None
        return [consent if refusal is None else refusal for refusal in refusals]

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        last = effects[-1] if effects else None
        if isinstance(last, Drop) and last.taken:
            await self._factory.carry_out(self._session, effects[:-1])
            self._taken(list(self.who["rcpt"]))
            effects = effects[-1:]
        await self._factory.carry_out(self._session, effects)

    def _taken(self, rcpt_to: Sequence[str]) -> Reply:
        session = self._factory.sessions[self._session.id].snapshot()
        message = CapturedMessage(self._envelope, bytes(self._octets), session, tuple(rcpt_to))
        self._factory.took(message)
        return Reply.of(250, "2.0.0 Ok: captured")
