"""Mail data: what goes in comes out, in one message, however it is cut."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.wire.transparency import LineEnds, Stuffing, Unstuffing, canonical, stuffed

pieces = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\0", b"\r\n.\r\n", b"\x85"])
octets = st.one_of(st.lists(pieces, max_size=30).map(b"".join), st.binary(max_size=100))

# Lines without CR or LF, each with its CRLF.
LINES = re.compile(rb"(?:[^\r\n]*\r\n)*")


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Draw a message and the same message in chunks, empty ones among them."""
    whole = draw(octets)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    ends = [*places, len(whole)]
    return whole, [whole[a:b] for a, b in zip([0, *places], ends, strict=True)]


def reference(message: bytes) -> bytes:
    """Give the canonical form, slowly and plainly."""
    found = bytearray()
    at = 0
    while at < len(message):
        if message[at] in b"\r\n":
            found += b"\r\n"
            at += 2 if message[at : at + 2] == b"\r\n" else 1
        else:
            found.append(message[at])
            at += 1
    return bytes(found)


def finished(message: bytes) -> bytes:
    """Give a canonical message with its last line end."""
    return message if message.endswith(b"\r\n") or not message else message + b"\r\n"


def stuff(chunks: list[bytes]) -> bytes:
    """Render chunks for DATA."""
    stuffing = Stuffing()
    return b"".join([stuffing.feed(chunk) for chunk in chunks]) + stuffing.finish()


@given(cut())
def test_line_ends_become_crlf(case: tuple[bytes, list[bytes]]) -> None:
    """A17, A19: the fast form and the chunked one do what the plain one does."""
    whole, chunks = case
    assert canonical(whole) == reference(whole)
    lines = LineEnds()
    assert b"".join([lines.feed(chunk) for chunk in chunks]) + lines.finish() == reference(whole)
    clean = canonical(whole)
    assert canonical(clean) is clean


@given(cut())
def test_stuffing_does_not_depend_on_the_cuts(case: tuple[bytes, list[bytes]]) -> None:
    """P3: one output for one message, canonical lines only, one end mark at the end only."""
    whole, chunks = case
    wire = stuff(chunks)
    assert wire == stuff([whole]) == stuffed(canonical(whole))
    assert LINES.fullmatch(wire)
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) + 2 - 5


@given(cut(), st.binary(max_size=20))
def test_unstuffing_undoes_stuffing(case: tuple[bytes, list[bytes]], behind: bytes) -> None:
    """P3: unstuff(stuff(m)) is m in canonical form, and what follows is left alone."""
    whole, chunks = case
    reader = Unstuffing()
    content = b"".join([reader.feed(stuff(chunks)), reader.feed(behind)])
    assert content == finished(reference(whole))
    assert reader.finished
    assert reader.remainder == behind
    assert not reader.bare_cr
    assert not reader.bare_lf


@given(cut())
def test_reading_does_not_depend_on_the_cuts(case: tuple[bytes, list[bytes]]) -> None:
    """S1: any octets give one content, one end, and the same verdict on line ends."""
    whole, chunks = case

    def read(parts: list[bytes]) -> tuple[bytes, bool, bytes, bool, bool]:
        reader = Unstuffing()
        content = b"".join([reader.feed(part) for part in parts])
        return content, reader.finished, reader.remainder, reader.bare_cr, reader.bare_lf

    ended = whole + b"\r\n.\r\n"
    expected = read([ended])
    assert read([*chunks, b"\r\n.\r\n"]) == expected
    assert read([ended[at : at + 1] for at in range(len(ended))]) == expected
    content, finished_, remainder, bare_cr, bare_lf = expected
    assert finished_
    # The end is the first CRLF "." CRLF, the one of the DATA command counted in.
    end = (b"\r\n" + ended).find(b"\r\n.\r\n")
    assert remainder == (b"\r\n" + ended)[end + 5 :]
    line_data = (b"\r\n" + ended)[: end + 2]
    assert content == line_data.replace(b"\r\n.", b"\r\n")[2:]
    assert bare_cr == (re.search(rb"\r(?!\n)", line_data) is not None)
    assert bare_lf == (re.search(rb"(?<!\r)\n", line_data) is not None)
