"""xtext (RFC 3461 section 4) and the addresses of ORCPT, international ones included."""

from __future__ import annotations

import re

from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.text import forbidden_character, shown

# xchar = any ASCII from "!" to "~" except "+" and "="
_NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")
_XTEXT = re.compile(rb"(?>(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*)")
_HEXCHAR = re.compile(rb"\+([0-9A-Fa-f]{2})")

# RFC 6533 section 3: QCHAR is xchar without the backslash; all else is
# EmbeddedUnicodeChar, "\x{" HEXPOINT "}" with two to six digits.
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_UTF8_ADDRESS = re.compile(r"(?>(?:[!-*,-<>-\[\]-~\u0080-\U0010ffff]|\\x\{[0-9A-Fa-f]{2,6}\})*)")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")

# addr-type is an atom (RFC 3461 section 4.2).
_ADDRESS_TYPE = re.compile(r"[-A-Za-z0-9!#$%&'*/?^_`{|}~]+")
_PRINTABLE = re.compile(r"[ -~]*")


def xtext_encode(octets: bytes) -> bytes:
    """Encode any octets as xtext: ``b"a+b"`` becomes ``b"a+2Bb"``."""
    return _NOT_XCHAR.sub(lambda found: b"+%02X" % found[0][0], octets)


def xtext_decode(xtext: bytes) -> bytes:
    """Decode xtext. The result may hold any octet: check it before it is used.

    Raises:
        LocalProtocolError: it is not xtext.
    """
    if not _XTEXT.fullmatch(xtext):
        raise LocalProtocolError(f"malformed xtext {shown(xtext.decode('latin-1'))}")
    return _HEXCHAR.sub(lambda found: bytes((int(found[1], 16),)), xtext)


def printable_ascii(text: str) -> bool:
    """Whether a text is made of space and graphic ASCII only."""
    return _PRINTABLE.fullmatch(text) is not None


def check_original_recipient(orcpt: str) -> None:
    """Check ``type;address`` as ORCPT takes it, before encoding.

    Raises:
        LocalProtocolError: no address type, no address, or a character that a delivery
            status notification could not hold.
    """
    address_type, semicolon, address = orcpt.partition(";")
    if not semicolon or not address or not _ADDRESS_TYPE.fullmatch(address_type):
        raise LocalProtocolError(f'ORCPT {shown(orcpt)} is not of the form "type;address"')
    if address_type.lower() == "utf-8":
        character = forbidden_character(address)
        if character is not None:
            raise LocalProtocolError(f"ORCPT {shown(orcpt)} contains {character}")
    elif not printable_ascii(address):
        raise LocalProtocolError(f"ORCPT {shown(orcpt)} is not printable ASCII; use utf-8;")


def encode_original_recipient(orcpt: str) -> bytes:
    """Encode a checked ``type;address``.

    An address of type ``utf-8`` takes the form utf-8-addr-xtext, which is ASCII and so
    goes through servers with and without SMTPUTF8 (RFC 6533 section 3).
    """
    address_type, _, address = orcpt.partition(";")
    if address_type.lower() == "utf-8":
        embedded = _NOT_QCHAR.sub(lambda found: rf"\x{{{ord(found[0]):02X}}}", address)
        return f"{address_type};{embedded}".encode("ascii")
    return address_type.encode("ascii") + b";" + xtext_encode(address.encode("ascii"))


def decode_original_recipient(value: str) -> str:
    """Decode and check the value of ORCPT.

    An address beyond ASCII that comes as ``rfc822``, in xtext of its UTF-8, is of type ``utf-8``
    (RFC 6533 section 3): Postfix 3.0 and later write it so, and its mail would else be refused.

    Raises:
        LocalProtocolError: it is malformed, or its decoded form is.
    """
    address_type, semicolon, address = value.partition(";")
    if address_type.lower() == "utf-8":
        if not _UTF8_ADDRESS.fullmatch(address):
            raise LocalProtocolError(f"malformed ORCPT {shown(value)}")
        decoded = _EMBEDDED.sub(_embedded_character, address)
    elif address.isascii():
        octets = xtext_decode(address.encode("ascii"))
        if address_type.lower() == "rfc822" and not octets.isascii():
            address_type = "utf-8"
        # Not UTF-8: lone surrogates stand in, which no check lets pass.
        decoded = octets.decode("utf-8", "surrogateescape")
    else:
        raise LocalProtocolError(f"malformed ORCPT {shown(value)}")
    orcpt = address_type + semicolon + decoded
    check_original_recipient(orcpt)
    return orcpt


def _embedded_character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    # Out of range: a lone surrogate stands in, which no check lets pass.
    return chr(point) if point <= 0x10FFFF else "\ud800"
