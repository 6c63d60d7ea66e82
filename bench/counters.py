"""The numbers that `fastsink` and `pysink` keep in a shared file."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

LAYOUT = struct.Struct("=QQQ")


class Counters(NamedTuple):
    """Totals since the sink started; the octets are those of mail data."""

    connections: int
    messages: int
    octets: int

    @classmethod
    def read(cls, file: Path) -> Counters:
        """Return the current numbers."""
        return cls(*LAYOUT.unpack(file.read_bytes()[: LAYOUT.size]))
