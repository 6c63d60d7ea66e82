"""The files of an SQLite spool: the directory, its lock, the schema and its version."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from pathlib import Path

from txsmtpconn.relay.spool import SpoolError, SpoolFormatError, SpoolLockedError

APPLICATION_ID = 0x7478534D  # "txSM", in the header of the file
SCHEMA_VERSION = 1

DATABASE = "spool.sqlite3"
LOCK = "spool.lock"

_SCHEMA = """
CREATE TABLE message (
    id           INTEGER PRIMARY KEY,      -- the queue id, as a number
    accepted_at  REAL NOT NULL,            -- seconds since 1970
    counted_from REAL NOT NULL,            -- the same, until an operator gives it a new life
    reverse_path TEXT NOT NULL,
    parameters   BLOB NOT NULL,            -- of MAIL, as on the wire
    client       TEXT NOT NULL,
    size         INTEGER NOT NULL,         -- octets of mail data
    checksum     INTEGER NOT NULL,         -- of the mail data
    seal         INTEGER NOT NULL          -- of the row
) STRICT;
CREATE TABLE recipient (
    id          INTEGER PRIMARY KEY,
    message     INTEGER NOT NULL,
    address     TEXT NOT NULL,
    parameters  BLOB NOT NULL,             -- of RCPT, as on the wire
    destination TEXT NOT NULL,
    seal        INTEGER NOT NULL,          -- of the columns above
    state       TEXT NOT NULL,
    next_at     REAL NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    token       INTEGER NOT NULL DEFAULT 0,
    owner       TEXT NOT NULL DEFAULT '',
    lease_until REAL NOT NULL DEFAULT 0,
    changed_at  REAL NOT NULL,
    last_reply  TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX recipient_message ON recipient (message);
CREATE INDEX recipient_due ON recipient (next_at) WHERE state = 'ready';
CREATE INDEX recipient_leased ON recipient (lease_until) WHERE state IN ('leased', 'committing');
CREATE INDEX recipient_kept ON recipient (changed_at) WHERE state IN ('failed', 'expired');
CREATE TABLE chunk (
    message INTEGER NOT NULL,
    number  INTEGER NOT NULL,              -- 0, 1, 2 ...
    octets  BLOB NOT NULL,
    PRIMARY KEY (message, number)
) STRICT;
CREATE TABLE history (
    id        INTEGER PRIMARY KEY,
    at        REAL NOT NULL,
    message   INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    event     TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;
CREATE INDEX history_message ON history (message);
CREATE INDEX history_at ON history (at);
"""


class SpoolLock:
    """The right of one process to a spool; the kernel takes it back when the process ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            SpoolLockedError: Another process has it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise SpoolLockedError(
                f"process {holder} holds the spool {self._path.parent}"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def prepare_directory(directory: Path) -> None:
    """Make the directory and an empty database file, both for our eyes only.

    Raises:
        SpoolError: What stands there is no directory, no plain file, or not ours.
    """
    try:
        _make_directory(directory, 0o700)
        directory.chmod(0o700)
        # SQLite gives its journal the permissions of the database, so these are set once, here.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(directory / DATABASE, flags, 0o600)
    except OSError as error:
        raise SpoolError(f"cannot use {directory} as a spool: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SpoolError(f"{directory / DATABASE} is not a plain file")
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _make_directory(directory: Path, mode: int = 0o777) -> None:
    """Make a directory and those above it, so that a power cut does not take their names away."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(mode, exist_ok=True)
    above = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def open_for_writing(connection: sqlite3.Connection) -> None:
    """Set up the writer's connection: durable at each commit, patient with a reader."""
    # New pages are given back by and by: a spool does not stay as large as its worst day.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def open_for_reading(connection: sqlite3.Connection) -> None:
    """Set up a reader's connection."""
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA query_only = ON")


def check_schema(connection: sqlite3.Connection) -> None:
    """Create the schema in a new file, know an old one.

    Raises:
        SpoolFormatError: The file is not a spool, or of a later release.
    """
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise SpoolFormatError(f"{DATABASE} cannot be read as a spool: {error}") from error
    if not tables and not application and not version:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
            "COMMIT;"
        )
    elif application != APPLICATION_ID:
        raise SpoolFormatError(f"{DATABASE} is a database of another program")
    elif version > SCHEMA_VERSION:
        raise SpoolFormatError(
            f"{DATABASE} has format {version}, this release knows {SCHEMA_VERSION}: "
            "a later release has used this spool"
        )
