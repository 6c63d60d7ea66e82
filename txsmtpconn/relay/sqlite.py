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
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.interfaces import IReactorCore

from txsmtpconn.relay import spoolcare, spoolquery, spoolrows
from txsmtpconn.relay.groupcommit import GroupCommit, translated
from txsmtpconn.relay.room import Room
from txsmtpconn.relay.spool import (
    Batch,
    BodyReader,
    Capacity,
    Claim,
    Doubt,
    HistoryEntry,
    Incoming,
    NewMessage,
    QueuedMessage,
    Recovery,
    State,
    Verdict,
)
from txsmtpconn.relay.spooldata import SQLiteBody, SQLiteIncoming, reading
from txsmtpconn.relay.spoolfile import (
    DATABASE,
    SpoolLock,
    check_schema,
    open_for_reading,
    open_for_writing,
    prepare_directory,
)
from txsmtpconn.relay.spoolrows import message_number

T = TypeVar("T")

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
        self._room = Room(self._directory, reserve)
        self._left_behind: set[int] = set()
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
            # No id twice, not even that of a message of which only the history is left.
            (last,) = connection.execute(
                "SELECT max(coalesce((SELECT max(id) FROM message), 0),"
                " coalesce((SELECT max(message) FROM history), 0))"
            ).fetchone()
        except sqlite3.Error as error:
            raise translated(error) from error
        finally:
            connection.close()
        self._last_number = last
        writer = self._pool(str(path), open_for_writing, 1)
        self._readers = self._pool(
            f"{path.absolute().as_uri()}?mode=ro", open_for_reading, _READERS
        )
        self._writer = GroupCommit(writer, self._room.look)

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
        """Tell how much room there is for mail."""
        return self._room.capacity()

    # Accepting

    def open(self, envelope: NewMessage) -> Incoming:
        """Begin to accept a message."""
        # 2 ** 21 ids to a millisecond; a clock set back does not make one twice.
        number = int(self._now() * 1000) << 21 | secrets.randbits(20)
        self._last_number = number = max(number, self._last_number + 1)
        return SQLiteIncoming(
            self._writer, self._room, self._now, number, envelope, self._left_behind.add
        )

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
        self,
        doubt: Doubt = Doubt.RETRY,
        *,
        set_back: float = 0.0,
        horizon: float = float("inf"),
    ) -> Deferred[Recovery]:
        """Take back leases that ran out, and drop what could not be dropped before."""
        while self._left_behind:
            self._drop(self._left_behind.pop())
        now, expired = self._now(), self._monotonic()

        def recover(db: sqlite3.Cursor) -> Recovery:
            spoolcare.forgive(db, now, set_back, horizon)
            return spoolcare.recover(db, now, doubt, expired)

        return self._writer.run(recover)

    def _drop(self, number: int) -> None:
        self._run(spoolrows.delete_message, number).addErrback(
            lambda _: self._left_behind.add(number)
        )

    def body(self, message: str) -> BodyReader:
        """Read a message's octets."""
        return SQLiteBody(self._readers, message_number(message))

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
        return reading(self._readers, lambda db: query(db, *arguments))
