"""The resolver that remembers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.transport.nexthop.world import Zone
from txsmtpconn import DNSError, SendCancelled
from txsmtpconn.testing import failure_result_of, no_result_of, success_result_of
from txsmtpconn.transport.nexthop.cache import CachingResolver
from txsmtpconn.transport.nexthop.records import Answer, RecordType


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def zone() -> Zone:
    """DNS, empty as yet."""
    return Zone()


@pytest.mark.parametrize(("ttl", "life"), [(300.0, 300), (0.0, 5), (1e9, 86400)])
def test_an_answer_is_kept_for_its_life(clock: Clock, zone: Zone, ttl: float, life: int) -> None:
    """Within reason: never for no time, nor for years."""
    resolver = CachingResolver(zone, clock)
    zone.put("a.test", RecordType.A, "192.0.2.1", ttl=ttl)
    for wait, times in ((0, 1), (life - 1, 1), (1, 2)):
        clock.advance(wait)
        assert success_result_of(resolver.lookup("a.test", RecordType.A)).records == ("192.0.2.1",)
        assert len(zone.asked) == times


def test_a_failure_is_not_kept(clock: Clock, zone: Zone) -> None:
    """Servers recover."""
    resolver = CachingResolver(zone, clock)
    zone.fail("a.test", RecordType.A)
    assert isinstance(failure_result_of(resolver.lookup("a.test", RecordType.A)), DNSError)
    zone.put("a.test", RecordType.A, "192.0.2.1")
    assert success_result_of(resolver.lookup("a.test", RecordType.A)).records


def test_one_question_is_asked_once(clock: Clock) -> None:
    """However many wait; who gives up takes nothing from the others."""
    asked: list[Deferred[Answer]] = []

    class Slow:
        def lookup(self, name: str, kind: RecordType) -> Deferred[Answer]:
            asked.append(Deferred())
            return asked[-1]

    resolver = CachingResolver(Slow(), clock)
    first, second = (resolver.lookup("a.test", RecordType.A) for _ in range(2))
    assert len(asked) == 1
    first.cancel()
    assert isinstance(failure_result_of(first), SendCancelled)
    no_result_of(second)
    asked[0].callback(Answer("a.test"))
    assert success_result_of(second) == Answer("a.test")


@pytest.mark.parametrize("raises", [True, False])
def test_whatever_a_resolver_raises_is_ours(clock: Clock, raises: bool) -> None:
    """A resolver of the caller's may do anything."""

    class Bad:
        def lookup(self, name: str, kind: RecordType) -> Any:
            if raises:
                raise RuntimeError("no")
            failed: Deferred[Answer] = Deferred()
            failed.errback(RuntimeError("no"))
            return failed

    error = failure_result_of(CachingResolver(Bad(), clock).lookup("a.test", RecordType.A))
    assert isinstance(error, DNSError)
    assert (error.enhanced_code, error.is_transient) == ("4.4.3", True)


@pytest.mark.parametrize("given", [None, ["192.0.2.1"]], ids=repr)
def test_what_is_no_answer_is_an_error(clock: Clock, given: Any) -> None:
    """Else whoever waits would wait for ever."""

    class Bad:
        def lookup(self, name: str, kind: RecordType) -> Any:
            return given

    resolver = CachingResolver(Bad(), clock)
    error = failure_result_of(resolver.lookup("a.test", RecordType.A))
    assert isinstance(error, DNSError)


def test_memory_has_a_limit(clock: Clock, zone: Zone) -> None:
    """What was not used for longest goes."""
    resolver = CachingResolver(zone, clock, limit=2)
    for name in ("a.test", "b.test", "a.test", "c.test", "a.test", "b.test"):
        resolver.lookup(name, RecordType.A)
    assert [name for name, _ in zone.asked] == ["a.test", "b.test", "c.test", "b.test"]


def test_closing_ends_all_waits(clock: Clock, zone: Zone) -> None:
    """Nothing is left behind."""
    resolver = CachingResolver(zone, clock)
    zone.stall("a.test", RecordType.A)
    waiting = resolver.lookup("a.test", RecordType.A)
    resolver.close()
    assert isinstance(failure_result_of(waiting), DNSError)
