"""The embedded spool: one SQLite database, one process, one writer that commits in groups.

Mail data is kept in pieces. Those of a large message are written while it comes in, each in a
transaction that others share, and belong to nothing until the commit that adds the message and
its recipients; a session that ends early leaves pieces that are dropped, at the latest at the next
start. One transaction per message would hold the only writer for as long as the slowest client.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorCore

from txsmtpconn.relay import spoolcare, spoolquery, spoolrows
from txsmtpconn.relay.groupcommit import GroupCommit, translated
from txsmtpconn.relay.spool import (
    Batch,
    BodyReader,
    Capacity,
    Claim,
    CorruptMessageError,
    Doubt,
    HistoryEntry,
    Incoming,
    NewMessage,
    QueuedMessage,
    Recovery,
    SpoolError,
    State,
    Verdict,
)
from txsmtpconn.relay.spoolfile import (
    DATABASE,
    SpoolLock,
    check_schema,
    open_for_reading,
    open_for_writing,
    prepare_directory,
)
from txsmtpconn.relay.spoolrows import message_number, queue_id

T = TypeVar("T")

PIECE = 256 * 1024
"""Octets of mail data in one row."""

READ_SIZE = 64 * 1024
"""Octets that a reader hands out at once."""

_READERS = 2


class SQLiteSpool:
    """An `ISpool` in a directory.

    Args:
        directory: Made if it is not there, readable by nobody else.
        reactor: Runs the threads that talk to the database.
        reserve: Octets of disk that no new message may use, so that results can still be written.
        now: Seconds since 1970.
        monotonic: Seconds that are never set back, for leases: they do not outlive the process.
        pool: Makes the connection pools.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        reactor: IReactorCore,
        *,
        reserve: int = 64 * 1024 * 1024,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        pool: Callable[..., adbapi.ConnectionPool] = adbapi.ConnectionPool,
    ) -> None:
        self._directory = Path(directory)
        self._reactor = reactor
        self._reserve = reserve
        self._now = now
        self._monotonic = monotonic
        self._make_pool = pool
        self._lock = SpoolLock(self._directory)
        self._owner = secrets.token_hex(8)
        self._last_number = 0
        self._pools: list[adbapi.ConnectionPool] = []

    # Opening and closing

    def start(self, doubt: Doubt = Doubt.RETRY) -> Deferred[Recovery]:
        """Open the spool; see `ISpool.start`."""
        return maybeDeferred(self._start, doubt).addErrback(self._start_failed)

    def _start(self, doubt: Doubt) -> Deferred[Recovery]:
        prepare_directory(self._directory)
        self._lock.acquire()
        path = self._directory / DATABASE
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            open_for_writing(connection)
            check_schema(connection)
            last = connection.execute("SELECT max(id) FROM message").fetchone()[0]
        except sqlite3.Error as error:
            raise translated(error) from error
        finally:
            connection.close()
        self._last_number = last or 0
        writer = self._pool(str(path), open_for_writing, 1)
        self._readers = self._pool(
            f"{path.absolute().as_uri()}?mode=ro", open_for_reading, _READERS
        )
        self._writer = GroupCommit(writer)

        def recover(db: sqlite3.Cursor) -> Recovery:
            spoolrows.sweep(db)
            # We hold the lock: whoever had these leases is dead.
            return spoolcare.recover(db, self._now(), doubt, float("inf"))

        return self._writer.run(recover)

    def _pool(
        self, path: str, opened: Callable[[sqlite3.Connection], None], most: int
    ) -> adbapi.ConnectionPool:
        pool = self._make_pool(
            "sqlite3",
            path,
            uri=path.startswith("file:"),
            isolation_level=None,
            check_same_thread=False,
            cp_reactor=self._reactor,
            cp_min=1,
            cp_max=most,
            cp_openfun=opened,
        )
        self._pools.append(pool)
        return pool

    def _start_failed(self, failure: Any) -> Any:
        self._close()
        return failure

    @inlineCallbacks
    def stop(self) -> Any:
        """Finish and close; see `ISpool.stop`."""
        if self._pools:
            yield self._writer.close()
        self._close()

    def _close(self) -> None:
        pools, self._pools = self._pools, []
        # The writer last: whoever closes the file last folds the journal into it.
        for pool in reversed(pools):
            pool.close()
        self._lock.release()

    def capacity(self) -> Capacity:
        """Tell what the file system has left for us."""
        facts = os.statvfs(self._directory)
        return Capacity(facts.f_bavail * facts.f_frsize, self._reserve)

    # Accepting

    def open(self, envelope: NewMessage) -> Incoming:
        """Begin to accept a message."""
        # 2 ** 21 ids to a millisecond; a clock set back does not make one twice.
        number = int(self._now() * 1000) << 21 | secrets.randbits(20)
        self._last_number = number = max(number, self._last_number + 1)
        return _SQLiteIncoming(self._writer, self._now, number, envelope)

    # Delivering

    def claim(
        self,
        limit: int,
        lease: float,
        *,
        recipients: int = 100,
        avoid: Collection[str] = (),
        marked: bool = False,
    ) -> Deferred[Batch]:
        """Lease due recipients; see `ISpool.claim`."""
        terms = spoolrows.Lease(self._owner, self._monotonic() + lease, marked)
        return self._run(spoolrows.claim, self._now(), terms, limit, recipients, avoid)

    def renew(self, lease: float) -> Deferred[int]:
        """Extend our leases."""
        return self._run(spoolrows.renew, self._owner, self._monotonic() + lease)

    def mark(self, claim: Claim, lease: float) -> Deferred[bool]:
        """Put a claim into COMMITTING; see `ISpool.mark`."""
        return self._run(spoolrows.mark, claim, self._monotonic() + lease)

    def record(self, claim: Claim, verdicts: Sequence[Verdict]) -> Deferred[int]:
        """Write down outcomes; see `ISpool.record`."""
        return self._run(spoolrows.record, self._now(), claim.message, verdicts)

    def recover(
        self, doubt: Doubt = Doubt.RETRY, *, horizon: float = float("inf")
    ) -> Deferred[Recovery]:
        """Take back leases that ran out."""
        now, expired = self._now(), self._monotonic()

        def recover(db: sqlite3.Cursor) -> Recovery:
            spoolcare.forgive(db, now, horizon)
            return spoolcare.recover(db, now, doubt, expired)

        return self._writer.run(recover)

    def body(self, message: str) -> BodyReader:
        """Read a message's octets."""
        return _SQLiteBody(self._readers, message_number(message))

    def expire(self, age: float, detail: str) -> Deferred[int]:
        """Give up what waits of old messages."""
        return self._run(spoolcare.expire, self._now(), age, detail)

    def prune(self, kept: float, history: float) -> Deferred[int]:
        """Remove what has been kept long enough; give free pages back to the file system."""
        now = self._now()

        def prune(db: sqlite3.Cursor) -> int:
            removed = spoolcare.prune(db, now, kept, history)
            spoolcare.give_back(db)
            return removed

        return self._writer.run(prune)

    # The operator's calls

    def hold(self, message: str, detail: str = "") -> Deferred[int]:
        """Keep what waits from being delivered."""
        return self._run(spoolcare.hold, self._now(), message_number(message), detail)

    def release(self, message: str) -> Deferred[int]:
        """Let what is held or quarantined be delivered."""
        return self._run(spoolcare.release, self._now(), message_number(message))

    def requeue(self, message: str) -> Deferred[int]:
        """Try again what was given up."""
        return self._run(spoolcare.requeue, self._now(), message_number(message))

    def remove(self, message: str, detail: str = "") -> Deferred[int]:
        """Drop what is not yet delivered."""
        return self._run(spoolcare.remove, self._now(), message_number(message), detail)

    # Inspection

    def counts(self) -> Deferred[dict[State, int]]:
        """Count recipients by state."""
        return self._read(spoolquery.counts)

    def messages(
        self, *, state: State | None = None, after: str = "", limit: int = 100
    ) -> Deferred[list[QueuedMessage]]:
        """List messages, oldest first."""
        return self._read(spoolquery.messages, self._now(), state, message_number(after), limit)

    def show(self, message: str) -> Deferred[QueuedMessage | None]:
        """Fetch one message."""
        return self._read(spoolquery.message, self._now(), message_number(message))

    def why(self, message: str) -> Deferred[list[HistoryEntry]]:
        """Tell what happened to a message."""
        return self._read(spoolquery.history, message_number(message))

    def _run(self, statement: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return self._writer.run(lambda db: statement(db, *arguments))

    def _read(self, query: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return _reading(self._readers, lambda db: query(db, *arguments))


def _reading(pool: adbapi.ConnectionPool, query: Callable[[sqlite3.Cursor], T]) -> Deferred[T]:
    def read(connection: adbapi.Connection) -> T:
        try:
            return query(connection.cursor())
        except sqlite3.Error as error:
            raise translated(error) from error

    outcome: Deferred[T] = pool.runWithConnection(read)
    return outcome


class _SQLiteIncoming:
    """A message on its way in: at most one piece is being written while the next one fills."""

    def __init__(
        self, writer: GroupCommit, now: Callable[[], float], number: int, envelope: NewMessage
    ) -> None:
        self._writer = writer
        self._now = now
        self._number = number
        self._envelope = envelope
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
            # If this fails too, the sweep of the next start does it.
            self._writer.run(lambda db: spoolrows.delete_chunks(db, self._number)).addErrback(
                lambda _: None
            )


class _SQLiteBody:
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
        return _reading(self._readers, self._fetch).addCallback(self._fetched)

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
