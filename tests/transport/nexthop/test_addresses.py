"""Where hosts are, and which addresses are not connected to."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.transport.nexthop.world import Zone
from txsmtpconn import ConfigError, DNSError, SendCancelled
from txsmtpconn.testing import failure_result_of, success_result_of
from txsmtpconn.transport.nexthop.addresses import ADDRESSES, AddressBook, OwnAddressError
from txsmtpconn.transport.nexthop.networks import Reach
from txsmtpconn.transport.nexthop.records import RecordType

HOST = "mx.test"


@pytest.fixture
def zone() -> Zone:
    """DNS, empty as yet."""
    return Zone()


def finding(zone: Zone, host: str = HOST, **networks: Any) -> Deferred[Any]:
    """Look a host up."""
    book = AddressBook(zone, Reach(**networks))
    return Deferred.fromCoroutine(book.find(host))


def test_both_families_in_turn(zone: Zone) -> None:
    """A family that leads nowhere must not come first with all of its addresses."""
    zone.put(HOST, RecordType.A, "192.0.2.1", "192.0.2.2")
    zone.put(HOST, RecordType.AAAA, "2001:db8::1", "2001:db8::2")
    found = success_result_of(finding(zone)).found
    assert [":" in address for address in found] == [True, False, True, False]
    assert set(found) == {"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"}


def test_a_hundred_addresses_are_not_tried(zone: Zone) -> None:
    """Some are."""
    zone.put(HOST, RecordType.A, *(f"192.0.2.{number}" for number in range(100)))
    assert len(success_result_of(finding(zone)).found) == ADDRESSES


@pytest.mark.parametrize("secure", [True, False])
def test_one_family_is_enough(zone: Zone, secure: bool) -> None:
    """Servers that fail at AAAA are common; what is certain of the other family stays so."""
    zone.put(HOST, RecordType.A, "192.0.2.1", secure=secure)
    zone.fail(HOST, RecordType.AAAA)
    found = success_result_of(finding(zone))
    assert found.found == ("192.0.2.1",)
    assert found.secure is secure


@pytest.mark.parametrize(("a", "aaaa"), [(True, True), (True, False), (False, True)])
def test_addresses_are_secure_if_both_answers_are(zone: Zone, a: bool, aaaa: bool) -> None:
    """A denial of one family counts like addresses of the other."""
    zone.put(HOST, RecordType.A, "192.0.2.1", secure=a)
    zone.put(HOST, RecordType.AAAA, secure=aaaa)
    assert success_result_of(finding(zone)).secure is (a and aaaa)


def test_the_name_at_the_end_of_the_aliases_is_known(zone: Zone) -> None:
    """TLSA records are first looked for there."""
    zone.put(HOST, RecordType.A, "192.0.2.1", canonical="real.test")
    assert success_result_of(finding(zone)).name == "real.test"


def test_no_address_is_for_good_and_no_answer_is_for_now(zone: Zone) -> None:
    """One failed answer is enough to wait."""
    zone.put(HOST, RecordType.A)
    error = failure_result_of(finding(zone))
    assert (error.enhanced_code, error.is_permanent) == ("5.4.4", True)
    zone.fail(HOST, RecordType.AAAA)
    error = failure_result_of(finding(zone))
    assert (error.enhanced_code, error.is_transient) == ("4.4.3", True)


REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "ff02::1",
    "::ffff:127.0.0.1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_loopback_and_its_like_are_refused(zone: Zone, address: str) -> None:
    """F38: MX -> 127.0.0.1 would talk to this machine's own services."""
    zone.put(HOST, RecordType.AAAA if ":" in address else RecordType.A, address)
    error = failure_result_of(finding(zone))
    assert isinstance(error, DNSError)
    assert error.is_permanent
    assert failure_result_of(finding(zone, address)).is_permanent


@pytest.mark.parametrize("address", REFUSED)
def test_the_override_is_explicit(zone: Zone, address: str) -> None:
    """An allow-list of networks."""
    allowed = {"allow": [address.removeprefix("::ffff:")]}
    assert success_result_of(finding(zone, address, **allowed)).found == (address,)


def test_an_address_that_may_be_used_is_used(zone: Zone) -> None:
    """A host with one good and one bad address is not lost."""
    zone.put(HOST, RecordType.A, "127.0.0.1", "192.0.2.1")
    assert success_result_of(finding(zone)).found == ("192.0.2.1",)


def test_more_networks_can_be_refused(zone: Zone) -> None:
    """Say, all that is private."""
    zone.put(HOST, RecordType.A, "10.1.2.3")
    assert success_result_of(finding(zone)).found == ("10.1.2.3",)
    assert failure_result_of(finding(zone, refuse=["10.0.0.0/8"])).enhanced_code == "5.4.4"


def test_our_own_address_is_a_loop(zone: Zone) -> None:
    """Even if the host has others."""
    zone.put(HOST, RecordType.A, "192.0.2.1", "192.0.2.9")
    error = failure_result_of(finding(zone, own=["192.0.2.9"]))
    assert isinstance(error, OwnAddressError)
    assert error.enhanced_code == "5.4.6"


@pytest.mark.parametrize("option", ["refuse", "allow", "own"])
def test_what_is_no_network_is_refused(option: str) -> None:
    """By name."""
    with pytest.raises(ConfigError, match=option):
        Reach(**{option: ["10.0.0.0/99"]})


def test_the_wait_can_be_cancelled(zone: Zone) -> None:
    """And then it fails as cancelled calls do."""
    from twisted.internet.task import Clock

    from txsmtpconn.transport.nexthop.cache import CachingResolver

    zone.stall(HOST, RecordType.A)
    book = AddressBook(CachingResolver(zone, Clock()), Reach())
    waiting = Deferred.fromCoroutine(book.find(HOST))
    waiting.cancel()
    assert isinstance(failure_result_of(waiting), SendCancelled)
