"""xtext, and the addresses of ORCPT."""

from __future__ import annotations

import pytest

from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.xtext import (
    check_original_recipient,
    decode_original_recipient,
    encode_original_recipient,
    printable_ascii,
    xtext_decode,
    xtext_encode,
)


def test_every_octet_survives() -> None:
    """RFC 3461 section 4: the code is total, and its result is printable without + and =."""
    octets = bytes(range(256))
    encoded = xtext_encode(octets)
    assert xtext_decode(encoded) == octets
    assert all(0x21 <= octet <= 0x7E for octet in encoded)
    assert b"=" not in encoded
    assert xtext_encode(b"a+b=c d") == b"a+2Bb+3Dc+20d"


@pytest.mark.parametrize("xtext", [b"+", b"+1", b"+GG", b"a b", b"a=b", b"\r", b"\x80", b"+2"])
def test_what_is_no_xtext_is_refused(xtext: bytes) -> None:
    """A plus sign without two digits, and octets that should have been encoded."""
    with pytest.raises(LocalProtocolError, match="malformed xtext"):
        xtext_decode(xtext)


def test_xtext_is_decoded_and_not_judged() -> None:
    """CRLF comes out; whoever uses it must look (S36)."""
    assert xtext_decode(b"ab+0D+0Acd") == b"ab\r\ncd"
    assert xtext_decode(b"+c3+BC") == "ü".encode()
    assert xtext_decode(b"") == b""


@pytest.mark.parametrize("orcpt", ["rfc822;a@b", "utf-8;ü@b", "x-a;any thing", "RFC822;+=\\"])
def test_an_original_recipient_survives(orcpt: str) -> None:
    """Encoded as ASCII without spaces, and decoded as it was."""
    check_original_recipient(orcpt)
    encoded = encode_original_recipient(orcpt)
    assert b" " not in encoded
    assert decode_original_recipient(encoded.decode("ascii")) == orcpt


def test_printable_ascii_includes_the_space() -> None:
    """What a delivery status notification can hold in one line."""
    assert printable_ascii("a b~")
    assert printable_ascii("")
    for text in ("\t", "\x7f", "ü", "a\n"):
        assert not printable_ascii(text)
