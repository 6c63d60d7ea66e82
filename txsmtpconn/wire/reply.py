"""Replies: three digits, text, and the incremental parser that reads them.

RFC 5321 section 4.2. A reply is kept as the octets that came, so that nothing is
lost on the way to a log or a bounce; it is decoded when somebody asks.
"""

from __future__ import annotations

import re
from typing import NoReturn

from txsmtpconn.wire.enhanced import EnhancedStatusCode, split_status_code
from txsmtpconn.wire.errors import LocalProtocolError, RemoteProtocolError
from txsmtpconn.wire.limits import BLANK_LINES, ReplyLimits

_EMPTY_LINES = (b"\r\n", b"\n")
_UNSENDABLE = re.compile(rb"[\r\n\0]")
_DEFAULT_LIMITS = ReplyLimits()
# What servers say in the same words at each connection and to each message: their greeting, their
# extensions, yes, go on, and goodbye. No refusal is among it, as whoever asks which of several a
# refusal was may go by identity; and nothing of a SASL dialogue.
_RECURRING = frozenset({220, 221, 250, 354})
_HEARD_REPLIES = 256
_HEARD_OCTETS = 1024
# Such replies by their octets, for all parsers. Where every reply is another, because a server
# numbers them, they push each other out, and what does recur is soon here again.
_heard: dict[bytes, Reply] = {}

# The first four octets of every legal reply line with a separator. Positive: the last
# line of a reply; negative: one more follows. One dictionary look-up is cheaper than
# any check of digits, and knows the separator too. No 1xx code is in use in SMTP (RFC
# 5321 section 4.2.1), and 0xx, 6xx and beyond never were.
_CODES = range(200, 600)
_PREFIXES: dict[bytes, int] = {
    **{b"%d " % code: code for code in _CODES},
    **{b"%d-" % code: -code for code in _CODES},
}


def _decoded(octets: bytes) -> str:
    """Decode UTF-8; a line that is not UTF-8 is read as Latin-1, which never fails."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _without_line_end(line: bytes) -> bytes:
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]


class Reply:
    """One reply: a code and at least one line of text. Treat it as immutable.

    Attributes:
        code: the reply code, 200 to 599.
        octets: each line behind code and separator, without its line end, as it came.
    """

    __slots__ = ("code", "octets")

    def __init__(self, code: int, octets: tuple[bytes, ...]) -> None:
        self.code = code
        self.octets = octets

    @classmethod
    def of(cls, code: int, *lines: str) -> Reply:
        """Write a reply: ``Reply.of(250, "2.1.0 Ok")``.

        Raises:
            LocalProtocolError: a line that UTF-8 cannot encode (a lone surrogate).
        """
        try:
            return cls(code, tuple(line.encode("utf-8") for line in lines) or (b"",))
        except UnicodeEncodeError as error:
            raise LocalProtocolError(f"reply text is not Unicode text: {error.reason}") from None

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines as text: UTF-8 line by line, Latin-1 where that fails."""
        return tuple(_decoded(line) for line in self.octets)

    @property
    def text(self) -> str:
        """The lines joined by a line feed, the enhanced status code removed from each."""
        enhanced = self.enhanced
        if enhanced is None:
            return "\n".join(self.lines)
        parts = [(split_status_code(line), line) for line in self.lines]
        return "\n".join(rest if code == enhanced else line for (code, rest), line in parts)

    @property
    def enhanced(self) -> EnhancedStatusCode | None:
        """The enhanced status code of the first line that has one.

        It counts whether or not the server announced the extension, but only where
        its class agrees with the reply code (RFC 2034 section 4).
        """
        klass = self.code // 100
        for line in self.lines:
            code = EnhancedStatusCode.parse(line)
            if code is not None and code.klass == klass:
                return code
        return None

    @property
    def is_positive(self) -> bool:
        """Whether the command was carried out (2xx)."""
        return 200 <= self.code < 300

    @property
    def is_transient(self) -> bool:
        """Whether the same command may succeed later (4xx)."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Whether the same command will fail again (5xx)."""
        return 500 <= self.code < 600

    def encode(self) -> bytes:
        """Render the reply with its line ends, each line a CRLF.

        Raises:
            LocalProtocolError: CR, LF or NUL in a line, or a code out of range.
        """
        if self.code not in _CODES:
            raise LocalProtocolError(f"reply code {self.code!r} is not between 200 and 599")
        for line in self.octets:
            if _UNSENDABLE.search(line):
                raise LocalProtocolError(f"CR, LF or NUL in reply text {line!a}")
        *head, last = self.octets or (b"",)
        rendered = [b"%d-%b\r\n" % (self.code, line) for line in head]
        # RFC 5321 section 4.2: the space stands also where no text follows; there are clients that
        # look for it behind an empty challenge (RFC 4954 section 4).
        rendered.append(b"%d %b\r\n" % (self.code, last))
        return b"".join(rendered)

    def __str__(self) -> str:
        """The lines with code and separator, joined by a line feed."""
        *head, last = self.lines or ("",)
        shown = [f"{self.code}-{line}" for line in head]
        shown.append(f"{self.code} {last}" if last else f"{self.code}")
        return "\n".join(shown)

    def __repr__(self) -> str:
        return f"Reply({self.code}, {self.octets!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reply):
            return NotImplemented
        return self.code == other.code and self.octets == other.octets

    def __hash__(self) -> int:
        return hash((self.code, self.octets))


def _single(line: bytes) -> Reply | None:
    """Read a line, with its line end, that is a whole reply by itself; None if it is not."""
    code = _PREFIXES.get(line[:4], 0)
    if code <= 0:
        return None
    reply = Reply(code, (_without_line_end(line)[4:],))
    _remember(line, reply)
    return reply


def _remember(octets: bytes, reply: Reply) -> None:
    if reply.code in _RECURRING and len(octets) <= _HEARD_OCTETS:
        if len(_heard) >= _HEARD_REPLIES:
            _heard.clear()
        _heard[octets] = reply


class ReplyParser:
    """Turn octets into replies, however they were cut.

    Feed with :meth:`receive_data`, then call :meth:`next_reply` until it gives None.
    A line ends in CRLF or in a bare LF; a CR alone is text. An error is final: it is
    raised by that call and by each later one, and further octets are not kept.

    Memory is bounded by the limits plus what the caller feeds between two calls.
    """

    __slots__ = (
        "_at",
        "_blanks",
        "_buffer",
        "_code",
        "_failure",
        "_held",
        "_held_size",
        "_limits",
        "_line",
    )

    def __init__(self, limits: ReplyLimits = _DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._line = min(limits.line, limits.total)
        self._failure: tuple[str, bytes] | None = None
        self.clear()

    def clear(self) -> None:
        """Forget all octets not yet given out (as one must after STARTTLS)."""
        self._buffer = b""
        self._at = 0  # where the next line starts
        self._blanks = 0  # empty lines since the last reply
        self._held: list[bytes] = []  # whole lines of the unfinished reply
        self._held_size = 0  # their octets
        self._code = 0  # their code

    @property
    def residue(self) -> bytes:
        """The octets not yet given out as replies, lines of an unfinished one included."""
        return b"".join(self._held) + self._buffer[self._at :]

    def receive_data(self, data: bytes) -> None:
        """Take what was read from the transport."""
        if self._failure is not None:
            return
        if self._at < len(self._buffer):
            # Copies the unfinished line, which is bounded, and replies not asked for yet.
            self._buffer = self._buffer[self._at :] + data
        else:
            self._buffer = data
        self._at = 0

    def skip(self, replies: bytes) -> bool:
        """Pass by the octets of whole replies, if they come next; tell whether they do."""
        if self._held or not self._buffer.startswith(replies, self._at):
            return False
        self._at += len(replies)
        self._blanks = 0
        return True

    def next_reply(self) -> Reply | None:
        """Give the next whole reply, or None if more octets are needed.

        Raises:
            RemoteProtocolError: what came is not a reply, or is over a limit.
        """
        buffer = self._buffer
        start = self._at
        # Nearly every reply is one line with text, whole, and begins where a line may.
        end = buffer.find(b"\n", start) + 1
        if 4 < end - start <= self._line and not self._held:
            line = buffer[start:end]
            reply = _heard.get(line) or _single(line)
            if reply is not None:
                self._at = end
                self._blanks = 0
                return reply
        elif start == len(buffer) and self._failure is None:
            return None
        return self._last() or self._assemble()

    def repeats(self, reply: Reply, most: int) -> int:
        """Pass over replies that repeat the one just given, octet for octet; return how many.

        A thousand recipients may have a thousand replies, all alike.

        Args:
            reply: The last that was given.
            most: How many of them at most.
        """
        buffer, at = self._buffer, self._at
        if len(reply.octets) != 1:
            return 0
        line = buffer[buffer.rfind(b"\n", 0, at - 1) + 1 : at]
        most = min(most, (len(buffer) - at) // len(line))
        if buffer.startswith(line * most, at):
            count = most
        else:
            count = 0
            while buffer.startswith(line, at + count * len(line)):
                count += 1
        self._at = at + count * len(line)
        return count

    def _last(self) -> Reply | None:
        """Give a reply that was heard before, if it is all that is left."""
        buffer, start = self._buffer, self._at
        if self._held or len(buffer) - start > self._line:
            return None
        reply = _heard.get(buffer[start:])
        if reply is None or len(reply.octets) > self._limits.lines:
            return None
        self._at = len(buffer)
        self._blanks = 0
        return reply

    def _assemble(self) -> Reply | None:
        """Read line by line until a reply is whole or the octets are used up."""
        if self._failure is not None:
            raise RemoteProtocolError(*self._failure)
        buffer = self._buffer
        while True:
            start = self._at
            end = buffer.find(b"\n", start)
            # The unfinished line counts with the line end it lacks.
            size = (end if end >= 0 else len(buffer)) - start + 1
            if size > self._line:
                self._fail("a reply line is too long", buffer[start : start + self._line])
            if end < 0:
                return None
            line = buffer[start : end + 1]
            self._at = end + 1
            if line in _EMPTY_LINES and not self._held:
                self._blanks += 1
                if self._blanks > BLANK_LINES:
                    self._fail("too many empty lines between replies", line)
                continue
            if self._append(line):
                return self._finish()

    def _append(self, line: bytes) -> bool:
        """Add one line with its line end to the reply; say whether it was the last."""
        code = _PREFIXES.get(line[:4], 0)
        if not code:
            # A code without text may stand alone (RFC 5321 section 4.2).
            code = _PREFIXES.get(_without_line_end(line) + b" ", 0)
        if not code:
            self._fail("not an SMTP reply", line)
        if self._held and abs(code) != self._code:
            self._fail("a multi-line reply changes its code", b"".join([*self._held[-1:], line]))
        self._code = abs(code)
        self._held.append(line)
        self._held_size += len(line)
        if len(self._held) > self._limits.lines:
            self._fail("a reply has too many lines", line)
        if self._held_size > self._limits.total:
            self._fail("a reply is too long", line)
        return code > 0

    def _finish(self) -> Reply:
        reply = Reply(self._code, tuple(_without_line_end(line)[4:] for line in self._held))
        _remember(b"".join(self._held), reply)
        self._held = []
        self._held_size = 0
        self._blanks = 0
        return reply

    def _fail(self, message: str, received: bytes) -> NoReturn:
        self.clear()
        self._failure = (message, received)
        raise RemoteProtocolError(message, received)
