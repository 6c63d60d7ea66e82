"""Bodies: every manner of giving, turned into chunks that are pulled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from txsmtpconn import StreamError
from txsmtpconn.net.bodies import (
    CHUNK_SIZE,
    AsyncIterableBody,
    Body,
    IterableBody,
    MemoryBody,
    ProducerBody,
)
from txsmtpconn.testing import failure_result_of, success_result_of


def chunks_of(body: Body) -> list[bytes]:
    """Read a body that never keeps anybody waiting."""
    chunks: list[bytes] = []
    while True:
        read = body.read()
        chunk = success_result_of(read) if isinstance(read, Deferred) else read
        if not chunk:
            return chunks
        chunks.append(chunk)


async def each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """An async generator that never waits."""
    for piece in pieces:
        yield piece


@given(st.lists(st.binary(max_size=200)))
def test_no_octet_is_lost_or_changed(pieces: list[bytes]) -> None:
    """Whatever the pieces."""
    whole = b"".join(pieces)
    assert b"".join(chunks_of(MemoryBody(whole))) == whole
    assert b"".join(chunks_of(IterableBody(pieces))) == whole
    assert b"".join(chunks_of(AsyncIterableBody(each(pieces)))) == whole
    assert b"".join(chunks_of(ProducerBody(Producer(pieces), None))) == whole


@pytest.mark.parametrize("size", [1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * CHUNK_SIZE])
def test_a_chunk_is_at_most_64_kib(size: int) -> None:
    """Also where a piece is larger, and whatever kind of octets it is."""
    whole = bytes(range(256)) * (size // 256 + 1)
    whole = whole[:size]
    bodies: list[Body] = [
        MemoryBody(whole),
        IterableBody([whole, b"", whole]),
        IterableBody([bytearray(whole), memoryview(whole)]),  # type: ignore[list-item]
        AsyncIterableBody(each([whole, b"", whole])),
        ProducerBody(Producer([whole, whole]), None),
    ]
    for number, body in enumerate(bodies):
        chunks = chunks_of(body)
        assert b"".join(chunks) == whole * (2 if number else 1)
        assert max(map(len, chunks)) <= CHUNK_SIZE


def test_small_pieces_are_gathered() -> None:
    """Lines do not become writes."""
    assert chunks_of(IterableBody([b"x\r\n"] * 1000)) == [b"x\r\n" * 1000]


def test_what_is_no_octets_is_an_error() -> None:
    """Text or numbers in an iterable of bytes."""
    for wrong in ("text", 42, None):
        with pytest.raises(StreamError):
            IterableBody([wrong]).read()  # type: ignore[list-item]
        read = AsyncIterableBody(each([wrong])).read()  # type: ignore[list-item]
        assert isinstance(failure_result_of(read), StreamError)  # type: ignore[arg-type]


def test_a_generator_is_closed_with_its_body() -> None:
    """Its `finally` runs, once."""
    closed: list[int] = []

    def generate() -> Iterator[bytes]:
        try:
            yield b"x" * CHUNK_SIZE
            yield b"y"
        finally:
            closed.append(1)

    body = IterableBody(generate())
    body.read()
    body.close()
    body.close()
    assert closed == [1]


def test_an_async_generator_is_closed_while_it_waits() -> None:
    """What it waits for is cancelled, and its `finally` runs."""
    closed: list[int] = []
    waiting: Deferred[bytes] = Deferred()

    async def generate() -> AsyncIterator[bytes]:
        try:
            yield await waiting
        finally:
            closed.append(1)

    body = AsyncIterableBody(generate())
    read = body.read()
    assert isinstance(read, Deferred)
    read.addErrback(lambda _: None)
    body.close()
    body.close()
    assert closed == [1]
    assert waiting.called


def test_an_async_iterator_need_not_be_a_generator() -> None:
    """No `aclose` is asked for."""

    class Numbers:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return b"%d" % self.left

    body = AsyncIterableBody(Numbers())
    assert chunks_of(body) == [b"2", b"1", b"0"]
    body.close()


class Producer:
    """An IBodyProducer that pushes what it is asked to, all at once unless paused."""

    def __init__(self, pieces: list[bytes], *, automatic: bool = True) -> None:
        self.pieces = list(pieces)
        self.automatic = automatic
        self.finished: Deferred[None] = Deferred()
        self.paused = self.stopped = False
        self.pauses = 0

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.consumer = consumer
        if self.automatic:
            self.push()
        return self.finished

    def push(self) -> None:
        while self.pieces and not self.paused and not self.stopped:
            self.consumer.write(self.pieces.pop(0))
        if not self.pieces and not self.finished.called and not self.stopped:
            self.finished.callback(None)

    def pauseProducing(self) -> None:
        self.paused = True
        self.pauses += 1

    def resumeProducing(self) -> None:
        self.paused = False
        self.push()

    def stopProducing(self) -> None:
        assert not self.stopped
        self.stopped = True


def test_a_producer_is_paused_while_a_chunk_lies_untaken() -> None:
    """Back-pressure: it never pushes more than a chunk and the piece that filled it."""
    producer = Producer([b"x" * 40_000] * 10)
    body = ProducerBody(producer, None)
    assert producer.pauses == 0
    taken = 0
    while chunk := body.read():
        assert isinstance(chunk, bytes)
        taken += len(chunk)
        assert body._held <= CHUNK_SIZE + 40_000
    assert taken == 400_000
    assert producer.pauses >= 4


def test_a_producer_that_pushes_later_is_waited_for() -> None:
    """The read fires with what comes, and the end follows."""
    producer = Producer([b"one", b"two"], automatic=False)
    body = ProducerBody(producer, None)
    first = body.read()
    assert isinstance(first, Deferred)
    assert not first.called
    producer.push()
    assert success_result_of(first) == b"one"
    assert body.read() == b"two"
    assert body.read() == b""


@pytest.mark.parametrize("length", [3, 9])
def test_a_producer_that_breaks_its_word_has_failed(length: int) -> None:
    """Less or more than the length it announced: half a message is no message."""
    body = ProducerBody(Producer([b"abc", b"def"]), length)
    with pytest.raises(StreamError):
        chunks_of(body)


def test_a_producer_that_fails_fails_the_read() -> None:
    """While somebody waits, and when the next one asks."""
    producer = Producer([b"x"], automatic=False)
    body = ProducerBody(producer, None)
    waiting = body.read()
    producer.finished.errback(OSError("gone"))
    assert isinstance(failure_result_of(waiting), OSError)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="gone"):
        body.read()


def test_a_producer_is_stopped_when_nobody_wants_the_rest() -> None:
    """Once, and not if it has ended or never begun."""
    producer = Producer([b"x" * 100_000] * 3)
    body = ProducerBody(producer, None)
    body.read()
    body.close()
    body.close()
    assert producer.stopped
    body.write(b"too late")
    ended = Producer([])
    body = ProducerBody(ended, None)
    assert body.read() == b""
    body.close()
    assert not ended.stopped
    fresh = Producer([b"x"])
    ProducerBody(fresh, None).close()
    assert not fresh.stopped


def test_a_producer_registers_nobody_else() -> None:
    """IConsumer's other half has no meaning here."""
    body = ProducerBody(Producer([]), None)
    body.unregisterProducer()
    with pytest.raises(RuntimeError):
        body.registerProducer(object(), True)
