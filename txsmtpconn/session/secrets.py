"""What a peer quotes of our secrets, taken out of what it says.

Some servers repeat a command that they do not know ("500 Command unrecognized: AUTH PLAIN ..."),
and their words go into replies, errors and logs. What was secret is known by what we sent and never
guessed from the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from txsmtpconn.wire.reply import Reply

_CONCEALED: Final = b"[secret]"

#: Octets by which a quotation is known, as a peer may cut it short. Whatever is shorter would be
#: found in any text, and each finding would tell what it is.
_TELLING: Final = 8


def concealed(octets: bytes, secrets: Iterable[bytes]) -> bytes:
    """Replace whatever begins like one of the secrets, as far as it goes on like it."""
    for secret in secrets:
        head = secret[:_TELLING]
        at = octets.find(head) if len(secret) >= _TELLING else -1
        while at >= 0:
            behind = octets[at + _shared(secret, octets[at:]) :]
            octets = octets[:at] + _CONCEALED + behind
            at = octets.find(head, at + len(_CONCEALED))
    return octets


def without_secrets(reply: Reply, secrets: Iterable[bytes]) -> Reply:
    """Return a reply that quotes none of the secrets: the same one where it never did."""
    lines = tuple(concealed(line, secrets) for line in reply.octets)
    return reply if lines == reply.octets else Reply(reply.code, lines)


def _shared(one: bytes, other: bytes) -> int:
    """Count the octets with which both begin."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
