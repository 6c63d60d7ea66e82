"""To mail exchanges by way of a proxy: nothing but DNS goes past it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from tests.transport.nexthop.world import BODY, World, envelope
from txsmtpconn import ConfigError, Delivery, ProxyError, TLSOptions
from txsmtpconn.testing import CertificateZoo
from txsmtpconn.transport.nexthop import MTASTS
from txsmtpconn.transport.nexthop.records import RecordType
from txsmtpconn.transport.nexthop.reporting import TLSReports

MAIL, SECOND, POLICY = "192.0.2.1", "192.0.2.2", "192.0.2.7"
DOMAIN = "wild.test"  # whose policy host mta-sts.wild.test the certificate names
PROXY = "198.51.100.9:3128"
URL = f"http://{PROXY}"


class Crossing(Factory):
    """An HTTP proxy that goes wherever it is asked to.

    Attributes:
        asked: Where to, in order.
        closed: Where it does not go.
    """

    noisy = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[str] = []
        self.closed: set[str] = set()

    def buildProtocol(self, addr: object) -> Protocol:
        return _Side(self)


class _Side(Protocol):
    """One end of a tunnel: that of the client, who asks for the other."""

    def __init__(self, crossing: Crossing, other: _Side | None = None) -> None:
        self.crossing = crossing
        self.other = other
        self.heard = b""

    def connectionMade(self) -> None:
        if self.other is not None:
            self.other.other = self
            transport: Any = self.other.transport
            transport.write(b"HTTP/1.1 200 OK\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            transport: Any = self.other.transport
            transport.write(data)
            return
        self.heard += data
        if self.heard.endswith(b"\r\n\r\n"):
            place = self.heard.split()[1].decode()
            self.crossing.asked.append(place)
            if place in self.crossing.closed:
                own: Any = self.transport
                own.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            there = Factory.forProtocol(lambda: _Side(self.crossing, self))
            there.noisy = False
            self.crossing.world.network.connect(there, place)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.other is not None:
            transport: Any = self.other.transport
            transport.loseConnection()


class PolicyHost(Protocol):
    """HTTPS without the S: it has one answer."""

    heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if self.heard.endswith(b"\r\n\r\n"):
            body = b"version: STSv1\nmode: enforce\nmx: mx.test\nmax_age: 100000\n"
            transport: Any = self.transport
            transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )
            transport.loseConnection()


@pytest.fixture
def world(certificate_zoo: CertificateZoo) -> World:
    """A domain with an MTA-STS policy and two exchanges, the second of which is up to no good."""
    world = World(certificate_zoo)
    world.domain(DOMAIN, "mx.test", "other.test")
    world.host("mx.test", MAIL)
    world.host("other.test", SECOND)
    world.host(f"mta-sts.{DOMAIN}", POLICY)
    world.zone.put(f"_mta-sts.{DOMAIN}", RecordType.TXT, b"v=STSv1; id=1")
    world.server("mx.test", MAIL, certificate="server")
    host = Factory.forProtocol(PolicyHost)
    host.noisy = False
    tls = certificate_zoo.server_options("wildcard")
    world.network.listen(TLSMemoryBIOFactory(tls, False, host, clock=world.clock), f"{POLICY}:443")
    return world


@pytest.fixture
def crossing(world: World) -> Crossing:
    """The proxy."""
    crossing = Crossing(world)
    world.network.listen(crossing, PROXY)
    return crossing


def knower(world: World, **options: Any) -> MTASTS:
    """Return something that knows policies, and believes the zoo's authority."""
    assert world.zoo is not None
    tls = TLSOptions(ca_file=world.zoo.ca)
    return MTASTS(world.clock, resolver=world.zone, tls=tls, **options)


def sent(world: World, **options: Any) -> Any:
    """Send a message through the proxy; return the result, or the error."""
    assert world.zoo is not None
    options.setdefault("tls", TLSOptions(ca_file=world.zoo.ca))
    sender = world.transport(proxy=URL, **options)
    outcome: list[Any] = []
    sender.send(envelope(f"x@{DOMAIN}"), BODY).addBoth(outcome.append)
    world.network.settle()
    world.network.advance(40)
    world.finish(sender)
    return getattr(outcome[0], "value", outcome[0])


def test_policies_and_mail_go_through_the_proxy(world: World, crossing: Crossing) -> None:
    """By the addresses that were looked up here, and what is fetched there counts."""
    known = knower(world, proxy=URL)
    assert sent(world, policies="mta-sts", mta_sts=known).accepted == [f"x@{DOMAIN}"]
    assert world.servers == ["mx.test"]
    assert crossing.asked == [f"{POLICY}:443", f"{MAIL}:25"]
    assert set(world.clock.dialled) == {PROXY}
    # It was a policy that is enforced: the other exchange, which it does not name, gets nothing.
    crossing.closed.add(f"{MAIL}:25")
    assert isinstance(sent(world, policies="mta-sts", mta_sts=known), ProxyError)
    assert f"{SECOND}:25" not in crossing.asked
    known.close()


def test_what_the_transport_makes_itself_goes_through_it_too(
    world: World, crossing: Crossing, logged_failures: list[object]
) -> None:
    """Its `MTASTS` trusts the platform's authorities only, so there is no policy; but it asked."""
    assert sent(world, policies="mta-sts").accepted == [f"x@{DOMAIN}"]
    assert crossing.asked == [f"{POLICY}:443", f"{MAIL}:25"]
    assert set(world.clock.dialled) == {PROXY}
    logged_failures.clear()


def test_a_second_address_of_a_policy_host_is_tried(world: World, crossing: Crossing) -> None:
    """A proxy that cannot reach the one may reach the other. IPv6 has its turn first."""
    world.host(f"mta-sts.{DOMAIN}", "2001:db8::7", POLICY)
    crossing.closed.add("[2001:db8::7]:443")
    known = knower(world, proxy=URL)
    assert world.result_of(known.policy_of(DOMAIN), 5).mx == ("mx.test",)
    assert crossing.asked == ["[2001:db8::7]:443", f"{POLICY}:443"]
    known.close()


@pytest.mark.parametrize("runs", [True, False], ids=["refuses", "is down"])
def test_no_policy_is_fetched_past_the_proxy(
    world: World, runs: bool, request: pytest.FixtureRequest
) -> None:
    """Nor does a report tell the domain which proxy it was."""
    if runs:
        request.getfixturevalue("crossing").closed.add(f"{POLICY}:443")
    reports = TLSReports("we", "postmaster@client.test")
    known = knower(world, proxy=URL, tls_reports=reports)
    assert world.result_of(known.policy_of(DOMAIN), 5) is None
    assert set(world.clock.dialled) == {PROXY}
    ((_, counts),) = reports.counts(DOMAIN).items()
    (failure,) = counts.failures
    assert failure.kind == "sts-policy-fetch-error"
    assert "198.51.100.9" not in failure.reason
    known.close()


@pytest.mark.parametrize("runs", [True, False], ids=["refuses", "is down"])
def test_no_mail_goes_past_the_proxy(
    world: World, runs: bool, request: pytest.FixtureRequest
) -> None:
    """Not even in clear, and not to another exchange."""
    if runs:
        request.getfixturevalue("crossing").closed |= {f"{MAIL}:25", f"{SECOND}:25"}
    error = sent(world)
    assert (type(error), error.delivery, error.is_transient) == (
        ProxyError,
        Delivery.NOT_SENT,
        True,
    )
    assert set(world.clock.dialled) == {PROXY}
    assert world.taken == []


def test_a_policy_source_that_would_go_past_the_proxy_is_refused(world: World) -> None:
    """Whoever wants a proxy wants it for all."""
    known = knower(world)
    with pytest.raises(ConfigError, match="give it the proxy"):
        world.transport(proxy=URL, policies="mta-sts", mta_sts=known)
    known.close()


@pytest.mark.parametrize("way", ["nonsense://proxy.test", "http://proxy.test:99999", 5])
def test_what_is_no_proxy_is_refused(world: World, way: Any) -> None:
    """At once, not when the first policy is wanted."""
    with pytest.raises(ConfigError):
        knower(world, proxy=way)


def test_socks_4_is_refused(world: World) -> None:
    """It has no names, and of addresses only those of IPv4."""
    with pytest.raises(ConfigError, match="SOCKS 4"):
        world.transport(proxy="socks4://proxy.test")
