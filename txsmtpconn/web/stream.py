"""Server-sent events: a page that is open hears what happens (HTML, section 9.2)."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

#: Pages that can be open at one time.
MOST = 64
#: Seconds between two signs of life: a connection that is gone is noticed, a proxy does not end it.
HEARTBEAT = 15.0


class EventStream:
    """The pages that listen, and what they are told.

    A page that does not read what it is sent is let go of; its browser connects again, and the page
    asks anew for what there is. So nothing is kept for anybody.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._listeners: set[_Listener] = set()
        self._beat: IDelayedCall | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    def open(self, request: Any) -> Deferred[bytes] | None:
        """Let a page listen.

        Returns:
            Fires when it is over; None where there is no room.
        """
        if self._closed or len(self._listeners) >= MOST:
            return None
        request.setHeader("Content-Type", "text/event-stream")
        listener = _Listener(request, self._left)
        self._listeners.add(listener)
        request.registerProducer(listener, True)
        # The browser reconnects after so many milliseconds.
        listener.write(b"retry: 2000\n\n")
        if self._beat is None:
            self._beat = self._clock.callLater(HEARTBEAT, self._sign)
        return listener.over

    def tell(self, event: str, data: object) -> None:
        """Tell everybody.

        Args:
            event: What kind of event it is.
            data: Of JSON's types.
        """
        if self._listeners:
            text = json.dumps(data, separators=(",", ":"))
            self._write(f"event: {event}\ndata: {text}\n\n".encode())

    def close(self) -> None:
        """Let go of everybody, for good."""
        self._closed = True
        for listener in list(self._listeners):
            listener.end()

    def _sign(self) -> None:
        self._beat = self._clock.callLater(HEARTBEAT, self._sign)
        self._write(b":\n\n")

    def _write(self, octets: bytes) -> None:
        for listener in list(self._listeners):
            listener.write(octets)

    def _left(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._beat is not None:
            self._beat.cancel()
            self._beat = None


@implementer(IPushProducer)
class _Listener:
    """One page that is open."""

    def __init__(self, request: Any, left: Any) -> None:
        self.over: Deferred[bytes] = Deferred(lambda _: self._leave())
        self._request = request
        self._left = left
        self._blocked = False
        self._gone = False

    def write(self, octets: bytes) -> None:
        if self._blocked:
            self.end()
        elif not self._gone:
            self._request.write(octets)

    def end(self) -> None:
        """End the response."""
        if not self._gone:
            self._leave()
            self._request.unregisterProducer()
            self.over.callback(b"")

    def _leave(self) -> None:
        self._gone = True
        self._left(self)

    def pauseProducing(self) -> None:
        self._blocked = True

    def resumeProducing(self) -> None:
        self._blocked = False

    def stopProducing(self) -> None:
        """The connection is gone; the request's own end says the rest."""
