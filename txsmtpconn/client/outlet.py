"""The way out of a connection: octets to the transport, and ACKs out of the kernel.

Twisted's TCP transports keep what is written until the reactor has found the socket writable, which
it nearly always is: one turn of the reactor, a copy and two system calls for nothing, at each round
trip.  Where a transport holds nothing, an outlet tries at once, as the reactor would a turn later;
what the kernel does not take goes the usual way.  The end of a connection is no different.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection

#: Pieces that one system call takes, on every system (IOV_MAX is 1,024 on most).
_MOST_PIECES = 1000

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Outlet:
    """Where one connection writes.

    Args:
        transport: Any transport; in a hurry only with Twisted's own for TCP, in clear.
    """

    __slots__ = ("_direct", "_socket", "transport")

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self._socket = _socket_of(transport)
        self._direct = (
            self._socket is not None
            and isinstance(transport, Connection)
            and hasattr(transport, "_tempDataBuffer")
        )

    @property
    def hurries(self) -> bool:
        """Whether a write may leave at once, without the reactor having its turn in between."""
        return self._direct and not self.transport.TLS

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write octets, in pieces that are not joined where that can be, behind all others."""
        if self._is_free():
            pieces = self._unsent(pieces)
            if not pieces:
                return
        transport = self.transport
        if self.hurries:
            transport.writeSequence(pieces)
        else:
            transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        """Close the connection, behind all that was written."""
        transport = self.transport
        if self._is_free() and transport.connected:
            transport.connectionLost(connectionDone)
        else:
            transport.loseConnection()

    def _is_free(self) -> bool:
        """Whether there is nothing between us and the kernel."""
        transport = self.transport
        return (
            self._direct
            and not transport.TLS
            and not transport._tempDataBuffer  # noqa: SLF001 - nobody else knows
            and not transport.dataBuffer
        )

    def _unsent(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Give the kernel what it takes; return the rest."""
        assert self._socket is not None
        if len(pieces) > _MOST_PIECES:
            pieces = [b"".join(pieces)]
        try:
            sent = self._socket.sendmsg(pieces)
        except OSError:
            # The kernel has no room, or the connection is lost: the transport will see for itself.
            return pieces
        if sent == sum(map(len, pieces)):
            return ()
        for place, piece in enumerate(pieces):
            if sent < len(piece):
                return [piece[sent:], *pieces[place + 1 :]]
            sent -= len(piece)
        return ()

    def acknowledge_quickly(self) -> None:
        """Ask the kernel to send the ACK that it holds back, now (Linux, tcp(7)).

        A server whose Nagle algorithm holds a reply back until the last one is acknowledged would
        otherwise stall for our 40 ms each time we have nothing to send with the ACK.
        """
        if self._socket is None or _QUICK_ACK is None:
            return
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        except OSError:
            # The socket is closing; whoever reads from it will hear of that.
            pass


def _socket_of(transport: Any) -> socket.socket | None:
    """Return the TCP socket of a transport; None where there is none, or it cannot be had."""
    handle = getattr(transport, "getHandle", lambda: None)()
    if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        return handle
    return None
