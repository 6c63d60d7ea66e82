"""What was said in a session, kept in bounded memory: how it began, and what came last."""

from __future__ import annotations

from collections import deque
from typing import cast

from twisted.logger import ILogObserver, LogEvent, Logger

from txsmtpconn.net.transcript import Transcript
from txsmtpconn.session.trace import Direction

#: Where hooks find the record of a session that has one: its ``data`` has it under this name.
RECORD = "record"

#: Lines kept of the beginning of a session: its greeting, hello, TLS and login are among them.
FIRST_LINES = 100
#: Lines kept of what was said last.
LAST_LINES = 200
#: Characters kept of a line.
LINE_LENGTH = 1000


class Record:
    """A session's `trace` that remembers lines. Secrets and mail data are left out."""

    def __init__(self, session_id: str) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._lost = 0
        self._write = Transcript(Logger(observer=cast(ILogObserver, self._note)), session_id)

    def __call__(self, direction: Direction, octets: bytes, secret: bool) -> None:
        """Remember a line."""
        self._write(direction, octets, secret)

    @property
    def lines(self) -> list[str]:
        """The lines: ``"C: "`` or ``"S: "``, and what the client or the server said."""
        if not self._lost:
            return [*self._first, *self._last]
        return [*self._first, f"({self._lost} lines left out)", *self._last]

    def _note(self, event: LogEvent) -> None:
        line = f"{event['direction']}: {event['text']}"
        if len(line) > LINE_LENGTH:
            line = f"{line[:LINE_LENGTH]}…"
        if len(self._first) < FIRST_LINES:
            self._first.append(line)
        else:
            self._lost += len(self._last) == LAST_LINES
            self._last.append(line)
