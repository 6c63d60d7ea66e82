"""Which hosts take a domain's mail, and in which order."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.transport.nexthop.world import Zone
from txsmtpconn import DNSError, EnvelopeError
from txsmtpconn.testing import failure_result_of, success_result_of
from txsmtpconn.transport.nexthop.exchanges import HOSTS, Exchange, Exchanges
from txsmtpconn.transport.nexthop.hop import NextHop, Road
from txsmtpconn.transport.nexthop.records import MX, NO_HOST, SRV, RecordType

A_TEST = NextHop(Road.MX, "a.test")


@pytest.fixture
def zone() -> Zone:
    """DNS, empty as yet."""
    return Zone()


def found(zone: Zone, hop: NextHop = A_TEST, **options: Any) -> list[Exchange]:
    """Return the hosts of a next hop."""
    exchanges = Exchanges(zone, **options)
    return success_result_of(Deferred.fromCoroutine(exchanges.find(hop)))


def refused(zone: Zone, hop: NextHop = A_TEST, **options: Any) -> Any:
    """Return why there are none."""
    return failure_result_of(Deferred.fromCoroutine(Exchanges(zone, **options).find(hop)))


def hosts(exchanges: list[Exchange]) -> list[str]:
    """Return their names."""
    return [exchange.host for exchange in exchanges]


def test_the_lowest_preference_comes_first(zone: Zone) -> None:
    """RFC 5321 section 5.1."""
    zone.put("a.test", RecordType.MX, MX(20, "c.test"), MX(5, "b.test"), MX(100, "d.test"))
    assert hosts(found(zone)) == ["b.test", "c.test", "d.test"]


def test_equals_take_turns_at_random(zone: Zone) -> None:
    """RFC 5321 section 5.1: the load is spread; but never ahead of a better one."""
    zone.put("a.test", RecordType.MX, MX(5, "b.test"), MX(10, "c.test"), MX(10, "d.test"))
    firsts = Counter(tuple(hosts(found(zone))) for _ in range(200))
    assert set(firsts) == {("b.test", "c.test", "d.test"), ("b.test", "d.test", "c.test")}
    assert min(firsts.values()) > 50


def test_a_domain_without_mx_is_its_own_exchange(zone: Zone) -> None:
    """The implicit MX."""
    zone.put("a.test", RecordType.A, "192.0.2.1")
    assert found(zone) == [Exchange("a.test", 25)]


def test_null_mx_is_a_refusal_for_good(zone: Zone) -> None:
    """RFC 7505: the domain takes no mail, and says so."""
    zone.put("a.test", RecordType.MX, MX(0, "."))
    error = refused(zone)
    assert isinstance(error, EnvelopeError)
    assert (error.code, error.enhanced_code, error.is_permanent) == ("EENVELOPE", "5.1.10", True)


def test_a_null_mx_among_others_does_not_count(zone: Zone) -> None:
    """RFC 7505 section 3 forbids it; the others are meant."""
    zone.put("a.test", RecordType.MX, MX(0, "."), MX(10, "b.test"))
    assert hosts(found(zone)) == ["b.test"]


def test_no_such_domain_is_for_good_and_no_answer_is_for_now(zone: Zone) -> None:
    """F38: NXDOMAIN bounces, SERVFAIL waits."""
    error = refused(zone)
    assert isinstance(error, DNSError)
    assert (error.enhanced_code, error.is_permanent) == ("5.1.2", True)
    zone.fail("a.test", RecordType.MX)
    error = refused(zone)
    assert isinstance(error, DNSError)
    assert (error.enhanced_code, error.is_transient) == ("4.4.3", True)


def test_a_thousand_exchanges_are_not_tried(zone: Zone) -> None:
    """F38: the best ones are, and how many they are is known."""
    records = [MX(place, f"mx{place}.test") for place in range(1000)]
    zone.put("a.test", RecordType.MX, *reversed(records))
    assert hosts(found(zone)) == [f"mx{place}.test" for place in range(HOSTS)]


def test_a_host_that_is_named_twice_is_tried_once(zone: Zone) -> None:
    """At its best preference."""
    zone.put("a.test", RecordType.MX, MX(5, "b.test"), MX(7, "c.test"), MX(9, "b.test"))
    assert hosts(found(zone)) == ["b.test", "c.test"]


def test_what_is_no_host_is_passed_over(zone: Zone) -> None:
    """Whoever publishes a zone can write anything into it; that it has MX still counts."""
    zone.put("a.test", RecordType.MX, MX(5, NO_HOST), MX(9, "b.test"))
    assert hosts(found(zone)) == ["b.test"]
    zone.put("a.test", RecordType.MX, MX(5, NO_HOST))
    error = refused(zone)
    assert isinstance(error, DNSError)
    assert error.enhanced_code == "5.4.4"


def test_mail_goes_to_better_exchanges_than_ourselves_only(zone: Zone) -> None:
    """RFC 5321 section 5.1: an equal or a worse one would send it back to us."""
    zone.put(
        "a.test",
        RecordType.MX,
        MX(5, "best.test"),
        MX(10, "we.test"),
        MX(10, "equal.test"),
        MX(20, "worse.test"),
    )
    assert hosts(found(zone, own_names={"we.test"})) == ["best.test"]


def test_where_we_are_the_best_mail_loops(zone: Zone) -> None:
    """It is refused, for good: 5.4.6."""
    zone.put("a.test", RecordType.MX, MX(10, "we.test"), MX(20, "worse.test"))
    error = refused(zone, own_names={"we.test"})
    assert isinstance(error, EnvelopeError)
    assert (error.enhanced_code, error.is_permanent) == ("5.4.6", True)


def test_validated_answers_are_known_as_such(zone: Zone) -> None:
    """Of the exchanges, and of that there are none."""
    zone.put("a.test", RecordType.MX, MX(5, "b.test"), secure=True)
    assert found(zone) == [Exchange("b.test", 25, secure=True)]
    zone.put("a.test", RecordType.MX, secure=True)
    assert found(zone) == [Exchange("a.test", 25, secure=True)]


def test_a_host_is_not_looked_up(zone: Zone) -> None:
    """Who names a host does not want its exchanges."""
    assert found(zone, NextHop(Road.HOST, "192.0.2.1", 2525)) == [
        Exchange("192.0.2.1", 2525, secure=True)
    ]
    assert zone.asked == []


def test_services_with_tls_from_the_start_come_first(zone: Zone) -> None:
    """RFC 6186, RFC 8314 section 5.1; then priorities count."""
    zone.put(
        "_submissions._tcp.a.test",
        RecordType.SRV,
        SRV(20, 0, 465, "two.test"),
        SRV(10, 0, 465, "one.test"),
    )
    zone.put("_submission._tcp.a.test", RecordType.SRV, SRV(0, 0, 587, "three.test"))
    assert found(zone, NextHop(Road.SRV, "a.test", None)) == [
        Exchange("one.test", 465, implicit_tls=True),
        Exchange("two.test", 465, implicit_tls=True),
        Exchange("three.test", 587),
    ]


def test_weights_share_the_load(zone: Zone) -> None:
    """RFC 2782: in proportion; one without weight comes to its turn, too."""
    zone.put(
        "_submission._tcp.a.test",
        RecordType.SRV,
        SRV(0, 30, 587, "heavy.test"),
        SRV(0, 10, 587, "light.test"),
        SRV(0, 0, 587, "none.test"),
    )
    turns = (step / 997 for step in count())
    hop = NextHop(Road.SRV, "a.test", None)
    firsts = Counter(
        hosts(found(zone, hop, chance=lambda: next(turns) % 1.0))[0] for _ in range(400)
    )
    assert firsts["heavy.test"] > 2 * firsts["light.test"] > 0
    assert len(hosts(found(zone, hop))) == 3


def test_no_service_is_said_with_a_dot(zone: Zone) -> None:
    """RFC 2782: the target "." means that there is none."""
    zone.put("_submission._tcp.a.test", RecordType.SRV, SRV(0, 0, 0, "."))
    error = refused(zone, NextHop(Road.SRV, "a.test", None))
    assert isinstance(error, DNSError)
    assert (error.enhanced_code, error.is_permanent) == ("5.4.4", True)
