"""Reading a message: from a pipe that is slow, without keeping the reactor waiting."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from tests.cli.running import RunningSink, command, environment
from txsmtpconn.cli.pieces import Pieces
from txsmtpconn.testing import no_result_of, success_result_of

HEAD = b"From: a@x.test\r\nTo: b@y.test\r\n\r\n"


class Readers:
    """The part of a reactor that watches descriptors."""

    def __init__(self) -> None:
        self.watched: list[object] = []

    def addReader(self, reader: object) -> None:  # noqa: N802
        self.watched.append(reader)

    def removeReader(self, reader: object) -> None:  # noqa: N802
        self.watched.remove(reader)


@pytest.fixture
def pipe() -> Iterator[tuple[Readers, Pieces, int]]:
    """A pipe, what reads from it, and where to write."""
    readers = Readers()
    out, into = os.pipe()
    with Pieces(readers, out) as pieces:
        yield readers, pieces, into
    with pytest.raises(OSError):
        os.fstat(out)


def reading(pieces: Pieces) -> Deferred[bytes]:
    """A read under way."""
    return Deferred.fromCoroutine(pieces.read())


def test_a_pipe_is_read_when_there_is_something(pipe: tuple[Readers, Pieces, int]) -> None:
    """And is watched only while somebody waits for it."""
    readers, pieces, into = pipe
    assert pieces.size is None
    first = reading(pieces)
    assert readers.watched == [pieces]
    no_result_of(first)
    os.write(into, b"one")
    pieces.doRead()
    assert success_result_of(first) == b"one"
    assert readers.watched == []
    last = reading(pieces)
    os.close(into)
    pieces.connectionLost(Failure(ConnectionDone()))
    assert success_result_of(last) == b""
    assert readers.watched == []


def test_a_read_can_be_cancelled(pipe: tuple[Readers, Pieces, int]) -> None:
    """The next one has what the pipe holds."""
    readers, pieces, into = pipe
    given_up = reading(pieces)
    given_up.addErrback(lambda _: None)
    given_up.cancel()
    assert readers.watched == []
    os.write(into, b"x")
    pieces.doRead()
    after = reading(pieces)
    pieces.doRead()
    assert success_result_of(after) == b"x"
    os.close(into)


def test_the_end_of_the_reactor_reads_nothing(pipe: tuple[Readers, Pieces, int]) -> None:
    """A read would block until the pipe's writer is in the mood."""
    readers, pieces, into = pipe
    waiting = reading(pieces)
    readers.watched.clear()
    pieces.connectionLost(Failure(ConnectionLost()))
    no_result_of(waiting)
    os.close(into)


def test_a_file_needs_no_reactor(tmp_path: Path) -> None:
    """It has a size, which the server is told."""
    path = tmp_path / "m.eml"
    path.write_bytes(HEAD)
    with Pieces.of(None, str(path)) as pieces:
        assert pieces.size == len(HEAD)
        assert success_result_of(pieces.read()) == HEAD
        assert success_result_of(pieces.read()) == b""


def test_a_pipe_that_falls_silent_is_given_up(sink: RunningSink) -> None:
    """The reactor goes on while the message does not come: its timer ends the attempt."""
    url = f"smtp://127.0.0.1:{sink.port}?block_timeout=0.5&socket_timeout=0.5"
    process = subprocess.Popen(
        command("send", url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdin is not None
    process.stdin.write(HEAD + b"and then")
    process.stdin.flush()
    # Standard input stays open: who reads it in the reactor's thread never ends.
    assert process.wait(timeout=30) == 75
    process.stdin.close()
    assert process.stderr is not None
    assert b"ETIMEDOUT" in process.stderr.read()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert not list(sink.kept.glob("*.eml"))


def test_a_pipe_that_comes_in_pieces_arrives_whole(sink: RunningSink) -> None:
    """The head in one write, the rest in others."""
    process = subprocess.Popen(
        command("send", f"smtp://127.0.0.1:{sink.port}", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    body = [b"line %d\r\n" % number * 1000 for number in range(20)]
    assert process.stdin is not None
    for piece in (HEAD[:10], HEAD[10:], *body):
        process.stdin.write(piece)
        process.stdin.flush()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert sink.take()[0] == HEAD + b"".join(body)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_mid_message_is_no_success(sink: RunningSink, number: signal.Signals) -> None:
    """The server is left without the end of the message, and the exit code does not say 0."""
    process = subprocess.Popen(
        command("send", f"smtp://127.0.0.1:{sink.port}", "--verbose"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(HEAD + b"and then")
    process.stdin.flush()
    for line in process.stderr:
        if b"C: BDAT" in line:
            break
    process.send_signal(number)
    assert process.wait(timeout=30) == 75
    process.stdin.close()
    assert b"ECANCELLED" in process.stderr.read()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert not list(sink.kept.glob("*.eml"))
