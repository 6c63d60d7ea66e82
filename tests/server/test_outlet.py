"""The way out: replies of one turn leave together, in order, whatever the socket takes."""

from __future__ import annotations

from errno import EPIPE, EWOULDBLOCK
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.task import Clock

from txsmtpconn.server.outlet import Outbox, Outlet


class Kernel:
    """A socket that takes as many octets as it has room for."""

    def __init__(self, room: int = 1 << 20, error: int = EWOULDBLOCK) -> None:
        self.sent: list[bytes] = []
        self.room = room
        self.error = error

    def send(self, data: bytes) -> int:
        if not self.room:
            raise OSError(self.error, "no")
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent.append(taken)
        return len(taken)


def transport_on(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> Any:
    """Make a transport of Twisted's own, whose socket is `kernel`."""
    transport = tcp.Server.__new__(tcp.Server)
    transport.behind = []  # type: ignore[attr-defined]
    monkeypatch.setattr(tcp.Server, "getHandle", lambda _: kernel)
    monkeypatch.setattr(tcp.Server, "write", lambda it, data: it.behind.append(data))
    return transport


def test_replies_of_one_turn_leave_in_the_next_all_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is sent while clients are read; then one send carries all that one client gets."""
    clock = Clock()
    outbox, kernel = Outbox(clock), Kernel()
    outlet = Outlet(transport_on(monkeypatch, kernel), outbox)
    outlet.write(b"250 one\r\n")
    outlet.write(b"250 two\r\n")
    assert kernel.sent == []
    clock.advance(0)
    assert kernel.sent == [b"250 one\r\n250 two\r\n"]
    outlet.write(b"250 three\r\n")
    clock.advance(0)
    assert kernel.sent[1:] == [b"250 three\r\n"]
    assert clock.getDelayedCalls() == []


def test_one_timer_serves_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have replies to get."""
    clock = Clock()
    outbox, kernel = Outbox(clock), Kernel()
    for number in range(20):
        Outlet(transport_on(monkeypatch, kernel), outbox).write(b"%d\r\n" % number)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(0)
    assert kernel.sent == [b"%d\r\n" % number for number in range(20)]


@pytest.mark.parametrize("error", [EWOULDBLOCK, EPIPE])
def test_what_the_socket_does_not_take_goes_behind_the_transport(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """And so does all that follows: replies never overtake each other."""
    clock, kernel = Clock(), Kernel(room=4, error=error)
    transport = transport_on(monkeypatch, kernel)
    outlet = Outlet(transport, Outbox(clock))
    outlet.write(b"250 one\r\n")
    clock.advance(0)
    outlet.write(b"250 two\r\n")
    clock.advance(0)
    assert kernel.sent == [b"250 "]
    assert transport.behind == [b"one\r\n", b"250 two\r\n"]
    full = Outlet(transport, Outbox(clock))
    full.write(b"250 three\r\n")
    full.flush()
    assert transport.behind[2:] == [b"250 three\r\n"]


def test_nothing_waits_for_a_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said in clear leaves in clear; what is said behind it is the transport's."""
    clock, kernel = Clock(), Kernel()
    transport = transport_on(monkeypatch, kernel)
    outlet = Outlet(transport, Outbox(clock))
    outlet.write(b"220 go\r\n")
    outlet.wrap()
    outlet.write(b"250 secret\r\n")
    clock.advance(0)
    assert (kernel.sent, transport.behind) == ([b"220 go\r\n"], [b"250 secret\r\n"])


def test_a_reply_to_a_client_that_left_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transport has no socket any more, and is not asked for it."""
    clock, kernel = Clock(), Kernel()
    transport, outbox = transport_on(monkeypatch, kernel), Outbox(clock)
    outlet = Outlet(transport, outbox)
    outlet.write(b"250 late\r\n")
    monkeypatch.setattr(tcp.Server, "getHandle", lambda it: it.socket)
    outlet.close()
    assert clock.getDelayedCalls() == []
    assert (kernel.sent, transport.behind) == ([], [])
    flushed = Outlet(transport, outbox)
    monkeypatch.setattr(tcp.Server, "getHandle", lambda _: kernel)
    flushed.write(b"221 bye\r\n")
    flushed.flush()
    other = Outlet(transport, outbox)
    other.write(b"250 ok\r\n")
    flushed.close()
    clock.advance(0)
    assert kernel.sent == [b"221 bye\r\n", b"250 ok\r\n"]
    other.close()
    assert clock.getDelayedCalls() == []
