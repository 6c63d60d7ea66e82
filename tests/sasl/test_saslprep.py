"""SASLprep: the examples of RFC 4013, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.sasl import saslprep
from txsmtpconn.wire.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),  # RFC 4013 section 3, one to five
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),  # section 2.1: spaces become ASCII's
        ("a\u3000b", "a b"),
        ("u\u0308", "\u00fc"),  # section 2.2: NFKC
        ("\ufb01", "fi"),
        ("\u212b", "\u00c5"),
        ("\u05d0\u05d1", "\u05d0\u05d1"),
        ("\u06271\u0628", "\u06271\u0628"),
        (" p w ", " p w "),
    ],
)
def test_different_spellings_become_one(text: str, prepared: str) -> None:
    """Whoever types it on whatever keyboard."""
    assert saslprep(text, "password") == prepared


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\x07", "control"),  # RFC 4013 section 3, six
        ("\u06271", "directions"),  # and seven
        ("1\u0627", "directions"),
        ("\u0627a\u0628", "directions"),
        ("x\x7f", "control"),
        ("x\x85", "control"),
        ("x\u06dd", "control"),
        ("x\ue000", "private"),
        ("x\ufdd0", "non-character"),
        ("x\ud800", "surrogate"),
        ("x\ufffd", "no text"),
        ("x\u2ff0", "no text"),
        ("x\u200e", "display"),
        ("x\U000e0041", "tagging"),
        ("", "not empty"),
        ("\u00ad\u200b", "not empty"),
    ],
)
def test_what_is_prohibited_is_refused_and_not_shown(text: str, complaint: str) -> None:
    """RFC 4013 section 2.3 and 2.4; the message says what it is about, and no character of it."""
    with pytest.raises(LocalProtocolError, match=complaint) as caught:
        saslprep(text, "password")
    assert "password" in str(caught.value)
    assert str(caught.value).isascii()


def test_what_unicode_3_2_did_not_know_may_be_asked_for_but_not_kept() -> None:
    """RFC 3454 section 7: whoever kept it would not know how to compare it."""
    assert saslprep("pass\U0001f600", "password") == "pass\U0001f600"
    with pytest.raises(LocalProtocolError, match="does not know"):
        saslprep("pass\U0001f600", "password", stored=True)


def test_only_text_is_prepared() -> None:
    """Bytes are not guessed at."""
    with pytest.raises(LocalProtocolError, match="must be a text"):
        saslprep(b"secret", "password")  # type: ignore[arg-type]


@given(st.text(max_size=20))
def test_preparing_ends_in_itself_or_in_a_refusal(text: str) -> None:
    """Any text: what comes out changes no more, encodes, and holds no control character."""
    try:
        prepared = saslprep(text, "password")
    except LocalProtocolError:
        return
    assert prepared.encode("utf-8")
    assert not [char for char in prepared if char < " " or "\x7f" <= char <= "\x9f"]
    assert saslprep(prepared, "password") == prepared
