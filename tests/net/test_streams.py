"""Messages of every kind as sources."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8, default
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from tests.net.test_bodies import Producer, chunks_of
from txsmtpconn import MessageError, StreamError
from txsmtpconn.net import streams
from txsmtpconn.net.streams import MessageSource, message_source
from txsmtpconn.testing import failure_result_of, success_result_of

BIG = bytes(range(256)) * 1000


def content(source: MessageSource) -> bytes:
    """All of a source."""
    body = source.open()
    try:
        return b"".join(chunks_of(body))
    finally:
        body.close()


@pytest.mark.parametrize(
    "message", [b"octets", bytearray(b"octets"), memoryview(b"octets"), "octets"]
)
def test_octets_and_text_in_memory(message: Any) -> None:
    """Whole, of known size, replayable."""
    source = message_source(message)
    assert source.whole == b"octets"
    assert source.size == 6
    assert source.replayable
    assert source.eight_bit is False
    assert content(source) == content(source) == b"octets"


def test_a_buffer_of_the_callers_is_copied() -> None:
    """A32: what happens to it later does not reach the message."""
    buffer = bytearray(b"before")
    source = message_source(buffer)
    buffer[:] = b"after!"
    assert content(source) == b"before"


def test_text_is_sent_as_utf8() -> None:
    """And known to be 8-bit; half a surrogate pair is no text."""
    source = message_source("grüß")
    assert source.whole == "grüß".encode()
    assert source.eight_bit is True
    with pytest.raises(MessageError):
        message_source("\ud800")


def test_big_messages_in_memory_are_not_whole() -> None:
    """From 64 KiB on they are streamed."""
    assert message_source(b"x" * 65536).whole is not None
    source = message_source(BIG)
    assert source.whole is None
    assert source.size == len(BIG)
    assert content(source) == BIG


@pytest.mark.parametrize("message", [b"", "", bytearray(), io.BytesIO()])
def test_the_empty_message_is_refused(message: Any) -> None:
    """EMESSAGE."""
    with pytest.raises(MessageError):
        message_source(message)


@pytest.mark.parametrize(
    "message", [None, 42, {"from": "a", "to": "b"}, object(), io.StringIO("text"), 1.5]
)
def test_what_is_no_message_is_refused(message: Any) -> None:
    """smtp-connection's example of a `{from, to}` object among it."""
    with pytest.raises(MessageError):
        message_source(message)


def test_a_closed_file_or_one_for_writing_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    file = (tmp_path / "x").open("wb")
    with pytest.raises(MessageError):
        message_source(file)
    file.close()
    with pytest.raises(MessageError):
        message_source(file)


# -- files


@pytest.mark.parametrize("size", [10, 65536, 200_000])
def test_a_file_is_taken_from_its_position_on(tmp_path: Path, size: int) -> None:
    """Replayable from there, and left open."""
    path = tmp_path / "message"
    path.write_bytes(b"header" + b"x" * size)
    with path.open("rb") as file:
        file.seek(6)
        source = message_source(file)
        assert source.size == size
        assert source.replayable
        assert content(source) == content(source) == b"x" * size
        assert not file.closed


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("make", ["buffered", "raw", "read and write", "packed"])
def test_a_file_may_be_given_for_several_messages_at_once(
    tmp_path: Path, size: int, make: str
) -> None:
    """Each gets all of it, however their readings interleave, and its position stays.

    What the system has under the number of a packed file is not what is read from it.
    """
    path = tmp_path / "message"
    octets = os.urandom(size)
    path.write_bytes(gzip.compress(octets) if make == "packed" else octets)
    opened: Any = {
        "buffered": lambda: path.open("rb"),
        "raw": lambda: path.open("rb", buffering=0),
        "read and write": lambda: path.open("r+b"),
        "packed": lambda: gzip.GzipFile(path),
    }[make]()
    with opened as file:
        first = message_source(file).open()
        chunks = [first.read()]
        assert content(message_source(file)) == octets
        while chunks[-1]:
            chunks.append(first.read())
        assert b"".join(chunks) == octets
        assert file.tell() == 0


def test_a_small_file_that_shrinks_is_refused() -> None:
    """Half a message is no message, whatever its size."""

    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size)[:5]

    with pytest.raises(MessageError):
        message_source(Shrinking(b"x" * 10))


def test_a_file_that_grows_is_sent_as_it_was(tmp_path: Path) -> None:
    """The size that was announced is the size that is sent."""
    path = tmp_path / "message"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as file:
        source = message_source(file)
        with path.open("ab") as more:
            more.write(b"y" * 50_000)
        assert content(source) == b"x" * 100_000


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    """A24: half a message is no message."""
    path = tmp_path / "message"
    path.write_bytes(b"x" * 200_000)
    with path.open("rb") as file:
        source = message_source(file)
        os.truncate(path, 70_000)
        with pytest.raises(StreamError):
            content(source)


def test_a_file_that_is_closed_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    """Its number may be another file's by then."""
    path = tmp_path / "message"
    path.write_bytes(b"x" * 200_000)
    with path.open("rb") as file:
        body = message_source(file).open()
        body.read()
    with path.open("rb"), pytest.raises(ValueError, match="closed"):
        body.read()


def test_files_of_other_makes() -> None:
    """In memory, spooled, and one that cannot seek."""
    assert content(message_source(io.BytesIO(BIG))) == BIG
    with tempfile.SpooledTemporaryFile() as file:
        file.write(BIG)
        file.seek(0)
        assert content(message_source(file)) == BIG

    class OneWay(io.RawIOBase):
        def __init__(self) -> None:
            self._inner = io.BytesIO(BIG)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return self._inner.readinto(buffer)

    source = message_source(OneWay())
    assert source.size is None
    assert not source.replayable
    assert content(source) == BIG


def test_a_callable_opens_and_we_close(tmp_path: Path) -> None:
    """Each reading has a file of its own."""
    path = tmp_path / "message"
    path.write_bytes(BIG)
    opened: list[Any] = []

    def reopen() -> Any:
        opened.append(path.open("rb"))
        return opened[-1]

    source = message_source(reopen)
    assert opened == []
    assert source.replayable
    assert content(source) == content(source) == BIG
    assert len(opened) == 2
    assert all(file.closed for file in opened)


def test_a_callable_must_open_a_binary_file(tmp_path: Path) -> None:
    """A text file is closed again; the error says what came instead."""
    path = tmp_path / "message"
    path.write_text("text")
    texts: list[Any] = []

    def reopen() -> Any:
        texts.append(path.open())
        return texts[-1]

    for opener in (reopen, lambda: 42, lambda: None):
        with pytest.raises(StreamError):
            message_source(opener).open()
    assert texts[0].closed


def test_a_file_that_returns_no_octets_is_an_error() -> None:
    """None from a non-blocking file is not the end of it."""

    class Empty:
        def read(self, size: int) -> Any:
            return b"" if size == 0 else None

    with pytest.raises(StreamError):
        content(message_source(Empty()))


def test_a_pipe_is_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where waiting harms nobody; closing waits for the thread to be done with it."""
    reads: list[tuple[Deferred[bytes], Any]] = []

    def defer_to(reactor: Any, pool: Any, function: Any, size: int) -> Deferred[bytes]:
        deferred: Deferred[bytes] = Deferred()
        reads.append((deferred, lambda: function(size)))
        return deferred

    class Reactor:
        def getThreadPool(self) -> None:
            return None

    monkeypatch.setattr(streams, "deferToThreadPool", defer_to)
    monkeypatch.setattr(streams, "default_reactor", Reactor)
    out, into = os.pipe()
    file = os.fdopen(out, "rb")
    source = message_source(lambda: file)
    body = source.open()
    read = body.read()
    assert isinstance(read, Deferred)
    os.write(into, b"from a pipe")
    reads[0][0].callback(reads[0][1]())
    assert success_result_of(read) == b"from a pipe"
    second = body.read()
    body.close()
    assert not file.closed
    os.close(into)
    reads[1][0].callback(reads[1][1]())
    assert file.closed
    assert success_result_of(second) == b""  # type: ignore[arg-type]


# -- email.message


def test_an_email_message_is_rendered_with_crlf() -> None:
    """7-bit where its header fields allow it."""
    message = EmailMessage()
    message["From"] = "Jörg <joerg@example.org>"
    message["To"] = "b@example.net"
    message["Subject"] = "Grüße"
    message.set_content("Hallo Welt\n.\n")
    source = message_source(message)
    rendered = content(source)
    assert b"\n" not in rendered.replace(b"\r\n", b"")
    assert b"Subject: =?utf-8?" in rendered
    assert not source.smtputf8
    assert source.replayable
    assert message_from_bytes(rendered, policy=default)["Subject"] == "Grüße"


@pytest.mark.parametrize("field", ["From", "To", "Cc", "Reply-To", "Sender"])
def test_an_international_mailbox_needs_utf8_header_fields(field: str) -> None:
    """No encoded-word can stand for one (RFC 6532)."""
    message = EmailMessage()
    message[field] = "jörg@example.org"
    message.set_content("x")
    source = message_source(message)
    assert source.smtputf8
    assert source.eight_bit
    assert "jörg@example.org".encode() in content(source)


def test_a_policy_that_allows_utf8_does_not_demand_it() -> None:
    """A 7-bit header needs no extension."""
    message = EmailMessage(policy=SMTPUTF8)
    message["From"] = "a@example.org"
    message.set_content("x")
    assert not message_source(message).smtputf8


def test_a_parsed_message_of_the_old_policy_is_taken() -> None:
    """compat32, as `email.message_from_bytes` gives without a policy."""
    message = message_from_bytes(b"From: a@example.org\nSubject: x\n\nFrom here\n")
    rendered = content(message_source(message))
    assert rendered == b"From: a@example.org\r\nSubject: x\r\n\r\nFrom here\r\n"


# -- producers and iterables


def body_producer(pieces: list[bytes], length: Any) -> Any:
    """An IBodyProducer."""

    @implementer(IBodyProducer)
    class Declared(Producer):
        pass

    producer = Declared(pieces)
    producer.length = length  # type: ignore[attr-defined]
    return producer


def test_an_ibodyproducer_is_taken_with_its_length() -> None:
    """Or without; a length of nothing is an empty message."""
    source = message_source(body_producer([b"abc", b"def"], 6))
    assert source.size == 6
    assert not source.replayable
    assert content(source) == b"abcdef"
    assert message_source(body_producer([b"abc"], UNKNOWN_LENGTH)).size is None
    with pytest.raises(MessageError):
        message_source(body_producer([], 0))


def test_iterables_of_octets() -> None:
    """A list can be gone through again, a generator or async iterable cannot."""

    async def later() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"c"

    for message, replayable in (
        ([b"ab", b"c"], True),
        ((b"ab", b"c"), True),
        (iter([b"ab", b"c"]), False),
        ((piece for piece in (b"ab", b"c")), False),
        (later(), False),
    ):
        source = message_source(message)
        assert source.size is None
        assert source.replayable is replayable
        assert content(source) == b"abc"


def test_the_failure_of_a_source_is_its_own() -> None:
    """Whoever reads wraps it."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError("gone")

    body = message_source(broken()).open()
    assert success_result_of(body.read()) == b"x"  # type: ignore[arg-type]
    assert isinstance(failure_result_of(body.read()), OSError)  # type: ignore[arg-type]
    body.close()


class _Unreadable(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "of a secret disk")


class _Uncountable(list[bytes]):
    def __iter__(self) -> Any:
        raise RuntimeError("of a secret list")


@pytest.mark.parametrize("message", [_Unreadable(b"x"), _Uncountable([b"x"])])
def test_a_message_that_fails_at_the_first_look_is_estream(message: Any) -> None:
    """Who sends it holds a Deferred, and expects no exception of another kind."""
    with pytest.raises(StreamError, match="the source of the message failed") as caught:
        message_source(message)
    assert "secret" not in str(caught.value)
