"""The outlet: octets leave in order, at once where nothing is in their way."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from errno import ECONNRESET, EWOULDBLOCK
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from txsmtpconn.client.outlet import Outlet, _socket_of

QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


class Kernel(socket.socket):
    """A socket that takes as many octets as it has room for, and keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []
        self.room = 1 << 20
        self.error = EWOULDBLOCK

    def send(self, data: Any, flags: int = 0) -> int:
        return self.sendmsg([data])

    def sendmsg(self, buffers: Iterable[Any], *_: Any) -> int:
        if not self.room:
            raise OSError(self.error, "no")
        octets = b"".join(buffers)[: self.room]
        self.room -= len(octets)
        self.taken.append(octets)
        return len(octets)


class Reactor:
    """Notes who waits to read, and who to write."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.writers: list[Any] = []

    def addReader(self, reader: Any) -> None:  # noqa: N802
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:  # noqa: N802
        if reader in self.readers:
            self.readers.remove(reader)

    def addWriter(self, writer: Any) -> None:  # noqa: N802
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None:  # noqa: N802
        if writer in self.writers:
            self.writers.remove(writer)


@pytest.fixture
def reactor() -> Reactor:
    """A reactor that waits to be told."""
    return Reactor()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A socket of ours."""
    with Kernel() as made:
        yield made


@pytest.fixture
def transport(kernel: Kernel, reactor: Reactor) -> Any:
    """Twisted's own transport for TCP, upon that socket."""
    made: Any = Connection(kernel, None, reactor)  # type: ignore[no-untyped-call]
    made.connected = True
    return made


def test_what_the_kernel_takes_leaves_at_once(
    kernel: Kernel, reactor: Reactor, transport: Any
) -> None:
    """Without a turn of the reactor."""
    Outlet(transport).write([b"EHLO x\r\n"])
    assert kernel.taken == [b"EHLO x\r\n"]
    assert not reactor.writers


@pytest.mark.parametrize("room", [0, 1, 7])
def test_what_the_kernel_does_not_take_waits_in_its_place(
    kernel: Kernel, reactor: Reactor, transport: Any, room: int
) -> None:
    """What is written behind it does not overtake it, though there be room again."""
    outlet = Outlet(transport)
    kernel.room = room
    outlet.write([b"MAIL FROM:<>\r\n"])
    assert reactor.writers == [transport]
    kernel.room = 1000
    outlet.write([b"RCPT\r\n"])
    assert sum(map(len, kernel.taken)) == room
    transport.doWrite()
    assert not reactor.writers
    outlet.write([b"DATA\r\n"])
    assert b"".join(kernel.taken) == b"MAIL FROM:<>\r\nRCPT\r\nDATA\r\n"


def test_the_rest_of_a_half_written_buffer_comes_first(
    kernel: Kernel, reactor: Reactor, transport: Any
) -> None:
    """Twisted keeps such a rest elsewhere than what it has not touched."""
    outlet = Outlet(transport)
    transport.write(b"one two ")
    kernel.room = 4
    transport.doWrite()
    kernel.room = 1000
    outlet.write([b"three"])
    transport.doWrite()
    assert b"".join(kernel.taken) == b"one two three"


def test_what_the_caller_wrote_before_comes_first(kernel: Kernel, transport: Any) -> None:
    """An adopted transport may hold the last of another conversation."""
    transport.write(b"PROXY TCP4\r\n")
    Outlet(transport).write([b"EHLO x\r\n"])
    assert not kernel.taken
    transport.doWrite()
    assert b"".join(kernel.taken) == b"PROXY TCP4\r\nEHLO x\r\n"


@pytest.mark.parametrize("room", range(13))
def test_pieces_leave_together_wherever_the_kernel_cuts_them(
    kernel: Kernel, reactor: Reactor, transport: Any, room: int
) -> None:
    """What is left of them goes the usual way; nothing twice, nothing out of its place."""
    kernel.room = room
    Outlet(transport).write([b"BDAT 4\r\n", b"", b"abcd"])
    assert bool(reactor.writers) is (room < 12)
    kernel.room = 1000
    if room < 12:
        transport.doWrite()
    assert b"".join(kernel.taken) == b"BDAT 4\r\nabcd"
    assert len(kernel.taken) == 1 if room in (0, 12) else 2


def test_very_many_pieces_are_one_write(kernel: Kernel, transport: Any) -> None:
    """More than the kernel takes at once."""
    Outlet(transport).write([b"x"] * 5000)
    assert kernel.taken == [b"x" * 5000]


def test_a_lost_connection_is_left_to_the_transport(
    kernel: Kernel, reactor: Reactor, transport: Any
) -> None:
    """It sees the same error a turn later, and tells the reactor."""
    kernel.room, kernel.error = 0, ECONNRESET
    Outlet(transport).write([b"EHLO x\r\n"])
    assert reactor.writers == [transport]
    assert isinstance(transport.doWrite(), Exception)


def test_nothing_goes_around_tls(kernel: Kernel, transport: Any) -> None:
    """From the handshake on, octets in clear must not reach the socket."""
    written: list[bytes] = []

    class Protocol:
        write = staticmethod(written.append)

    outlet = Outlet(transport)
    transport.TLS, transport.protocol = True, Protocol()
    outlet.write([b"AUTH PLAIN secret\r\n"])
    assert written == [b"AUTH PLAIN secret\r\n"]
    assert not kernel.taken


def test_any_transport_will_do() -> None:
    """One of the caller's, of which no more is known than that it writes."""
    transport = StringTransport()  # type: ignore[no-untyped-call]
    Outlet(transport).write([b"EHLO x\r\n"])
    assert transport.value() == b"EHLO x\r\n"


@pytest.mark.skipif(QUICK_ACK is None, reason="the platform has no TCP_QUICKACK")
def test_acknowledging_quickly_is_for_tcp_sockets() -> None:
    """Of a live socket; a closed one, a unix socket or none are left alone."""

    class Holder:
        def __init__(self, handle: Any) -> None:
            self.getHandle = lambda: handle

    with socket.socket() as tcp:
        assert _socket_of(Holder(tcp)) is tcp
        outlet = Outlet(Holder(tcp))
        outlet.acknowledge_quickly()
    outlet.acknowledge_quickly()
    with socket.socket(socket.AF_UNIX) as unix:
        assert _socket_of(Holder(unix)) is None
    for nothing in (Holder(None), object()):
        assert _socket_of(nothing) is None
        Outlet(nothing).acknowledge_quickly()


class Ended(Protocol):
    """Notes why its connection ended."""

    reason: BaseException | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason.value


def test_a_connection_that_holds_nothing_closes_at_once(
    kernel: Kernel, reactor: Reactor, transport: Any
) -> None:
    """In order, and without a turn of the reactor; a second time does nothing."""
    protocol = transport.protocol = Ended()
    outlet = Outlet(transport)
    outlet.write([b"QUIT\r\n"])
    outlet.close()
    assert isinstance(protocol.reason, ConnectionDone)
    assert kernel.fileno() == -1
    assert not reactor.writers
    assert not reactor.readers
    outlet.close()


def test_what_was_written_leaves_before_the_end(
    kernel: Kernel, reactor: Reactor, transport: Any
) -> None:
    """The reactor closes what still holds something."""
    protocol = transport.protocol = Ended()
    outlet = Outlet(transport)
    kernel.room = 0
    outlet.write([b"QUIT\r\n"])
    outlet.close()
    assert protocol.reason is None
    kernel.room = 1000
    assert isinstance(transport.doWrite(), ConnectionDone)
    assert kernel.taken[-1] == b"QUIT\r\n"


@pytest.mark.parametrize("encrypted", [False, True], ids=["foreign", "TLS"])
def test_other_transports_close_themselves(transport: Any, encrypted: bool) -> None:
    """They may have a farewell of their own to say."""
    transport.TLS = True
    asked: Any = transport if encrypted else StringTransport()
    asked.loseConnection = lambda: asked.__dict__.update(told=True)
    Outlet(asked).close()
    assert asked.told
