"""Replies as they come over the wire. Each triple: octets, value, note.

Names like C9 are rows of the team's list of bad inputs.
"""

from __future__ import annotations

from txsmtpconn.wire.reply import Reply

#: Octets of exactly one reply.
REPLIES: list[tuple[bytes, Reply, str]] = [
    (b"250 Ok\r\n", Reply(250, (b"Ok",)), "one line"),
    (b"250 2.1.0 Ok\r\n", Reply(250, (b"2.1.0 Ok",)), "with an enhanced status code"),
    (b"220 mx ESMTP\n", Reply(220, (b"mx ESMTP",)), "C9: ends in a bare LF"),
    (b"250\r\n", Reply(250, (b"",)), "C8: the code alone"),
    (b"220\n", Reply(220, (b"",)), "C8: the code alone, bare LF"),
    (b"250 \r\n", Reply(250, (b"",)), "code and separator, no text"),
    (b"250 \n", Reply(250, (b"",)), "code and separator, no text, bare LF"),
    (b"250-a\r\n250 b\r\n", Reply(250, (b"a", b"b")), "two lines"),
    (b"250-a\n250-b\r\n250 c\n", Reply(250, (b"a", b"b", b"c")), "line ends mixed"),
    (b"250-\r\n250-\r\n250 c\r\n", Reply(250, (b"", b"", b"c")), "lines without text"),
    (b"250-a\r\n250\r\n", Reply(250, (b"a", b"")), "the last line is the code alone"),
    (b"\r\n\r\n250 Ok\r\n", Reply(250, (b"Ok",)), "stray empty lines before"),
    (b"\n250-a\r\n250 b\r\n", Reply(250, (b"a", b"b")), "a stray bare LF before"),
    (
        b"250 ok\r550 evil\r\n",
        Reply(250, (b"ok\r550 evil",)),
        "C11: a CR alone is text, so this is one reply",
    ),
    (b"250 ok\r\r\n", Reply(250, (b"ok\r",)), "only one CR belongs to the line end"),
    (b"250 a\0b\xff\x1b[2J\r\n", Reply(250, (b"a\0b\xff\x1b[2J",)), "C12: any octet is text"),
    (b"299 new\r\n", Reply(299, (b"new",)), "C14: an unknown code of a known class"),
    (
        b"354 go\r\n",
        Reply(354, (b"go",)),
        "when a 3xx code is legal is not our matter",
    ),
    (b"599 x\r\n", Reply(599, (b"x",)), "the last code"),
    (b"250 250-x\r\n", Reply(250, (b"250-x",)), "text that looks like a code"),
    (b"220-x\r\n" * 30 + b"220 y\r\n", Reply(220, (b"x",) * 30 + (b"y",)), "C58: 31 lines"),
    (b"250 " + b"x" * 8186 + b"\r\n", Reply(250, (b"x" * 8186,)), "the longest line"),
    (b"250-x\r\n" * 511 + b"250 x\r\n", Reply(250, (b"x",) * 512), "the most lines"),
    (
        (b"250-" + b"x" * 1018 + b"\r\n") * 63 + b"250 " + b"x" * 1018 + b"\r\n",
        Reply(250, (b"x" * 1018,) * 64),
        "the longest reply",
    ),
]

#: Octets that are no reply, whatever follows.
BROKEN_REPLIES: list[tuple[bytes, bytes, str]] = [
    (b"FOO\r\n", b"FOO\r\n", "C6: no code"),
    (b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n", "another protocol"),
    (b"+OK ready\r\n", b"+OK ready\r\n", "another mail protocol"),
    (b"000 x\r\n", b"000 x\r\n", "C14: code 000"),
    (b"199 x\r\n", b"199 x\r\n", "C14: code 199"),
    (b"600 x\r\n", b"600 x\r\n", "C14: code 600"),
    (b"999 x\r\n", b"999 x\r\n", "C14: code 999"),
    (b"25 x\r\n", b"25 x\r\n", "two digits"),
    (b"2500 x\r\n", b"2500 x\r\n", "four digits"),
    (b"2a0 x\r\n", b"2a0 x\r\n", "a letter among the digits"),
    (b"250x\r\n", b"250x\r\n", "no separator"),
    (b"250\tx\r\n", b"250\tx\r\n", "a tab is no separator"),
    (b"250\rx\r\n", b"250\rx\r\n", "a CR is no separator"),
    (b"250\r\r\n", b"250\r\r\n", "nor is it with nothing behind it"),
    (b" 250 x\r\n", b" 250 x\r\n", "a space before the code"),
    ("２５０ x\r\n".encode(), "２５０ x\r\n".encode(), "digits that are not ASCII"),
    (b"\xb2\xb50 x\r\n", b"\xb2\xb50 x\r\n", "digits of Latin-1"),
    (b"250-x\r\n251 y\r\n", b"250-x\r\n251 y\r\n", "the code changes"),
    (b"250-x\r\n550 y\r\n", b"250-x\r\n550 y\r\n", "the code changes its class"),
    (b"250-x\r\n\r\n250 y\r\n", b"\r\n", "an empty line within a reply"),
    (b"250-x\r\ny\r\n", b"y\r\n", "a line without code within a reply"),
    (b"\r\n" * 17, b"\r\n", "C58: nothing but empty lines"),
    (b"220 " + b"x" * 8188, b"220 " + b"x" * 508, "C2: a line without end"),
    (b"220 " + b"x" * 8187 + b"\r\n", b"220 " + b"x" * 508, "a line one octet too long"),
    (b"250-X\r\n" * 513, b"250-X\r\n", "C1: lines without end"),
    (
        (b"250-" + b"x" * 8000 + b"\r\n") * 9,
        b"250-" + b"x" * 508,
        "C1: a reply that is too long in all",
    ),
]

#: Text, its enhanced status code as text, and what is left; a note.
STATUS_CODES: list[tuple[str, str | None, str, str]] = [
    ("5.1.1 No such user", "5.1.1", "No such user", "usual"),
    ("2.0.0", "2.0.0", "", "the code alone"),
    ("4.7.123\tx", "4.7.123", "x", "three digits, a tab"),
    ("2.1.0   Ok", "2.1.0", "Ok", "several spaces"),
    ("5.7.", None, "5.7.", "CVE-2026-43964: cut off"),
    ("5.7", None, "5.7", "two numbers"),
    ("", None, "", "nothing"),
    (".", None, ".", "a dot"),
    ("5.7.2.9 x", None, "5.7.2.9 x", "four numbers"),
    ("5.1.1x", None, "5.1.1x", "no white space behind"),
    ("3.1.1 x", None, "3.1.1 x", "no such class"),
    ("5.1234.1 x", None, "5.1234.1 x", "four digits"),
    ("5.１.1 x", None, "5.１.1 x", "a digit that is not ASCII"),
    (" 5.1.1 x", None, " 5.1.1 x", "a space before"),
    ("\x005.1.1", None, "\x005.1.1", "garbage before"),
]
