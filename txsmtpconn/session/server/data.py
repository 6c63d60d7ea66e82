"""Mail data on its way in: transparency undone, line ends judged, octets counted.

All of it works on whole chunks of whatever size the transport gave; nothing here looks at a line.
"""

from __future__ import annotations

from typing import Final

from txsmtpconn.session.server import replies
from txsmtpconn.session.server.rules import BareLineEnds, ServerRules
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.transparency import LineEnds, Unstuffing, canonical

# Looked at for each message: to find them in their class takes longer.
_REFUSE: Final = BareLineEnds.REFUSE
_NORMALISE: Final = BareLineEnds.NORMALISE


class MailData:
    """The mail data of one message.

    Attributes:
        octets: How many there have been, transparency undone.
        refusal: What to tell the peer at the end, once something was wrong; nothing of the message
            is handed on from then on.
        ended: Whether CRLF.CRLF has come.
        remainder: What came behind it.
        abandoned: Whether whoever takes the message is done with it, one way or the other.
    """

    __slots__ = (
        "_binary",
        "_line",
        "_line_ends",
        "_pending_cr",
        "_rules",
        "_strict",
        "_unstuffing",
        "abandoned",
        "ended",
        "octets",
        "refusal",
        "remainder",
    )

    def __init__(self, rules: ServerRules, *, binary: bool = False) -> None:
        self._rules = rules
        self._binary = binary
        self._strict = not binary and rules.bare_line_ends is _REFUSE
        self._line_ends = LineEnds() if not binary and rules.bare_line_ends is _NORMALISE else None
        self._unstuffing = Unstuffing()
        self._pending_cr = b""
        self._line = 0
        self.octets = 0
        self.refusal: Reply | None = None
        self.ended = False
        self.abandoned = False
        self.remainder = b""

    def refuse(self, reply: Reply) -> None:
        """Hand on nothing more; the first reason counts."""
        if self.refusal is None:
            self.refusal = reply

    def receive_data(self, octets: bytes) -> bytes:
        """Take octets that follow DATA; return the content among them that is to be handed on."""
        unstuffing = self._unstuffing
        content = unstuffing.feed(octets)
        if unstuffing.finished:
            self.ended, self.remainder = True, unstuffing.remainder
        if self._strict and (unstuffing.bare_cr or unstuffing.bare_lf):
            self.refuse(replies.BARE_LINE_END)
        return self._judge(content)

    def receive_chunk(self, octets: bytes, *, last: bool) -> bytes:
        """Take octets that BDAT announced; return those that are to be handed on.

        Args:
            octets: Some of the chunk.
            last: Whether they end the message.
        """
        if self._strict and self.refusal is None:
            seen = self._pending_cr + octets
            self._pending_cr = b"\r" if seen.endswith(b"\r") and not last else b""
            whole = seen[:-1] if self._pending_cr else seen
            if canonical(whole) is not whole:
                self.refuse(replies.BARE_LINE_END)
        return self._judge(octets)

    def finish(self) -> bytes:
        """End the message; return what was held back."""
        if self._line_ends is None or self.refusal is not None:
            return b""
        return self._line_ends.finish()

    def _judge(self, content: bytes) -> bytes:
        rules = self._rules
        self.octets += len(content)
        if rules.max_size is not None and self.octets > rules.max_size:
            self.refuse(replies.MESSAGE_TOO_BIG)
        if rules.max_line is not None and not self._binary and self._has_long_line(content):
            self.refuse(replies.LINE_TOO_LONG)
        if self.refusal is not None:
            return b""
        return content if self._line_ends is None else self._line_ends.feed(content)

    def _has_long_line(self, content: bytes) -> bool:
        """Tell whether a line of the content is longer than allowed.

        Leaps from the start of a line to the last line end within reach, so the number of steps
        is that of the octets by the limit, and not that of the lines.
        """
        limit = self._rules.max_line
        assert limit is not None
        start, size = 0, len(content)
        reach = limit + 2 - self._line  # the line that was open before
        while size - start > reach:
            end = content.rfind(b"\n", start, start + max(reach, 0))
            if end < 0:
                return True
            start, reach = end + 1, limit + 2
        end = content.rfind(b"\n", start)
        if end >= 0:
            self._line = size - end - 1
        elif start:
            self._line = size - start
        else:
            self._line += size
        return False
