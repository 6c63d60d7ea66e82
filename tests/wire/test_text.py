"""Characters that have no place in a command."""

from __future__ import annotations

import unicodedata

import pytest

from txsmtpconn.wire.text import forbidden_character, shown


def test_nothing_unseen_may_go_into_a_command() -> None:
    """Every control, format, surrogate, private or separator character but the space."""
    unseen = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
    for point in range(0x110000):
        if unicodedata.category(chr(point)) in unseen and point != 0x20:
            assert forbidden_character(chr(point)) == f"U+{point:04X}"


def test_letters_marks_digits_and_signs_may() -> None:
    """What people write addresses in, whatever the script."""
    assert forbidden_character("a Z0~ üß пример 例え テスト हिन्दी עברית 😀 \u0301") is None


@pytest.mark.parametrize("character", "\u034f\u115f\u1160\u17b4\u180b\u3164\ufe0f\uffa0\U000e0100")
def test_neither_may_letters_and_marks_that_nobody_sees(character: str) -> None:
    """Default-ignorable code points of other categories."""
    assert forbidden_character(f"a{character}b") == f"U+{ord(character):04X}"


def test_a_value_is_shown_escaped_and_cut() -> None:
    """An error message is one line of printable ASCII, whatever it is about."""
    assert shown("a\r\nb") == "'a\\r\\nb'"
    assert shown("ü\u202e") == "'\\xfc\\u202e'"
    assert shown(5) == "5"
    assert shown(10**5000) == "a huge int"
    assert shown("x" * 10**6) == "'" + "x" * 79 + "..."
    assert len(shown("\u200b" * 1000)) == 83
