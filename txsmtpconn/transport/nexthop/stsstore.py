"""MTA-STS policies that are kept: in memory, or in a file that outlives the process.

The first policy of a domain is taken on trust; what protects the next message is that it is
remembered (RFC 8461 section 10.2). A process that forgets all at its end trusts again each time.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from twisted.logger import Logger

from txsmtpconn.errors import ConfigError
from txsmtpconn.transport.nexthop.sts import STSPolicy, parse_policy

#: Domains that are kept; those that expire first go first.
DOMAINS = 10_000

_TABLE = """
CREATE TABLE IF NOT EXISTS mta_sts (
    domain TEXT PRIMARY KEY, id TEXT NOT NULL, policy BLOB NOT NULL,
    fetched REAL NOT NULL, expires REAL NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy, and how long it may be used.

    Attributes:
        id: What the TXT record said when it was fetched.
        policy: It.
        fetched: When; seconds since the epoch.
        expires: When it is of no use any more.
    """

    id: str
    policy: STSPolicy
    fetched: float
    expires: float


class STSStore:
    """Keeps policies.

    Args:
        path: A file, which several processes may share; None for memory.
        limit: Domains that are kept.

    Raises:
        ConfigError: The file cannot be used.
    """

    log = Logger(namespace="txsmtpconn.transport")

    def __init__(self, path: str | Path | None = None, limit: int = DOMAINS) -> None:
        self._limit = limit
        try:
            self._database = _opened(":memory:" if path is None else str(path))
        except sqlite3.Error as reason:
            raise ConfigError(f"the MTA-STS policies in {str(path)!a}: {reason}") from reason

    def get(self, domain: str, now: float) -> KeptPolicy | None:
        """Return what is known of a domain, unless it has expired."""
        wanted = (
            "SELECT id, CAST(policy AS BLOB), fetched, expires FROM mta_sts"
            " WHERE domain = ? AND expires > ?"
        )
        try:
            with closing(self._database.execute(wanted, (domain, now))) as found:
                row = found.fetchone()
            return None if row is None else KeptPolicy(row[0], parse_policy(row[1]), *row[2:])
        except (sqlite3.Error, ConfigError) as reason:
            self.log.warn("MTA-STS policy of {domain}: {reason}", domain=domain, reason=str(reason))
            return None

    def put(self, domain: str, kept: KeptPolicy) -> None:
        """Keep a policy."""
        octets = "\n".join(kept.policy.lines()).encode("ascii")
        row = (domain, kept.id, octets, kept.fetched, kept.expires)
        surplus = "SELECT domain FROM mta_sts ORDER BY expires DESC LIMIT -1 OFFSET ?"
        try:
            self._database.execute("INSERT OR REPLACE INTO mta_sts VALUES (?, ?, ?, ?, ?)", row)
            self._database.execute(
                f"DELETE FROM mta_sts WHERE domain IN ({surplus})",  # noqa: S608 - ours
                (self._limit,),
            )
        except sqlite3.Error as reason:
            self.log.warn("MTA-STS policy of {domain}: {reason}", domain=domain, reason=str(reason))

    def close(self) -> None:
        """Give the file back."""
        self._database.close()


def _opened(path: str) -> sqlite3.Connection:
    """Open the database; it is closed again where it is none, or not ours to write."""
    database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database
