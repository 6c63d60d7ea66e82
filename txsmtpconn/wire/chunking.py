"""BDAT: mail data by count instead of by end mark (RFC 3030)."""

from __future__ import annotations

from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.limits import SIZE_DIGITS

_TOO_LARGE = 10**SIZE_DIGITS


def bdat(size: int, last: bool) -> bytes:
    """Render the BDAT command that announces a chunk of ``size`` octets.

    Raises:
        LocalProtocolError: a size that is not a count of octets.
    """
    return bdat_command(size, last).encode("ascii")


def bdat_command(size: int, last: bool) -> str:
    """Give the same as text, with its line end, to be joined with other commands.

    Raises:
        LocalProtocolError: a size that is not a count of octets.
    """
    if type(size) is not int or not 0 <= size < _TOO_LARGE:
        raise LocalProtocolError(f"a chunk cannot have {size!r} octets")
    return f"BDAT {size} LAST\r\n" if last else f"BDAT {size}\r\n"


class ChunkReader:
    """Count the octets of one chunk, whatever they are.

    Nothing in a chunk is looked at, so nothing in it can end it early (RFC 3030
    section 2): the count is the only frame.

    Attributes:
        remaining: octets of the chunk still to come.
        remainder: what came behind the chunk.
    """

    __slots__ = ("remainder", "remaining")

    def __init__(self, size: int) -> None:
        self.remaining = size
        self.remainder = b""

    @property
    def finished(self) -> bool:
        """Whether the whole chunk was read; an empty one is from the start."""
        return self.remaining == 0

    def feed(self, data: bytes) -> bytes:
        """Take octets from the wire; give those that belong to the chunk."""
        if len(data) <= self.remaining:
            self.remaining -= len(data)
            return data
        content = data[: self.remaining]
        self.remainder += data[self.remaining :]
        self.remaining = 0
        return content
