"""The way out for replies: at once where the kernel takes them, else through the reactor.

A transport's own `write` waits for the reactor's next turn: two changes of the poll set and one
more wake-up for every reply, which costs more than making it. A reply nearly always fits the
socket's buffer, so it is offered to the socket first.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


class Outlet:
    """Writes to one transport, and is the only one that does.

    Args:
        transport: Only a plain TCP connection of Twisted's own is written to at once.
    """

    __slots__ = ("_prompt", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._prompt = type(transport) is tcp.Server

    def write(self, data: bytes) -> None:
        """Write, and buffer what cannot be written now."""
        if self._prompt:
            sent = self._transport.writeSomeData(data)
            if sent == len(data):
                return
            # Something is left (or the connection is, and the transport will notice): from now on
            # everything goes behind what the transport holds.
            self._prompt = False
            if isinstance(sent, int):
                data = data[sent:]
        self._transport.write(data)

    def wrap(self) -> None:
        """Take note that TLS comes between: what is written is not what the socket gets."""
        self._prompt = False
