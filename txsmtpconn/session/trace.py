"""What a session shows of its conversation, to whoever wants to write it down."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Direction(Enum):
    """Which way a line of a transcript went."""

    SENT = "C"
    RECEIVED = "S"
    #: Mail data, sent.
    CONTENT = "D"


#: Sees each line, without its line end, with its direction, and whether a secret was cut out of it.
#: Directions are the client's: a server's session, too, calls what the client says SENT.
Trace = Callable[[Direction, bytes, bool], None]
