"""The line: turns, one write for each input, and acknowledging quickly."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tests.client.dial import BODY, ENVELOPE, PIPELINING, Dial, delivery, greeted
from txsmtpconn import ConnectionOptions, SMTPConnection
from txsmtpconn.client.line import Line, abort
from txsmtpconn.client.outlet import Outlet
from txsmtpconn.errors import ConnectionLostError, SMTPError
from txsmtpconn.session.client.session import ClientSession
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.testing import failure_result_of, success_result_of

QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


class Turn:
    """A turn that notes what happens to it."""

    def __init__(self, log: list[str], name: str, *, at_once: bool = True) -> None:
        self.log = log
        self.name = name
        self.at_once = at_once

    def start(self) -> bool:
        self.log.append(f"{self.name} starts")
        return self.at_once

    def fail(self, cause: SMTPError) -> None:
        self.log.append(f"{self.name} fails: {cause}")


class Owner:
    """Nobody."""

    def start_tls(self) -> None: ...

    def session_ready(self) -> None: ...

    def session_ended(self, cause: SMTPError | None) -> None: ...


class Transport:
    """What was written, write by write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def loseConnection(self) -> None: ...


@pytest.fixture
def opened() -> tuple[Line, list[str]]:
    """A line whose session is ready, and a log for turns."""
    line = Line(ClientSession(Terms(b"client.test")), Clock(), Owner())
    line.connected(Transport())
    for said in (b"220 mx\r\n", b"250 mx\r\n"):
        line.take(line.session.receive_data(said, 0.0))
    return line, []


def test_turns_start_in_order(opened: tuple[Line, list[str]]) -> None:
    """A turn that takes a while holds back those behind it, until it leaves."""
    line, log = opened
    slow = Turn(log, "slow", at_once=False)
    for turn in (Turn(log, "first"), slow, Turn(log, "second"), Turn(log, "third")):
        line.enter(turn)
    assert log == ["first starts", "slow starts"]
    line.leave(slow)
    assert log[2:] == ["second starts", "third starts"]


def test_a_turn_that_waits_may_leave(opened: tuple[Line, list[str]]) -> None:
    """And one that is over already may leave again."""
    line, log = opened
    slow, waiting = Turn(log, "slow", at_once=False), Turn(log, "waiting")
    line.enter(slow)
    line.enter(waiting)
    line.leave(waiting)
    line.leave(waiting)
    line.leave(slow)
    line.leave(slow)
    assert log == ["slow starts"]


def test_the_end_of_the_session_fails_every_turn(opened: tuple[Line, list[str]]) -> None:
    """The one that was begun, and those that waited; later ones start and are refused."""
    line, log = opened
    line.enter(Turn(log, "slow", at_once=False))
    line.enter(Turn(log, "waiting"))
    line.end(ConnectionLostError("gone"))
    assert log == ["slow starts", "slow fails: gone", "waiting fails: gone"]
    assert line.over
    line.enter(Turn(log, "late"))
    assert log[3:] == ["late starts"]


def test_no_turn_starts_before_the_session_is_ready() -> None:
    """They wait for EHLO's reply."""
    line, log = Line(ClientSession(Terms(b"client.test")), Clock(), Owner()), []
    line.enter(Turn(log, "early"))
    line.connected(Transport())
    line.take(line.session.receive_data(b"220 mx\r\n", 0.0))
    assert log == []
    line.take(line.session.receive_data(b"250 mx\r\n", 0.0))
    assert log == ["early starts"]


def test_an_input_makes_one_write() -> None:
    """Also where its callbacks send the next message: end, mark and envelope go together."""
    dial = Dial(*greeted(*PIPELINING), *delivery(), *delivery(), *delivery())
    connection = dial.ready
    transport: Any = dial.network.links[0].client
    writes: list[bytes] = []
    write = transport.write
    transport.write = lambda data: (writes.append(data), write(data))
    left = 3

    def again(_: object) -> None:
        nonlocal left
        left -= 1
        if left:
            connection.send(ENVELOPE, BODY).addCallback(again)

    connection.send(ENVELOPE, BODY).addCallback(again)
    dial.network.settle()
    assert left == 0
    assert len(writes) == 6
    connection.close()


def test_quick_acks_are_asked_for_while_replies_are_awaited(
    opened: tuple[Line, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a read that leaves replies owed and nothing to say: a write carries the ACK itself."""
    asked: list[object] = []
    monkeypatch.setattr(Outlet, "acknowledge_quickly", lambda _: asked.append(True))
    from txsmtpconn.session.client.transaction import Noop

    line, _ = opened
    line.take(line.session.submit(Noop()))
    assert asked == []
    line.take(line.session.receive_data(b"250-o", 0.0))
    assert len(asked) == 1
    line.take(line.session.receive_data(b"k\r\n250 ok\r\n", 0.0))
    assert len(asked) == 1


class _Socket(socket.socket):
    """A socket that is never connected, and counts how often quick ACKs are asked for."""

    asked = 0

    def setsockopt(self, *arguments: object) -> None:
        assert arguments == (socket.IPPROTO_TCP, QUICK_ACK, 1)
        self.asked += 1


class _Transport(StringTransport):
    """A transport with a socket."""

    def __init__(self, handle: socket.socket) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._handle = handle

    def getHandle(self) -> socket.socket:
        return self._handle


@pytest.fixture
def handle() -> Iterator[_Socket]:
    """A socket that counts."""
    with _Socket() as made:
        yield made


@pytest.mark.skipif(QUICK_ACK is None, reason="the platform has no TCP_QUICKACK")
def test_replies_that_come_one_by_one_are_each_acknowledged_at_once(handle: _Socket) -> None:
    """Quick ACKs are asked for anew after each read while replies are owed: one read spends it."""
    clock = Clock()
    connection = SMTPConnection(
        clock, ConnectionOptions(host="mx.test", chunking="always", ignore_tls=True), clock=clock
    )
    connection.makeConnection(_Transport(handle))  # type: ignore[no-untyped-call]
    connection.dataReceived(b"220 hi\r\n")
    connection.dataReceived(b"250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
    connection.send(ENVELOPE, BODY)
    asked = [handle.asked]
    for reply in (b"250 mail\r\n", b"250 rcpt\r\n", b"250 taken\r\n"):
        connection.dataReceived(reply)
        asked.append(handle.asked)
    assert asked == [asked[0], asked[0] + 1, asked[0] + 2, asked[0] + 2]
    connection.close()


# -- streamed bodies on a transport that takes what is written at once

CHUNK = b"x" * 65534 + b"\r\n"


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> tuple[SMTPConnection, StringTransport, Clock]:
    """A connection with CHUNKING whose socket always has room."""
    monkeypatch.setattr(Outlet, "hurries", True)
    clock = Clock()
    connection = SMTPConnection(clock, ConnectionOptions(host="mx.test", name="client.test"))
    transport = StringTransport()  # type: ignore[no-untyped-call]
    connection.makeConnection(transport)  # type: ignore[no-untyped-call]
    connection.dataReceived(b"220 hi\r\n")
    connection.dataReceived(b"250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
    return connection, transport, clock


def heard(transport: StringTransport) -> bytes:
    """Take what was written since the last time."""
    written = transport.value()
    transport.clear()  # type: ignore[no-untyped-call]
    return written


def test_a_streamed_body_leaves_in_bursts(
    streaming: tuple[SMTPConnection, StringTransport, Clock],
) -> None:
    """One BDAT for each, between which others have their turn, until the window is full."""
    connection, transport, clock = streaming
    heard(transport)
    sent = connection.send(ENVELOPE, iter([CHUNK] * 10))
    connection.dataReceived(b"250 mail\r\n250 rcpt\r\n")
    burst = b"BDAT 262144\r\n" + CHUNK * 4
    assert heard(transport).partition(b"BDAT")[2] == burst[4:]
    clock.advance(0)
    assert heard(transport) == burst
    clock.advance(0)
    clock.advance(0)
    assert heard(transport) == b""
    connection.dataReceived(b"250 chunk\r\n")
    assert heard(transport) == b"BDAT 131072 LAST\r\n" + CHUNK * 2
    connection.dataReceived(b"250 chunk\r\n250 done\r\n")
    assert success_result_of(sent).message_size == 10 * len(CHUNK)
    connection.close()


def test_a_burst_that_will_not_come_is_not_waited_for(
    streaming: tuple[SMTPConnection, StringTransport, Clock],
) -> None:
    """Nothing is left with the reactor when the connection is gone."""
    connection, _, clock = streaming
    sent = connection.send(ENVELOPE, iter([CHUNK] * 10))
    connection.dataReceived(b"250 mail\r\n250 rcpt\r\n")
    connection.close()
    connection.connectionLost()
    assert failure_result_of(sent)
    assert not clock.getDelayedCalls()


def test_all_but_the_mark_has_left_when_it_is_asked_for(
    streaming: tuple[SMTPConnection, StringTransport, Clock],
) -> None:
    """The last chunks of a burst too, though they come with the end of the body."""
    connection, transport, _ = streaming
    heard(transport)
    left: list[bytes] = []
    mark: Deferred[None] = Deferred()

    def before_mark() -> Deferred[None]:
        left.append(heard(transport))
        return mark

    sent = connection.send(ENVELOPE, iter([CHUNK] * 2), before_mark=before_mark)
    connection.dataReceived(b"250 mail\r\n250 rcpt\r\n")
    assert left[0].endswith(b"BDAT 131072\r\n" + CHUNK * 2)
    assert heard(transport) == b""
    mark.callback(None)
    assert heard(transport) == b"BDAT 0 LAST\r\n"
    connection.dataReceived(b"250 chunk\r\n250 done\r\n")
    assert success_result_of(sent).accepted
    connection.close()


def test_a_transport_that_cannot_abort_is_closed() -> None:
    """The caller's may be of a simple kind."""
    calls: list[str] = []

    class Simple:
        def loseConnection(self) -> None:
            calls.append("lose")

    class Full(Simple):
        def abortConnection(self) -> None:
            calls.append("abort")

    abort(None)
    abort(Simple())
    abort(Full())
    assert calls == ["lose", "abort"]
