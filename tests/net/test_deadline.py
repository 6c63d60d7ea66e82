"""The one timer: it fires once the deadline set last has passed, and never early."""

from __future__ import annotations

from twisted.internet.task import Clock

from txsmtpconn.net.deadline import Deadline


def watched() -> tuple[Clock, Deadline, list[float]]:
    """A deadline whose expiries are noted with their time."""
    clock = Clock()
    expiries: list[float] = []
    return clock, Deadline(clock, lambda: expiries.append(clock.seconds())), expiries


def run(clock: Clock, seconds: float) -> None:
    """Let time pass in small steps."""
    clock.pump([0.5] * int(seconds * 2))


def test_it_fires_once_at_its_time() -> None:
    """Not before, and not again."""
    clock, deadline, expiries = watched()
    deadline.set(10)
    run(clock, 30)
    assert expiries == [10]
    assert not clock.getDelayedCalls()


def test_moving_it_away_costs_no_delayed_call() -> None:
    """A thousand renewals arm the reactor a handful of times."""
    clock, deadline, expiries = watched()
    armed = 0
    call_later = clock.callLater

    def counting(*arguments):  # type: ignore[no-untyped-def]
        nonlocal armed
        armed += 1
        return call_later(*arguments)

    clock.callLater = counting  # type: ignore[method-assign]
    for _ in range(1000):
        deadline.set(clock.seconds() + 100)
        clock.advance(1)
    assert armed <= 12
    run(clock, 99)
    assert expiries == [1099]


def test_moving_it_closer_counts_at_once() -> None:
    """The delayed call moves with it."""
    clock, deadline, expiries = watched()
    deadline.set(100)
    deadline.set(5)
    run(clock, 200)
    assert expiries == [5]


def test_a_deadline_that_is_past_fires_in_the_next_turn() -> None:
    """Never from within `set`."""
    clock, deadline, expiries = watched()
    clock.advance(50)
    deadline.set(10)
    assert expiries == []
    clock.advance(0)
    assert expiries == [50]


def test_none_means_that_nothing_is_due() -> None:
    """The call that was armed finds nothing to do."""
    clock, deadline, expiries = watched()
    deadline.set(10)
    deadline.set(None)
    run(clock, 30)
    assert expiries == []
    assert not clock.getDelayedCalls()


def test_cancelling_leaves_nothing_behind() -> None:
    """Also twice, and before anything was set."""
    clock, deadline, expiries = watched()
    deadline.cancel()
    deadline.set(10)
    deadline.cancel()
    deadline.cancel()
    assert not clock.getDelayedCalls()
    run(clock, 30)
    assert expiries == []


def test_an_expiry_may_set_the_next_deadline() -> None:
    """From within the call."""
    clock = Clock()
    expiries: list[float] = []

    def expired() -> None:
        expiries.append(clock.seconds())
        if len(expiries) < 3:
            deadline.set(clock.seconds() + 5)

    deadline = Deadline(clock, expired)
    deadline.set(5)
    run(clock, 50)
    assert expiries == [5, 10, 15]
