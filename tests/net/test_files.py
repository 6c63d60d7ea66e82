"""Text in files that an operator names."""

from __future__ import annotations

from pathlib import Path

import pytest

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.files import secret_of, text_of


def test_secret_is_without_the_end_of_its_line(tmp_path: Path) -> None:
    """Whatever editor has ended it; spaces are part of it."""
    path = tmp_path / "secret"
    for octets in (b" w\xc3\xb6rd ", b" w\xc3\xb6rd \n", b" w\xc3\xb6rd \r\n"):
        path.write_bytes(octets)
        assert secret_of(path) == " w\u00f6rd "


@pytest.mark.parametrize(
    ("octets", "told"),
    [(b"hunter2\xff", "is not text in UTF-8"), (b"hunter2" * 2, "has more than 10 octets")],
)
def test_what_cannot_be_used_is_not_shown(octets: bytes, told: str, tmp_path: Path) -> None:
    """The wrong file may be a secret one, and is named only."""
    path = tmp_path / "secret"
    path.write_bytes(octets)
    with pytest.raises(ConfigError, match=f"{path}' {told}") as caught:
        text_of(path, 10)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_file_of_just_the_limit_is_taken(tmp_path: Path) -> None:
    """And not one octet more."""
    path = tmp_path / "text"
    path.write_text("x" * 10)
    assert text_of(path, 10) == "x" * 10


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    """With the system's words."""
    with pytest.raises(ConfigError, match="No such file or directory"):
        text_of(tmp_path / "missing")
    with pytest.raises(ConfigError, match="Is a directory"):
        text_of(str(tmp_path))
