"""Mail data on its way into an SQLite spool, piece by piece, and out of it again."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred, succeed

from txsmtpconn.relay import spoolrows
from txsmtpconn.relay.groupcommit import GroupCommit, translated
from txsmtpconn.relay.room import Room
from txsmtpconn.relay.spool import CorruptMessageError, NewMessage, SpoolError
from txsmtpconn.relay.spoolrows import queue_id

T = TypeVar("T")

PIECE = 256 * 1024
"""Octets of mail data in one row."""

READ_SIZE = 64 * 1024
"""Octets that a reader hands out at once."""


def reading(pool: adbapi.ConnectionPool, query: Callable[[sqlite3.Cursor], T]) -> Deferred[T]:
    """Run a query that only reads; fails with `SpoolError`."""

    def read(connection: adbapi.Connection) -> T:
        try:
            return query(connection.cursor())
        except sqlite3.Error as error:
            raise translated(error) from error

    outcome: Deferred[T] = pool.runWithConnection(read)
    return outcome


class SQLiteIncoming:
    """A message on its way in: at most one piece is being written while the next one fills.

    Args:
        writer: Writes.
        room: Says whether there is room for a piece.
        now: Seconds since 1970.
        number: The message's.
        envelope: Its envelope.
        left_behind: Called with the number if what is stored of it could not be removed.
    """

    def __init__(
        self,
        writer: GroupCommit,
        room: Room,
        now: Callable[[], float],
        number: int,
        envelope: NewMessage,
        left_behind: Callable[[int], None],
    ) -> None:
        self._writer = writer
        self._room = room
        self._now = now
        self._number = number
        self._envelope = envelope
        self._left_behind = left_behind
        self._filling: list[bytes] = []
        self._filled = 0
        self._pieces = 0
        self._size = 0
        self._checksum = 0
        self._writing: Deferred[None] | None = None
        self._ended = False

    @property
    def id(self) -> str:
        return queue_id(self._number)

    def write(self, chunk: bytes) -> Deferred[None] | None:
        if self._ended:
            raise SpoolError("the message has ended")
        self._size += len(chunk)
        self._checksum = zlib.crc32(chunk, self._checksum)
        self._filling.append(chunk)
        self._filled += len(chunk)
        if self._filled < PIECE:
            return None
        earlier, self._writing = self._writing, self._write_pieces()
        if earlier is None:
            return None
        # Two pieces are in memory now, and no third may begin before the first is stored.
        return earlier

    def _write_pieces(self) -> Deferred[None]:
        octets = b"".join(self._filling)
        pieces = [
            (self._pieces + index, octets[start : start + PIECE])
            for index, start in enumerate(range(0, len(octets), PIECE))
        ]
        self._pieces += len(pieces)
        self._filling, self._filled = [], 0

        def insert(db: sqlite3.Cursor) -> None:
            self._room.take(db, len(octets))
            for number, piece in pieces:
                spoolrows.insert_chunk(db, self._number, number, piece)

        return self._writer.run(insert)

    def commit(self) -> Deferred[str]:
        if self._ended:
            raise SpoolError("the message has ended")
        self._ended = True
        last = b"".join(self._filling)
        self._filling = []
        earlier = self._writing if self._writing is not None else succeed(None)
        self._writing = None

        def insert(db: sqlite3.Cursor) -> None:
            if last or not self._pieces:
                spoolrows.insert_chunk(db, self._number, self._pieces, last)
            spoolrows.insert_message(
                db, self._now(), self._number, self._envelope, self._size, self._checksum
            )

        return earlier.addCallback(lambda _: self._writer.run(insert)).addCallbacks(
            lambda _: self.id, self._commit_failed
        )

    def _commit_failed(self, failure: Any) -> Any:
        # Nobody knows whether the commit of a failed disk has come through, and a cancelled one
        # comes through for certain; but the client is told that it has not.
        self._pieces = self._pieces or 1
        self._forget()
        return failure

    def abort(self) -> None:
        if not self._ended:
            self._ended = True
            self._filling = []
            self._forget()

    def _forget(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.addErrback(lambda _: None)
        if self._pieces:
            self._writer.run(lambda db: spoolrows.delete_message(db, self._number)).addErrback(
                lambda _: self._left_behind(self._number)
            )


class SQLiteBody:
    """Reads the pieces of a message one after the other and checks the sum before it says "end"."""

    def __init__(self, readers: adbapi.ConnectionPool, number: int) -> None:
        self._readers = readers
        self._message = number
        self._piece = memoryview(b"")
        self._next = 0
        self._size = 0
        self._checksum = 0
        self._closed = False

    def read(self) -> bytes | Deferred[bytes]:
        if self._piece:
            return self._slice()
        if self._closed:
            return b""
        return reading(self._readers, self._fetch).addCallback(self._fetched)

    def close(self) -> None:
        self._closed = True
        self._piece = memoryview(b"")

    def _fetch(self, db: sqlite3.Cursor) -> tuple[bytes | None, tuple[int, int] | None]:
        row = db.execute(
            "SELECT octets FROM chunk WHERE message = ? AND number = ?",
            (self._message, self._next),
        ).fetchone()
        if row is not None:
            return row[0], None
        facts = db.execute(
            "SELECT size, checksum FROM message WHERE id = ?", (self._message,)
        ).fetchone()
        return None, facts

    def _fetched(self, found: tuple[bytes | None, tuple[int, int] | None]) -> bytes:
        octets, facts = found
        if octets is None:
            if facts != (self._size, self._checksum):
                raise CorruptMessageError(
                    f"the mail data of {queue_id(self._message)} does not match its checksum"
                )
            return b""
        self._next += 1
        self._size += len(octets)
        self._checksum = zlib.crc32(octets, self._checksum)
        self._piece = memoryview(octets)
        return self._slice()

    def _slice(self) -> bytes:
        chunk = bytes(self._piece[:READ_SIZE])
        self._piece = self._piece[READ_SIZE:]
        return chunk
