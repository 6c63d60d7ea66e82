"""A message in any of the forms that callers have one in, as a source that can be pulled.

`message_source` looks at what it was given once and returns a `MessageSource`; `open()` starts
one reading of it, a `Body`.  Whoever sends the message pulls chunks of at most 64 KiB, one at a
time and only when there is room for them, so a message of any size needs the memory of one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from io import BufferedReader, BytesIO, FileIO, TextIOBase
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import IBodyProducer

from txsmtpconn.errors import MessageError, SMTPError, StreamError
from txsmtpconn.net.bodies import (
    CHUNK_SIZE,
    AsyncIterableBody,
    Body,
    IterableBody,
    MemoryBody,
    ProducerBody,
)
from txsmtpconn.net.clock import default_reactor

_ADDRESS_HEADERS = ("from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-to")


class MessageSource(Protocol):
    """A message that can be read, once or several times.

    Attributes:
        size: Octets as given, before line ends are normalised, where that is known.
        replayable: Whether `open` may be called again for the same octets.
        whole: The whole message where it is in memory and not larger than 64 KiB.
        eight_bit: Whether an octet above 127 is in it; None where nobody has looked.
        smtputf8: Whether its header fields are in UTF-8 (RFC 6532).
    """

    size: int | None
    replayable: bool
    whole: bytes | None
    smtputf8: bool

    @property
    def eight_bit(self) -> bool | None: ...

    def open(self) -> Body: ...


def message_source(message: object) -> MessageSource:
    """Return the source for a message of any kind that we take.

    Those are `bytes`, `bytearray`, `memoryview`, `str` (sent as UTF-8), `EmailMessage`, a binary
    file (from its position on; replayable if it can seek), a callable that opens a binary file
    (replayable; we close it), an `IBodyProducer`, an iterable or async iterable of `bytes`. A
    source is returned as it is.

    Raises:
        MessageError: The message is empty, or is nothing of the kind.
        StreamError: It fails at the first look.
    """
    if type(message) is bytes:
        return MemorySource(message)
    try:
        return _source_of(message)
    except SMTPError:
        raise
    except Exception as reason:
        # Only its class, as for a source that fails later.
        text = f"the source of the message failed: {type(reason).__name__}"
        raise StreamError(text, command="API") from reason


def _source_of(message: object) -> MessageSource:
    if isinstance(message, bytes):
        return MemorySource(message)
    if isinstance(message, (bytearray, memoryview)):
        return MemorySource(bytes(message))
    if isinstance(message, str):
        return MemorySource(_encoded(message))
    if isinstance(message, Message):
        return _flattened(message)
    if callable(getattr(message, "open", None)) and hasattr(message, "replayable"):
        return cast(MessageSource, message)
    if callable(getattr(message, "read", None)):
        return _file_source(message)
    if IBodyProducer.providedBy(message):
        return _producer_source(message)
    if callable(message):
        return ReopeningSource(message)
    if isinstance(message, AsyncIterable):
        return StreamSource(lambda: AsyncIterableBody(message))
    if isinstance(message, Iterable) and not isinstance(message, Mapping):
        # A list can be gone through again, a generator cannot.
        return StreamSource(lambda: IterableBody(message), replayable=iter(message) is not message)
    raise MessageError(f"a message cannot be made from {type(message).__name__}", command="API")


class MemorySource:
    """A message in memory."""

    __slots__ = ("_data", "size", "smtputf8", "whole")

    replayable = True

    def __init__(self, data: bytes, smtputf8: bool = False) -> None:
        size = len(data)
        if size == 0:
            raise _empty()
        self._data = data
        self.size: int | None = size
        self.whole: bytes | None = data if size <= CHUNK_SIZE else None
        self.smtputf8 = smtputf8

    @property
    def eight_bit(self) -> bool | None:
        """Whether an octet above 127 is in it; looked for only when asked."""
        return not self._data.isascii()

    def open(self) -> Body:
        """Start a reading; chunks are cut when they are asked for."""
        return MemoryBody(self._data)


@dataclass(slots=True)
class StreamSource:
    """A message that is produced while it is sent."""

    _open: Callable[[], Body]
    size: int | None = None
    replayable: bool = False
    whole: bytes | None = None
    eight_bit: bool | None = None
    smtputf8: bool = False

    def open(self) -> Body:
        """Start the reading."""
        return self._open()


class ReopeningSource:
    """A callable that opens a binary file each time it is asked to."""

    __slots__ = ("_opener",)

    size: int | None = None
    replayable = True
    whole: bytes | None = None
    eight_bit: bool | None = None
    smtputf8 = False

    def __init__(self, opener: Callable[[], Any]) -> None:
        self._opener = opener

    def open(self) -> Body:
        """Open the file; closing the body closes it.

        Raises:
            StreamError: What the callable returned is no binary file.
        """
        file = self._opener()
        if isinstance(file, TextIOBase) or not callable(getattr(file, "read", None)):
            close = getattr(file, "close", None)
            if callable(close):
                close()
            raise StreamError(f"{type(file).__name__} is not a binary file", command="API")
        return _file_body(file, None, owned=True)


def _empty() -> MessageError:
    return MessageError("the message is empty", command="API")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MessageError("the message holds half of a surrogate pair", command="API") from None


def _flattened(message: Message[Any, Any]) -> MemorySource:
    """Render a message object with CRLF and, where its addresses need it, UTF-8 header fields."""
    policy: Any = message.policy.clone(linesep="\r\n")
    utf8 = bool(getattr(policy, "utf8", False)) or (
        isinstance(message, EmailMessage) and _has_international_address(message)
    )
    if utf8:
        policy = policy.clone(utf8=True)
    octets = BytesIO()
    try:
        BytesGenerator(octets, mangle_from_=False, policy=policy).flatten(message)
    except (ValueError, LookupError, TypeError, AttributeError) as reason:
        raise MessageError("the message object cannot be rendered", command="API") from reason
    data = octets.getvalue()
    # Header fields of 7 bits need no extension, whatever the policy would have allowed.
    head = data.partition(b"\r\n\r\n")[0]
    return MemorySource(data, utf8 and not head.isascii())


def _has_international_address(message: EmailMessage) -> bool:
    """Tell whether a mailbox in the header is not ASCII: no encoded-word can stand for one."""
    for name in _ADDRESS_HEADERS:
        for field in message.get_all(name, ()):
            for address in getattr(field, "addresses", ()):
                if not address.addr_spec.isascii():
                    return True
    return False


def _file_source(file: Any) -> MessageSource:
    try:
        probe = file.read(0)
    except ValueError:
        raise MessageError("the message's file is closed or not open for reading") from None
    if isinstance(probe, str):
        raise MessageError("the message's file is open in text mode", command="API")
    try:
        position = file.tell()
        size = file.seek(0, os.SEEK_END) - position
        file.seek(position)
    except (OSError, ValueError, AttributeError):
        return StreamSource(lambda: _file_body(file, None, owned=False))
    if size <= 0:
        raise _empty()
    if size <= CHUNK_SIZE:
        octets = file.read(size)
        file.seek(position)
        if len(octets) < size:
            raise MessageError("the message's file has become shorter", command="API")
        return MemorySource(octets)
    return StreamSource(
        lambda: _file_body(file, size, owned=False, position=position), size=size, replayable=True
    )


def _producer_source(producer: Any) -> MessageSource:
    # UNKNOWN_LENGTH is an object that is no int.
    length = producer.length if isinstance(producer.length, int) else None
    if length == 0:
        raise _empty()
    return StreamSource(lambda: ProducerBody(producer, length), size=length)


def _file_body(file: Any, size: int | None, *, owned: bool, position: int | None = None) -> Body:
    if not _may_block(file):
        return _FileBody(file, size, owned=owned, position=position)
    if position is not None:
        file.seek(position)
    return _PipeBody(file, size, owned=owned)


def _may_block(file: Any) -> bool:
    """Tell whether reading can wait for somebody else: a pipe, a terminal, a socket."""
    try:
        return not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _is_plain(file: Any) -> bool:
    """Tell whether a file's octets are those that the system has under its number.

    Of one that is unpacked while it is read, say, they are not.
    """
    raw = file.raw if type(file) is BufferedReader else file
    return type(raw) is FileIO and hasattr(os, "pread")


class _FileBody:
    """Reads a file up to the size it had, or to its end.

    A regular file is read in the reactor's thread: 64 KiB from the page cache take less time
    than the way to another thread and back.

    A file that can seek has one position for all who read it, and may be given for several
    messages at once: each reading keeps its own, and leaves the file's where it found it.
    """

    def __init__(
        self, file: Any, size: int | None, *, owned: bool, position: int | None = None
    ) -> None:
        self._file = file
        self._left = size
        self._owned = owned
        self._start = self._position = position
        self._plain = position is not None and _is_plain(file)

    def read(self) -> bytes | Deferred[bytes]:
        if self._position is None:
            return self._checked(self._file.read(self._wanted()))
        chunk = self._checked(self._read_at(self._position, self._wanted()))
        self._position += len(chunk)
        return chunk

    def _read_at(self, position: int, wanted: int) -> Any:
        if self._plain:
            # One system call for three; a file that was closed has no number any more.
            return os.pread(self._file.fileno(), wanted, position)
        self._file.seek(position)
        chunk = self._file.read(wanted)
        self._file.seek(self._start)
        return chunk

    def close(self) -> None:
        owned, self._owned = self._owned, False
        if owned:
            self._file.close()

    def _wanted(self) -> int:
        return CHUNK_SIZE if self._left is None else min(CHUNK_SIZE, self._left)

    def _checked(self, chunk: Any) -> bytes:
        if not isinstance(chunk, bytes):
            raise StreamError(f"the file returned {type(chunk).__name__} instead of bytes")
        if self._left is not None:
            if not chunk and self._left:
                # Sending what there is would deliver half a message.
                raise StreamError("the file has become shorter while it was sent")
            self._left -= len(chunk)
        return chunk


class _PipeBody(_FileBody):
    """Reads a pipe or a terminal in the reactor's thread pool, where waiting harms nobody."""

    _reading = False

    def read(self) -> bytes | Deferred[bytes]:
        reactor = default_reactor()
        self._reading = True
        # os.read would return what there is; a buffered file offers that as read1.
        read = getattr(self._file, "read1", self._file.read)
        deferred = deferToThreadPool(reactor, reactor.getThreadPool(), read, self._wanted())
        return deferred.addBoth(self._done_reading).addCallback(self._checked)

    def close(self) -> None:
        # The thread cannot be interrupted; the file stays open until it is done with it.
        if not self._reading:
            super().close()
            return
        self._closing = True

    _closing = False

    def _done_reading(self, result: Any) -> Any:
        self._reading = False
        if self._closing:
            super().close()
        return result
