"""How much more mail the disk can take: what is free, less what is kept for the results.

A result that cannot be written costs a duplicate, and a spool that fills its disk to the last octet
can neither deliver nor remove. So mail stops short of that: at MAIL, and while it comes in, since
a client need not say how much is coming, and a hundred may be sending at once.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from txsmtpconn.relay.spool import Capacity, SpoolFullError


class Room:
    """The room for mail in a spool's directory.

    Args:
        directory: Of the spool.
        reserve: Octets of the disk that mail may not use.
    """

    def __init__(self, directory: Path, reserve: int) -> None:
        self._directory = directory
        self._reserve = reserve
        self._unused = 0

    def capacity(self) -> Capacity:
        """Tell what is free: on the disk, and in the database's own file."""
        facts = os.statvfs(self._directory)
        return Capacity(facts.f_bavail * facts.f_frsize + self._unused, self._reserve)

    def look(self, db: sqlite3.Cursor) -> None:
        """See how much of the database's file holds nothing any more: new mail goes there first."""
        (pages,) = db.execute("PRAGMA freelist_count").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        self._unused = pages * size

    def take(self, db: sqlite3.Cursor, octets: int) -> None:
        """See to it that there is room for so many octets.

        Raises:
            SpoolFullError: There is not.
        """
        self.look(db)
        if not self.capacity().admits(octets):
            raise SpoolFullError("no space left for mail")
