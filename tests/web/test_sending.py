"""Sending a file: in pieces, with pauses, to its end or the reader's."""

from __future__ import annotations

from io import BytesIO

import pytest
from twisted.internet.defer import CancelledError

from txsmtpconn.testing import failure_result_of, no_result_of, success_result_of
from txsmtpconn.web.sending import PIECE, FileSending


class Request:
    """Takes so many pieces before it wants a pause."""

    def __init__(self, pieces: int) -> None:
        self.octets = b""
        self.pieces = pieces
        self.producer: FileSending | None = None

    def registerProducer(self, producer: FileSending, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.octets += data
        self.pieces -= 1
        if self.pieces == 0:
            assert self.producer is not None
            self.producer.pauseProducing()


@pytest.mark.parametrize("size", [0, 1, PIECE, 3 * PIECE + 7])
def test_all_of_it_comes(size: int) -> None:
    """However large it is, and the producer takes its leave."""
    request = Request(100)
    octets = bytes(range(256)) * (size // 256 + 1)
    sending = FileSending(request, BytesIO(octets[:size]))
    assert success_result_of(sending.start()) == b""
    assert request.octets == octets[:size]
    assert request.producer is None


def test_no_more_than_the_reader_takes() -> None:
    """A slow reader costs one piece of memory, not the file's size."""
    request = Request(2)
    file = BytesIO(bytes(5 * PIECE))
    over = FileSending(request, file).start()
    no_result_of(over)
    assert file.tell() == len(request.octets) == 2 * PIECE
    request.pieces = 10
    assert request.producer is not None
    request.producer.resumeProducing()
    success_result_of(over)
    assert len(request.octets) == 5 * PIECE


def test_a_reader_that_leaves() -> None:
    """Nothing more is read."""
    request = Request(1)
    file = BytesIO(bytes(5 * PIECE))
    over = FileSending(request, file).start()
    assert request.producer is not None
    request.producer.stopProducing()
    over.cancel()
    failure_result_of(over, CancelledError)
    assert file.tell() == PIECE
