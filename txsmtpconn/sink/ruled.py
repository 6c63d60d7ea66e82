"""A server that asks a rule book before it asks its application.

Hooks carry out the rules about CONNECT, AUTH, MAIL, RCPT and DATA, `RuledTaking` those about
CONTENT and MESSAGE; the other verbs have no hook, so `RuledSession` stops there itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from txsmtpconn.envelope import Envelope
from txsmtpconn.sasl import Finished
from txsmtpconn.server import ServerOptions, Session, SMTPServerFactory
from txsmtpconn.server.hooks import DiscardingSink, Hook, Hooks, settled
from txsmtpconn.sink.record import RECORD
from txsmtpconn.sink.rulebook import RuleBook
from txsmtpconn.sink.ruledsession import RuledProtocol
from txsmtpconn.sink.ruledtaking import RuledTaking, answer_of, concerned
from txsmtpconn.sink.rules import NOBODY
from txsmtpconn.wire.reply import Reply


class RuledFactory(SMTPServerFactory):
    """Serves clients as rules say; where they say nothing, as the application does.

    Args:
        clock: Where the time comes from.
        application: Any object with some of the methods that `server.hooks` lists.
        options: The server's. Delays need patient `timeouts.answer` and `timeouts.mark`.
        book: The rules.
        records: Whether to remember what is said in each session.

    Attributes:
        book: The same.
        records: The same.
        sessions: The protocol of each session that goes on, by the session's `id`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        application: object,
        options: ServerOptions,
        book: RuleBook,
        *,
        records: bool = False,
    ) -> None:
        self.book = book
        self.records = records
        self.sessions: dict[str, RuledProtocol] = {}
        self._application = asked = Hooks.of(application)
        self._pauses: set[Deferred[None]] = set()
        hooks = replace(
            asked,
            on_connect=self._on_connect,
            on_auth=None if asked.on_auth is None else self._on_auth,
            on_mail_from=self._on_mail_from,
            on_rcpt_to=self._on_rcpt_to,
            on_data=self._on_data,
        )
        super().__init__(clock, hooks, options)

    def make_protocol(self, turned_away: Reply | None) -> RuledProtocol:
        """Make a protocol that asks the rules."""
        return RuledProtocol(self, turned_away)

    def connection_opened(self, protocol: Any) -> None:
        """Remember a session."""
        self.sessions[protocol.session.id] = protocol
        if protocol.record is not None:
            protocol.session.data[RECORD] = protocol.record
        super().connection_opened(protocol)

    def connection_closed(self, protocol: Any) -> None:
        """Forget it."""
        self.forget(protocol.session.id)
        super().connection_closed(protocol)

    def forget(self, session_id: str) -> None:
        """Let go of a session that has ended."""
        del self.sessions[session_id]

    def pause(self, seconds: float) -> Deferred[None]:
        """Wait; fires after so many seconds."""
        pause: Deferred[None] = deferLater(self.clock, seconds)
        self._pauses.add(pause)
        return pause.addBoth(self._paused, pause)

    def _paused(self, result: Any, pause: Deferred[None]) -> Any:
        self._pauses.discard(pause)
        return result

    def cancel_pauses(self) -> None:
        """Let nobody wait any more."""
        for pause in list(self._pauses):
            pause.cancel()

    # -- hooks

    def _on_connect(self, session: Session) -> Any:
        return self._ask(session, "CONNECT", NOBODY, self._application.on_connect, session)

    def _on_auth(self, session: Session, credentials: Finished) -> Any:
        # A token names nobody by itself; who shows one says whom it is to act as.
        who = {"user": [credentials.authcid or credentials.authzid]}
        return self._ask(session, "AUTH", who, self._application.on_auth, session, credentials)

    def _on_mail_from(self, session: Session, address: str, parameters: object) -> Any:
        session.data["mail_from"] = address
        who = _and_user(session, {"mail_from": [address]})
        hook = self._application.on_mail_from
        return self._ask(session, "MAIL", who, hook, session, address, parameters)

    def _on_rcpt_to(self, session: Session, address: str, parameters: object) -> Any:
        who = _and_user(session, {"mail_from": [session.data["mail_from"]], "rcpt": [address]})
        hook = self._application.on_rcpt_to
        return self._ask(session, "RCPT", who, hook, session, address, parameters)

    def _on_data(self, session: Session, envelope: Envelope) -> Any:
        who = concerned(session, envelope)
        protocol = self.sessions[session.id]
        return self._ask(session, "DATA", who, self._begin, protocol, session, envelope)

    def _begin(self, protocol: RuledProtocol, session: Session, envelope: Envelope) -> Any:
        hook = self._application.on_data
        taker = settled(None if hook is None else hook(session, envelope))
        if isinstance(taker, Deferred):
            return taker.addCallback(_taking, protocol, session, envelope)
        return _taking(taker, protocol, session, envelope)

    def _ask(
        self,
        session: Session,
        verb: str,
        who: Mapping[str, Collection[str]],
        hook: Hook | None,
        *arguments: Any,
    ) -> Any:
        protocol = self.sessions[session.id]
        effects = protocol.strike(verb, who)
        if effects:
            return _ask_after(protocol.carry_out(effects), hook, arguments)
        return None if hook is None else hook(*arguments)


async def _ask_after(effects: Awaitable[None], hook: Hook | None, arguments: Any) -> Any:
    await effects
    return None if hook is None else await answer_of(hook(*arguments))


def _taking(
    taker: Any, protocol: RuledProtocol, session: Session, envelope: Envelope
) -> RuledTaking:
    taker = DiscardingSink() if taker is None else taker
    return RuledTaking(protocol, session, envelope, taker)


def _and_user(session: Session, who: dict[str, Collection[str]]) -> Mapping[str, Collection[str]]:
    if session.identity is not None:
        who["user"] = [session.identity]
    return who
