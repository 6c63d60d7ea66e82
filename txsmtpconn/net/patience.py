"""A deadline for what others do, and a canceller whose error is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txsmtpconn.errors import SMTPError

_T = TypeVar("_T")

#: Makes the error of one who was cancelled, or came too late.
Reason = Callable[[], SMTPError]


async def patiently(
    clock: IReactorTime, seconds: float, working: Deferred[_T], *, late: Reason, cancelled: Reason
) -> _T:
    """Wait so long for a Deferred that can be cancelled.

    What cancelling makes of it is its own affair (an endpoint may call it a failed name lookup), so
    who cancelled, and why, is noted here.

    Args:
        clock: Where the time comes from.
        seconds: How long.
        working: What to wait for.
        late: The error when the time is over.
        cancelled: The error when the waiting is cancelled.

    Raises:
        SMTPError: One of the two.
        Exception: Whatever `working` failed with.
    """
    ended: SMTPError | None = None

    def end(reason: SMTPError) -> None:
        nonlocal ended
        ended = reason
        working.cancel()

    watched: Deferred[_T] = Deferred(lambda _: end(cancelled()))
    working.chainDeferred(watched)
    timer = None if watched.called else clock.callLater(seconds, lambda: end(late()))
    try:
        return await watched
    except Exception:
        if ended is not None:
            raise ended from None
        raise
    finally:
        if timer is not None and timer.active():
            timer.cancel()
