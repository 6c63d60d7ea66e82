"""`connect`: which road is taken, and what its failures are called."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostResolution, IReactorPluggableNameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from tests.client.dial import NAME, Dial
from txsmtpconn import (
    ConfigError,
    ConnectionLostError,
    DeadlineError,
    DNSError,
    ProtocolError,
    SendCancelled,
    SMTPError,
    SocketError,
    connect,
)
from txsmtpconn.testing import (
    MemoryNetwork,
    failure_result_of,
    no_result_of,
    success_result_of,
)
from txsmtpconn.testing.script import close, expect, expect_close, send


@implementer(IHostResolution)
class Resolution:
    """A resolution under way."""

    name = "mx.test"

    def cancel(self) -> None:
        raise NotImplementedError


class Resolver:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.receiver: Any = None
        self.names: list[str] = []

    def resolveHostName(  # noqa: N802
        self, receiver: Any, name: str, *_: Any, **__: Any
    ) -> Resolution:
        self.names.append(name)
        self.receiver = receiver
        receiver.resolutionBegan(Resolution())
        return Resolution()

    def answer(self, *addresses: str) -> None:
        for address in addresses:
            self.receiver.addressResolved(IPv4Address("TCP", address, 587))
        self.receiver.resolutionComplete()


@pytest.fixture
def reactor() -> Any:
    """A reactor in memory with a name resolver."""
    made: Any = MemoryReactorClock()
    made.nameResolver = Resolver()
    directlyProvides(made, providedBy(made), IReactorPluggableNameResolver)
    return made


def established(reactor: Any, number: int = 0) -> StringTransport:
    """Complete a TCP connection and greet."""
    factory = reactor.tcpClients[number][2]
    protocol = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 587))
    transport = StringTransport()
    transport.abortConnection = lambda: None  # type: ignore[method-assign]
    protocol.makeConnection(transport)
    protocol.dataReceived(b"220 mx\r\n")
    protocol.dataReceived(b"250 mx\r\n")
    return transport


def test_a_host_is_resolved_and_connected_to(reactor: Any) -> None:
    """At its port, from the local address."""
    connecting = connect(reactor, "smtp://mx.test:2525?name=client.test&local_address=127.0.0.9")
    assert reactor.nameResolver.names == ["mx.test"]
    reactor.nameResolver.answer("192.0.2.1")
    host, _, _, _, bind = reactor.tcpClients[0]
    assert host == "192.0.2.1"
    assert bind == ("127.0.0.9", 0)
    transport = established(reactor)
    assert transport.value() == b"EHLO client.test\r\n"
    connection = success_result_of(connecting)
    connection.close()
    connection.connectionLost(Failure(error.ConnectionDone()))
    assert not reactor.getDelayedCalls()


def test_an_address_needs_no_resolver(reactor: Any) -> None:
    """An IP literal goes straight to the socket."""
    connecting = connect(reactor, host="192.0.2.1")
    assert reactor.nameResolver.names in ([], ["192.0.2.1"])
    connecting.cancel()
    failure_result_of(connecting)


def test_a_dead_address_is_passed_over(reactor: Any) -> None:
    """C60: the second address answers, and the first is given up."""
    connecting = connect(reactor, host="mx.test")
    reactor.nameResolver.answer("192.0.2.1", "192.0.2.2")
    reactor.advance(0.5)
    assert [client[0] for client in reactor.tcpClients] == ["192.0.2.1", "192.0.2.2"]
    established(reactor, 1)
    connection = success_result_of(connecting)
    connection.close()
    connection.connectionLost(Failure(error.ConnectionDone()))
    assert not reactor.getDelayedCalls()


def test_a_name_without_addresses_is_edns(reactor: Any) -> None:
    """NXDOMAIN, SERVFAIL or nothing."""
    connecting = connect(reactor, host="mx.test")
    reactor.nameResolver.answer()
    failure = failure_result_of(connecting)
    assert isinstance(failure, DNSError)
    assert failure.code == "EDNS"
    assert failure.command == "CONN"
    assert "mx.test" in str(failure)
    assert not reactor.getDelayedCalls()


def test_a_resolver_that_never_answers_is_edns(reactor: Any) -> None:
    """After `dns_timeout`; a late answer harms nobody."""
    connecting = connect(reactor, host="mx.test", dns_timeout=5)
    reactor.advance(4.9)
    no_result_of(connecting)
    reactor.advance(0.2)
    assert isinstance(failure_result_of(connecting), DNSError)
    reactor.nameResolver.answer("192.0.2.1")
    assert not reactor.tcpClients
    assert not reactor.getDelayedCalls()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (error.ConnectionRefusedError(), SocketError),
        (error.NoRouteError(), SocketError),
        (error.ConnectError(99, "strange"), SocketError),
        (error.TCPTimedOutError(), DeadlineError),
        (error.TimeoutError(), DeadlineError),
    ],
)
def test_each_failure_of_a_connection_has_its_name(
    reactor: Any, reason: Exception, kind: type[SMTPError]
) -> None:
    """ESOCKET or ETIMEDOUT, with Twisted's own as the cause."""
    connecting = connect(reactor, host="mx.test")
    reactor.nameResolver.answer("192.0.2.1")
    factory = reactor.tcpClients[0][2]
    reactor.advance(1)
    factory.clientConnectionFailed(None, Failure(reason))
    failure = failure_result_of(connecting)
    assert type(failure) is kind
    assert failure.__cause__ is reason
    assert not reactor.getDelayedCalls()


def test_connection_timeout_is_for_all_addresses_together(reactor: Any) -> None:
    """However many of them are silent."""
    connecting = connect(reactor, host="mx.test", connection_timeout=10)
    reactor.nameResolver.answer(*[f"192.0.2.{number}" for number in range(1, 9)])
    for _ in range(99):
        reactor.advance(0.1)
    no_result_of(connecting)
    reactor.advance(0.2)
    failure = failure_result_of(connecting)
    assert isinstance(failure, DeadlineError)
    assert failure.code == "ETIMEDOUT"
    assert not reactor.getDelayedCalls()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_is_dialled_at_once(reactor: Any, host: str) -> None:
    """From the address that the options name; the connection is ready as any other."""
    connecting = connect(reactor, host=host, local_address="192.0.2.7", name=NAME, ignore_tls=True)
    ((dialled, port, factory, timeout, local),) = reactor.tcpClients
    assert (dialled, port, timeout, local) == (host, 587, None, ("192.0.2.7", 0))
    protocol = factory.buildProtocol(None)
    no_result_of(connecting)
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(b"220 mx\r\n")
    protocol.dataReceived(b"250 mx\r\n")
    connection = success_result_of(connecting)
    assert connection is protocol
    connection.close()
    connection.connectionLost(Failure(error.ConnectionDone()))
    assert not reactor.getDelayedCalls()


def test_an_address_that_is_silent_is_given_up(reactor: Any) -> None:
    """When connection_timeout has passed, and what comes then concerns nobody."""
    connecting = connect(reactor, host="192.0.2.1", connection_timeout=10)
    reactor.advance(9.9)
    no_result_of(connecting)
    reactor.advance(0.2)
    assert isinstance(failure_result_of(connecting), DeadlineError)
    assert reactor.connectors[0].stoppedConnecting
    factory = reactor.tcpClients[0][2]
    factory.clientConnectionFailed(reactor.connectors[0], Failure(error.UserError()))
    assert not reactor.getDelayedCalls()


def test_an_address_that_refuses_is_esocket(reactor: Any) -> None:
    """Told in the words of the socket."""
    connecting = connect(reactor, host="192.0.2.1", port=25)
    factory = reactor.tcpClients[0][2]
    factory.clientConnectionFailed(reactor.connectors[0], Failure(error.ConnectionRefusedError()))
    failure = failure_result_of(connecting)
    assert isinstance(failure, SocketError)
    assert "192.0.2.1:25" in str(failure)
    assert not reactor.getDelayedCalls()


def test_dialling_an_address_can_be_cancelled(reactor: Any) -> None:
    """The connector is told."""
    connecting = connect(reactor, host="192.0.2.1")
    connecting.cancel()
    assert isinstance(failure_result_of(connecting), SendCancelled)
    assert reactor.connectors[0].stoppedConnecting
    assert not reactor.getDelayedCalls()


def test_a_reactor_that_cannot_dial_is_esocket() -> None:
    """Whatever it raises."""

    class Unable(MemoryReactorClock):
        def connectTCP(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]  # noqa: N802
            raise RuntimeError("no more sockets")

    reactor = Unable()
    connecting = connect(reactor, host="192.0.2.1")
    assert isinstance(failure_result_of(connecting), SocketError)
    assert not reactor.getDelayedCalls()


@pytest.mark.parametrize("answered", [False, True])
def test_connecting_can_be_cancelled_before_there_is_a_socket(reactor: Any, answered: bool) -> None:
    """In the resolver, and in the race of the addresses."""
    connecting = connect(reactor, host="mx.test")
    if answered:
        reactor.nameResolver.answer("192.0.2.1", "192.0.2.2")
    connecting.cancel()
    assert isinstance(failure_result_of(connecting), SendCancelled)
    assert not reactor.getDelayedCalls()
    if not answered:
        reactor.nameResolver.answer("192.0.2.1")
    reactor.advance(1)
    assert not reactor.getDelayedCalls()


def test_connection_timeout_ends_the_resolution_too(reactor: Any) -> None:
    """No timer stays behind for a resolver that is still silent."""
    connecting = connect(reactor, host="mx.test", connection_timeout=1)
    reactor.advance(1.1)
    assert isinstance(failure_result_of(connecting), DeadlineError)
    assert not reactor.getDelayedCalls()


@pytest.mark.parametrize(
    ("host", "resolved"),
    [
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("faß.test", "xn--fa-hia.test"),
        ("ＭＸ。test", "mx.test"),
        ("mail_server", "mail_server"),
        ("mx.test.", "mx.test."),
    ],
)
def test_a_host_is_looked_up_as_tls_spells_it(reactor: Any, host: str, resolved: str) -> None:
    """U-labels in any case, underscores, and a name from the root."""
    connecting = connect(reactor, host=host)
    assert reactor.nameResolver.names == [resolved]
    reactor.nameResolver.answer("192.0.2.1")
    established(reactor)
    success_result_of(connecting).close()


def test_a_path_is_a_unix_socket(reactor: Any) -> None:
    """By URL or option."""
    for number, connecting in enumerate(
        [connect(reactor, "lmtp+unix:///run/lmtp"), connect(reactor, path="/run/lmtp", lmtp=True)]
    ):
        assert reactor.unixClients[number][0] == "/run/lmtp"
        connecting.cancel()
        failure_result_of(connecting)
    assert not reactor.getDelayedCalls()


def test_an_unreachable_endpoint_is_given_up() -> None:
    """The caller's endpoint is held to the same deadline."""
    network = MemoryNetwork()
    network.make_unreachable()
    connecting = connect(network.clock, endpoint=network.client_endpoint(), connection_timeout=10)
    network.advance(9)
    no_result_of(connecting)
    network.advance(1)
    assert isinstance(failure_result_of(connecting), DeadlineError)
    assert not network.clock.getDelayedCalls()


def test_a_refused_endpoint_is_esocket() -> None:
    """Nobody listens."""
    network = MemoryNetwork()
    connecting = connect(network.clock, endpoint=network.client_endpoint())
    network.settle()
    assert isinstance(failure_result_of(connecting), SocketError)


def test_an_endpoint_that_raises_is_esocket() -> None:
    """Whatever a caller's endpoint does, `connect` does not raise."""
    from twisted.internet.interfaces import IStreamClientEndpoint

    @implementer(IStreamClientEndpoint)
    class Broken:
        def connect(self, _: Any) -> Any:
            raise RuntimeError("oops")

    failure = failure_result_of(connect(MemoryReactorClock(), endpoint=Broken()))
    assert isinstance(failure, SocketError)
    assert isinstance(failure.__cause__, RuntimeError)


@pytest.mark.parametrize(
    "arguments",
    [{"port": 0}, {"nonsense": 1}, {"options_or_url": "http://x"}, {"options_or_url": 5}],
)
def test_connect_never_raises(arguments: dict[str, Any]) -> None:
    """Wrong options come as a failure."""
    assert isinstance(failure_result_of(connect(MemoryReactorClock(), **arguments)), ConfigError)


# -- a transport of the caller's


def test_a_connected_transport_is_taken_over() -> None:
    """The session begins on it at once."""
    reactor = MemoryReactorClock()
    transport: Any = StringTransport()
    connecting = connect(reactor, transport=transport, name=NAME)
    transport.protocol.dataReceived(b"220 mx\r\n")
    assert transport.value() == b"EHLO client.test\r\n"
    transport.protocol.dataReceived(b"250 mx\r\n")
    connection = success_result_of(connecting)
    connection.close()
    assert transport.disconnecting or transport.disconnected
    connection.connectionLost(Failure(error.ConnectionDone()))
    assert not reactor.getDelayedCalls()


def test_a_connected_socket_is_adopted_and_ours_is_closed() -> None:
    """The reactor duplicates it; two would keep the connection open."""
    ours, theirs = socket.socketpair()

    class Adopting(MemoryReactorClock):
        def adoptStreamConnection(self, number: int, family: int, factory: Any) -> None:  # type: ignore[override]  # noqa: N802
            assert number == ours.fileno()
            assert family == socket.AF_UNIX
            self.transport = StringTransport()
            factory.buildProtocol(None).makeConnection(self.transport)

    reactor = Adopting()
    connecting = connect(reactor, transport=ours, name=NAME)
    assert ours.fileno() == -1
    connecting.cancel()
    assert isinstance(failure_result_of(connecting), SendCancelled)
    theirs.close()


def test_a_socket_that_cannot_be_adopted_is_esocket() -> None:
    """It is closed already, say."""

    class Refusing(MemoryReactorClock):
        def adoptStreamConnection(self, *_: Any) -> None:  # type: ignore[override]  # noqa: N802
            raise OSError("bad file descriptor")

    ours, theirs = socket.socketpair()
    connecting = connect(Refusing(), transport=ours)
    assert isinstance(failure_result_of(connecting), SocketError)
    ours.close()
    theirs.close()


# -- greetings: C6, C8, C20, C22, C31, C34, C35, C58


@pytest.mark.parametrize("greeting", ["FOO", "354 what", "999 what", "000", "199 x", "600 x"])
def test_a_greeting_that_is_none_is_eprotocol(greeting: str) -> None:
    """C6, C14."""
    dial = Dial(send(greeting), expect_close(), interrupted=True)
    assert isinstance(dial.refusal, ProtocolError)
    assert dial.is_over()


@pytest.mark.parametrize("greeting", ["221 bye", "250 hello", "421 busy", "450 later", "554 never"])
def test_a_greeting_that_refuses_is_told_with_its_reply(greeting: str) -> None:
    """C22: permanent where it says so."""
    dial = Dial(send(greeting), expect_close())
    failure = dial.refusal
    assert failure.response_code == int(greeting[:3])
    assert failure.is_transient is not greeting.startswith("5")
    assert dial.is_over()


@pytest.mark.parametrize(
    "greeting",
    [["220"], ["220-a", "220 b"], [*["220-x"] * 30, "220 y"], ["220 \xff"], [b"220 mx\n"]],
)
def test_a_greeting_may_be_long_or_bare(greeting: list[Any]) -> None:
    """C8, C9, C58: and EHLO is tried whatever it says."""
    dial = Dial(send(*greeting), expect(f"EHLO {NAME}"), send("250"))
    dial.ready.close()


@pytest.mark.parametrize("refusal", ["500 what", "501 what", "502 what", "504 what", "550 what"])
def test_helo_follows_an_ehlo_that_is_not_known(refusal: str) -> None:
    """C31: and the session has no extensions."""
    dial = Dial(
        send("220 mx"),
        expect(f"EHLO {NAME}"),
        send(refusal),
        expect(f"HELO {NAME}"),
        send("250-mx", "250 PIPELINING"),
    )
    assert not dial.ready.extensions.pipelining
    dial.ready.close()


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ("421 bye", ConnectionLostError),
        ("530 no", ProtocolError),
        ("554 no", ProtocolError),
        ("450 no", ProtocolError),
    ],
)
def test_an_ehlo_that_is_refused_ends_the_session(refusal: str, kind: type[SMTPError]) -> None:
    """C20, C31: no HELO after a refusal."""
    dial = Dial(send("220 mx"), expect(f"EHLO {NAME}"), send(refusal), expect_close())
    failure = dial.refusal
    assert type(failure) is kind
    assert failure.command == "EHLO"


def test_the_first_line_of_ehlo_offers_nothing() -> None:
    """C34, C35: neither it nor what only looks like a keyword."""
    dial = Dial(
        send("220 mx"),
        expect(f"EHLO {NAME}"),
        send("250-mx at your service AUTH PLAIN STARTTLS", "250-X-FOO STARTTLS", "250 SIZEABLE"),
    )
    connection = dial.ready
    assert not connection.secure
    assert not connection.allows_auth
    assert connection.max_size is None
    connection.close()


def test_an_endless_ehlo_is_cut_off() -> None:
    """C1: memory stays flat, and the session ends."""
    dial = Dial(
        send("220 mx"),
        expect(f"EHLO {NAME}"),
        send(*["250-X" + "y" * 100] * 2000),
        interrupted=True,
    )
    assert isinstance(dial.refusal, ProtocolError)
    assert dial.is_over()


def test_an_endless_line_is_cut_off() -> None:
    """C2."""
    dial = Dial(send(b"220 " + b"x" * 1_000_000), interrupted=True)
    assert isinstance(dial.refusal, ProtocolError)
    assert dial.is_over()


def test_a_421_then_fin_is_reported_as_421() -> None:
    """Also where the reply never ended in a line end."""
    dial = Dial(send("220 mx"), expect(f"EHLO {NAME}"), send(b"421 busy"), close())
    failure = dial.refusal
    assert isinstance(failure, ConnectionLostError)
    assert failure.response_code == 421


def test_a_replys_octets_may_come_one_by_one() -> None:
    """C15."""
    dial = Dial(
        send("220-mx", "220 mx", split=1),
        expect(f"EHLO {NAME}"),
        send("250-mx", "250 PIPELINING", split=1),
    )
    assert dial.ready.extensions.pipelining
    dial.ready.close()
