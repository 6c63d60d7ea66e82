"""Sending a file as fast as it is read at the other end, and no faster."""

from __future__ import annotations

from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

#: Octets that are read at a time.
PIECE = 64 * 1024


@implementer(IPushProducer)
class FileSending:
    """Writes a file to a request.

    Args:
        request: The request.
        file: Read from where it stands to its end; closing it is left to the caller.
    """

    def __init__(self, request: Any, file: IO[bytes]) -> None:
        self._request = request
        self._file = file
        self._paused = False
        self._over: Deferred[bytes] = Deferred(lambda _: self.stopProducing())

    def start(self) -> Deferred[bytes]:
        """Begin; fires with nothing left to write, and can be cancelled."""
        self._request.registerProducer(self, True)
        self.resumeProducing()
        return self._over

    def resumeProducing(self) -> None:
        """Write until there is enough on its way."""
        self._paused = False
        while not self._paused:
            piece = self._file.read(PIECE)
            if not piece:
                self._paused = True
                self._request.unregisterProducer()
                self._over.callback(b"")
            else:
                self._request.write(piece)

    def pauseProducing(self) -> None:
        """Write no more for now."""
        self._paused = True

    def stopProducing(self) -> None:
        """Write no more: nobody reads it. The request's own end says the rest."""
        self._paused = True
