"""What an operator asks an SQLite spool: each a function of a cursor that only reads."""

from __future__ import annotations

import sqlite3

from txsmtpconn.relay.spool import (
    Event,
    HistoryEntry,
    QueuedMessage,
    QueuedRecipient,
    State,
)
from txsmtpconn.relay.spoolrows import queue_id

_MESSAGE = "SELECT id, reverse_path, parameters, client, accepted_at, size FROM message"


def counts(db: sqlite3.Cursor) -> dict[State, int]:
    """Count recipients by state; states without any are left out."""
    rows = db.execute("SELECT state, count(*) FROM recipient GROUP BY state")
    return {State(state): count for state, count in rows}


def messages(
    db: sqlite3.Cursor, now: float, state: State | None, after: int, limit: int
) -> list[QueuedMessage]:
    """List messages behind a number, oldest first."""
    condition = "id > ?"
    arguments: list[object] = [after]
    if state is not None:
        condition += " AND id IN (SELECT message FROM recipient WHERE state = ?)"
        arguments.append(state)
    rows = db.execute(
        f"{_MESSAGE} WHERE {condition} ORDER BY id LIMIT ?",
        (*arguments, limit),
    ).fetchall()
    return [_with_recipients(db, now, row) for row in rows]


def message(db: sqlite3.Cursor, now: float, number: int) -> QueuedMessage | None:
    """Fetch one message."""
    row = db.execute(f"{_MESSAGE} WHERE id = ?", (number,)).fetchone()
    return None if row is None else _with_recipients(db, now, row)


def history(db: sqlite3.Cursor, number: int) -> list[HistoryEntry]:
    """Tell what happened to a message."""
    rows = db.execute(
        "SELECT at, recipient, event, detail FROM history WHERE message = ? ORDER BY id", (number,)
    )
    return [
        HistoryEntry(at, queue_id(number), recipient, Event(event), detail)
        for at, recipient, event, detail in rows
    ]


def _with_recipients(
    db: sqlite3.Cursor, now: float, row: tuple[int, str, bytes, str, float, int]
) -> QueuedMessage:
    number, reverse_path, parameters, client, accepted_at, size = row
    recipients = tuple(
        QueuedRecipient(address, State(state), attempts, next_at - now, reply, destination)
        for address, state, attempts, next_at, reply, destination in db.execute(
            "SELECT address, state, attempts, next_at, last_reply, destination FROM recipient"
            " WHERE message = ? ORDER BY id",
            (number,),
        )
    )
    return QueuedMessage(
        queue_id(number), reverse_path, parameters, client, accepted_at, size, recipients
    )
