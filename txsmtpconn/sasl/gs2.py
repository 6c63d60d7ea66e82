"""The header that SCRAM and OAUTHBEARER borrow from GS2 (RFC 5801 section 4).

It says what the client thinks of channel binding and whom it wants to act as; SCRAM protects it by
its proof, so that nobody on the way can change it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from txsmtpconn.sasl.mechanism import SASLError, claimed

#: The client cannot bind to the channel, or does not care to.
NO_BINDING = b"n"

#: The client can, and thinks that the server cannot: which the server knows better.
BINDING_UNSEEN = b"y"

_BINDING_NAME = re.compile(rb"[A-Za-z0-9.-]{1,64}")
_STRAY_EQUALS = re.compile(rb"=(?!2C|3D)")


@dataclass(frozen=True, slots=True)
class Header:
    """A GS2 header.

    Attributes:
        flag: ``n``, ``y``, or ``p=`` and the type of channel binding.
        authzid: Whom to act as; empty for nobody else.
        octets: The header as it was said, with its last comma.
    """

    flag: bytes
    authzid: str
    octets: bytes

    @property
    def binding(self) -> str | None:
        """The type of channel binding in use."""
        return self.flag[2:].decode("ascii") if self.flag.startswith(b"p=") else None


def header(flag: bytes, authzid: bytes) -> bytes:
    """Write a header."""
    return flag + b"," + (b"a=" + escape(authzid) if authzid else b"") + b","


def take_header(message: bytes) -> tuple[Header, bytes]:
    """Read a header off the start of a message; return it and the rest.

    Raises:
        SASLError: There is none, or it is malformed.
    """
    parts = message.split(b",", 2)
    if len(parts) != 3:
        raise SASLError("the message has no GS2 header")
    flag, identity, rest = parts
    if flag not in (NO_BINDING, BINDING_UNSEEN) and not (
        flag.startswith(b"p=") and _BINDING_NAME.fullmatch(flag[2:])
    ):
        raise SASLError("the GS2 header says nothing known of channel binding")
    authzid = ""
    if identity:
        if not identity.startswith(b"a=") or identity == b"a=":
            raise SASLError("the GS2 header holds no authorization identity where one belongs")
        authzid = claimed(unescape(identity[2:]), "authorization identity")
    return Header(flag, authzid, message[: len(message) - len(rest)]), rest


def escape(name: bytes) -> bytes:
    """Write a name so that it holds no comma (RFC 5801 section 4, saslname)."""
    return name.replace(b"=", b"=3D").replace(b",", b"=2C")


def unescape(name: bytes) -> bytes:
    """Undo `escape`.

    Raises:
        SASLError: An equals sign stands for nothing.
    """
    if _STRAY_EQUALS.search(name):
        raise SASLError("a name holds an equals sign that stands for nothing")
    return name.replace(b"=2C", b",").replace(b"=3D", b"=")
