"""One direction of a connection in memory: octets on their way, and what may befall them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import repeat
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from txsmtpconn.testing.transport import MemoryTransport

#: More segments than this at one moment of the clock: both sides answer each other for ever.
_MOST_AT_ONCE = 200_000

#: What a stream holds between the two sides, like the buffers of two kernels. A sender waits when
#: it is full.
CAPACITY = 65536

#: The most that one `dataReceived` gets, as from a socket.
LARGEST_SEGMENT = 65536

#: How a stream is cut: every segment has this size, or each the next of these sizes, and then all
#: there is.
Segmentation = int | Iterable[int] | None


class Fault(Enum):
    """What happens to a connection at the octet where `Stream.cut_after` put it."""

    #: The receiver sees the end of the stream in good order; the sender loses the connection.
    CLOSE = "close"
    #: Both sides lose the connection at once.
    RESET = "reset"
    #: Nothing more arrives in this direction; nobody is told.
    STALL = "stall"
    #: Nothing more arrives in either direction; nobody is told (the peer's machine has gone).
    VANISH = "vanish"


class Stream:
    """The octets from one `MemoryTransport` to the other: in order, with a latency, in segments.

    Each segment is delivered by a delayed call of its own, never from within a `write`. What left
    in one turn of the clock arrives as one segment, unless it is cut.

    Attributes:
        delivered: octets that the receiver has been given.
        largest: the most octets that were ever on their way at once.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        latency: float = 0.0,
        segment: Segmentation = None,
        capacity: int = CAPACITY,
    ) -> None:
        self.latency = latency
        self.capacity = capacity
        self.delivered = 0
        self.largest = 0
        self._clock = clock
        self._sizes = _sizes(segment)
        self._in_flight: deque[tuple[float, bytes | None]] = deque()  # None is the end
        self._taken = 0  # octets of the first of them that were delivered
        self._held = 0
        self._stalled = False
        self._fault: tuple[int, Fault] | None = None
        self._delivery: IDelayedCall | None = None
        self._moment = (clock.seconds(), 0)

    def attach(self, sender: MemoryTransport, receiver: MemoryTransport) -> None:
        """Say whose octets these are, and who gets them."""
        self._sender = sender
        self._receiver = receiver

    # -- what a test does to it

    @property
    def segment(self) -> Iterator[int]:
        """The sizes of the segments to come; set it to cut the rest of the stream."""
        return self._sizes

    @segment.setter
    def segment(self, rule: Segmentation) -> None:
        self._sizes = _sizes(rule)

    def cut_after(self, octets: int, fault: Fault = Fault.RESET) -> None:
        """Let this many more octets through; then `fault` happens, and what follows is lost.

        Raises:
            ValueError: octets are below 0, or there is no such fault.
        """
        if octets < 0:
            raise ValueError(f"a cut is after 0 octets or more, not {octets}")
        self._fault = (self.delivered + octets, Fault(fault))
        if octets == 0:
            self._clock.callLater(0, self._strike)

    def stall(self) -> None:
        """Deliver nothing from now on, neither octets nor an end nor a reset, until `flow`."""
        self._stalled = True
        self._cancel()

    def flow(self) -> None:
        """Go on after `stall`."""
        self._stalled = False
        self.wake()

    # -- what the transports do with it

    @property
    def room(self) -> int:
        """How many octets may be pushed now."""
        return self.capacity - self._held

    def push(self, octets: bytes) -> None:
        """Send octets on their way."""
        self._held += len(octets)
        self.largest = max(self.largest, self._held)
        self._in_flight.append((self._clock.seconds() + self.latency, octets))
        self.wake()

    def finish(self) -> None:
        """Send the end of the stream behind the octets, if somebody is there to hear of it."""
        if self._receiver.disconnected:
            return
        self._in_flight.append((self._clock.seconds() + self.latency, None))
        self.wake()

    def reset(self) -> None:
        """Drop what is on its way; the receiver loses the connection when it hears of that."""
        self._drop()
        if not self._stalled:
            self._clock.callLater(self.latency, self._lose_receiver)

    def wake(self) -> None:
        """Arrange for the next delivery, if there is something to deliver and someone who reads."""
        if self._delivery is not None or self._stalled or not self._in_flight:
            return
        if self._receiver.reading or self._receiver.disconnected:
            wait = max(0.0, self._in_flight[0][0] - self._clock.seconds())
            self._delivery = self._clock.callLater(wait, self._deliver)

    def abandon(self) -> None:
        """The receiver has gone: nothing more is delivered."""
        self._drop()

    def _deliver(self) -> None:
        self._delivery = None
        if self._receiver.disconnected:
            # As a kernel does for octets that nobody will read.
            self._drop()
            self._clock.callLater(self.latency, self._lose_sender)
            return
        if not self._receiver.reading:
            return
        octets = self._in_flight[0][1]
        if octets is None:
            self._in_flight.popleft()
            self._receiver.end_of_stream()
            return
        self._give_segment_of(octets)
        self.wake()

    def _give_segment_of(self, octets: bytes) -> None:
        self._count_segment()
        size = min(next(self._sizes, LARGEST_SEGMENT), LARGEST_SEGMENT)
        if self._fault is not None:
            size = min(size, self._fault[0] - self.delivered)
        segment = octets[self._taken : self._taken + size]
        self._taken += len(segment)
        if self._taken == len(octets):
            self._in_flight.popleft()
            self._taken = 0
        self._held -= len(segment)
        self.delivered += len(segment)
        self._sender.room_made()
        self._receiver.protocol.dataReceived(segment)
        if self._fault is not None and self.delivered >= self._fault[0]:
            self._strike()

    def _count_segment(self) -> None:
        now, given = self._clock.seconds(), 1
        if now == self._moment[0]:
            given += self._moment[1]
        if given > _MOST_AT_ONCE:
            raise AssertionError("segments without end, and no time passes: who writes for ever?")
        self._moment = (now, given)

    def _strike(self) -> None:
        assert self._fault is not None
        fault, self._fault = self._fault[1], None
        if fault is Fault.STALL:
            self.stall()
        elif fault is Fault.VANISH:
            self.stall()
            self._receiver.outgoing.stall()
        else:
            end = ConnectionDone() if fault is Fault.CLOSE else ConnectionLost()
            self._drop()
            self._receiver.lose(Failure(end))
            self._lose_sender()

    def _lose_receiver(self) -> None:
        self._receiver.lose(Failure(ConnectionLost()))

    def _lose_sender(self) -> None:
        self._sender.lose(Failure(ConnectionLost()))

    def _drop(self) -> None:
        self._in_flight.clear()
        self._taken = 0
        self._held = 0
        self._cancel()

    def _cancel(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None


def _sizes(rule: Segmentation) -> Iterator[int]:
    """Turn a segmentation into sizes; where they end, segments are as large as they come."""
    if rule is None:
        return iter(())
    if isinstance(rule, int):
        return repeat(_size(rule))
    return map(_size, rule)


def _size(octets: int) -> int:
    if octets < 1:
        raise ValueError(f"a segment has at least one octet, not {octets}")
    return octets
