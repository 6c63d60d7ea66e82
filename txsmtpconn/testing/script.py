"""The steps of a conversation, as one side of it plays them: see `txsmtpconn.testing.peer`.

Text stands for lines: each argument gets its CRLF. Bytes stand for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txsmtpconn.testing.peer import ScriptedPeer


@dataclass(frozen=True, slots=True)
class Expect:
    """The other side says exactly these octets."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class ExpectMatching:
    """The other side says a line (given without its CRLF) that the pattern matches whole."""

    pattern: re.Pattern[bytes]


@dataclass(frozen=True, slots=True)
class ExpectData:
    """The other side sends mail data up to its CRLF.CRLF: these octets, or any."""

    octets: bytes | None = None


@dataclass(frozen=True, slots=True)
class ExpectOctets:
    """The other side sends this many octets (a BDAT chunk)."""

    count: int


@dataclass(frozen=True, slots=True)
class ExpectSilence:
    """The other side has said nothing more, and says nothing for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ExpectClose:
    """The other side closes the connection, in whatever manner."""


@dataclass(frozen=True, slots=True)
class Send:
    """Say these octets: all at once, or in pieces of `split` octets, `every` so many seconds."""

    octets: bytes
    split: int | None = None
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StartTLS:
    """Start TLS, and go on when its handshake is done."""

    options: Any


@dataclass(frozen=True, slots=True)
class Close:
    """Send what is buffered and close."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection."""


@dataclass(frozen=True, slots=True)
class Read:
    """Stop reading from the connection (its window fills up), or read again."""

    reading: bool


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function with the peer."""

    function: Callable[[ScriptedPeer], object]


Step = (
    Expect
    | ExpectMatching
    | ExpectData
    | ExpectOctets
    | ExpectSilence
    | ExpectClose
    | Send
    | Pause
    | StartTLS
    | Close
    | Reset
    | Read
    | Call
)


def _octets(pieces: tuple[str | bytes, ...]) -> bytes:
    return b"".join(
        piece.encode() + b"\r\n" if isinstance(piece, str) else piece for piece in pieces
    )


def expect(*pieces: str | bytes) -> Expect:
    """Expect these lines (text) or octets (bytes), and nothing else before them."""
    return Expect(_octets(pieces))


def expect_matching(pattern: str) -> ExpectMatching:
    """Expect one line that the regular expression matches whole."""
    return ExpectMatching(re.compile(pattern.encode()))


def expect_data(*pieces: str | bytes) -> ExpectData:
    """Expect mail data with its CRLF.CRLF, as on the wire; any, where nothing is given."""
    return ExpectData(_octets(pieces) if pieces else None)


def expect_octets(count: int) -> ExpectOctets:
    """Expect so many octets, whatever they are."""
    return ExpectOctets(count)


def expect_silence(seconds: float = 0.0) -> ExpectSilence:
    """Expect that nothing has been said, and that nothing is said for some time."""
    return ExpectSilence(seconds)


def expect_close() -> ExpectClose:
    """Expect that the other side ends the connection."""
    return ExpectClose()


def send(*pieces: str | bytes, split: int | None = None, every: float = 0.0) -> Send:
    """Say these lines (text) or octets (bytes), in pieces of `split` octets where that is given."""
    return Send(_octets(pieces), split, every)


def pause(seconds: float) -> Pause:
    """Let time pass before the next step."""
    return Pause(seconds)


def start_tls(options: Any) -> StartTLS:
    """Start TLS: a server needs `CertificateOptions`, a client a connection creator."""
    return StartTLS(options)


def close() -> Close:
    """Close in good order."""
    return Close()


def reset() -> Reset:
    """Break the connection: the other side loses it."""
    return Reset()


def stop_reading() -> Read:
    """Take no more octets from the connection."""
    return Read(False)


def read_again() -> Read:
    """Take octets again."""
    return Read(True)


def call(function: Callable[[ScriptedPeer], object]) -> Call:
    """Call a function, for what no other step does."""
    return Call(function)


def transcript(text: str, *, role: str = "server") -> tuple[Step, ...]:
    """Read a conversation in the notation of the RFCs, lines with `C:` and `S:`, as steps.

    Args:
        text: the conversation. Empty lines and leading white space are skipped; one space behind
            the colon is part of the notation. Consecutive lines of one side are one step.
        role: the side that the steps play, "server" or "client".

    Raises:
        ValueError: a line begins with neither, or nobody plays that role.
    """
    if role not in ("server", "client"):
        raise ValueError(f"role is 'server' or 'client', not {role!r}")
    ours = role[0].upper()
    steps: list[Step] = []
    lines: list[str] = []
    side = ""

    def end_turn() -> None:
        if lines:
            steps.append(send(*lines) if side == ours else expect(*lines))
            lines.clear()

    for raw in text.splitlines():
        line = raw.lstrip()
        if not line:
            continue
        if line[:2] not in ("C:", "S:"):
            raise ValueError(f"a line of a transcript begins with C: or S:, not {line!r}")
        if line[0] != side:
            end_turn()
        side = line[0]
        lines.append(line[3:] if line[2:3] == " " else line[2:])
    end_turn()
    return tuple(steps)
