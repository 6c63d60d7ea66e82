"""Steps are values, made of lines or of octets."""

from __future__ import annotations

import pytest

from txsmtpconn.testing.script import Expect, Send, expect, expect_data, send, transcript


def test_text_is_lines_and_bytes_are_themselves():
    """Each text argument gets its CRLF, in UTF-8; nothing is added to bytes."""
    assert expect("EHLO x", b"raw", "ü") == Expect(b"EHLO x\r\nraw\xc3\xbc\r\n")
    assert send(b"250", split=1, every=2.0) == Send(b"250", 1, 2.0)
    assert expect_data().octets is None
    assert expect_data("a", ".").octets == b"a\r\n.\r\n"


def test_a_transcript_is_read_for_either_side():
    """Lines of one side in a row are one step; one space behind the colon is notation."""
    text = """
      S: 220 hi
      C: EHLO x
      C:
      S: 250-a
      S:  250 b
    """
    server = (send("220 hi"), expect("EHLO x", ""), send("250-a", " 250 b"))
    client = (expect("220 hi"), send("EHLO x", ""), expect("250-a", " 250 b"))
    assert transcript(text) == server
    assert transcript(text, role="client") == client


def test_a_line_of_neither_side_is_refused():
    """A transcript that was copied badly does not pass for a shorter one."""
    with pytest.raises(ValueError, match="begins with C: or S:"):
        transcript("S: 220 hi\nEHLO x")
