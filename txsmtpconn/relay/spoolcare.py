"""The spool's upkeep: what runs out, what grows old, and what an operator asks for.

Statements of the SQLite spool like those of `spoolrows`.
"""

# ruff: noqa: S608 - statements are put together from this module's constants and question marks
from __future__ import annotations

import sqlite3

from txsmtpconn.relay.spool import Doubt, Event, Recovery, State
from txsmtpconn.relay.spoolrows import drop_if_settled, move, queue_id, remember

_GIVEN_UP = "('failed', 'expired')"


def recover(db: sqlite3.Cursor, now: float, doubt: Doubt, expired: float) -> Recovery:
    """Take back leases that ran out before `expired`, on the clock of the leases."""
    rows = db.execute(
        "SELECT id, message, address FROM recipient WHERE state = 'committing'"
        " AND lease_until < ? ORDER BY message, id",
        (expired,),
    ).fetchall()
    detail = "the attempt was cut off while its reply was awaited: it may have been delivered"
    remember(db, [(now, row[1], row[2], Event.IN_DOUBT, detail) for row in rows])
    if doubt is Doubt.HOLD:
        remember(db, [(now, row[1], row[2], Event.HELD, "in doubt") for row in rows])
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


def forgive(db: sqlite3.Cursor, now: float, set_back: float, horizon: float) -> int:
    """Let nothing wait because the clock was set back: by so much, or so far that it shows.

    What waits for longer than any schedule says was put off by a clock of which nobody told us.
    """
    if set_back > 0:
        db.execute("UPDATE recipient SET next_at = next_at - ? WHERE state = 'ready'", (set_back,))
    return db.execute(
        "UPDATE recipient SET next_at = ? WHERE state = 'ready' AND next_at > ?",
        (now, now + horizon),
    ).rowcount


def hold(db: sqlite3.Cursor, now: float, message: int, detail: str) -> int:
    """Keep waiting recipients back."""
    return move(db, now, message, "('ready')", State.HELD, Event.HELD, detail)


def release(db: sqlite3.Cursor, now: float, message: int) -> int:
    """Let held and quarantined recipients go."""
    states = "('held', 'quarantined')"
    _begin_anew(db, now, message)
    return move(db, now, message, states, State.READY, Event.RELEASED, "")


def requeue(db: sqlite3.Cursor, now: float, message: int) -> int:
    """Make given-up recipients due with no attempts counted, and waiting ones due."""
    _begin_anew(db, now, message)
    return move(
        db,
        now,
        message,
        "('ready', 'failed', 'expired')",
        State.READY,
        Event.REQUEUED,
        "",
        more="attempts = CASE WHEN state = 'ready' THEN attempts ELSE 0 END,",
    )


def _begin_anew(db: sqlite3.Cursor, now: float, message: int) -> None:
    """Count a message's age from now: else one that is too old would be given up again at once."""
    db.execute("UPDATE message SET counted_from = ? WHERE id = ?", (now, message))


def remove(db: sqlite3.Cursor, now: float, message: int, detail: str) -> int:
    """Drop every recipient that no claim is out for."""
    states = "('ready', 'held', 'failed', 'expired', 'quarantined')"
    moved = move(db, now, message, states, State.REMOVED, Event.REMOVED, detail)
    drop_if_settled(db, message)
    return moved


def expire(db: sqlite3.Cursor, now: float, age: float, detail: str) -> int:
    """Give up waiting recipients of messages whose life began more than `age` seconds ago."""
    old = _messages_with(
        db,
        "SELECT DISTINCT message FROM recipient JOIN message ON message.id = recipient.message"
        " WHERE state = 'ready' AND counted_from < ?",
        now - age,
    )
    return sum(
        move(db, now, message, "('ready')", State.EXPIRED, Event.EXPIRED, detail) for message in old
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
        removed += move(
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
