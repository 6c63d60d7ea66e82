"""Hosts that the configuration names: looked up as this machine does, ``/etc/hosts`` and all."""

# Methods and arguments are spelled by Twisted's interfaces.
# ruff: noqa: N802, N803

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError

from tests.transport.nexthop.world import BODY, World, WorldReactor, envelope
from txsmtpconn import DNSError
from txsmtpconn.testing import failure_result_of, success_result_of
from txsmtpconn.transport.nexthop.records import RecordType
from txsmtpconn.transport.nexthop.system import SystemResolver


class Names:
    """The reactor's name resolver.

    Attributes:
        known: Name -> addresses.
        silent: Do not answer.
    """

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.silent = False

    def resolveHostName(
        self,
        receiver: Any,
        name: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        **_: Any,
    ) -> None:
        receiver.resolutionBegan(None)
        for host in self.known.get(name, ()):
            kind = IPv6Address if ":" in host else IPv4Address
            if kind in addressTypes:
                receiver.addressResolved(kind("TCP", host, portNumber))
        if not self.silent:
            receiver.resolutionComplete()


@pytest.fixture
def reactor() -> Any:
    """A clock with a name resolver."""
    reactor: Any = WorldReactor()
    reactor.nameResolver = Names()
    return reactor


def test_addresses_by_family(reactor: Any) -> None:
    """Each once, and never secure."""
    reactor.nameResolver.known["relay.test"] = ["192.0.2.1", "192.0.2.1", "2001:db8::1"]
    resolver = SystemResolver(reactor, 5.0)
    for kind, address in ((RecordType.A, "192.0.2.1"), (RecordType.AAAA, "2001:db8::1")):
        answer = success_result_of(resolver.lookup("relay.test", kind))
        assert (answer.records, answer.secure) == ((address,), False)
    assert reactor.getDelayedCalls() == []


def test_no_address_is_for_now(reactor: Any) -> None:
    """The system does not tell whether a name is unknown or its servers are: mail waits."""
    error = failure_result_of(SystemResolver(reactor, 5.0).lookup("relay.test", RecordType.A))
    assert isinstance(error, DNSError)
    assert (error.is_transient, error.enhanced_code) == (True, "4.4.3")


def test_it_takes_so_long_and_no_longer(reactor: Any) -> None:
    """What was found by then is all; and a lookup can be given up."""
    reactor.nameResolver.known["relay.test"] = ["192.0.2.1"]
    reactor.nameResolver.silent = True
    resolver = SystemResolver(reactor, 5.0)
    found = resolver.lookup("relay.test", RecordType.A)
    nothing = resolver.lookup("other.test", RecordType.A)
    given_up = resolver.lookup("other.test", RecordType.A)
    given_up.cancel()
    assert isinstance(failure_result_of(given_up), CancelledError)
    reactor.advance(5.0)
    assert success_result_of(found).records == ("192.0.2.1",)
    assert isinstance(failure_result_of(nothing), DNSError)
    assert reactor.getDelayedCalls() == []


def test_mail_goes_to_a_host_by_its_name() -> None:
    """No MX, no DNS: the name is in /etc/hosts, say."""
    world = World()
    names: Any = Names()
    names.known["relay.test"] = ["192.0.2.1"]
    reactor: Any = world.clock
    reactor.nameResolver = names
    world.server("relay.test", "192.0.2.1", port=587)
    transport = world.transport("[relay.test]:587")
    assert world.result_of(transport.send(envelope("x@a.test"), BODY)).accepted == ["x@a.test"]
    assert world.zone.asked == []
    world.finish(transport)
