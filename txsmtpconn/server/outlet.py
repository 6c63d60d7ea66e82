"""The way out for replies: together with those of other clients, and past the reactor's poll set.

A transport's own `write` waits for the reactor to tell that the socket can be written to: two
changes of the poll set and one more wake-up for every reply, which costs more than making it. A
reply nearly always fits the socket's buffer, so it is offered to the socket first.

Nor does it leave at once. To send wakes the peer up, which is the dearest part of sending; replies
to many clients that are sent in a row wake a load of them, or the one host behind them, once.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Outbox:
    """Replies that one turn of the reactor has made, to whatever client; the next one sends them.

    Args:
        clock: The reactor.
    """

    __slots__ = ("_call", "_clock", "_waiting")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._waiting: list[Outlet] = []

    def add(self, outlet: Outlet) -> None:
        """Have an outlet flushed before the reactor looks at its sockets again."""
        if not self._waiting:
            self._call = self._clock.callLater(0, self._send)
        self._waiting.append(outlet)

    def remove(self, outlet: Outlet) -> None:
        """Forget an outlet; leave nothing with the reactor if it was the last."""
        if outlet in self._waiting:
            self._waiting.remove(outlet)
            if not self._waiting and self._call is not None:
                self._call.cancel()
                self._call = None

    def _send(self) -> None:
        self._call = None
        waiting, self._waiting = self._waiting, []
        for outlet in waiting:
            outlet.flush()


class Outlet:
    """Writes to one transport, and is the only one that does.

    Args:
        transport: Only the socket of a plain TCP connection of Twisted's own is written to.
        outbox: Where replies to such a one wait for others.
    """

    __slots__ = ("_outbox", "_transport", "_waiting")

    def __init__(self, transport: Any, outbox: Outbox) -> None:
        self._transport = transport
        self._outbox = outbox if type(transport) is tcp.Server else None
        self._waiting = b""

    def write(self, data: bytes) -> None:
        """Write, and buffer what cannot be written now."""
        if self._outbox is None:
            self._transport.write(data)
        elif self._waiting:
            self._waiting += data
        else:
            self._waiting = data
            self._outbox.add(self)

    def flush(self) -> None:
        """Send what waits."""
        data, self._waiting = self._waiting, b""
        if not data:
            return
        try:
            sent = self._transport.getHandle().send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            # The socket is full, or gone, which the transport will notice. From now on all goes
            # behind what the transport holds.
            self._part()
            self._transport.write(data[sent:])

    def close(self) -> None:
        """Forget what waits: the connection is gone, and its socket with it."""
        self._part()
        self._waiting = b""

    def wrap(self) -> None:
        """Take note that TLS comes between: what is written is not what the socket gets."""
        self.flush()
        self._part()

    def _part(self) -> None:
        """Leave all that follows to the transport."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.remove(self)
