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
    Doubt,
    Event,
    NewMessage,
    Recovery,
    State,
    Verdict,
)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no letter that looks like a digit
_LETTERS = 13  # of 5 bits each: 63 bits fit

_CLAIMED = "('leased', 'committing')"
_WAITING = "('ready', 'held')"
_GIVEN_UP = "('failed', 'expired')"
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
        "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message,
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


def delete_chunks(db: sqlite3.Cursor, message: int) -> None:
    """Drop the octets of a message that was not accepted."""
    db.execute("DELETE FROM chunk WHERE message = ?", (message,))


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
            (State.COMMITTING if lease.marked else State.LEASED, lease.owner, lease.until, one.id)
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
        "SELECT accepted_at, reverse_path, parameters, size, checksum, seal FROM message"
        " WHERE id = ?",
        (number,),
    ).fetchone()
    if message is None:
        return "its message is missing"
    accepted_at, reverse_path, parameters, size, checksum, sealed = message
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
        max(0.0, now - accepted_at),
        size,
        body,
        marked,
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
        _remember(db, [(now, number, row[0], verdict.event, verdict.detail)])
    if settled:
        drop_if_settled(db, number)
    return fenced


def recover(db: sqlite3.Cursor, now: float, doubt: Doubt, expired: float) -> Recovery:
    """Take back leases that ran out before `expired`, on the clock of the leases."""
    rows = db.execute(
        "SELECT id, message, address FROM recipient WHERE state = 'committing'"
        " AND lease_until < ? ORDER BY message, id",
        (expired,),
    ).fetchall()
    detail = "the attempt was cut off while its reply was awaited: it may have been delivered"
    _remember(db, [(now, row[1], row[2], Event.IN_DOUBT, detail) for row in rows])
    if doubt is Doubt.HOLD:
        _remember(db, [(now, row[1], row[2], Event.HELD, "in doubt") for row in rows])
    db.executemany(
        "UPDATE recipient SET state = ?, next_at = ?, owner = '', lease_until = 0, changed_at = ?,"
        " attempts = attempts + 1, last_reply = ? WHERE id = ?",
        [
            (State.HELD if doubt is Doubt.HOLD else State.READY, now, now, detail, row[0])
            for row in rows
        ],
    )
    released = db.execute(
        "UPDATE recipient SET state = 'ready', owner = '', lease_until = 0"
        " WHERE state = 'leased' AND lease_until < ?",
        (expired,),
    ).rowcount
    return Recovery(released, tuple((queue_id(row[1]), row[2]) for row in rows))


def forgive(db: sqlite3.Cursor, now: float, horizon: float) -> int:
    """Make due what waits for longer than any schedule says: the clock has been set back."""
    return db.execute(
        "UPDATE recipient SET next_at = ? WHERE state = 'ready' AND next_at > ?",
        (now, now + horizon),
    ).rowcount


def quarantine(db: sqlite3.Cursor, now: float, message: int, detail: str) -> int:
    """Set aside what waits of a message that cannot be trusted."""
    return _move(db, now, message, _WAITING, State.QUARANTINED, Event.QUARANTINED, detail)


def hold(db: sqlite3.Cursor, now: float, message: int, detail: str) -> int:
    """Keep waiting recipients back."""
    return _move(db, now, message, "('ready')", State.HELD, Event.HELD, detail)


def release(db: sqlite3.Cursor, now: float, message: int) -> int:
    """Let held and quarantined recipients go."""
    states = "('held', 'quarantined')"
    return _move(db, now, message, states, State.READY, Event.RELEASED, "")


def requeue(db: sqlite3.Cursor, now: float, message: int) -> int:
    """Make given-up recipients due with no attempts counted, and waiting ones due."""
    return _move(
        db,
        now,
        message,
        "('ready', 'failed', 'expired')",
        State.READY,
        Event.REQUEUED,
        "",
        more="attempts = CASE WHEN state = 'ready' THEN attempts ELSE 0 END,",
    )


def remove(db: sqlite3.Cursor, now: float, message: int, detail: str) -> int:
    """Drop every recipient that no claim is out for."""
    states = "('ready', 'held', 'failed', 'expired', 'quarantined')"
    moved = _move(db, now, message, states, State.REMOVED, Event.REMOVED, detail)
    drop_if_settled(db, message)
    return moved


def expire(db: sqlite3.Cursor, now: float, age: float, detail: str) -> int:
    """Give up waiting recipients of messages accepted more than `age` seconds ago."""
    old = _messages_with(
        db,
        "SELECT DISTINCT message FROM recipient JOIN message ON message.id = recipient.message"
        " WHERE state = 'ready' AND accepted_at < ?",
        now - age,
    )
    return sum(
        _move(db, now, message, "('ready')", State.EXPIRED, Event.EXPIRED, detail)
        for message in old
    )


def prune(db: sqlite3.Cursor, now: float, kept: float, history: float) -> int:
    """Remove given-up recipients and history that have been kept long enough."""
    old = _messages_with(
        db,
        f"SELECT DISTINCT message FROM recipient WHERE state IN {_GIVEN_UP} AND changed_at < ?",
        now - kept,
    )
    removed = 0
    for message in old:
        detail = "kept for the retention time"
        removed += _move(
            db,
            now,
            message,
            _GIVEN_UP,
            State.REMOVED,
            Event.REMOVED,
            detail,
            before=now - kept,
        )
        drop_if_settled(db, message)
    # A message that is still here keeps its story.
    db.execute(
        "DELETE FROM history WHERE at < ? AND NOT EXISTS"
        " (SELECT 1 FROM message WHERE id = history.message)",
        (now - history,),
    )
    return removed


def give_back(db: sqlite3.Cursor, most: int = 4096) -> None:
    """Return free pages to the file system, so many at most: a spool need not stay at its worst."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(free, most)):
        # The module steps such a statement once, whatever number it is given.
        db.execute("PRAGMA incremental_vacuum(1)")


def _messages_with(db: sqlite3.Cursor, query: str, before: float) -> list[int]:
    return [row[0] for row in db.execute(query, (before,)).fetchall()]


def _move(
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
    _remember(db, [(now, message, address, event, detail) for (address,) in rows])
    return len(rows)


def _remember(db: sqlite3.Cursor, entries: Iterable[Entry]) -> None:
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
        db.execute("DELETE FROM recipient WHERE message = ?", (message,))
        db.execute("DELETE FROM chunk WHERE message = ?", (message,))
        db.execute("DELETE FROM message WHERE id = ?", (message,))
