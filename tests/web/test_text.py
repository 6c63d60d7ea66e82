"""File names and text that a message's sender has chosen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.web.sink.text import NAME_LENGTH, disposition, file_name, readable


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("Bericht März.pdf", "Bericht März.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("C:\\x\\a.txt", "a.txt"),
        ("a\r\nX-Header: 1.txt", "a\ufffd X-Header 1.txt"),
        ('a";filename="b.exe', "a filename= b.exe"),
        (".bashrc", "bashrc"),
        ("...", "part-3.pdf"),
        ("/", "part-3.pdf"),
        ("", "part-3.pdf"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("console.txt", "console.txt"),
        ("invoice\u202efdp.exe", "invoice\ufffdfdp.exe"),
        ("a\x00b.txt", "a\ufffdb.txt"),
        ("x" * 500 + ".tar", "x" * (NAME_LENGTH - 4) + ".tar"),
        ("x" * 500, "x" * NAME_LENGTH),
    ],
)
def test_names_of_files(given_name: str, name: str) -> None:
    """No path, no device, no hidden file, no turned direction, no other header field."""
    assert file_name(given_name, 3, "application/pdf") == name


def test_a_name_by_kind() -> None:
    """Where the sender has given none."""
    assert file_name("", 1, "message/rfc822") == "part-1.eml"
    assert file_name("", 2, "image/png") == "part-2.png"
    assert file_name("", 3, "no/thing\r\n") == "part-3.bin"


@given(st.text())
def test_any_name_makes_one_field(given_name: str) -> None:
    """Latin letters between quotes, all of it behind; nothing ends either too soon."""
    field = disposition(file_name(given_name, 0, "text/plain"))
    assert re.fullmatch(
        r"attachment; filename=\"[ !#-\[\]-~]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", field
    )


@given(st.text(st.characters(), max_size=50))
def test_readable_text_can_be_said(text: str) -> None:
    """Surrogates, from octets that were no text, too."""
    readable(text).encode()


def test_octets_that_were_no_text_are_decoded_where_they_are() -> None:
    """UTF-8 in a header without encoding is read as such."""
    assert readable("é".encode().decode("ascii", "surrogateescape")) == "é"
    assert readable("\ud800x").encode()
    assert readable("a\tb\nc\x1b[0m\x9b") == "a\tb\nc\ufffd[0m\ufffd"
