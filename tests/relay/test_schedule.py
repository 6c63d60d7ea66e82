"""The schedule of attempts and the breaker of a destination."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.schedule import Breaker, Schedule, duration


def test_waits_grow_and_the_last_one_repeats() -> None:
    """Each attempt waits for its own time; beyond the list, for the longest."""
    schedule = Schedule((60.0, 300.0, 3600.0), jitter=0.0)
    assert [schedule.wait(attempt) for attempt in (1, 2, 3, 4, 1000)] == [
        60.0,
        300.0,
        3600.0,
        3600.0,
        3600.0,
    ]


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_its_part(attempts: int, chance: float) -> None:
    """Whatever chance says, a wait is never off by more than the jitter, nor above the longest."""
    schedule = Schedule()
    plain = Schedule(jitter=0.0).wait(attempts)
    wait = schedule.wait(attempts, lambda: chance)
    assert 0.8 * plain - 1e-6 <= wait <= 1.2 * plain
    assert 0 < wait <= schedule.longest


def test_default_schedule_is_what_the_rfc_asks_for() -> None:
    """RFC 5321 section 4.5.4.1: half an hour and more in the long run, four to five days in all."""
    schedule = Schedule(jitter=0.0)
    assert schedule.wait(1) < 1800
    assert schedule.wait(10) >= 1800
    assert 4 * 86400 <= schedule.lifetime <= 5 * 86400
    assert not schedule.is_over(5 * 86400 - 1)
    assert schedule.is_over(5 * 86400)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), (" 1.5h ", 5400), ("5d", 432000)]
)
def test_duration(text: str, seconds: float) -> None:
    """Durations are numbers with a unit of s, m, h or d."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5m", "5 m", "m", "1w", "nan", "inf", "٣m", "1e3"])
def test_no_duration(text: str) -> None:
    """What is not one is refused in words."""
    with pytest.raises(ConfigError, match="duration"):
        duration(text)


def test_parse_schedule() -> None:
    """Waits are a list, and may be repeated."""
    assert Schedule.parse("1m, 5m*2,1h").waits == (60.0, 300.0, 300.0, 3600.0)


@pytest.mark.parametrize("text", ["", "5m,", "5m*0", "5m*x", "5m*101", "5m**2", "*2"])
def test_no_schedule(text: str) -> None:
    """A malformed schedule is refused."""
    with pytest.raises(ConfigError):
        Schedule.parse(text)


@pytest.mark.parametrize(
    "values", [{"waits": ()}, {"waits": (0.0,)}, {"lifetime": 0.0}, {"jitter": 1.0}]
)
def test_schedule_checks_itself(values: dict[str, object]) -> None:
    """No schedule without waits, without life, or with waits that chance makes negative."""
    with pytest.raises(ConfigError):
        Schedule(**values)  # type: ignore[arg-type]


def breaker() -> Breaker:
    """A breaker without chance."""
    return Breaker(5.0, 60.0, lambda: 0.5)


def test_breaker_is_open_road_at_first() -> None:
    """Nothing waits before anything has failed."""
    one = breaker()
    assert not one.tripped
    assert one.wait(0.0) == 0.0


def test_breaker_doubles_up_to_the_longest_wait() -> None:
    """Each failed probe doubles the wait, up to a bound, for ever."""
    one, now, waits = breaker(), 0.0, []
    for _ in range(40):
        one.failed(now)
        waits.append(round(one.wait(now), 6))
        now += one.wait(now)
    assert waits[:6] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert waits[-1] == 60.0


def test_breaker_counts_what_fails_together_once() -> None:
    """Twenty connections that break at once are one failure of the host."""
    one = breaker()
    for _ in range(20):
        one.failed(100.0)
    assert one.wait(100.0) == pytest.approx(5.0)


def test_breaker_forgets_after_a_success() -> None:
    """One success opens the road, and the next failure starts from the beginning."""
    one = breaker()
    one.failed(0.0)
    one.failed(10.0)
    one.succeeded()
    assert not one.tripped
    assert one.wait(10.0) == 0.0
    one.failed(20.0)
    assert one.wait(20.0) == pytest.approx(5.0)


def test_breaker_knows_what_was_heard_last() -> None:
    """Nothing at first; then an answer, or none."""
    one = breaker()
    assert not one.answered
    one.succeeded()
    assert one.answered
    for now in (0.0, 0.1):
        one.failed(now)
        assert not one.answered
