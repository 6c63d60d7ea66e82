"""A session that rules can hold up, refuse and break off at every verb."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from txsmtpconn.server import SMTPRejection
from txsmtpconn.server.protocol import SMTPServerProtocol
from txsmtpconn.session.server import replies
from txsmtpconn.session.server.dialogue import Answered
from txsmtpconn.session.server.rules import ServerRules
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.session.trace import Direction, Trace
from txsmtpconn.sink.record import Record
from txsmtpconn.sink.rules import NOBODY, Delay, Drop, Effect, Reject, Rule
from txsmtpconn.wire.commands import Command
from txsmtpconn.wire.reply import Reply

if TYPE_CHECKING:
    from txsmtpconn.sink.ruled import RuledFactory

#: The verbs that no hook is asked about -> what rules call them.
_WITHOUT_HOOK = {"EHLO": "EHLO", "HELO": "EHLO", "LHLO": "EHLO"} | {
    verb: verb for verb in ("STARTTLS", "RSET", "NOOP", "VRFY", "HELP", "QUIT")
}


class _Held:
    """Stands for the question whether it is time to go on."""


class RuledSession(ServerSession):
    """A server session that can be held up before a command, and broken off.

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

    def interrupt(self, reply: Reply) -> None:
        """Say this, whoever's turn it is, and nothing more."""
        self._show_out(reply)

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

    def _overdue(self, question: _Held, reply: Reply | None, now: float) -> None:
        """Refuse what was held for longer than the options let any answer take."""
        self._refuse(reply or replies.LOCAL_ERROR)

    def _released(
        self, held: object, command: Command, effects: tuple[Effect, ...], now: float
    ) -> None:
        if self.question is held:
            self.question = None
            self._moved = True
            self._carry_out(command, effects, now)

    ANSWERED: ClassVar[Answered] = {**ServerSession.ANSWERED, _Held: _overdue}


class Dropped(SMTPRejection):
    """Ends a hook whose client is not to hear its answer."""

    def __init__(self) -> None:
        super().__init__(421, "4.3.2", "Dropped")


class RuledProtocol(SMTPServerProtocol):
    """One client's connection to a server that follows rules.

    Attributes:
        record: What was said so far; None where the factory keeps no records.
    """

    factory: RuledFactory

    def __init__(self, factory: RuledFactory, turned_away: Reply | None = None) -> None:
        self.record: Record | None = None
        self._dice = factory.book.new_session()
        self._holding: Any = None
        self._ruled: RuledSession
        super().__init__(factory, turned_away)

    def make_session(self, trace: Trace | None) -> RuledSession:
        """Make a session that asks the rules, and is recorded."""
        if self.factory.records:
            self.record = Record(self._id)
            trace = self.record if trace is None else _Both(trace, self.record)
        self._ruled = RuledSession(self.factory.rules, self.strike, self._hold, trace)
        return self._ruled

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._gone

    # -- rules

    def strike(
        self,
        verb: str,
        who: Mapping[str, Collection[str]] = NOBODY,
        *,
        for_each: bool = False,
    ) -> tuple[Effect, ...]:
        """Say what is to happen at a verb; see `RuleBook.strike`."""
        return self.factory.book.strike(verb, who, for_each=for_each, dice=self._dice)

    def struck(
        self, verb: str, who: Mapping[str, Collection[str]] = NOBODY
    ) -> list[tuple[Rule, Effect]]:
        """Say what is to happen at a verb, and by which rules."""
        return self.factory.book.struck(verb, who, dice=self._dice)

    async def carry_out(self, effects: Sequence[Effect]) -> None:
        """Let the effects of rules have their way in a hook.

        Raises:
            SMTPRejection: One of them refuses, or has dropped the connection.
        """
        for effect in effects:
            match effect:
                case Delay():
                    await self.factory.pause(effect.seconds)
                case Reject():
                    raise SMTPRejection.of(effect.reply)
                case Drop():
                    self.drop(reset=effect.reset)
                    raise Dropped

    def drop(self, *, reset: bool = False) -> None:
        """Close the connection without another word."""
        self._ruled.drop(reset=reset)
        self._advance()

    def interrupt(self, reply: Reply) -> None:
        """Close the connection behind these words."""
        self._ruled.interrupt(reply)
        self._advance()

    def connectionLost(self, *arguments: Any) -> None:
        """Wait for nothing any more."""
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        super().connectionLost(*arguments)

    def _hold(self, seconds: float, go_on: Callable[[float], None]) -> None:
        def release() -> None:
            self._holding = None
            go_on(self._now())
            self._advance()

        self._holding = self.factory.clock.callLater(seconds, release)


class _Both:
    """Two traces as one."""

    def __init__(self, one: Trace, other: Trace) -> None:
        self._traces = (one, other)

    def __call__(self, direction: Direction, octets: bytes, secret: bool) -> None:
        for trace in self._traces:
            trace(direction, octets, secret)
