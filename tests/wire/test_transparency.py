"""Line ends, dot-stuffing and the end of mail data."""

from __future__ import annotations

import pytest

from tests.vectors.mail_data import LINE_ENDS, MAIL_DATA, SMUGGLING
from txsmtpconn.wire.transparency import LineEnds, Stuffing, Unstuffing, canonical, stuffed

mail_data = pytest.mark.parametrize(
    ("wire", "body"), [case[:2] for case in MAIL_DATA], ids=[case[2] for case in MAIL_DATA]
)
line_ends = pytest.mark.parametrize(
    ("given", "body"), [case[:2] for case in LINE_ENDS], ids=[case[2] for case in LINE_ENDS]
)
smuggling = pytest.mark.parametrize(
    ("sequence", "left", "bare_cr", "bare_lf"), SMUGGLING, ids=[repr(case[0]) for case in SMUGGLING]
)


def cuts(octets: bytes) -> list[list[bytes]]:
    """Cut octets whole, one by one with empty chunks between, and in two at every place."""
    single = [octets[at : at + 1] for at in range(len(octets))]
    return [
        [octets],
        single,
        [chunk for octet in single for chunk in (b"", octet, b"")],
        *([octets[:at], octets[at:]] for at in range(1, len(octets))),
    ]


def unstuffed(chunks: list[bytes]) -> tuple[bytes, Unstuffing]:
    """Feed chunks to a reader of mail data."""
    reader = Unstuffing()
    return b"".join([reader.feed(chunk) for chunk in chunks]), reader


@line_ends
def test_line_ends_become_crlf_however_cut(given: bytes, body: bytes) -> None:
    """A17, A19: in one piece or in many, the same canonical form."""
    assert canonical(given) == body
    for chunks in cuts(given):
        lines = LineEnds()
        assert b"".join([lines.feed(chunk) for chunk in chunks]) + lines.finish() == body
        assert lines.finish() == b""


def test_a_clean_body_is_not_copied() -> None:
    """Whoever gives canonical octets gets the same object back."""
    body = b"a\r\n.b\r\n" * 10
    assert canonical(body) is body
    assert LineEnds().feed(body) is body


@mail_data
def test_a_message_is_stuffed_however_cut(wire: bytes, body: bytes) -> None:
    """A16, A18, A19: dots doubled at line starts, one end mark."""
    assert stuffed(body) == wire
    for chunks in cuts(body):
        stuffing = Stuffing()
        assert b"".join([stuffing.feed(chunk) for chunk in chunks]) + stuffing.finish() == wire


@mail_data
def test_mail_data_is_read_however_cut(wire: bytes, body: bytes) -> None:
    """The message comes out whole, without its stuffing, and the end is seen."""
    for chunks in cuts(wire):
        content, reader = unstuffed(chunks)
        assert content == body
        assert reader.finished
        assert reader.remainder == b""
        assert not reader.bare_cr
        assert not reader.bare_lf


@mail_data
def test_what_follows_the_end_is_left(wire: bytes, body: bytes) -> None:
    """Pipelined commands behind the end mark are the remainder, now and later."""
    for chunks in cuts(wire + b"QUIT\r\n"):
        content, reader = unstuffed(chunks)
        assert content == body
        assert reader.remainder == b"QUIT\r\n"
        assert reader.feed(b".\r\n") == b""
        assert reader.remainder == b"QUIT\r\n.\r\n"


@mail_data
def test_unfinished_mail_data_has_no_end(wire: bytes, body: bytes) -> None:
    """Without its last octet it goes on, and what came out is what the message begins with."""
    content, reader = unstuffed([wire[:-1]])
    assert not reader.finished
    assert body.startswith(content)


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"\r\n.", b"\r\n..\r\n.\r\n"),
        (b"a\r\nb", b"a\r\nb\r\n.\r\n"),
    ],
)
def test_the_last_line_end_is_added_where_missing(body: bytes, wire: bytes) -> None:
    """A16: one CRLF, and only if the message does not end in one."""
    assert stuffed(body) == wire
    for chunks in cuts(body):
        stuffing = Stuffing()
        assert b"".join([stuffing.feed(chunk) for chunk in chunks]) + stuffing.finish() == wire


@line_ends
def test_no_message_can_end_early(given: bytes, body: bytes) -> None:
    """A17, A18: stuffing normalises first, so one message stays one message."""
    for chunks in cuts(given):
        stuffing = Stuffing()
        wire = b"".join([stuffing.feed(chunk) for chunk in chunks]) + stuffing.finish()
        assert wire == stuffed(canonical(given))
        content, reader = unstuffed([wire])
        assert reader.remainder == b""
        assert content == body + (b"" if body.endswith(b"\n") or not body else b"\r\n")


@smuggling
def test_only_crlf_dot_crlf_ends_mail_data(
    sequence: bytes, left: bytes, bare_cr: bool, bare_lf: bool
) -> None:
    """S1: CVE-2023-51764 to -51766, CVE-2024-27305: nothing like the end mark is one."""
    smuggled = b"MAIL FROM:<smug@x.test>\r\n"
    for chunks in cuts(b"body" + sequence + smuggled + b"\r\n.\r\n"):
        content, reader = unstuffed(chunks)
        assert content == b"body" + left + smuggled + b"\r\n"
        assert reader.finished
        assert reader.remainder == b""
        assert (reader.bare_cr, reader.bare_lf) == (bare_cr, bare_lf)


@smuggling
def test_nothing_like_the_end_mark_ends_an_empty_message(
    sequence: bytes, left: bytes, bare_cr: bool, bare_lf: bool
) -> None:
    """S1 at the very start of mail data, where the line start is the DATA command's."""
    for chunks in cuts(sequence + b"x\r\n.\r\n"):
        content, reader = unstuffed(chunks)
        assert content == left + b"x\r\n"
        assert (reader.bare_cr, reader.bare_lf) == (bare_cr, bare_lf)


def test_a_bare_cr_before_the_real_end_is_seen() -> None:
    """S1: CR CR LF . CR LF holds the real end mark, and a bare CR."""
    for chunks in cuts(b"a\r\r\n.\r\nQUIT\r\n"):
        content, reader = unstuffed(chunks)
        assert content == b"a\r\r\n"
        assert reader.remainder == b"QUIT\r\n"
        assert reader.bare_cr
        assert not reader.bare_lf


def test_the_first_of_two_end_marks_counts() -> None:
    """Two pipelined messages in one read: the second is the remainder."""
    content, reader = unstuffed([b"a\r\n.\r\nMAIL FROM:<b@c>\r\nDATA\r\nb\r\n.\r\n"])
    assert content == b"a\r\n"
    assert reader.remainder == b"MAIL FROM:<b@c>\r\nDATA\r\nb\r\n.\r\n"


@pytest.mark.parametrize("octets", [b".", b"\r", b"\n", b"\r\n..", b"\r\n.\r"])
def test_what_nearly_ends_the_data_is_read_in_linear_time(octets: bytes) -> None:
    """A hundred thousand times nearly the end of data; the square of it would not end."""
    reader = Unstuffing()
    body = octets * 100_000
    assert len(reader.feed(body)) >= len(body) // 2
    assert not reader.finished
    stuffing = Stuffing()
    assert len(stuffing.feed(body)) >= len(body)


def test_a_reader_holds_back_four_octets_at_most() -> None:
    """Whatever comes, content goes out as soon as it cannot be the end mark any more."""
    reader = Unstuffing()
    taken = given = 0
    for chunk in [b"a" * 1000, b"\r\n", b"..", b"\r", b"\n", b".", b"\r", b"x" * 1000]:
        given += len(chunk)
        taken += len(reader.feed(chunk))
        assert given - taken <= 4 + 2  # two stuffed dots are gone


@pytest.mark.parametrize(
    ("octets", "content", "remainder"),
    [
        (b".\r\n.\r\nQUIT\r\n", b"", b".\r\nQUIT\r\n"),
        (b"a\r\n.\r\n.\r\n.\r\n", b"a\r\n", b".\r\n.\r\n"),
        (b"a\r\n.\r\nRSET\r\n.\r\nb\r\n.\r\n", b"a\r\n", b"RSET\r\n.\r\nb\r\n.\r\n"),
    ],
)
def test_of_several_end_marks_the_first_counts(
    octets: bytes, content: bytes, remainder: bytes
) -> None:
    """Also where one begins within another: its CRLF is the end of a line for both."""
    unstuffing = Unstuffing()
    assert unstuffing.feed(octets) == content
    assert unstuffing.remainder == remainder
