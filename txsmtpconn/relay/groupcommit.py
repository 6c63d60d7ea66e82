"""Group commit: one transaction for all that was asked while the last one ran.

A commit costs a flush of the disk, some tenths of a millisecond to ten, whatever it holds. So the
calls that arrive while one transaction is under way wait, and leave together in the next: alone, a
caller waits for nothing; in a crowd, a flush is shared by all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txsmtpconn.relay.spool import SpoolFullError, SpoolUnavailableError

T = TypeVar("T")
Work = Callable[[sqlite3.Cursor], Any]

MOST_IN_A_GROUP = 512
"""Calls in one transaction at most, so that none waits long for its neighbours' work."""

_PRIMARY_CODE = 0xFF
_STORAGE_FAILED = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code of an error, 0 where it has none."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & _PRIMARY_CODE


def translated(error: sqlite3.Error) -> SpoolFullError | SpoolUnavailableError:
    """Say in the spool's words what SQLite said."""
    if primary_code(error) == sqlite3.SQLITE_FULL:
        return SpoolFullError("no space left for the spool")
    return SpoolUnavailableError(f"the spool's database failed: {error}")


class GroupCommit:
    """The one writer of a database: runs each call's work inside a transaction shared with others.

    Args:
        pool: A connection pool with exactly one connection, in autocommit mode.
        last: Called with a cursor at the end of each transaction, to see what it leaves.
    """

    def __init__(self, pool: adbapi.ConnectionPool, last: Work = lambda _: None) -> None:
        self._pool = pool
        self._last = last
        self._waiting: list[tuple[Work, Deferred[Any]]] = []
        self._running = False
        self._closed = False
        self._idle: list[Deferred[None]] = []

    def run(self, work: Callable[[sqlite3.Cursor], T]) -> Deferred[T]:
        """Run `work` with a cursor in the next transaction.

        Fires with its result once that transaction is committed. Fails with what `work` raised, or
        with `SpoolFullError` or `SpoolUnavailableError`; then nothing that it wrote stays.
        """
        outcome: Deferred[T] = Deferred()
        if self._closed:
            outcome.errback(SpoolUnavailableError("the spool is closed"))
            return outcome
        self._waiting.append((work, outcome))
        self._begin()
        return outcome

    def close(self) -> Deferred[None]:
        """Take no further work; fires when what was taken is done."""
        self._closed = True
        if not self._running:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def _begin(self) -> None:
        if self._running or not self._waiting:
            return
        group = self._waiting[:MOST_IN_A_GROUP]
        del self._waiting[:MOST_IN_A_GROUP]
        self._running = True
        done = self._pool.runWithConnection(_commit_group, [work for work, _ in group], self._last)
        done.addBoth(self._ended, [outcome for _, outcome in group])

    def _ended(self, results: list[Any] | Failure, outcomes: list[Deferred[Any]]) -> None:
        self._running = False
        # The next group leaves before the callers of this one run: the disk does not wait for them.
        self._begin()
        if isinstance(results, Failure):
            results = [results] * len(outcomes)
        for outcome, result in zip(outcomes, results, strict=True):
            if not outcome.called:  # cancelled by its caller: the work is done all the same
                outcome.callback(result)
        if not self._running:
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)


def _commit_group(connection: adbapi.Connection, group: list[Work], last: Work) -> list[Any]:
    """Run a group in one transaction; where that fails, each of its calls in one of its own.

    Runs in the pool's thread. A failed flush is never tried again on the same pages: the whole
    group fails, and the connection is opened afresh.
    """
    try:
        return _commit(connection.cursor(), group, last)
    except sqlite3.Error as error:
        code = primary_code(error)
        if code in _STORAGE_FAILED:
            connection.reconnect()
        if code in _STORAGE_FAILED or code == sqlite3.SQLITE_BUSY or len(group) == 1:
            return [Failure(translated(error))] * len(group)
    except Exception:  # noqa: BLE001 - it belongs to one caller of the group, who is found below
        if len(group) == 1:
            return [Failure()]
    results = []
    for work in group:
        results += _commit_group(connection, [work], last)
    return results


def _commit(cursor: sqlite3.Cursor, group: list[Work], last: Work) -> list[Any]:
    cursor.execute("BEGIN IMMEDIATE")
    try:
        results = [work(cursor) for work in group]
        last(cursor)
        cursor.execute("COMMIT")
    except BaseException:
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK")
        raise
    return results
