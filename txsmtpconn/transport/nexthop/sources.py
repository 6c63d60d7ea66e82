"""Looking at a message before it goes to several places."""

from __future__ import annotations

import re

from twisted.internet.defer import CancelledError, Deferred

from txsmtpconn.net.bodies import Body, release
from txsmtpconn.net.streams import MessageSource
from txsmtpconn.transport.preparation import head_of
from txsmtpconn.transport.prepared import PreparedMessage

#: Octets of a header that are looked at.
_HEADER = 64 * 1024

#: With white space that may be folded (RFC 5322 section 3.2.2).
_FIELD = re.compile(
    rb"^TLS-Required[ \t]*:[ \t]*(?:\r?\n[ \t]+)?No[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


class Once:
    """A source that can be read once only, and remembers whether it was.

    Attributes:
        opened: Whether it was read, if only in part.
    """

    replayable = False

    def __init__(self, source: MessageSource) -> None:
        self._source = source
        self.opened = False
        self.size = source.size
        self.whole = source.whole
        self.smtputf8 = source.smtputf8

    @property
    def eight_bit(self) -> bool | None:
        """As the source says."""
        return self._source.eight_bit

    def open(self) -> Body:
        """Start the one reading."""
        self.opened = True
        return self._source.open()


async def waives_tls(source: MessageSource | PreparedMessage) -> bool:
    """Tell whether a message has the header field ``TLS-Required: No`` (RFC 8689 section 3).

    Of a source that can be read once only, or fails, nothing is known: then the field does not
    count, and what the recipients' domains demand holds.
    """
    if isinstance(source, PreparedMessage):
        return (source.header("TLS-Required") or "").strip().lower() == "no"
    if source.whole is not None:
        return _says_no(source.whole)
    if not source.replayable:
        return False
    try:
        return _says_no(await _head_of(source))
    except CancelledError:
        raise
    except Exception:  # noqa: BLE001 - who reads it in order to send it will hear of that
        return False


async def _head_of(source: MessageSource) -> bytes:
    """Read as much as is looked at."""
    body = source.open()
    try:
        octets = b""
        while len(octets) < _HEADER and head_of(octets) is None:
            read = body.read()
            chunk = await read if isinstance(read, Deferred) else read
            if not chunk:
                break
            octets += chunk
        return octets
    finally:
        release(body)


def _says_no(octets: bytes) -> bool:
    return _FIELD.search(octets[: head_of(octets)]) is not None
