"""A network in memory: real clients and servers on a clock that moves when a test says so.

    network = MemoryNetwork()
    network.listen(server_factory)
    connecting = connect(network.clock, endpoint=network.client_endpoint())
    connection = network.result_of(connecting)

Nothing moves until `settle` or `advance`. Octets can be cut into segments, delayed, lost, held
back; a connection can be closed, reset, or left half open: see `MemoryLink` and
`txsmtpconn.testing.stream`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from txsmtpconn.testing.peer import ScriptedPeer
from txsmtpconn.testing.results import as_deferred, result_or_raise
from txsmtpconn.testing.stream import CAPACITY, Segmentation, Stream
from txsmtpconn.testing.transport import MemoryTransport, connect_protocol

_T = TypeVar("_T")

#: Where one listens and connects to who names no other place.
DEFAULT_NAME = "mx.test:25"

#: A report shows so many of the last links.
_SHOWN_LINKS = 20


class MemoryLink:
    """One connection: two transports, and the two streams between them.

    Attributes:
        client: the transport of the side that connected.
        server: the transport of the side that accepted.
        to_server: the stream from client to server.
        to_client: the stream from server to client.
    """

    def __init__(self, clock: Clock, here: IPv4Address, there: IPv4Address, **stream: Any) -> None:
        self.to_server = Stream(clock, **stream)
        self.to_client = Stream(clock, **stream)
        self.client = MemoryTransport(
            clock, self.to_server, self.to_client, host=here, peer=there, is_client=True
        )
        self.server = MemoryTransport(
            clock, self.to_client, self.to_server, host=there, peer=here, is_client=False
        )
        self.to_server.attach(self.client, self.server)
        self.to_client.attach(self.server, self.client)

    @property
    def closed(self) -> bool:
        """Whether both sides have been told that it is over."""
        return self.client.disconnected and self.server.disconnected

    def reset(self) -> None:
        """Break the connection now; both sides lose it, and what was on its way."""
        for transport in (self.client, self.server):
            transport.lose(Failure(error.ConnectionLost()))

    def vanish(self) -> None:
        """Let nothing through any more and tell nobody: the connection is half open."""
        self.to_server.stall()
        self.to_client.stall()


class MemoryNetwork:
    """A clock, names to listen on, and the links between those who connected.

    Args:
        clock: the clock all of it runs on; a new one by default.
        latency: seconds from one side to the other.
        segment: how streams are cut: a number of octets for every segment, or an iterable of
            numbers, which is used up by the first stream that takes from it. (`Stream.segment` cuts
            one direction of one link.)
        capacity: octets that one direction of a link holds.

    Raises:
        ValueError: nothing could move on such a network.

    Attributes:
        links: every link that was made, in order.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        latency: float = 0.0,
        segment: Segmentation = None,
        capacity: int = CAPACITY,
    ) -> None:
        if latency < 0 or capacity < 1:
            raise ValueError("a network has no latency below 0, and room for an octet at least")
        self.clock = Clock() if clock is None else clock
        self.latency = latency
        self.links: list[MemoryLink] = []
        self._stream = {"segment": segment, "capacity": capacity}
        self._ports: dict[str, MemoryPort] = {}
        self._unreachable: set[str] = set()
        self._client_ports: Iterator[int] = count(49152)
        self._server_ports: Iterator[int] = count(2525)
        self._peers: list[ScriptedPeer] = []
        self._witnesses: list[Callable[[], str]] = []

    # -- who is joined to whom

    def join(self, client: IProtocol, server: IProtocol) -> MemoryLink:
        """Connect two protocols, the client's first, and return what lies between them."""
        return self._link(client, server, self._next_client(), _loopback(25))

    def listen(self, factory: IProtocolFactory, name: str = DEFAULT_NAME) -> MemoryPort:
        """Accept connections to `name`.

        Raises:
            CannotListenError: someone listens there already.
        """
        if name in self._ports:
            raise error.CannotListenError(name, None, OSError("address already in use"))
        port = MemoryPort(self._ports, name, factory, _loopback(next(self._server_ports)))
        port.startListening()
        return port

    def serve(self, *peers: IProtocol, name: str = DEFAULT_NAME) -> MemoryPort:
        """Accept one connection for each of these (scripted peers, as a rule), in order.

        Further connections are refused. A scripted peer that fails makes `settle` and `advance`
        fail.
        """
        return self.listen(_InOrder(peers), name)

    def client_endpoint(self, name: str = DEFAULT_NAME) -> MemoryClientEndpoint:
        """Return an `IStreamClientEndpoint` that connects to whoever listens on `name` then."""
        return MemoryClientEndpoint(self, name)

    def server_endpoint(self, name: str = DEFAULT_NAME) -> MemoryServerEndpoint:
        """Return an `IStreamServerEndpoint` for `name`."""
        return MemoryServerEndpoint(self, name)

    def make_unreachable(self, name: str = DEFAULT_NAME) -> None:
        """Let connections to `name` be neither accepted nor refused, from now on."""
        self._unreachable.add(name)

    def make_reachable(self, name: str = DEFAULT_NAME) -> None:
        """Undo `make_unreachable` for connections to come."""
        self._unreachable.discard(name)

    def connect(self, factory: IProtocolFactory, name: str = DEFAULT_NAME) -> Deferred[IProtocol]:
        """Connect to `name`, after one latency there and one back.

        The Deferred errbacks with Twisted's `ConnectionRefusedError` where nobody listens, never
        fires where the name is unreachable, and can be cancelled.
        """
        connecting: Deferred[IProtocol] = Deferred(_cancel_connecting)
        if name not in self._unreachable:
            call = self.clock.callLater(2 * self.latency, self._arrive, factory, name, connecting)
            connecting.addBoth(_cancel_call, call)
        return connecting

    # -- time

    def settle(self) -> None:
        """Do all that is due now, and all that follows from it, without letting time pass."""
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass; each call is made at its own time.

        Raises:
            ScriptError: a scripted peer got something else than its script says.
        """
        end = self.clock.seconds() + seconds
        while (due := self._next_due()) is not None and due <= end:
            self._run_until(due)
        self._run_until(end)

    def result_of(self, awaitable: Awaitable[_T], within: float = 0.0) -> _T:
        """Settle, or let up to `within` seconds pass, until there is a result, and return it.

        Raises:
            AssertionError: it has not fired by then; the message is a `report`.
            ScriptError: a scripted peer got something else than its script says.
            Exception: what the awaitable failed with.
        """
        deferred = as_deferred(awaitable)
        end = self.clock.seconds() + within
        self.settle()
        while not deferred.called or deferred.paused:
            due = self._next_due()
            if due is None or due > end:
                self._run_until(end)
                break
            self._run_until(due)
        if not deferred.called or deferred.paused:
            raise AssertionError(
                f"a result was expected within {within:g} s, but {deferred!r} has not fired\n"
                + self.report()
            )
        return result_or_raise(deferred)

    def _next_due(self) -> float | None:
        return min((call.getTime() for call in self.clock.getDelayedCalls()), default=None)

    def _run_until(self, moment: float) -> None:
        self.clock.advance(max(0.0, moment - self.clock.seconds()))
        for peer in self._peers:
            peer.raise_failure()

    # -- what has happened

    def report(self) -> str:
        """Tell what has been said on this network, and whether something is still to come."""
        due = self._next_due()
        lines = [
            f"it is {self.clock.seconds():g} s"
            + (", and nothing is due" if due is None else f"; the next call is due at {due:g} s")
        ]
        first = max(0, len(self.links) - _SHOWN_LINKS)
        lines += [
            f"link {number}: {'closed' if link.closed else 'open'},"
            f" {link.to_server.delivered} octets to the server,"
            f" {link.to_client.delivered} to the client"
            for number, link in enumerate(self.links[first:], first + 1)
        ]
        lines += [
            f"scripted peer, {peer.progress}\n{peer.transcript}"
            for peer in self._peers[-_SHOWN_LINKS:]
        ]
        return "\n".join([*lines, *(tell() for tell in self._witnesses)])

    def add_witness(self, tell: Callable[[], str]) -> None:
        """Let somebody have a say in every `report`: a server that has kept what it heard."""
        self._witnesses.append(tell)

    def remove_witness(self, tell: Callable[[], str]) -> None:
        """Undo `add_witness`."""
        self._witnesses.remove(tell)

    # -- links

    def _arrive(
        self, factory: IProtocolFactory, name: str, connecting: Deferred[IProtocol]
    ) -> None:
        maybeDeferred(self._connect_factories, factory, name).chainDeferred(connecting)

    def _connect_factories(self, factory: IProtocolFactory, name: str) -> IProtocol:
        here = self._next_client()
        port = self._ports.get(name)
        server = None if port is None else port.factory.buildProtocol(here)
        if port is None or server is None:
            raise error.ConnectionRefusedError(f"nobody listens on {name}")
        factory.doStart()
        client = factory.buildProtocol(port.getHost())
        if client is None:
            raise error.ConnectionRefusedError("the factory built no protocol")
        self._link(client, server, here, port.getHost())
        return client

    def _link(
        self, client: IProtocol, server: IProtocol, here: IPv4Address, there: IPv4Address
    ) -> MemoryLink:
        link = MemoryLink(self.clock, here, there, latency=self.latency, **self._stream)
        self.links.append(link)
        for protocol in (client, server):
            if isinstance(protocol, ScriptedPeer):
                protocol.clock = self.clock
                self._peers.append(protocol)
        connect_protocol(client, link.client)
        connect_protocol(server, link.server)
        return link

    def _next_client(self) -> IPv4Address:
        return _loopback(next(self._client_ports))


@implementer(IListeningPort)
class MemoryPort:
    """A name on which connections are accepted, until `stopListening`."""

    def __init__(
        self,
        ports: dict[str, MemoryPort],
        name: str,
        factory: IProtocolFactory,
        address: IPv4Address,
    ) -> None:
        self.factory = factory
        self._ports = ports
        self._name = name
        self._address = address

    def startListening(self) -> None:
        """Accept connections from now on."""
        self._ports[self._name] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Accept no more; the connections there are stay."""
        if self._ports.get(self._name) is self:
            del self._ports[self._name]
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """Return the address that its connections see as theirs."""
        return self._address


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class MemoryServerEndpoint:
    """Listens on one name of a network."""

    network: MemoryNetwork
    name: str

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803
        """Return the port in a Deferred that has fired, or the error."""
        return maybeDeferred(self.network.listen, protocolFactory, self.name)


@implementer(IStreamClientEndpoint)
@dataclass(frozen=True, slots=True)
class MemoryClientEndpoint:
    """Connects to one name of a network."""

    network: MemoryNetwork
    name: str

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect: see `MemoryNetwork.connect`."""
        return self.network.connect(protocolFactory, self.name)


class _InOrder(Factory):
    """Builds each of its protocols once."""

    noisy = False

    def __init__(self, protocols: tuple[IProtocol, ...]) -> None:
        self._waiting = list(protocols)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the next protocol, or None when all are in use."""
        return self._waiting.pop(0) if self._waiting else None


def _loopback(port: int) -> IPv4Address:
    return IPv4Address("TCP", "127.0.0.1", port)


def _cancel_connecting(connecting: Deferred[IProtocol]) -> None:
    connecting.errback(error.ConnectingCancelledError(_loopback(0)))


def _cancel_call(result: _T, call: Any) -> _T:
    if call.active():
        call.cancel()
    return result
