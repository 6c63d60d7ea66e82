"""The pump between a source and a session."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsmtpconn.client.pump import BodyPump


class Source:
    """A body that gives what it is told to."""

    def __init__(self, *reads: Any) -> None:
        self.reads = list(reads)
        self.closes = 0

    def read(self) -> Any:
        read = self.reads.pop(0)
        if isinstance(read, Exception):
            raise read
        return read

    def close(self) -> None:
        self.closes += 1


class Pumping:
    """A pump, and what came of it."""

    def __init__(self, *reads: Any, first: bytes = b"", room: int = 1000) -> None:
        self.source = Source(*reads)
        self.delivered: list[bytes] = []
        self.failures: list[Failure] = []
        self.room = room
        self.pump = BodyPump(
            self.source,
            first,
            open_to_more=lambda: self.room > 0,
            deliver=self.deliver,
            fail=self.failures.append,
        )

    def deliver(self, chunk: bytes) -> None:
        self.room -= 1
        self.delivered.append(chunk)

    def run(self) -> None:
        """Take bursts for as long as there are any."""
        while self.pump.ready:
            self.pump.run(2)


def test_chunks_flow_until_the_end() -> None:
    """The end is told, and the source given back, once."""
    pumping = Pumping(b"a", b"b", b"")
    pumping.run()
    pumping.run()
    assert pumping.delivered == [b"a", b"b", b""]
    assert pumping.source.closes == 1


def test_a_chunk_that_was_read_already_goes_first() -> None:
    """Nothing is read twice."""
    pumping = Pumping(b"b", b"", first=b"a")
    pumping.run()
    assert pumping.delivered == [b"a", b"b", b""]


def test_a_full_transport_stops_it() -> None:
    """No chunk is read before there is room for it."""
    pumping = Pumping(b"a", b"b", b"", room=1)
    pumping.run()
    assert pumping.delivered == [b"a"]
    assert len(pumping.source.reads) == 2
    pumping.room = 10
    pumping.run()
    assert pumping.delivered == [b"a", b"b", b""]


def test_a_chunk_that_comes_later_is_delivered_when_it_comes() -> None:
    """And not asked for twice meanwhile."""
    later: Deferred[bytes] = Deferred()
    pumping = Pumping(later, b"")
    pumping.run()
    pumping.run()
    assert pumping.delivered == []
    later.callback(b"a")
    assert pumping.delivered == [b"a"]
    pumping.run()
    assert pumping.delivered == [b"a", b""]


def test_answers_at_once_do_not_recurse() -> None:
    """Ten thousand Deferreds that have fired already."""
    fired: list[Any] = []
    for _ in range(10_000):
        deferred: Deferred[bytes] = Deferred()
        deferred.callback(b"x")
        fired.append(deferred)
    pumping = Pumping(*fired, b"", room=20_000)
    pumping.run()
    assert len(pumping.delivered) == 10_001


def test_a_burst_is_so_many_chunks_and_no_more() -> None:
    """What it moved is to be written before more is read."""
    pumping = Pumping(b"a", b"b", b"c", b"")
    pumping.pump.run(2)
    assert pumping.delivered == [b"a", b"b"]
    assert pumping.pump.ready


def test_a_source_that_fails_is_closed_and_told_of() -> None:
    """Now or later, once."""
    pumping = Pumping(b"a", OSError("gone"))
    pumping.run()
    assert isinstance(pumping.failures[0].value, OSError)
    assert pumping.source.closes == 1
    later: Deferred[bytes] = Deferred()
    pumping = Pumping(later)
    pumping.run()
    later.errback(OSError("gone"))
    assert len(pumping.failures) == 1
    assert pumping.source.closes == 1


def test_stopping_cancels_what_is_awaited_and_tells_nobody() -> None:
    """A chunk that comes all the same is dropped."""
    stubborn: Deferred[bytes] = Deferred(lambda deferred: deferred.callback(b"late"))
    pumping = Pumping(stubborn)
    pumping.run()
    pumping.pump.stop()
    pumping.pump.stop()
    pumping.run()
    assert pumping.delivered == []
    assert pumping.failures == []
    assert pumping.source.closes == 1
    willing: Deferred[bytes] = Deferred()
    pumping = Pumping(willing)
    pumping.run()
    pumping.pump.stop()
    assert pumping.failures == []
