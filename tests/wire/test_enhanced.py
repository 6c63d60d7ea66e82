"""Enhanced status codes."""

from __future__ import annotations

import pytest

from tests.vectors.replies import STATUS_CODES
from txsmtpconn.wire.enhanced import EnhancedStatusCode, split_status_code


@pytest.mark.parametrize(
    ("text", "code", "rest"),
    [case[:3] for case in STATUS_CODES],
    ids=[case[3] for case in STATUS_CODES],
)
def test_a_code_is_found_only_where_it_stands_whole(text: str, code: str | None, rest: str) -> None:
    """Any text gives a code and the rest, or None and the text (CVE-2026-43964)."""
    found, left = split_status_code(text)
    assert (None if found is None else str(found)) == code
    assert left == rest
    assert EnhancedStatusCode.parse(text) == found


def test_a_code_is_three_numbers() -> None:
    """It unpacks, and compares with a tuple."""
    klass, subject, detail = EnhancedStatusCode(5, 1, 10)
    assert (klass, subject, detail) == EnhancedStatusCode(5, 1, 10) == (5, 1, 10)
