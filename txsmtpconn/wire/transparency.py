"""Mail data on its way into and out of DATA: line ends, dots, and the end mark.

RFC 5321 sections 2.3.8 and 4.5.2. Outward, every line end becomes CRLF first, bare CR
and bare LF included, since what one server takes for data another takes for the end
of it. Inward, only CRLF "." CRLF ends mail data.

The one-octet ``replace`` and ``in`` of CPython run at the speed of memory and a regular
expression with a literal first octet nearly so; two-octet ``replace`` is several times
slower, and a loop per line or per dot slower by orders of magnitude. Hence the forms
below. None of them depends on where the caller cut the message.
"""

from __future__ import annotations

import re

_BARE_CR = re.compile(rb"\r(?!\n)")
_BARE_LF = re.compile(rb"\n(?<!\r\n)")
_LEADING_DOT = re.compile(rb"\n\.")
_STUFFED_DOT = re.compile(rb"\n\.(?<=\r\n\.)")

_DOT_LINE = b"\r\n."
_END_MARK = b"\r\n.\r\n"
# What the end mark may be cut into, longest first.
_CUT_MARKS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


def canonical(data: bytes) -> bytes:
    """Give ``data`` with CRLF for every line end: CRLF, bare LF or bare CR.

    Returns:
        The same object where there was nothing to change.
    """
    lines = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    # Exact: dropping every CR and putting one before every LF restores the octets
    # only if CR and LF came in pairs.
    if lines == data:
        return data
    if b"\r" in data and _BARE_CR.search(data) is not None:
        data = _BARE_CR.sub(b"\n", data)
        return data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    return lines


def stuffed(canonical_body: bytes) -> bytes:
    """Render a whole canonical body for DATA: dots stuffed, end mark added.

    The CRLF of the end mark is the body's own last one where it has one, so an empty
    body is the end mark's ``.`` line alone.
    """
    body = canonical_body
    if b"." in body:
        body = _LEADING_DOT.sub(b"\n..", body)
        if body[0] == 0x2E:
            body = b"." + body
    if body and not body.endswith(b"\n"):
        return body + _END_MARK
    return body + b".\r\n"


class LineEnds:
    """Turn bare CR and bare LF into CRLF in a message that comes in chunks."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = False  # a CR ended the last chunk: is it half a CRLF?

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; give what of the message is certain by now."""
        if self._pending:
            chunk = b"\r" + chunk
            self._pending = False
        if chunk.endswith(b"\r"):
            chunk = chunk[:-1]
            self._pending = True
        return canonical(chunk)

    def finish(self) -> bytes:
        """Give what was held back, at the end of the message."""
        if not self._pending:
            return b""
        self._pending = False
        return b"\r\n"


class Stuffing:
    """Render a message that comes in chunks for DATA."""

    __slots__ = ("_at_line_start", "_line_ends")

    def __init__(self) -> None:
        self._line_ends = LineEnds()
        self._at_line_start = True

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; give what can be written by now."""
        return self._stuff(self._line_ends.feed(chunk))

    def finish(self) -> bytes:
        """Give what was held back, the missing last line end, and the end mark."""
        if self._line_ends.finish() or not self._at_line_start:
            return _END_MARK  # its first CRLF ends the last line
        return b".\r\n"

    def _stuff(self, lines: bytes) -> bytes:
        if not lines:
            return lines
        at_line_start = self._at_line_start
        self._at_line_start = lines.endswith(b"\n")
        if b"." in lines:
            lines = _LEADING_DOT.sub(b"\n..", lines)
            if at_line_start and lines[0] == 0x2E:
                return b"." + lines
        return lines


class Unstuffing:
    """Read mail data behind the reply 354: dots removed, the end found.

    A line starts behind CRLF only, and only CRLF "." CRLF ends the data (RFC 5321
    sections 2.3.8 and 4.1.1.4): neither ``LF . LF`` nor any other likeness. Whether the
    message is to be refused for such a line end is the caller's choice; it has to read
    on to the real end all the same.

    Attributes:
        finished: the end mark was read.
        remainder: what came behind the end mark; commands, if pipelining is in use.
        bare_cr: a CR that no LF follows was read.
        bare_lf: a LF that no CR precedes was read.
    """

    __slots__ = ("_cut", "_started", "bare_cr", "bare_lf", "finished", "remainder")

    def __init__(self) -> None:
        self.finished = False
        self.remainder = b""
        self.bare_cr = False
        self.bare_lf = False
        # The CRLF of the DATA command is the first half of the end mark of an empty
        # message. It is put before the data here and taken off the first output.
        self._cut = b"\r\n"
        self._started = False

    def feed(self, data: bytes) -> bytes:
        """Take octets from the wire; give the mail data that is certain by now.

        At most four octets are held back: those that may turn out to be the end mark.
        """
        if self.finished:
            self.remainder += data
            return b""
        data = self._cut + data
        # Much of what comes holds no dot: that is told soonest. Else mostly no line begins with
        # one, or none but the end mark; `rfind` tells that soonest.
        end, dotted = -1, False
        dot = data.rfind(_DOT_LINE) if b"." in data else -1
        if dot >= 0:
            dotted = not data.startswith(_END_MARK, dot) or data.rfind(_DOT_LINE, 0, dot + 2) >= 0
            end = data.find(_END_MARK) if dotted else dot
        if end >= 0:
            self.finished = True
            self.remainder = data[end + 5 :]
            self._cut = b""
            # The mark's CRLF belongs to the last line.
            return self._content(data[: end + 2], dotted=dotted)
        self._cut = next((cut for cut in _CUT_MARKS if data.endswith(cut)), b"")
        return self._content(data[: len(data) - len(self._cut)], dotted=dotted)

    def _content(self, lines: bytes, *, dotted: bool) -> bytes:
        """Remove stuffed dots from octets that do not end within a CRLF or before a dot."""
        if not lines:
            return lines
        stuffed_dot = _LEADING_DOT
        if lines.replace(b"\r", b"").replace(b"\n", b"\r\n") != lines:
            stuffed_dot = _STUFFED_DOT  # not every LF ends a line
            self.bare_cr = self.bare_cr or _BARE_CR.search(lines) is not None
            self.bare_lf = self.bare_lf or _BARE_LF.search(lines) is not None
        if dotted:
            lines = stuffed_dot.sub(b"\n", lines)
        if not self._started:
            self._started = True
            return lines[2:]
        return lines
