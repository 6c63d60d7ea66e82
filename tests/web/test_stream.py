"""Server-sent events: who hears what, and what becomes of who does not listen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.talking import OURS, Talk
from txsmtpconn.web.stream import HEARTBEAT, MOST, EventStream

HEAD = f"GET / HTTP/1.1\r\nHost: {OURS}\r\n\r\n".encode()


class Page(Resource):
    """Opens the stream."""

    isLeaf = True

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self.stream = stream

    def render(self, request: Any) -> Any:
        over = self.stream.open(request)
        if over is None:
            request.setResponseCode(503)
            return b""
        over.addCallback(lambda _: request.finish())
        request.notifyFinish().addErrback(lambda _: over.cancel())
        over.addErrback(lambda _: None)
        return NOT_DONE_YET


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def stream(clock: Clock) -> EventStream:
    """A stream."""
    return EventStream(clock)


@pytest.fixture
def talk(clock: Clock, stream: EventStream) -> Iterator[Talk]:
    """A site that is the stream."""
    talking = Talk(Page(stream), clock)
    yield talking
    talking.close()
    assert not [call for call in clock.getDelayedCalls() if call.active()]


def test_everybody_hears_everything(talk: Talk, stream: EventStream) -> None:
    """As the standard writes events: a name, and data in one line."""
    first, second = talk.raw(HEAD), talk.raw(HEAD)
    assert b"text/event-stream" in first.value()
    stream.tell("added", {"id": "one\ntwo"})
    for each in (first, second):
        assert b'event: added\ndata: {"id":"one\\ntwo"}\n\n' in each.value()


def test_who_is_gone_is_forgotten(talk: Talk, stream: EventStream) -> None:
    """And told nothing more."""
    transport = talk.raw(HEAD)
    assert len(stream) == 1
    talk.close()
    assert len(stream) == 0
    before = transport.value()
    stream.tell("added", {})
    assert transport.value() == before


def test_signs_of_life_come_while_somebody_listens(talk: Talk, clock: Clock) -> None:
    """So that a dead connection is noticed; and no timer runs for nobody."""
    assert not clock.getDelayedCalls()
    transport = talk.raw(HEAD)
    before = len(transport.value())
    clock.pump([HEARTBEAT] * 2)
    assert transport.value()[before:].count(b":\n\n") == 2


def test_who_does_not_read_is_let_go(talk: Talk, stream: EventStream) -> None:
    """Nothing piles up for it."""
    talk.raw(HEAD)
    (protocol, transport) = talk.open[0]
    protocol.pauseProducing()
    before = len(transport.value())
    stream.tell("added", {})
    assert len(stream) == 0
    for _ in range(1000):
        stream.tell("added", {})
    assert len(transport.value()) - before < 100


def test_who_reads_again_stays(talk: Talk, stream: EventStream) -> None:
    """A pause between two events is none."""
    transport = talk.raw(HEAD)
    (protocol, _) = talk.open[0]
    protocol.pauseProducing()
    protocol.resumeProducing()
    stream.tell("added", {"id": 1})
    assert b'{"id":1}' in transport.value()


def test_there_is_room_for_so_many(talk: Talk, stream: EventStream) -> None:
    """One more is told to come again."""
    for _ in range(MOST):
        talk.raw(HEAD)
    assert len(stream) == MOST
    assert b"503" in talk.raw(HEAD).value()


def test_the_end(talk: Talk, stream: EventStream) -> None:
    """At a stop each response ends in order, and no new one begins."""
    transport = talk.raw(HEAD)
    stream.close()
    assert transport.value().endswith(b"0\r\n\r\n")
    assert len(stream) == 0
    assert b"503" in talk.raw(HEAD).value()
