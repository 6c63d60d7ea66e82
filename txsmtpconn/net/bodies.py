"""One reading of a message: chunks of at most 64 KiB, pulled one at a time.

A chunk is there at once (memory, files) or comes later (producers, async iterables); an empty
one is the end.  Each kind of body turns its own manner of giving into this one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from zope.interface import implementer

from txsmtpconn.errors import StreamError

#: Octets in a chunk, at most: large enough that the work per chunk is noise, small enough that
#: fifty connections hold a few megabytes.
CHUNK_SIZE = 64 * 1024


class Body(Protocol):
    """One reading of a message."""

    def read(self) -> bytes | Deferred[bytes]:
        """Return the next chunk, or b"" at the end.  Not called again before that has come.

        Raises:
            Exception: The source failed; a Deferred may errback with the same.
        """

    def close(self) -> None:
        """Give the source back, finished or not; idempotent."""


def release(body: Body) -> None:
    """Close a body; what its source raises then concerns nobody any more.

    The message it was for has its outcome by now, and a source that fails to close must not take
    that of others with it.
    """
    with suppress(Exception):
        body.close()


class MemoryBody:
    """Octets in memory, sliced when they are asked for."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def read(self) -> bytes | Deferred[bytes]:
        start = self._offset
        self._offset = end = start + CHUNK_SIZE
        return self._data[start:end]

    def close(self) -> None:
        self._data = b""


class _Slices:
    """A large piece that was given at once, taken away in chunks."""

    __slots__ = ("_offset", "_piece")

    def __init__(self) -> None:
        self._piece = b""
        self._offset = 0

    def put(self, piece: object) -> None:
        """Take a piece in; only called when nothing is left of the last one."""
        if isinstance(piece, (bytearray, memoryview)):
            piece = bytes(piece)
        if not isinstance(piece, bytes):
            raise StreamError(f"the source gave {type(piece).__name__} instead of bytes")
        self._piece, self._offset = piece, 0

    def take(self) -> bytes:
        """Return the next chunk, b"" if there is none."""
        piece, start = self._piece, self._offset
        if start == 0 and len(piece) <= CHUNK_SIZE:
            self._piece = b""
            return piece
        self._offset = end = start + CHUNK_SIZE
        if end >= len(piece):
            self._piece, self._offset = b"", 0
        return piece[start:end]


class IterableBody:
    """Pieces from an iterable.

    Small pieces, such as lines, are gathered into chunks: each chunk is a write to the transport.
    """

    def __init__(self, iterable: Iterable[bytes]) -> None:
        self._pieces = iter(iterable)
        self._slices = _Slices()

    def read(self) -> bytes | Deferred[bytes]:
        chunk = self._slices.take()
        if chunk:
            return chunk
        gathered: list[bytes] = []
        size = 0
        for piece in self._pieces:
            self._slices.put(piece)
            if size + len(piece) > CHUNK_SIZE:
                break
            gathered.append(self._slices.take())
            size += len(piece)
        return b"".join(gathered) or self._slices.take()

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if callable(close):
            close()


class AsyncIterableBody:
    """Pieces from an async iterable, whose steps may await Deferreds."""

    _pending: Deferred[bytes] | None = None
    _closed = False

    def __init__(self, iterable: AsyncIterable[bytes]) -> None:
        self._pieces = aiter(iterable)
        self._slices = _Slices()

    def read(self) -> bytes | Deferred[bytes]:
        if chunk := self._slices.take():
            return chunk
        pending = Deferred.fromCoroutine(self._next())
        if not pending.called:
            self._pending = pending
        return pending

    async def _next(self) -> bytes:
        try:
            while not (chunk := self._slices.take()):
                try:
                    piece = await anext(self._pieces)
                except StopAsyncIteration:
                    return b""
                self._slices.put(piece)
            return chunk
        finally:
            self._pending = None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
        aclose = getattr(self._pieces, "aclose", None)
        if callable(aclose):
            # What a generator says on being closed concerns nobody any more.
            Deferred.fromCoroutine(_awaited(aclose())).addErrback(lambda _: None)


async def _awaited(awaitable: Any) -> None:
    await awaitable


@implementer(IConsumer)
class ProducerBody:
    """Turns an `IBodyProducer`, which pushes, into chunks that are pulled.

    The producer is paused while a chunk's worth lies here untaken, and resumed when somebody
    waits.  One that breaks the length it announced has failed: half a message is not a message.
    """

    _started = _paused = _ended = _closed = False
    _failure: Failure | None = None
    _waiting: Deferred[bytes] | None = None

    def __init__(self, producer: Any, length: int | None) -> None:
        self._producer = producer
        self._length = length
        self._received = 0
        self._held = 0
        self._pieces: deque[bytes] = deque()
        self._slices = _Slices()

    def read(self) -> bytes | Deferred[bytes]:
        if not self._started:
            self._start()
        if chunk := self._take():
            return chunk
        if self._paused and not self._ended:
            self._paused = False
            self._producer.resumeProducing()
            if chunk := self._take():
                return chunk
        if self._failure is not None:
            self._failure.raiseException()
        if self._ended:
            return b""
        self._waiting = Deferred()
        return self._waiting

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._waiting = None
        self._pieces.clear()
        if self._started and not self._ended:
            self._producer.stopProducing()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Refuse: an `IBodyProducer` is its consumer's producer already."""
        raise RuntimeError("an IBodyProducer registers no further producer")

    def unregisterProducer(self) -> None:
        """Do nothing: nothing was registered."""

    def write(self, data: bytes) -> None:
        """Take what the producer pushes."""
        if self._closed or self._ended or not data:
            return
        self._received += len(data)
        if self._length is not None and self._received > self._length:
            self._end(Failure(StreamError("the producer gave more than the length it announced")))
            self._producer.stopProducing()
            return
        self._pieces.append(bytes(data))
        self._held += len(data)
        if self._held >= CHUNK_SIZE and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        self._wake()

    def _start(self) -> None:
        self._started = True
        finished = self._producer.startProducing(self)
        finished.addCallbacks(self._finished, self._end)

    def _finished(self, _: object) -> None:
        if self._length is not None and self._received < self._length:
            self._end(Failure(StreamError("the producer gave less than the length it announced")))
        else:
            self._end(None)

    def _end(self, failure: Failure | None) -> None:
        if self._ended or self._closed:
            return
        self._ended = True
        self._failure = failure
        if failure is not None:
            self._pieces.clear()
        self._wake()

    def _take(self) -> bytes:
        """Return what is held, up to a chunk; b"" if there is nothing."""
        chunk = self._slices.take()
        if not chunk and self._pieces:
            self._slices.put(b"".join(self._pieces))
            self._pieces.clear()
            chunk = self._slices.take()
        self._held -= len(chunk)
        return chunk

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is None or not (self._pieces or self._ended):
            return
        self._waiting = None
        if self._failure is not None:
            waiting.errback(self._failure)
        else:
            waiting.callback(self._take())
