"""What a peer quotes of our secrets."""

from __future__ import annotations

import pytest

from txsmtpconn.session.secrets import concealed, without_secrets
from txsmtpconn.wire.reply import Reply

SECRET = b"AHVzZXIAaHVudGVyMg=="


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"unknown: AUTH PLAIN " + SECRET, b"unknown: AUTH PLAIN [secret]"),
        (b'"' + SECRET + b'" and ' + SECRET, b'"[secret]" and [secret]'),
        (b"unknown: AUTH PLAIN AHVzZXIAaH...", b"unknown: AUTH PLAIN [secret]..."),
        (SECRET[:8], b"[secret]"),
        (SECRET[:7], SECRET[:7]),
        (b"5.7.8 no", b"5.7.8 no"),
        (b"", b""),
    ],
)
def test_a_quotation_is_concealed_as_far_as_it_goes(said: bytes, shown: bytes) -> None:
    """Whole, several times, or cut short."""
    assert concealed(said, [SECRET]) == shown


def test_a_word_too_short_is_no_secret() -> None:
    """To conceal it would tell it: it stands in any text."""
    assert concealed(b"wrong password", [b"pass", b""]) == b"wrong password"


def test_each_line_of_a_reply_is_looked_at() -> None:
    """And a reply that quotes nothing stays what it is."""
    reply = Reply(500, (b"what is", SECRET))
    assert without_secrets(reply, [SECRET]) == Reply(500, (b"what is", b"[secret]"))
    assert without_secrets(reply, []) is reply


def test_a_line_full_of_quotations() -> None:
    """All of them."""
    assert concealed(SECRET[:8] * 1024, [SECRET]) == b"[secret]" * 1024
