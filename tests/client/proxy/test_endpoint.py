"""The endpoint by itself, against proxies that refuse, close, stall, trickle, lie or flood."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint, ITLSTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.client.proxy.gate import HOST, KINDS, PORT, TURNS, Gate, url
from txsmtpconn import ConfigError, DeadlineError, ProxyError, SendCancelled
from txsmtpconn.client import proxy
from txsmtpconn.client.proxy.negotiator import NegotiatorFactory
from txsmtpconn.net.identity import Fingerprint, NamedByAuthority
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.testing import (
    CertificateZoo,
    MemoryNetwork,
    ScriptedPeer,
    failure_result_of,
    no_result_of,
    success_result_of,
)
from txsmtpconn.testing.script import (
    Step,
    close,
    expect,
    expect_close,
    expect_octets,
    pause,
    reset,
    send,
    start_tls,
)

GREETING = b"220 mx.test ESMTP\r\n"


class Heard(Protocol):
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connectionMade(self) -> None:
        self.told.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append(reason.type)


class _Interrupted(ScriptedPeer):
    """A proxy that does not mind how it ends."""

    def raise_failure(self) -> None:
        pass


class Way:
    """A scripted proxy, and an endpoint that goes through it."""

    def __init__(
        self, kind: str, *steps: Step, zoo: CertificateZoo | None = None, **options: Any
    ) -> None:
        self.network = MemoryNetwork()
        self.clock = self.network.clock
        begin: tuple[Step, ...] = ()
        if kind == "https" and zoo is not None:
            begin = (start_tls(zoo.server_options()),)
        self.peer = _Interrupted(*begin, *steps)
        self.network.serve(self.peer)
        address = url(kind)
        if kind == "https" and zoo is not None:
            address += f"?tls.ca_file={zoo.ca}"
        options.setdefault("road", self.network.client_endpoint())
        self.heard = Heard()
        self.endpoint = proxy.endpoint(self.clock, address, HOST, PORT, **options)
        self.connecting: Deferred[Any] = self.endpoint.connect(
            Factory.forProtocol(lambda: self.heard)
        )

    def failure(self) -> Any:
        """The error that there must be now; and nothing else may be left."""
        self.network.settle()
        found = failure_result_of(self.connecting)
        self.network.settle()
        assert all(link.closed for link in self.network.links)
        assert not self.clock.getDelayedCalls()
        assert self.heard.told == []
        return found


def granted(kind: str) -> tuple[Step, ...]:
    """The steps of a proxy that opens a tunnel."""
    return tuple(step for asked, said in TURNS[kind] for step in (expect(asked), send(said)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_protocol_is_connected_when_the_tunnel_is_open(
    kind: str, certificate_zoo: CertificateZoo
) -> None:
    """And not before; what came with the proxy's last word is the first that it hears."""
    *turns, (asked, said) = TURNS[kind]
    before = [step for turn in turns for step in (expect(turn[0]), send(turn[1]))]
    way = Way(
        kind,
        *before,
        expect(asked),
        pause(1),
        send(said + GREETING),
        expect("EHLO x"),
        close(),
        zoo=certificate_zoo,
    )
    way.network.settle()
    no_result_of(way.connecting)
    assert way.heard.told == []
    way.network.advance(1)
    assert success_result_of(way.connecting) is way.heard
    assert way.heard.told == ["made", GREETING]
    assert ITLSTransport.providedBy(way.heard.transport)
    assert IConsumer.providedBy(way.heard.transport)
    way.heard.transport.write(b"EHLO x\r\n")
    way.network.settle()
    assert way.heard.told[2:] == [error.ConnectionDone]
    assert not way.clock.getDelayedCalls()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", [close, reset], ids=["closes", "resets"])
def test_a_proxy_may_die_at_every_octet(
    kind: str, end: Any, certificate_zoo: CertificateZoo
) -> None:
    """EPROXY, at once, whatever it has said by then; nobody is connected to."""
    for turn, (asked, said) in enumerate(TURNS[kind]):
        before = [step for each in TURNS[kind][:turn] for step in map(_step, each)]
        for octets in range(len(said)):
            way = Way(
                kind,
                *before,
                expect(asked),
                *([send(said[:octets])] if octets else []),
                end(),
                zoo=certificate_zoo,
            )
            found = way.failure()
            assert isinstance(found, ProxyError)
            assert found.code == "EPROXY"
            assert str(found).startswith(f"{kind}://localhost: ")


def _step(octets: bytes) -> Step:
    """Nothing is both asked and said."""
    asked = {asked for turns in TURNS.values() for asked, _ in turns}
    return expect(octets) if octets in asked else send(octets)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trickle", [False, True], ids=["stalls", "trickles"])
def test_a_proxy_that_takes_too_long_is_given_up(
    kind: str, trickle: bool, certificate_zoo: CertificateZoo
) -> None:
    """The time is that of the whole way, and octets do not buy more."""
    *turns, (asked, said) = TURNS[kind]
    before = [step for turn in turns for step in (expect(turn[0]), send(turn[1]))]
    answer = send(said, split=1, every=7) if trickle else pause(60)
    way = Way(kind, *before, expect(asked), answer, zoo=certificate_zoo, timeout=10)
    way.network.advance(9.9)
    no_result_of(way.connecting)
    way.network.advance(0.2)
    found = failure_result_of(way.connecting)
    assert isinstance(found, DeadlineError)
    assert "localhost" in str(found)
    way.network.advance(60)
    assert all(link.closed for link in way.network.links)
    assert not way.clock.getDelayedCalls()


@pytest.mark.parametrize("kind", KINDS)
def test_cancelling_leaves_nothing_at_any_stage(kind: str, certificate_zoo: CertificateZoo) -> None:
    """On the way to the proxy, and after each octet that it says."""
    conversation = b"".join(said for _, said in TURNS[kind])
    for said_before in range(-1, len(conversation)):
        way = Way(kind, *_until(kind, said_before), pause(60), zoo=certificate_zoo)
        if said_before >= 0:
            way.network.settle()
        way.connecting.cancel()
        assert isinstance(failure_result_of(way.connecting), SendCancelled)
        way.network.advance(61)
        assert all(link.closed for link in way.network.links)
        assert not way.clock.getDelayedCalls()
        assert way.heard.told == []


def _until(kind: str, octets: int) -> list[Step]:
    """The steps of a proxy that falls silent after so many octets."""
    steps: list[Step] = []
    for asked, said in TURNS[kind]:
        steps.append(expect(asked))
        if octets < len(said):
            return [*steps, send(said[:octets])] if octets > 0 else steps
        steps.append(send(said))
        octets -= len(said)
    return steps


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_ends_it(kind: str, certificate_zoo: CertificateZoo) -> None:
    """In place of an answer, megabytes."""
    asked, _ = TURNS[kind][0]
    way = Way(kind, expect(asked), send(b"x" * 1024 * 1024), zoo=certificate_zoo)
    assert isinstance(way.failure(), ProxyError)


def test_a_proxy_that_never_shakes_hands_is_given_up() -> None:
    """Its TLS has no more time than the rest."""
    way = Way("https", expect_octets(5), pause(60), timeout=10)
    way.network.advance(10.1)
    assert isinstance(failure_result_of(way.connecting), DeadlineError)
    way.network.advance(60)
    assert all(link.closed for link in way.network.links)
    assert not way.clock.getDelayedCalls()


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_greets_first_is_none(kind: str, certificate_zoo: CertificateZoo) -> None:
    """A mail server at the proxy's address does not get us to speak SMTP with it."""
    way = Way(kind, send("220 mx.test ESMTP", "250 ok"), expect_close(), zoo=certificate_zoo)
    assert isinstance(way.failure(), ProxyError)


def test_the_proxys_certificate_counts(
    certificate_zoo: CertificateZoo, logged_failures: list[object]
) -> None:
    """Before a word is said to it: it may be told a password."""
    for name in ("wronghost", "expired", "selfsigned", "cnonly"):
        way = Way("https", start_tls(certificate_zoo.server_options(name)), expect_close())
        way.connecting.cancel()
        failure_result_of(way.connecting)
        network = MemoryNetwork()
        peer = _Interrupted(start_tls(certificate_zoo.server_options(name)), expect_close())
        network.serve(peer)
        way_in = proxy.endpoint(
            network.clock,
            f"https://u:secret@localhost?tls.ca_file={certificate_zoo.ca}",
            HOST,
            PORT,
            road=network.client_endpoint(),
        )
        connecting = way_in.connect(Factory.forProtocol(Heard))
        network.settle()
        found = failure_result_of(connecting)
        assert isinstance(found, ProxyError)
        assert "secure connection to the proxy" in str(found)
        assert peer.received == b""
        network.settle()
        assert all(link.closed for link in network.links)
        assert not network.clock.getDelayedCalls()
        logged_failures.clear()


@pytest.mark.parametrize("name", ["server", "selfsigned"])
@pytest.mark.parametrize("check", [Fingerprint("0" * 64), NamedByAuthority()], ids=repr)
def test_a_check_of_the_callers_decides_on_the_proxy(
    certificate_zoo: CertificateZoo, check: Any, name: str
) -> None:
    """OpenSSL lets such a handshake pass, whoever the peer is: all rests on the check."""
    network = MemoryNetwork()
    network.serve(_Interrupted(start_tls(certificate_zoo.server_options(name)), *granted("https")))
    tls = TLSOptions(ca_file=certificate_zoo.ca, verify=check)
    way = proxy.endpoint(
        network.clock,
        proxy.ProxyOptions(scheme="https", host="localhost", tls=tls),
        HOST,
        PORT,
        road=network.client_endpoint(),
    )
    connecting = way.connect(Factory.forProtocol(Heard))
    network.settle()
    if name == "server" and isinstance(check, NamedByAuthority):
        success_result_of(connecting).transport.abortConnection()
    else:
        assert "secure connection to the proxy" in str(failure_result_of(connecting))
    network.settle()


def test_without_verify_any_certificate_of_the_proxys_will_do(
    certificate_zoo: CertificateZoo,
) -> None:
    """Off only by its explicit name, and for the proxy alone."""
    network = MemoryNetwork()
    steps = (start_tls(certificate_zoo.server_options("selfsigned")), *granted("https"))
    network.serve(ScriptedPeer(*steps))
    way = proxy.endpoint(
        network.clock,
        "https://localhost?tls.verify=false",
        HOST,
        PORT,
        road=network.client_endpoint(),
    )
    network.result_of(way.connect(Factory.forProtocol(Heard))).transport.abortConnection()
    network.settle()


def test_a_proxy_without_tls_where_tls_is_expected(certificate_zoo: CertificateZoo) -> None:
    """A plain HTTP proxy behind an https URL sees a ClientHello, and nothing else."""
    way = Way("https", expect_octets(5), send("HTTP/1.1 400 Bad Request", ""), close())
    assert isinstance(way.failure(), ProxyError)
    dead = Way("https", expect_octets(5), close())
    assert "handshake" in str(dead.failure())


@implementer(IStreamClientEndpoint)
class _NoRoad:
    """A way to the proxy that is closed."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803
        return fail(self._reason)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (error.ConnectionRefusedError(), "http://localhost: connection refused"),
        (error.NoRouteError(), "no route to host"),
        (error.DNSLookupError(), "the proxy's name does not resolve"),
        (RuntimeError("secret"), "RuntimeError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_proxy_that_cannot_be_reached_is_eproxy(reason: Exception, words: str) -> None:
    """With Twisted's own as the cause, and no foreign words."""
    way = Way("http", road=_NoRoad(reason))
    found = failure_result_of(way.connecting)
    assert isinstance(found, ProxyError)
    assert words in str(found)
    assert "secret" not in str(found)
    assert found.__cause__ is reason
    assert not way.clock.getDelayedCalls()


def test_a_proxy_that_does_not_answer_a_syn_is_etimedout() -> None:
    """Time is time, whoever's patience ended first."""
    for reason in (error.TimeoutError(), error.TCPTimedOutError()):
        found = failure_result_of(Way("http", road=_NoRoad(reason)).connecting)
        assert isinstance(found, DeadlineError)
        assert found.__cause__ is reason


def test_a_factory_that_builds_nothing_gets_no_tunnel() -> None:
    """As with every endpoint; and its own errors are its own."""

    class Nothing(Factory):
        def buildProtocol(self, addr: object) -> None:
            return None

    class Broken(Factory):
        def buildProtocol(self, addr: object) -> Any:
            raise LookupError("mine")

    for factory, kind in ((Nothing(), error.NoProtocol), (Broken(), LookupError)):
        network = MemoryNetwork()
        network.serve(_Interrupted(*granted("http"), expect_close()))
        way = proxy.endpoint(network.clock, url("http"), HOST, PORT, road=network.client_endpoint())
        connecting = way.connect(factory)
        network.settle()
        found = failure_result_of(connecting)
        assert isinstance(found if kind is error.NoProtocol else found.__cause__, kind)
        network.settle()
        assert all(link.closed for link in network.links)


def test_a_road_that_ends_too_late_leads_nowhere() -> None:
    """It did not stop when it was told to; the proxy is asked for nothing, and nobody is built."""

    class Stubborn(_NoRoad):
        def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803
            self.factory = protocolFactory
            return Deferred(lambda _: None)

    road = Stubborn(RuntimeError())
    way = Way("http", road=road)
    way.connecting.cancel()
    assert isinstance(failure_result_of(way.connecting), SendCancelled)
    way.network.join(road.factory.buildProtocol(None), way.peer)
    way.network.settle()
    assert way.peer.received == b""
    assert way.heard.told == []
    assert all(link.closed for link in way.network.links)


def test_the_factory_is_started_and_stopped_with_the_connection() -> None:
    """As on any other road."""
    counted = Factory()
    negotiator: Any = None
    factory = NegotiatorFactory(negotiator, counted)
    factory.doStart()
    assert counted.numPorts == 1
    factory.doStop()
    assert counted.numPorts == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_came_early_waits_while_the_protocol_does_not_read(
    kind: str, certificate_zoo: CertificateZoo
) -> None:
    """A protocol that pauses when it is connected is told nothing until it resumes."""

    class Pausing(Heard):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

    *turns, (asked, said) = TURNS[kind]
    before = [step for turn in turns for step in (expect(turn[0]), send(turn[1]))]
    way = Way(kind, *before, expect(asked), send(said + GREETING), pause(9), zoo=certificate_zoo)
    way.heard = Pausing()
    way.network.advance(1)
    assert way.heard.told == ["made"]
    transport: Any = way.heard.transport
    assert transport.getTcpNoDelay()
    transport.resumeProducing()
    assert way.heard.told == ["made", GREETING]
    transport.pauseProducing()
    transport.abortConnection()
    way.network.advance(10)
    assert way.heard.told[2:] in ([error.ConnectionAborted], [error.ConnectionLost])


def test_proxies_can_be_chained(certificate_zoo: CertificateZoo) -> None:
    """The road to one proxy leads through another; TLS is on top of TLS on top of TLS."""
    network = MemoryNetwork()
    ask_inner = (
        b"CONNECT inner.test:443 HTTP/1.1\r\nHost: inner.test:443\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    )
    tls = certificate_zoo.server_options()
    outer = Gate([ask_inner], lambda factory: network.connect(factory, "inner"), tls=tls)
    inner = Gate(TURNS["https"], lambda factory: network.connect(factory, "mx"), tls=tls)
    network.listen(outer, "outer")
    network.listen(inner, "inner")
    network.serve(ScriptedPeer(send(GREETING), expect("QUIT"), close()), name="mx")
    trust = f"tls.ca_file={certificate_zoo.ca}"
    first = proxy.endpoint(
        network.clock,
        f"https://localhost?{trust}",
        "inner.test",
        443,
        road=network.client_endpoint("outer"),
    )
    second = proxy.endpoint(network.clock, f"https://127.0.0.1?{trust}", HOST, PORT, road=first)
    heard = network.result_of(second.connect(Factory.forProtocol(Heard)))
    network.settle()
    heard.transport.write(b"QUIT\r\n")
    network.settle()
    assert heard.told == ["made", GREETING, error.ConnectionDone]


def test_nothing_of_a_login_is_shown() -> None:
    """Neither by the options nor by the endpoint, nor by what becomes of it."""
    address = "socks5://us3r:s3cr3t@localhost"
    options = proxy.ProxyOptions.from_url(address)
    way = proxy.endpoint(Clock(), options, HOST, PORT, road=_NoRoad(RuntimeError()))
    found = failure_result_of(way.connect(Factory()))
    for shown in (repr(options), str(options), repr(way), repr(found), str(found)):
        assert "s3cr3t" not in shown
        assert "us3r" not in shown
    for wrong in ("socks5://us3r:s3cr3t@localhost:x", "http://us3r:s3cr3t@[::1", "s3cr3t"):
        with pytest.raises(ConfigError) as caught:
            proxy.ProxyOptions.from_url(wrong)
        assert "s3cr3t" not in repr(caught.value)
        assert caught.value.__context__ is None
