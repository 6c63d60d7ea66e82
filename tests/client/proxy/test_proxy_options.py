"""The option `proxy`: URLs, what excludes what, schemes of the caller's, and no way around it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from tests.client.test_connecting import Resolver
from txsmtpconn import (
    ConfigError,
    ConnectionOptions,
    DeadlineError,
    ProxyError,
    SMTPConnectionFactory,
    SMTPTransport,
    SocketError,
    TLSOptions,
    connect,
)
from txsmtpconn.client import proxy
from txsmtpconn.client.proxy import ProxyOptions
from txsmtpconn.client.roads import endpoint_for, leads_to_address
from txsmtpconn.client.url import options_from_url
from txsmtpconn.testing import MemoryNetwork, ScriptedPeer, failure_result_of, no_result_of
from txsmtpconn.testing.script import expect, send

ALL = ["http", "https", "socks", "socks4", "socks4a", "socks5", "socks5h"]


class PortedResolver(Resolver):
    """Answers with the port that it was asked for, as a resolver does."""

    def resolveHostName(  # noqa: N802
        self, receiver: Any, name: str, *_: Any, **options: Any
    ) -> Any:
        self.port = options["portNumber"]
        return super().resolveHostName(receiver, name)

    def answer(self, *addresses: str) -> None:
        for address in addresses:
            self.receiver.addressResolved(IPv4Address("TCP", address, self.port))
        self.receiver.resolutionComplete()


@pytest.fixture
def reactor() -> Any:
    """A reactor in memory with a name resolver that keeps the names it is asked for."""
    made: Any = MemoryReactorClock()
    made.nameResolver = PortedResolver()
    directlyProvides(made, providedBy(made), IReactorPluggableNameResolver)
    return made


def of(url: str) -> ProxyOptions:
    """The proxy of a connection to mx.test."""
    found = ConnectionOptions("mx.test", proxy=url).proxy
    assert isinstance(found, ProxyOptions)
    return found


def test_a_url_is_read_with_its_percent_signs() -> None:
    """User and password may hold what a URL may not."""
    found = of("socks5://us%40er:p%3A%2F%C3%BC@[2001:db8::1]:9050")
    assert (found.scheme, found.host, found.port) == ("socks5", "2001:db8::1", 9050)
    assert (found.user, found.password) == ("us@er", "p:/ü")
    assert str(found) == "socks5://[2001:db8::1]:9050"


def test_the_tls_of_the_proxy_is_its_own() -> None:
    """The server's options say nothing of it."""
    found = of("https://p.test:3129?tls.ca_file=/ca.pem&tls.minimum_version=1.3")
    assert found.tls == TLSOptions(ca_file="/ca.pem", minimum_version="1.3")
    assert of("https://p.test?tls.verify=false").tls == TLSOptions(verify=False)
    assert of("https://p.test").tls is None


def test_a_connections_url_names_a_proxy_too() -> None:
    """Nodemailer's key, percent-encoded as it is there."""
    options = options_from_url("smtp://mx.test?proxy=socks5%3A%2F%2Fu%3Ap%2525@p.test%3A1080")
    assert options.proxy == ProxyOptions(
        scheme="socks5", host="p.test", port=1080, user="u", password="p%"
    )


@pytest.mark.parametrize(
    "url",
    [
        "p.test:3128",
        "//p.test",
        "http:p.test",
        "http://",
        "http://:80",
        "ftp://p.test",
        "HTTP2://p.test",
        "http://p.test/path",
        "http://p.test?x=1",
        "http://p.test#x",
        "http://p.test:0",
        "http://p.test:65536",
        "http://p test",
        "http://p.test\r\nHost: evil.test",
        "http://p%0d%0a.test",
        "http://u%0d%0a:x@p.test",
        "http://u:x%00@p.test",
        "http://:secret@p.test",
        "http://a%3Ab:c@p.test",
        "http://p.test?tls.verify=false",
        "https://p.test?tls.verify=perhaps",
        "https://p.test?tls.verify=true&tls.rejectUnauthorized=true",
        "socks4a://u:p@p.test",
        "socks4://p.test",
        "socks5://u:" + "x" * 256 + "@p.test",
        "",
    ],
)
def test_what_is_no_proxy_is_refused_at_once(url: str) -> None:
    """ECONFIG, when the options are made; never a connection without the proxy."""
    with pytest.raises(ConfigError):
        of(url)


@pytest.mark.parametrize("wrong", [5, b"http://p.test", object(), True])
def test_other_kinds_of_value_are_refused(wrong: Any) -> None:
    """A URL or ProxyOptions."""
    with pytest.raises(ConfigError, match="proxy"):
        ConnectionOptions("mx.test", proxy=wrong)


@pytest.mark.parametrize(
    "given",
    [
        {"host": 5},
        {"scheme": None},
        {"port": True},
        {"port": "80"},
        {"user": 5},
        {"password": b"x", "user": "u"},
        {"password": "x"},
        {"tls": {"verify": False}},
    ],
)
def test_proxy_options_are_checked(given: dict[str, Any]) -> None:
    """As a URL's are, and no value is repeated that may be a secret."""
    with pytest.raises(ConfigError):
        ProxyOptions(**{"scheme": "http", "host": "p.test"} | given)


@pytest.mark.parametrize(
    "given",
    [
        {"path": "/run/lmtp"},
        {"transport": StringTransport()},
        {"endpoint": endpoint_for(MemoryReactorClock(), ConnectionOptions("192.0.2.1"))},
        {"host": "fe80::1%eth0"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_a_proxy_cannot_be_combined_with(given: dict[str, Any]) -> None:
    """There is one road, and it is said which."""
    with pytest.raises(ConfigError):
        ConnectionOptions(**{"proxy": "http://p.test"} | given)


def test_4_takes_addresses_only() -> None:
    """Its names would have to be looked up on this side: see the error."""
    with pytest.raises(ConfigError, match="socks4a or socks5"):
        ConnectionOptions("mx.test", proxy="socks4://p.test")
    ConnectionOptions("192.0.2.1", proxy="socks4://p.test")
    for kind in ("socks4", "socks4a"):
        with pytest.raises(ConfigError, match="IPv6"):
            ConnectionOptions("2001:db8::1", proxy=f"{kind}://p.test")


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("host", ["mx.test", "192.0.2.25"])
def test_the_proxy_alone_is_looked_up_and_connected_to(reactor: Any, kind: str, host: str) -> None:
    """Whoever watches this side's network learns nothing of the server."""
    if kind == "socks4" and host == "mx.test":
        return
    connecting = connect(reactor, host=host, proxy=f"{kind}://p.test", local_address="192.0.2.7")
    assert reactor.nameResolver.names == ["p.test"]
    reactor.nameResolver.answer("192.0.2.99")
    ((dialled, port, factory, _, bound),) = reactor.tcpClients
    assert dialled == "192.0.2.99"
    assert port == {"http": 80, "https": 443}.get(kind, 1080)
    assert bound in (("192.0.2.7", 0), "192.0.2.7")
    reactor.advance(1)
    factory.clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
    found = failure_result_of(connecting)
    assert isinstance(found, ProxyError)
    assert f"{kind}://p.test: connection refused" in str(found)
    # There is no second try, and none without the proxy.
    reactor.advance(600)
    assert reactor.nameResolver.names == ["p.test"]
    assert len(reactor.tcpClients) == 1
    assert not reactor.getDelayedCalls()


def test_a_proxy_without_an_address_is_eproxy(reactor: Any) -> None:
    """And not EDNS: it is not the server's name that is wrong."""
    connecting = connect(reactor, host="mx.test", proxy="http://p.test")
    reactor.nameResolver.answer()
    found = failure_result_of(connecting)
    assert isinstance(found, ProxyError)
    assert "proxy's name does not resolve" in str(found)
    assert not reactor.tcpClients


def test_a_resolver_that_never_answers_is_eproxy(reactor: Any) -> None:
    """After `dns_timeout`."""
    connecting = connect(reactor, host="mx.test", proxy="http://p.test", dns_timeout=5)
    reactor.advance(4.9)
    no_result_of(connecting)
    reactor.advance(0.2)
    assert isinstance(failure_result_of(connecting), ProxyError)
    assert not reactor.getDelayedCalls()


def test_a_proxy_at_an_address_needs_no_look_up(reactor: Any) -> None:
    """Its connection has the deadline of all connecting."""
    connecting = connect(reactor, host="mx.test", proxy="http://192.0.2.99", connection_timeout=9)
    assert reactor.nameResolver.names in ([], ["192.0.2.99"])
    reactor.advance(9.1)
    found = failure_result_of(connecting)
    assert isinstance(found, DeadlineError)
    assert "http://192.0.2.99" in str(found)
    assert not reactor.getDelayedCalls()


def test_every_way_to_connect_asks_the_proxy(reactor: Any) -> None:
    """Transport, pool, `verify`, endpoint strings: one road."""
    url = "smtp://192.0.2.25?proxy=http://192.0.2.99:3128"
    single, pooled = SMTPTransport(reactor, url), SMTPTransport(reactor, url, pool=True)
    string: Any = clientFromString(reactor, "smtp:192.0.2.25:proxy=http\\://192.0.2.99\\:3128")
    from txsmtpconn import Envelope

    envelope = Envelope("a@x.test", ["b@y.test"])
    under_way: list[Deferred[Any]] = [
        single.verify(),
        pooled.verify(),
        single.send(envelope, b"x"),
        pooled.send(envelope, b"x"),
        string.connect(None),
        string.connect(string.factory()),
    ]
    reactor.advance(0)
    assert [client[:2] for client in reactor.tcpClients] == [("192.0.2.99", 3128)] * 6
    exchanges = SMTPTransport.to_mx(reactor, "[192.0.2.25]", proxy="http://192.0.2.99:3128")
    under_way.append(exchanges.send(envelope, b"x"))
    reactor.advance(0)
    assert [client[:2] for client in reactor.tcpClients] == [("192.0.2.99", 3128)] * 7
    for each in under_way:
        each.addErrback(lambda _: None)
        each.cancel()
    for transport in (single, pooled, exchanges):
        transport.close(0.1)
    reactor.advance(600)
    assert len(reactor.tcpClients) == 7


def test_a_reactors_connect_tcp_is_not_a_way_past_the_proxy() -> None:
    """The factory stops it before a packet has left."""
    options = ConnectionOptions("192.0.2.25", proxy="http://192.0.2.99")
    assert not leads_to_address(options)
    reactor: Any = MemoryReactorClock()
    factory = SMTPConnectionFactory(reactor, options)
    ready = factory.when_ready()
    connector = reactor.connectTCP("192.0.2.25", 25, factory)
    factory.startedConnecting(connector)
    assert connector.stoppedConnecting
    factory.clientConnectionFailed(connector, Failure(error.UserError()))
    assert isinstance(failure_result_of(ready), ConfigError)


class TestSchemes:
    """Kinds of proxy of the caller's."""

    def test_a_scheme_of_the_callers_is_used(self) -> None:
        """It is told everything, and its endpoint is the only road."""
        network = MemoryNetwork()
        network.serve(ScriptedPeer(send("220 mx"), expect("EHLO client.test"), send("250 mx")))
        routes: list[proxy.Route] = []

        def opener(route: proxy.Route) -> Any:
            routes.append(route)
            return network.client_endpoint()

        proxy.register_scheme("wormhole", opener, port=7)
        try:
            connecting = connect(
                network.clock,
                host="MX.test",
                proxy="wormhole://u:p@192.0.2.9?depth=3",
                name="client.test",
            )
            network.result_of(connecting).close()
            network.settle()
            with pytest.raises(ConfigError, match="taken"):
                proxy.register_scheme("wormhole", opener)
        finally:
            proxy.forget_scheme("wormhole")
        (route,) = routes
        assert (route.host, route.port, route.proxy.more) == ("MX.test", 587, {"depth": "3"})
        assert (route.proxy.user, route.proxy.password) == ("u", "p")
        assert route.timeout == 120
        with pytest.raises(ConfigError, match="wormhole"):
            of("wormhole://w.test:1")

    @pytest.mark.parametrize("leads", ["nowhere", "astray"])
    def test_an_opener_that_fails_is_no_way(self, leads: str) -> None:
        """Whatever it does, the caller hears of it as of any road, and there is no other."""

        def opener(route: proxy.Route) -> Any:
            if leads == "nowhere":
                raise RuntimeError(str(route))

        network = MemoryNetwork()
        proxy.register_scheme("wormhole", opener, port=7)
        try:
            connecting = connect(network.clock, host="mx.test", proxy="wormhole://192.0.2.9")
            error = failure_result_of(connecting)
        finally:
            proxy.forget_scheme("wormhole")
        assert isinstance(error, SocketError)
        assert network.clock.getDelayedCalls() == []

    def test_its_own_check_is_asked_and_a_port_is_needed(self) -> None:
        """Mistakes are found when the options are made."""

        def check(options: ProxyOptions, host: str, port: int) -> None:
            raise ConfigError(f"not to {host}:{port} by {options.host}")

        proxy.register_scheme("wormhole", lambda route: route.road, check=check)
        try:
            with pytest.raises(ConfigError, match="names the port"):
                of("wormhole://w.test")
            with pytest.raises(ConfigError, match=r"not to mx\.test:587 by w\.test"):
                of("wormhole://w.test:1")
        finally:
            proxy.forget_scheme("wormhole")

    def test_what_is_built_in_stays(self) -> None:
        """Nobody can put another road under a name that users trust."""
        for kind in ALL:
            with pytest.raises(ConfigError):
                proxy.register_scheme(kind, lambda route: route.road)
            with pytest.raises(ConfigError):
                proxy.forget_scheme(kind)
        for name in ("", "Http", "a b", "1x", 5):
            with pytest.raises(ConfigError):
                proxy.register_scheme(name, lambda route: route.road)  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            proxy.register_scheme("x", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("mx.test\r\nHost: evil.test", 25),
        ("mx.test evil", 25),
        ("mx.test\0", 25),
        ("", 25),
        (5, 25),
        ("mx.test", 0),
        ("mx.test", 65536),
        ("mx.test", "25"),
    ],
)
def test_a_target_that_is_none_is_refused(host: Any, port: Any) -> None:
    """Nothing that is not a host name gets into a request."""
    for kind in ("http", "socks5", "socks4a"):
        with pytest.raises(ConfigError):
            proxy.endpoint(MemoryReactorClock(), f"{kind}://p.test", host, port)


def test_a_name_in_unicode_is_asked_for_in_ascii() -> None:
    """A proxy resolves A-labels; a name in ASCII is asked for as it was given."""
    spelled = {"Bücher.test": "xn--bcher-kva.test", "MX.test.": "MX.test.", "[::1]": "::1"}
    for given, asked in spelled.items():
        options = ProxyOptions(scheme="socks5", host="p.test")
        assert proxy.check(options, given, 25) == asked
