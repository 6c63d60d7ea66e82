"""Waiters: one event, a Deferred for each."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txsmtpconn import ConnectionLostError, SendCancelled
from txsmtpconn.client.waiters import Waiters
from txsmtpconn.testing import failure_result_of, no_result_of, success_result_of


def test_all_who_wait_and_all_who_come_later_hear_of_it() -> None:
    """Once, and the first news counts."""
    waiters: Waiters[int] = Waiters()
    early = [waiters.wait(), waiters.wait()]
    assert early[0] is not early[1]
    no_result_of(early[0])
    waiters.fire(7)
    waiters.fire(8)
    waiters.fail(ConnectionLostError("no"))
    assert [success_result_of(each) for each in (*early, waiters.wait())] == [7, 7, 7]


def test_each_failure_is_an_exception_of_its_own() -> None:
    """With the cause of the first."""
    error = ConnectionLostError("gone")
    error.__cause__ = OSError("why")
    waiters: Waiters[int] = Waiters()
    early = waiters.wait()
    waiters.fail(error)
    waiters.fire(1)
    first, second = failure_result_of(early), failure_result_of(waiters.wait())
    assert first is not second
    assert str(first) == str(second) == "gone"
    assert first.__cause__ is error.__cause__


def test_cancelling_a_wait_ends_that_wait() -> None:
    """Also from the callback of another."""
    waiters: Waiters[int] = Waiters()
    one, two, three = (waiters.wait() for _ in range(3))

    def cancel_next(result: int) -> int:
        two.cancel()
        return result

    one.addCallback(cancel_next)
    waiters.fire(7)
    assert success_result_of(one) == 7
    assert isinstance(failure_result_of(two), SendCancelled)
    assert success_result_of(three) == 7


def test_the_result_none_is_a_result() -> None:
    """An event without a value has happened all the same."""
    waiters: Waiters[None] = Waiters()
    waiters.fire(None)
    deferred: Deferred[None] = waiters.wait()
    assert success_result_of(deferred) is None
