"""One timer for a whole conversation.

A session has many deadlines (greeting, reply, data block, final reply, inactivity) but only
the nearest one matters, and most of them are renewed thousands of times before one expires.
Arming a delayed call for each would cost more than parsing the reply.  So there is one delayed
call: moving the deadline *away* is an assignment, and when the call fires early it is armed
again for what is left.  Only a deadline that moves *closer* touches the reactor.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls `expired` once the clock has passed the deadline set last.

    Args:
        clock: Where the time and the delayed call come from.
        expired: Called without arguments, from the reactor.  It may set the next deadline.
    """

    __slots__ = ("_armed_for", "_call", "_clock", "_expired", "_when")

    def __init__(self, clock: IReactorTime, expired: Callable[[], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._when: float | None = None
        self._armed_for = 0.0
        self._call: IDelayedCall | None = None

    def set(self, when: float | None) -> None:
        """Move the deadline to `when`, in the clock's seconds; None means that there is none."""
        self._when = when
        if when is None:
            return
        if self._call is None:
            self._arm(when)
        elif when < self._armed_for:
            self._call.reset(max(0.0, when - self._clock.seconds()))
            self._armed_for = when

    def cancel(self) -> None:
        """Forget the deadline and leave nothing with the reactor."""
        self._when = None
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _arm(self, when: float) -> None:
        self._armed_for = when
        self._call = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._fire)

    def _fire(self) -> None:
        self._call = None
        when = self._when
        if when is None:
            return
        if when > self._clock.seconds():
            self._arm(when)
            return
        self._when = None
        self._expired()
