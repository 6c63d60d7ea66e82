"""An end that others wait for, and how long they have."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


def give_up_after(
    clock: IReactorTime,
    seconds: float | None,
    give_up: Callable[[], object],
    ended: Deferred[None],
) -> None:
    """Give up what has not ended by itself in time.

    Args:
        clock: The reactor.
        seconds: How long it has; None for as long as it takes.
        give_up: Called when that time is over.
        ended: Fires at the end; nobody else holds it.
    """
    if seconds is None:
        return
    call = clock.callLater(max(0.0, seconds), give_up)

    def disarm(_: None) -> None:
        if call.active():
            call.cancel()

    ended.addCallback(disarm)
