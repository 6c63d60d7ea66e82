"""What a Deferred holds is asserted in words that help."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from txsmtpconn.testing import failure_result_of, no_result_of, success_result_of


def test_results_say_what_was_found_instead():
    """Each helper names what it wanted and shows what it got."""
    fired: Deferred[int] = Deferred()
    fired.callback(3)
    assert success_result_of(fired) == 3
    waiting: Deferred[int] = Deferred()
    no_result_of(waiting)
    with pytest.raises(AssertionError, match="has not fired"):
        success_result_of(waiting)
    failed: Deferred[int] = Deferred()
    failed.cancel()
    with pytest.raises(AssertionError, match="KeyError was expected"):
        failure_result_of(failed, KeyError)
    cancelled: Deferred[int] = Deferred()
    cancelled.cancel()
    with pytest.raises(AssertionError, match="CancelledError"):
        success_result_of(cancelled)
    again: Deferred[int] = Deferred()
    again.cancel()
    assert isinstance(failure_result_of(again), CancelledError)


def test_a_coroutine_is_as_good_as_a_deferred():
    """`async def` that waits for nothing has its result at once."""

    async def answer():
        return 42

    async def fail():
        raise KeyError("none")

    assert success_result_of(answer()) == 42
    assert isinstance(failure_result_of(fail(), KeyError), KeyError)


def test_nothing_yet_and_something_too_early_are_told():
    """`no_result_of` leaves the result where it was; `failure_result_of` wants a failure."""
    fired: Deferred[int] = Deferred()
    fired.callback(1)
    with pytest.raises(AssertionError, match="fired with 1"):
        no_result_of(fired)
    assert success_result_of(fired) == 1
    again: Deferred[int] = Deferred()
    again.callback(2)
    with pytest.raises(AssertionError, match="fired with 2"):
        failure_result_of(again)
    waiting: Deferred[int] = Deferred()
    with pytest.raises(AssertionError, match="has not fired"):
        failure_result_of(waiting)
