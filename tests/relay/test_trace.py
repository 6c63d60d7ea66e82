"""Trace fields and the count of hops."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.relay.trace import HopCounter, Reception, received_field

NOON = 1_800_000_000.0


def test_field_of_an_ordinary_client() -> None:
    """from, by, with, id, for and a date, folded, with CRLF."""
    field = received_field(
        Reception("mx.example.org", "192.0.2.7", "relay.example", "ESMTPSA"),
        "0ABC",
        NOON,
        "b@example.net",
    )
    lines = field.decode("ascii").split("\r\n")
    assert lines[:3] == [
        "Received: from mx.example.org ([192.0.2.7])",
        "\tby relay.example with ESMTPSA id 0ABC",
        "\tfor <b@example.net>;",
    ]
    assert email.utils.parsedate_to_datetime(lines[3]).timestamp() == NOON
    assert lines[4:] == [""]


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        ("2001:db8::1", b"([IPv6:2001:db8::1])"),
        ("::ffff:192.0.2.1", b"([192.0.2.1])"),
        ("fe80::1%eth0", b"([IPv6:fe80::1])"),
        ("unix socket", b"(unix socket)"),
    ],
)
def test_peer_is_an_address_literal(peer: str, shown: bytes) -> None:
    """Addresses are written as RFC 5321 section 4.1.3 has them; other roads as a comment."""
    assert shown in received_field(Reception("mx.example", peer, "relay"), "1", NOON)


HOSTILE = [
    "x\r\nBcc: evil@example.org",
    "x\r\n\r\nbody",
    "evil) by forged (",
    "a\\",
    "\x00\x1b[2J",
    "ü" * 5000,
    "\U0001f4a9" * 100,
    "",
    "<script>",
    "a b",
    "x" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_hello_stays_in_one_comment(name: str) -> None:
    """No name of a client adds a line, a field or a clause (CVE-2026-23829's class)."""
    field = received_field(Reception(name, "192.0.2.7", "relay"), "1", NOON)
    check_field(field)
    assert field.startswith(b"Received: from [192.0.2.7] (")


@given(st.text(max_size=200), st.text(max_size=50), st.text(max_size=80))
def test_any_client_makes_one_sound_field(name: str, peer: str, recipient: str) -> None:
    """Whatever is said, there is one field, of short lines, whose comments close."""
    check_field(received_field(Reception(name, peer, "relay"), "1", NOON, recipient or None))


def check_field(field: bytes) -> None:
    """One Received field: folded lines of printable ASCII, parentheses in balance."""
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert field.isascii()
    assert all(len(line) <= 998 for line in lines)
    assert all(line.startswith(b"\t") for line in lines[1:])
    text = b"".join(lines)
    assert all(byte == 9 or 32 <= byte < 127 for byte in text)
    depth, escaped = 0, False
    for byte in lines[0]:
        if escaped:
            escaped = False
        elif byte == ord("\\"):
            escaped = True
        else:
            depth += (byte == ord("(")) - (byte == ord(")"))
            assert 0 <= depth <= 1
    assert depth == 0
    message = email.message_from_bytes(field + b"\r\n", policy=email.policy.compat32)
    assert list(message) == ["Received"]


def test_recipient_in_utf8_only_where_it_was_announced() -> None:
    """A field with UTF-8 is written for SMTPUTF8 messages alone."""
    utf8 = Reception("a.example", "::1", "relay", "UTF8SMTP")
    assert "for <ü@example>".encode() in received_field(utf8, "1", NOON, "ü@example")
    plain = Reception("a.example", "::1", "relay")
    assert b"for" not in received_field(plain, "1", NOON, "ü@example")


def count(data: bytes, *cuts: int) -> int:
    """The hops of a message that comes in pieces."""
    counter = HopCounter()
    for start, stop in zip((0, *cuts), (*cuts, len(data)), strict=True):
        counter.feed(data[start:stop])
    return counter.hops


MESSAGE = (
    b"Received: one\r\n\tfolded\r\nRECEIVED : two\r\nX-Received: no\r\nSubject: Received:\r\n"
    b"receive: no\r\nReceived:three\r\n\r\nReceived: in the body\r\n"
)


def test_hops_are_counted_in_the_header_section_only() -> None:
    """Field names in any case, obsolete blanks before the colon, nothing of the body."""
    assert count(MESSAGE) == 3


def test_hops_are_counted_at_every_cut() -> None:
    """However the octets arrive, the count is the same."""
    for cut in range(len(MESSAGE) + 1):
        assert count(MESSAGE, cut) == 3
    assert count(MESSAGE, *range(1, len(MESSAGE))) == 3


@pytest.mark.parametrize(
    "data", [b"", b"\r\nReceived: body\r\n", b"\n\nReceived: x\n", b"no colon"]
)
def test_message_without_header_has_no_hops(data: bytes) -> None:
    """A body alone counts nothing."""
    assert count(data) == 0


def test_long_lines_cost_a_bounded_memory() -> None:
    """A header line of megabytes is not kept."""
    counter = HopCounter()
    for _ in range(100):
        counter.feed(b"x" * 65536)
    assert len(counter._line) < 200
    counter.feed(b"\r\nReceived: one\r\n")
    assert counter.hops == 1


@given(
    st.lists(st.sampled_from([b"Received:", b"received", b":", b"\r\n", b"\n", b" ", b"x" * 80]))
)
def test_pieces_and_whole_agree(parts: list[bytes]) -> None:
    """The quick way through a whole header section and the slow way through pieces agree."""
    data = b"".join(parts)
    assert count(data) == count(data, *range(1, len(data)))
