"""A message from a file or a pipe, piece by piece; one that is slow keeps nobody else waiting."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from txsmtpconn.errors import MessageError
from txsmtpconn.transport.preparation import HEAD_LIMIT, head_of

_CHUNK = 64 * 1024


@implementer(IReadDescriptor)
class Pieces:
    """What a descriptor gives, one read at a time.

    A regular file is read at once.  Anything else (a pipe, a terminal, a socket) is read when the
    reactor finds that there is something to read, so that the read does not block; the descriptor
    itself, which other processes may share, is left as it is.

    Args:
        reactor: Tells when there is something.
        descriptor: What to read from; it is closed in the end.
    """

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._status = os.fstat(descriptor)
        self._waiting: Deferred[bytes] | None = None

    @classmethod
    def of(cls, reactor: Any, path: str) -> Pieces:
        """Open a file; - is standard input.

        Raises:
            OSError: It cannot be opened.
        """
        if path == "-":
            return cls(reactor, os.dup(0))
        if Path(path).is_dir():
            # It can be opened, and the first read would not say which.
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return cls(reactor, os.open(Path(path), os.O_RDONLY | os.O_CLOEXEC))

    @property
    def size(self) -> int | None:
        """Octets of a regular file: an estimate of the message (RFC 1870 section 6.1)."""
        return self._status.st_size or None if self._regular else None

    @property
    def _regular(self) -> bool:
        return stat.S_ISREG(self._status.st_mode)

    async def read(self) -> bytes:
        """Return the next octets, as they come; none at the end.

        Raises:
            OSError: They cannot be read.
        """
        if self._regular:
            return os.read(self._descriptor, _CHUNK)
        waiting: Deferred[bytes] = Deferred(self._cancel)
        self._waiting = waiting
        self._reactor.addReader(self)
        return await waiting

    def __enter__(self) -> Pieces:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        os.close(self._descriptor)

    # -- IReadDescriptor

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return the name of this in logs."""
        return "message"

    def doRead(self) -> None:  # noqa: N802
        """Read what there is: there is something, or the end."""
        waiting = self._stop()
        if waiting is None:
            return
        try:
            octets = os.read(self._descriptor, _CHUNK)
        except OSError:
            waiting.errback()
        else:
            waiting.callback(octets)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor will not tell any more."""
        if reason.check(ConnectionDone):
            # A pipe whose writer is gone: reading it does not block, and gives the end.
            self.doRead()
        else:
            # The reactor has come to its end, and nobody waits.
            self._waiting = None

    def _cancel(self, _: Deferred[bytes]) -> None:
        self._stop()

    def _stop(self) -> Deferred[bytes] | None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._reactor.removeReader(self)
        return waiting


async def split(pieces: Pieces) -> tuple[bytes, bytes]:
    """Read the header section, and what was read behind it.

    Raises:
        MessageError: The message is empty, or its header section has no end.
    """
    beginning = b""
    while (end := head_of(beginning)) is None:
        chunk = await pieces.read()
        if not chunk:
            end = len(beginning)
            break
        beginning += chunk
        if len(beginning) > HEAD_LIMIT:
            raise MessageError(f"no end of the header section within {HEAD_LIMIT} octets")
    if not beginning:
        raise MessageError("the message is empty")
    return beginning[:end], beginning[end:]
