"""What a client has sent and a server session has not read yet."""

from __future__ import annotations

from txsmtpconn.session.server import replies
from txsmtpconn.wire.reply import Reply

_CR = 0x0D


class LineError(Exception):
    """A line that is not to be parsed; `reply` tells the peer why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Backlog:
    """Octets in order of arrival, taken as lines or as they are.

    Octets of a line that is too long are dropped as they come, so no line can fill the memory, and
    none of it is ever taken for another line.

    Attributes:
        empty: Whether there is nothing left.
    """

    __slots__ = ("_octets", "_position", "_skipping", "empty")

    def __init__(self) -> None:
        self.empty = True
        self._octets = b""
        self._position = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets) - self._position

    def append(self, octets: bytes) -> None:
        """Add what has just arrived."""
        self._octets = octets if self.empty else self._octets[self._position :] + octets
        self._position = 0
        self.empty = not self._octets

    def clear(self) -> None:
        """Forget all."""
        self.empty = True
        self._octets, self._position, self._skipping = b"", 0, False

    def take_line(self, limit: int, too_long: Reply = replies.LINE_TOO_LONG) -> bytes | None:
        """Return the next line without its CRLF, or None until there is one.

        Args:
            limit: Octets in a line, with its CRLF (RFC 5321 section 4.5.3.1.4).
            too_long: What to tell the peer about a longer one.

        Raises:
            LineError: The line is too long, or ends in a bare LF. It is gone; the next one stands
                at the front.
        """
        octets, start = self._octets, self._position
        end = octets.find(b"\n", start) + 1
        if end == 0:
            if self._skipping or len(octets) - start >= limit:
                self._octets, self._position, self._skipping = b"", 0, True
                self.empty = True
            return None
        self._position = end
        self.empty = end == len(octets)
        if self._skipping or end - start > limit:
            self._skipping = False
            raise LineError(too_long)
        if end - start < 2 or octets[end - 2] != _CR:
            raise LineError(replies.BARE_LINE_FEED)
        return octets[start : end - 2]

    def take(self, count: int) -> bytes:
        """Return the next `count` octets, or as many as there are."""
        start, size = self._position, len(self._octets)
        if start + count >= size:
            return self.take_all()
        self._position = start + count
        return self._octets[start : start + count]

    def take_all(self) -> bytes:
        """Return all that there is."""
        taken = self._octets[self._position :]  # the same object where none of it was read
        self._octets, self._position = b"", 0
        self.empty = True
        return taken

    def put_back(self, octets: bytes) -> None:
        """Put the unread rest of what was taken back to the front."""
        self._octets = octets + self._octets[self._position :]
        self._position = 0
        self.empty = not self._octets
