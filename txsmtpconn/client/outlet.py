"""The way out of a connection: octets to the transport, and ACKs out of the kernel.

Twisted's TCP transports keep what is written until the reactor has found the socket writable, which
it nearly always is: one turn of the reactor and two system calls for nothing, at each round trip.
Where a transport holds nothing, an outlet tries at once, as the reactor would a turn later; what
the kernel does not take goes the usual way, and so does all that is large, as one connection must
not keep the reactor from the others.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.tcp import Connection

#: Octets from which a write is the reactor's affair.
_LARGE = 64 * 1024

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

    def write(self, octets: bytes) -> None:
        """Write octets behind all that was written before."""
        transport = self.transport
        if (
            self._direct
            and not transport.TLS
            and not transport._tempDataBuffer  # noqa: SLF001 - nobody else knows
            and not transport.dataBuffer
            and len(octets) < _LARGE
        ):
            sent = transport.writeSomeData(octets)
            if sent == len(octets):
                return
            # An exception stands for a lost connection: the transport will see for itself.
            if isinstance(sent, int) and sent > 0:
                octets = octets[sent:]
        transport.write(octets)

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
