"""BDAT: the command, and the octets behind it."""

from __future__ import annotations

import pytest

from txsmtpconn.wire.chunking import ChunkReader, bdat
from txsmtpconn.wire.errors import LocalProtocolError


def test_a_chunk_is_announced_with_its_size() -> None:
    """RFC 3030 section 2; an empty last chunk is how a message may end."""
    assert bdat(86, False) == b"BDAT 86\r\n"
    assert bdat(0, True) == b"BDAT 0 LAST\r\n"
    assert bdat(10**20 - 1, True) == b"BDAT 99999999999999999999 LAST\r\n"


@pytest.mark.parametrize("size", [-1, 10**20, True, 1.0, "5", None, float("inf")])
def test_a_size_is_a_count(size: object) -> None:
    """A6: nothing else gets into the command."""
    with pytest.raises(LocalProtocolError):
        bdat(size, True)  # type: ignore[arg-type]


def test_a_chunk_is_counted_not_read() -> None:
    """End marks and commands inside are content; what follows is left."""
    octets = b"\r\n.\r\nQUIT\r\n"
    for cut in range(len(octets) + 1):
        reader = ChunkReader(len(octets))
        assert reader.feed(octets[:cut]) == octets[:cut]
        assert reader.remaining == len(octets) - cut
        assert reader.finished == (cut == len(octets))
        assert reader.feed(octets[cut:] + b"BDAT 0 LAST\r\n") == octets[cut:]
        assert reader.finished
        assert reader.feed(b"x") == b""
        assert reader.remainder == b"BDAT 0 LAST\r\nx"


def test_an_empty_chunk_is_finished_at_once() -> None:
    """BDAT 0: all that follows are commands."""
    reader = ChunkReader(0)
    assert reader.finished
    assert reader.feed(b"RSET\r\n") == b""
    assert reader.remainder == b"RSET\r\n"
