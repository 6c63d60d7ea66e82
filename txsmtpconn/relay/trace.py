"""Trace information: the field that a relay puts in front of a message, and the count of them.

RFC 5321 section 4.4 has the grammar, RFC 3848 and RFC 6531 section 4.3 the keywords behind
``with``. What the client said of itself is quoted, never believed: a name that is no domain goes
into a comment, with everything escaped that could end the comment or the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import formatdate

from txsmtpconn.net.networks import address_of
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.path import client_name

#: Received fields after which a message is in a loop (RFC 5321 section 6.3 suggests at least 100).
HOP_LIMIT = 100

#: What is kept of a name that a client made up.
_SHOWN = 100

_NAME = b"received"
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"(?:\A|\n)\r?\n")
_LONGEST_NAME = 76  # of a field that is still worth comparing


@dataclass(frozen=True, slots=True)
class Reception:
    """How a message came in.

    Attributes:
        hello: What the client called itself, as it said it.
        peer: The client's IP address, or another name for the road it came by.
        by: Our own name.
        protocol: The registered keyword for the protocol: ``"ESMTPSA"``, ``"UTF8LMTP"``.
    """

    hello: str
    peer: str
    by: str
    protocol: str = "ESMTP"

    @property
    def smtputf8(self) -> bool:
        """Whether the message may have UTF-8 in its header section."""
        return self.protocol.startswith("UTF8")


def received_field(
    reception: Reception, queue_id: str, moment: float, recipient: str | None = None
) -> bytes:
    """Return the Received field with its line ends.

    Args:
        reception: How the message came in.
        queue_id: Our name for it.
        moment: Seconds since 1970.
        recipient: The only recipient; with several, none is named, since each would learn of the
            others.
    """
    address = address_of(reception.peer)
    if address is None:
        literal = ""
    elif address.version == 6:
        literal = f"[IPv6:{address}]"
    else:
        literal = f"[{address}]"
    try:
        name = client_name(reception.hello).decode("ascii")
        source = f"{name} ({literal or _comment(reception.peer)})"
    except LocalProtocolError:
        told = f"hello={_comment(reception.hello)}"
        source = f"{literal or 'unknown'} ({told})"
    lines = [
        f"Received: from {source}",
        f"\tby {reception.by} with {reception.protocol} id {queue_id}",
    ]
    if recipient is not None and _is_printable(recipient, reception.smtputf8):
        lines.append(f"\tfor <{recipient}>")
    lines[-1] += ";"
    lines.append(f"\t{formatdate(moment, localtime=True)}")
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8")


def _is_printable(recipient: str, smtputf8: bool) -> bool:
    return recipient.isprintable() and (smtputf8 or recipient.isascii())


def _comment(text: str) -> str:
    """Write any text so that it is the inside of a comment (RFC 5322 section 3.2.2) and no more."""
    shown = text[:_SHOWN].encode("unicode_escape").decode("ascii")
    shown = shown[:_SHOWN] + "..." if len(text) > _SHOWN or len(shown) > _SHOWN else shown
    # The escapes' own backslashes are doubled by this, and say what they said.
    for special in ("\\", "(", ")"):
        shown = shown.replace(special, "\\" + special)
    return shown or "none"


class HopCounter:
    """Counts the Received fields of a message's header section while it streams by."""

    def __init__(self) -> None:
        self.hops = 0
        self._line = b""  # the beginning of the line under way
        self._skipping = False  # what is left of a line that is known already
        self._over = False

    def feed(self, chunk: bytes) -> None:
        """Look at the next octets; behind the header section this costs nothing."""
        if self._over:
            return
        if not self._line and not self._skipping and not self.hops:
            # Nearly always the first octets hold the whole header section.
            header_end = _HEADER_END.search(chunk)
            if header_end is not None:
                self.hops = len(_RECEIVED.findall(chunk, 0, header_end.end()))
                self._over = True
                return
        start = 0
        while start < len(chunk) and not self._over:
            end = chunk.find(b"\n", start)
            stop = len(chunk) if end < 0 else end + 1
            if not self._skipping:
                self._line += chunk[start : min(stop, start + _LONGEST_NAME)]
                self._look()
            if end >= 0:
                self._line, self._skipping = b"", False
            start = stop

    def _look(self) -> None:
        name, colon, _ = self._line.partition(b":")
        if colon:
            self.hops += name.rstrip(b" \t").lower() == _NAME
            self._skipping = True
        elif self._line in (b"\r\n", b"\n"):
            self._over = True
        elif len(self._line) >= _LONGEST_NAME:
            self._skipping = True
