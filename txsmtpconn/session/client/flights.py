"""What a reply is awaited for: a command, or one of several that left together as a flight."""

from __future__ import annotations

from typing import Final

from txsmtpconn.session.client.tables import (
    FIRST_CODE,
    MAY_LEAVE,
    Effect,
    Expected,
    Verb,
    row,
)
from txsmtpconn.wire.reply import Reply

#: Octets of text in a reply that is worth to be known again.
_LONGEST: Final = 120
#: The answers to which flights are listened to: many a connection has no second one.
_LESSONS: Final = range(2, 18)

_TIMEOUT: Final = {
    Expected.GREETING: "greeting",
    Expected.DATA: "data",
    Expected.BODY: "block",
    Expected.CHUNK: "block",
    Expected.MARK: "mark",
    Expected.VERDICT: "mark",
    Expected.QUIT: "quit",
}


class Awaited:
    """An ``Expected`` with all that a reply needs to know of it.

    Attributes:
        expected: What the reply answers.
        effects: What it does, by its code.
        timeout: The name of the timeout that it has to keep.
        rest: What the reply behind it answers, within a flight.
        flight: The flight that this is one of the envelope's commands of.
    """

    __slots__ = ("effects", "expected", "flight", "rest", "timeout")

    def __init__(
        self, expected: Expected, rest: Awaited | None = None, flight: Flight | None = None
    ) -> None:
        self.expected = expected
        self.effects = row(expected)
        self.timeout = _TIMEOUT.get(expected, "command")
        self.rest = rest
        self.flight = flight


#: By themselves, indexed by ``Expected``.
AWAITED: Final = tuple(Awaited(expected) for expected in Expected)


class Flight:
    """Commands that leave together for one operation, each answered by a reply of its own.

    Attributes:
        awaited: What the first reply is awaited for.
        common: How many of the replies a server gives in the same words each time: all but that to
            mail data.
        states: Where all of the commands may leave.
    """

    __slots__ = ("awaited", "common", "states")

    def __init__(self, *commands: tuple[Verb, Expected], reset: bool = False) -> None:
        if reset:
            commands = ((Verb.RSET, Expected.RSET), *commands)
        rest: Awaited | None = None
        self.common = 0
        for _, expected in reversed(commands):
            if expected is Expected.MARK:
                rest = AWAITED[expected]
            else:
                rest = Awaited(expected, rest, self)
                self.common += 1
        assert rest is not None
        self.awaited = rest
        # A tuple: to look an Enum up there takes no hash of it.
        self.states = tuple(
            state for state, may in MAY_LEAVE.items() if all(may[verb] for verb, _ in commands)
        )


#: What a reply of a phrase does, the reply, and what it answers.
Step = tuple[Effect, Reply, Expected]
#: Octets, the replies that they are, what these do, and what is awaited behind them.
Phrase = tuple[bytes, tuple[Reply, ...], tuple[Step, ...], Awaited | None]


class Phrases:
    """The words in which a server answers flights, to be known again as a whole.

    Most servers say the same to RSET, MAIL, RCPT and DATA as long as they take them. A server that
    never repeats itself is not listened to for long.

    Attributes:
        known: The phrases, by what begins the flight that each answers.
    """

    __slots__ = ("_flights", "_heard", "known")

    def __init__(self) -> None:
        # How many were answered in words not known by then.
        self._flights = 0
        # What has been heard of the flight that is being answered.
        self._heard: list[Step] = []
        self.known: dict[Awaited, Phrase] = {}

    def hear(self, awaited: Awaited, reply: Reply) -> None:
        """Take note of one reply to a flight."""
        flight, heard = awaited.flight, self._heard
        assert flight is not None
        if awaited is flight.awaited:
            self._flights += 1
            heard.clear()
        if self._flights not in _LESSONS:
            return
        heard.append((awaited.effects[reply.code - FIRST_CODE], reply, awaited.expected))
        if len(heard) == flight.common:
            replies = tuple([each for _, each, _ in heard])
            if all(map(_is_plain, replies)):
                octets = b"".join([b"%d %b\r\n" % (each.code, each.octets[0]) for each in replies])
                steps = tuple([step for step in heard if step[0] is not Effect.RESET])
                self.known[flight.awaited] = octets, replies, steps, awaited.rest


def _is_plain(reply: Reply) -> bool:
    """Tell whether a reply is a short one of one line. Each refusal is an object of its own."""
    return reply.code < 400 and len(reply.octets) == 1 and len(reply.octets[0]) <= _LONGEST
