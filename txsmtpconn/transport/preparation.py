"""A message made ready for sending: who is to get it by its own headers, and no Bcc.

Only the header section is looked at, and of it only the fields that name people (RFC 5322 section
3.6). Everything else stays as it is, octet by octet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.errors import NonASCIILocalPartDefect
from email.parser import HeaderParser
from email.policy import SMTPUTF8
from typing import Any

from txsmtpconn.errors import EnvelopeError

#: Octets of a header section that are looked at; RFC 5322 sets no limit, but people do not write
#: a megabyte of addresses.
HEAD_LIMIT = 1024 * 1024

#: The fields of which one is in every block of Resent fields.
_RESENT = ("Resent-From", "Resent-Sender")

_FIELD = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)(?:[ \t][^\r\n]*(?:\r\n|\r|\n|\Z))*")
_BCC = re.compile(rb"(?:resent-)?bcc[ \t]*:", re.IGNORECASE)
_LAST_LINE_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?=[\r\n])")


def head_of(beginning: bytes) -> int | None:
    """Return where the header section ends: behind its last line end, before the empty line.

    Args:
        beginning: A message, or as much of it as is there.

    Returns:
        None if the end has not come yet.
    """
    if beginning.startswith((b"\n", b"\r")):
        return 0
    found = _LAST_LINE_END.search(beginning)
    return None if found is None else found.end()


def without_bcc(head: bytes) -> bytes:
    """Return a header section without Bcc and Resent-Bcc (RFC 5322 section 3.6.3)."""
    return b"".join(field for field in _fields(head) if not _BCC.match(field))


def _fields(head: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(head):
        found = _FIELD.match(head, at)
        assert found is not None
        yield found[0]
        at = found.end()


def envelope_addresses(head: bytes) -> tuple[str, list[str]]:
    """Return the reverse-path and the recipients that a header section names.

    The sender is that of Sender or else the first of From; recipients are those of To, Cc and Bcc,
    each once. Where there are Resent fields, the topmost block of them counts instead (RFC 5322
    section 3.6.6).

    Raises:
        EnvelopeError: A field cannot be read, or there is no sender or recipient.
    """
    # RFC 6532: a header section is UTF-8 where it is not ASCII.
    parsed = HeaderParser(policy=SMTPUTF8).parsestr(head.decode("utf-8", "surrogateescape"))
    return named_in(parsed)


def named_in(parsed: Any) -> tuple[str, list[str]]:
    """Do the same for a message object whose policy parses addresses.

    Raises:
        EnvelopeError: As for `envelope_addresses`.
    """
    prefix = "Resent-" if any(_fields_of(parsed, name) for name in _RESENT) else ""
    senders = _addresses(parsed, prefix + "Sender") or _addresses(parsed, prefix + "From")
    if not senders:
        raise EnvelopeError("the message names no sender", command="API")
    recipients: dict[str, None] = {}
    for name in ("To", "Cc", "Bcc"):
        recipients |= dict.fromkeys(_addresses(parsed, prefix + name))
    if not recipients:
        raise EnvelopeError("the message names no recipient", command="API")
    return senders[0], list(recipients)


def _addresses(parsed: Any, name: str) -> list[str]:
    """Return the addresses in all fields of a name; of Resent fields, in the first of them."""
    addresses: list[str] = []
    for field in _fields_of(parsed, name)[: 1 if name.startswith("Resent-") else None]:
        found, defects = field
        # RFC 6532 made of that "defect" a feature.
        sound = all(isinstance(defect, NonASCIILocalPartDefect) for defect in defects)
        if not sound or "" in found:
            text = f"the field {name} holds something that is no address"
            raise EnvelopeError(text, command="API")
        addresses += found
    return addresses


def _fields_of(parsed: Any, name: str) -> list[tuple[list[str], list[Any]]]:
    """Return the addresses and the defects of each field of a name."""
    try:
        return [
            ([each.addr_spec for each in field.addresses], list(field.defects))
            for field in parsed.get_all(name, [])
        ]
    except Exception as reason:
        # The parser that looks at it gives up in many ways, on deep comments with RecursionError.
        raise EnvelopeError(f"the field {name} cannot be read", command="API") from reason
