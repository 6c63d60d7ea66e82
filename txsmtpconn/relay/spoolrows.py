"""The statements of the SQLite spool: each a function of a cursor that is inside a transaction.

No clock, no thread, no Twisted: `now` comes in, in seconds since 1970. What belongs together is
written by one of these in one call, so that a group of them can be committed as a whole.
"""

# ruff: noqa: S608 - statements are put together from this module's constants and question marks
from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from txsmtpconn.relay.spool import (
    WHOLE_BODY,
    Batch,
    Claim,
    ClaimedRecipient,
    Event,
    NewMessage,
    State,
    Verdict,
)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no letter that looks like a digit
_LETTERS = 13  # of 5 bits each: 63 bits fit

_CLAIMED = "('leased', 'committing')"
_WAITING = "('ready', 'held')"
_SETTLED = "('delivered', 'removed')"

Entry = tuple[float, int, str, str, str]
"""A row of the history: at, message, recipient, event, detail."""


def queue_id(number: int) -> str:
    """Spell a message's number as its queue id; ids sort like numbers."""
    letters = []
    for _ in range(_LETTERS):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))


def message_number(text: str) -> int:
    """Read a queue id; 0, which no message has, where it is none."""
    number = 0
    if len(text) != _LETTERS:
        return 0
    for letter in text.upper():
        digit = _ALPHABET.find(letter)
        if digit < 0:
            return 0
        number = number * 32 + digit
    return number if number < 1 << 63 else 0


def seal(*facts: object) -> int:
    """Return the checksum of a row's facts; kept beside them, it tells of a flipped bit."""
    return zlib.crc32(repr(facts).encode("utf-8", "surrogatepass"))


def insert_chunk(db: sqlite3.Cursor, message: int, number: int, octets: bytes) -> None:
    """Add a piece of mail data; nobody sees it before its message."""
    db.execute("INSERT INTO chunk VALUES (?, ?, ?)", (message, number, octets))


def insert_message(
    db: sqlite3.Cursor, now: float, message: int, facts: NewMessage, size: int, checksum: int
) -> None:
    """Add a message and its recipients, due at once: this makes it visible."""
    db.execute(
        "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message,
            now,
            now,
            facts.reverse_path,
            facts.parameters,
            facts.client,
            size,
            checksum,
            seal(message, facts.reverse_path, facts.parameters, size, checksum),
        ),
    )
    db.executemany(
        "INSERT INTO recipient (message, address, parameters, destination, seal, state, next_at,"
        " changed_at) VALUES (?, ?, ?, ?, ?, 'ready', ?, ?)",
        [
            (
                message,
                one.address,
                one.parameters,
                one.destination,
                seal(message, one.address, one.parameters, one.destination),
                now,
                now,
            )
            for one in facts.recipients
        ],
    )


def delete_message(db: sqlite3.Cursor, message: int) -> None:
    """Drop all there is of a message but for its history."""
    db.execute("DELETE FROM recipient WHERE message = ?", (message,))
    db.execute("DELETE FROM chunk WHERE message = ?", (message,))
    db.execute("DELETE FROM message WHERE id = ?", (message,))


def sweep(db: sqlite3.Cursor) -> int:
    """Drop what no message owns: octets of sessions that ended early. Returns the pieces."""
    return db.execute(
        "DELETE FROM chunk WHERE NOT EXISTS (SELECT 1 FROM message WHERE id = chunk.message)"
    ).rowcount


@dataclass(slots=True)
class Lease:
    """Who claims, until when, and into which state."""

    owner: str
    until: float
    marked: bool


_Row = tuple[int, int, str, bytes, str, int, int, int]


def claim(
    db: sqlite3.Cursor,
    now: float,
    lease: Lease,
    limit: int,
    recipients: int,
    avoid: Collection[str],
) -> Batch:
    """Lease due recipients to `lease.owner`, grouped for transactions."""
    claims, quarantined = [], []
    for rows in _due_groups(db, now, limit, recipients, avoid):
        found = _claim_of(db, now, rows, marked=lease.marked)
        if isinstance(found, Claim):
            claims.append(found)
        else:
            quarantined.append(queue_id(rows[0][1]))
            quarantine(db, now, rows[0][1], found)
    db.executemany(
        "UPDATE recipient SET state = ?, token = token + 1, owner = ?, lease_until = ?"
        " WHERE id = ?",
        [
            (
                State.COMMITTING if one_claim.marked else State.LEASED,
                lease.owner,
                lease.until,
                one.id,
            )
            for one_claim in claims
            for one in one_claim.recipients
        ],
    )
    next_due = _next_due(db, now, avoid) if len(claims) < limit else None
    return Batch(tuple(claims), next_due, tuple(quarantined))


def _due_groups(
    db: sqlite3.Cursor, now: float, limit: int, recipients: int, avoid: Collection[str]
) -> list[list[_Row]]:
    """Collect due rows by message and destination, the longest due first."""
    groups: list[list[_Row]] = []
    open_groups: dict[tuple[int, str], list[_Row]] = {}
    due = db.execute(
        "SELECT id, message, address, parameters, destination, seal, attempts, token"
        f" FROM recipient WHERE state = 'ready' AND next_at <= ? {_without(avoid)}"
        " ORDER BY next_at, id",
        (now, *avoid),
    )
    for row in due:
        key = (row[1], row[4])
        group = open_groups.get(key)
        if group is None or len(group) == recipients:
            if len(groups) == limit:
                break
            group = open_groups[key] = []
            groups.append(group)
        group.append(row)
    return groups


def _without(avoid: Collection[str]) -> str:
    return f"AND destination NOT IN ({', '.join('?' * len(avoid))})" if avoid else ""


def _next_due(db: sqlite3.Cursor, now: float, avoid: Collection[str]) -> float | None:
    row = db.execute(
        "SELECT min(next_at) FROM recipient WHERE state = 'ready' " + _without(avoid),
        (*avoid,),
    ).fetchone()
    return None if row[0] is None else max(0.0, row[0] - now)


def _claim_of(db: sqlite3.Cursor, now: float, rows: list[_Row], *, marked: bool) -> Claim | str:
    """Build the claim of some rows, or say what is wrong with their message."""
    number, destination = rows[0][1], rows[0][4]
    message = db.execute(
        "SELECT counted_from, reverse_path, parameters, size, checksum, seal FROM message"
        " WHERE id = ?",
        (number,),
    ).fetchone()
    if message is None:
        return "its message is missing"
    counted_from, reverse_path, parameters, size, checksum, sealed = message
    if sealed != seal(number, reverse_path, parameters, size, checksum):
        return "its envelope does not match its checksum"
    for row in rows:
        if row[5] != seal(number, row[2], row[3], row[4]):
            return "a recipient does not match its checksum"
    body = None
    if size <= WHOLE_BODY:
        body = b"".join(
            octets
            for (octets,) in db.execute(
                "SELECT octets FROM chunk WHERE message = ? ORDER BY number", (number,)
            )
        )
        if len(body) != size or zlib.crc32(body) != checksum:
            return "its mail data does not match its checksum"
    return Claim(
        queue_id(number),
        reverse_path,
        parameters,
        tuple(ClaimedRecipient(row[0], row[7] + 1, row[2], row[3], row[6]) for row in rows),
        destination,
        max(0.0, now - counted_from),
        size,
        body,
        marked and body is not None,
    )


def renew(db: sqlite3.Cursor, owner: str, until: float) -> int:
    """Extend the leases of an owner."""
    return db.execute(
        f"UPDATE recipient SET lease_until = ? WHERE owner = ? AND state IN {_CLAIMED}",
        (until, owner),
    ).rowcount


def mark(db: sqlite3.Cursor, claimed: Claim, until: float) -> bool:
    """Move all rows of a claim to COMMITTING, or none."""
    number = message_number(claimed.message)
    for one in claimed.recipients:
        held = db.execute(
            "SELECT 1 FROM recipient WHERE id = ? AND message = ? AND token = ?"
            f" AND state IN {_CLAIMED}",
            (one.id, number, one.token),
        ).fetchone()
        if held is None:
            return False
    db.executemany(
        "UPDATE recipient SET state = 'committing', lease_until = ? WHERE id = ?",
        [(until, one.id) for one in claimed.recipients],
    )
    return True


def record(db: sqlite3.Cursor, now: float, message: str, verdicts: Sequence[Verdict]) -> int:
    """Write the outcomes that the fence lets through; returns how many it did not."""
    number = message_number(message)
    fenced = 0
    settled = False
    for verdict in verdicts:
        # The message's number stands in the condition because row ids are used again.
        row = db.execute(
            "UPDATE recipient SET state = ?, next_at = ?, attempts = attempts + ?, owner = '',"
            " lease_until = 0, changed_at = ?, last_reply = ?"
            f" WHERE id = ? AND message = ? AND token = ? AND state IN {_CLAIMED}"
            " RETURNING address",
            (
                verdict.state,
                now + verdict.delay,
                verdict.burnt,
                now,
                verdict.detail,
                verdict.recipient,
                number,
                verdict.token,
            ),
        ).fetchone()
        if row is None:
            fenced += 1
            continue
        settled = settled or verdict.state is State.DELIVERED
        remember(db, [(now, number, row[0], verdict.event, verdict.detail)])
    if settled:
        drop_if_settled(db, number)
    return fenced


def quarantine(db: sqlite3.Cursor, now: float, message: int, detail: str) -> int:
    """Set aside what waits of a message that cannot be trusted."""
    return move(db, now, message, _WAITING, State.QUARANTINED, Event.QUARANTINED, detail)


def move(
    db: sqlite3.Cursor,
    now: float,
    message: int,
    states: str,
    state: State,
    event: Event,
    detail: str,
    *,
    more: str = "",
    before: float = float("inf"),
) -> int:
    """Move a message's recipients from some states to another, with a history entry for each."""
    rows = db.execute(
        f"UPDATE recipient SET {more} state = ?, next_at = ?, changed_at = ?"
        f" WHERE message = ? AND state IN {states} AND changed_at < ? RETURNING address",
        (state, now, now, message, before),
    ).fetchall()
    remember(db, [(now, message, address, event, detail) for (address,) in rows])
    return len(rows)


def remember(db: sqlite3.Cursor, entries: Iterable[Entry]) -> None:
    """Add entries to the history."""
    db.executemany(
        "INSERT INTO history (at, message, recipient, event, detail) VALUES (?, ?, ?, ?, ?)",
        entries,
    )


def drop_if_settled(db: sqlite3.Cursor, message: int) -> None:
    """Delete a message of which nothing is left to do or to keep, but for its history."""
    open_row = db.execute(
        f"SELECT 1 FROM recipient WHERE message = ? AND state NOT IN {_SETTLED} LIMIT 1",
        (message,),
    ).fetchone()
    if open_row is None:
        delete_message(db, message)
