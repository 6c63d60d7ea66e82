"""A look into a spool from outside, while its relay runs or after it has stopped.

It only reads: the database is opened read-only, and a reader of SQLite's write-ahead log holds no
writer up. So an operator sees what waits, what failed and why, whatever the relay is doing.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from txsmtpconn.relay import spoolquery
from txsmtpconn.relay.spool import (
    HistoryEntry,
    QueuedMessage,
    SpoolError,
    SpoolFormatError,
    State,
)
from txsmtpconn.relay.spoolfile import APPLICATION_ID, DATABASE, SCHEMA_VERSION, open_for_reading
from txsmtpconn.relay.spoolrows import message_number

_AT_ONCE = 100


class SpoolView:
    """What a spool holds at the moment.

    Args:
        db: A cursor that only reads.
    """

    def __init__(self, db: sqlite3.Cursor) -> None:
        self._db = db

    def counts(self) -> dict[State, int]:
        """Count recipients by state."""
        return spoolquery.counts(self._db)

    def messages(self, state: State | None = None) -> Iterator[QueuedMessage]:
        """List messages, oldest first; those with a recipient in a state, if one is given."""
        after = 0
        while True:
            found = spoolquery.messages(self._db, time.time(), state, after, _AT_ONCE)
            yield from found
            if len(found) < _AT_ONCE:
                return
            after = message_number(found[-1].message)

    def show(self, message: str) -> QueuedMessage | None:
        """Fetch one message, None where it is not (or no longer) in the spool."""
        return spoolquery.message(self._db, time.time(), message_number(message))

    def why(self, message: str) -> list[HistoryEntry]:
        """Tell what happened to a message, oldest first; also after it has left."""
        return spoolquery.history(self._db, message_number(message))


@contextmanager
def looking_into(directory: str | os.PathLike[str]) -> Iterator[SpoolView]:
    """Open the spool in a directory for reading.

    Raises:
        SpoolError: There is none, or it is not ours to read.
        SpoolFormatError: It is no spool, or one of a later release.
    """
    path = Path(directory) / DATABASE
    if not path.is_file():
        raise SpoolError(f"there is no spool in {directory}")
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            open_for_reading(connection)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if application != APPLICATION_ID or version > SCHEMA_VERSION:
                raise SpoolFormatError(f"{path} is no spool that this release can read")
            yield SpoolView(connection.cursor())
    except sqlite3.Error as error:
        raise SpoolError(f"{path} cannot be read: {error}") from error
