"""What XCLIENT and XFORWARD say of a client: a list of ``NAME=value``, each value in xtext.

No RFC has them; Postfix, which brought them, describes them in its XCLIENT_README and
XFORWARD_README. Whoever sends them is trusted, and its client is not: a host name or a greeting
that it passes on was chosen by a stranger. So every value is judged after it is decoded.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping

from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.limits import ATTRIBUTE
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.text import forbidden_character, shown
from txsmtpconn.wire.xtext import xtext_decode, xtext_encode

#: The attributes of XCLIENT, in the order in which a server lists them.
XCLIENT = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
#: The attributes of XFORWARD.
XFORWARD = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")

#: What was told: a value, or None for what the sender does not know.
Attributes = Mapping[str, str | None]

_UNAVAILABLE = b"[UNAVAILABLE]"
# The second is said while a name server does not answer.
_UNKNOWN = (_UNAVAILABLE, b"[TEMPUNAVAIL]")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_GRAPHIC = re.compile(r"[!-~]+")
_IPV6 = "IPV6:"


def _host(value: str) -> str:
    if not _HOST.fullmatch(value) or ".." in value:
        raise LocalProtocolError("not a host name")
    return value


def _address(value: str) -> str:
    tagged = value[: len(_IPV6)].upper() == _IPV6
    try:
        if tagged or ":" in value:
            return str(ipaddress.IPv6Address(_untagged(value) if tagged else value))
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise LocalProtocolError("not an IP address") from None


def _untagged(value: str) -> str:
    if "%" in value:  # a zone means nothing to another host
        raise LocalProtocolError("an address with a zone")
    return value[len(_IPV6) :]


def _port(value: str) -> str:
    if not _PORT.fullmatch(value) or int(value) > 0xFFFF:
        raise LocalProtocolError("not a port")
    return value


def _text(value: str) -> str:
    character = forbidden_character(value)
    if character is not None:
        raise LocalProtocolError(f"it contains {character}")
    return value


def _graphic(value: str) -> str:
    if not _GRAPHIC.fullmatch(value):
        raise LocalProtocolError("not printable ASCII")
    return value


def _source(value: str) -> str:
    if value.upper() not in ("LOCAL", "REMOTE"):
        raise LocalProtocolError("neither LOCAL nor REMOTE")
    return value.upper()


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "NAME": _host,
    "ADDR": _address,
    "PORT": _port,
    "PROTO": _graphic,
    "HELO": _text,
    "LOGIN": _text,
    "DESTADDR": _address,
    "DESTPORT": _port,
    "IDENT": _graphic,
    "SOURCE": _source,
}


def parse_attributes(argument: bytes, offered: Collection[str]) -> dict[str, str | None]:
    """Read the argument of XCLIENT or XFORWARD, as a server.

    Args:
        argument: What stands behind the verb.
        offered: The attributes that the server has listed.

    Returns:
        Upper-case names with their values: addresses without the tag ``IPV6:``, and None for what
        is said to be unavailable.

    Raises:
        CommandError: with the reply to send.
    """
    found: dict[str, str | None] = {}
    for word in argument.split(b" "):
        if not word:
            continue
        name, equals, value = word.partition(b"=")
        key = name.decode("latin-1").upper()
        if key not in offered or key in found or not equals:
            raise _refusal("An attribute is unknown, repeated or without a value")
        try:
            found[key] = None if value.upper() in _UNKNOWN else _read(key, value)
        except (LocalProtocolError, UnicodeDecodeError):
            # Neither the value nor the name is quoted: both are the sender's.
            raise _refusal("The value of an attribute is malformed") from None
    if not found:
        raise _refusal("Attributes needed")
    return found


def _read(key: str, value: bytes) -> str:
    decoded = xtext_decode(value).decode("utf-8")
    if not 0 < len(decoded) <= ATTRIBUTE:
        raise LocalProtocolError("it is empty or too long")
    return _CHECKS[key](decoded)


def _refusal(text: str) -> CommandError:
    return CommandError(Reply.of(501, f"5.5.4 {text}"))


def encode_attributes(attributes: Attributes, offered: Collection[str]) -> list[bytes]:
    """Write attributes as the words behind XCLIENT or XFORWARD.

    Args:
        attributes: Names in any case with their values; None for what is not known.
        offered: The attributes that the server has listed.

    Raises:
        LocalProtocolError: One is not offered, or its value is not what it should be.
    """
    words = []
    for name, value in attributes.items():
        key = name.upper()
        if key not in offered or key not in _CHECKS:
            raise LocalProtocolError(f"the server does not offer the attribute {shown(key)}")
        words.append(key.encode("ascii") + b"=" + _written(key, value))
    if not words:
        raise LocalProtocolError("no attributes were given")
    return words


def _written(key: str, value: str | None) -> bytes:
    if value is None:
        return _UNAVAILABLE
    try:
        if not 0 < len(value) <= ATTRIBUTE:
            raise LocalProtocolError("it is empty or too long")
        checked = _CHECKS[key](value)
    except LocalProtocolError as error:
        raise LocalProtocolError(f"the attribute {key}, {shown(value)}: {error}") from None
    tag = _IPV6 if key in ("ADDR", "DESTADDR") and ":" in checked else ""
    return xtext_encode((tag + checked).encode("utf-8"))
