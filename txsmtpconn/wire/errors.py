"""The two kinds of protocol error, and the refusals a server answers.

Whoever broke the grammar decides the class: :class:`LocalProtocolError` is the
caller's doing and is found before an octet leaves; :class:`RemoteProtocolError` is
the peer's. A server must answer a client's mistake instead of hanging up, so its
parsers raise :class:`CommandError`, which carries the reply to send. Anything else
that escapes a parser of this package is a bug, and the fuzz targets say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txsmtpconn.wire.limits import RECEIVED_EXCERPT

if TYPE_CHECKING:
    from txsmtpconn.wire.reply import Reply


class LocalProtocolError(ValueError):
    """The caller asked for something the grammar of SMTP cannot say."""


class RemoteProtocolError(Exception):
    """The peer sent something the grammar of SMTP does not know.

    Attributes:
        received: what was read, at most 512 octets of it; hostile data, escape it
            wherever it is shown.
    """

    def __init__(self, message: str, received: bytes = b"") -> None:
        super().__init__(message)
        self.received = received[:RECEIVED_EXCERPT]


class CommandError(Exception):
    """A client's command is refused, and the conversation goes on.

    Attributes:
        reply: the reply to send. It repeats nothing that the client wrote.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply
