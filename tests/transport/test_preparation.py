"""Envelopes from header sections, and header sections without Bcc."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.errors import EnvelopeError
from txsmtpconn.transport.preparation import envelope_addresses, head_of, without_bcc

HEAD = (
    b"Received: from x by y; Fri, 20 Nov 2026 12:00:00 +0000\r\n"
    b"From: Ann <ann@x.test>, bob@x.test\r\n"
    b'To: "C, D" <c@y.test>,\r\n d@y.test\r\n'
    b"Bcc: e@y.test,\r\n\tf@y.test\r\n"
    b"CC: Group: g@y.test, c@y.test;\r\n"
    b"Subject: Bcc: not a field\r\n"
)


def test_recipients_are_those_of_to_cc_and_bcc_once_each() -> None:
    """Groups are opened, names and comments dropped, duplicates left out."""
    sender, recipients = envelope_addresses(HEAD)
    assert sender == "ann@x.test"
    assert recipients == [f"{name}@y.test" for name in "cdgef"]


def test_sender_comes_before_from() -> None:
    """RFC 5322 section 3.6.2: Sender is who sent it."""
    assert envelope_addresses(HEAD + b"Sender: post@x.test\r\n")[0] == "post@x.test"


def test_the_topmost_resent_block_counts_instead() -> None:
    """RFC 5322 section 3.6.6: who resends it, and to whom."""
    block = b"Resent-From: r@x.test\r\nResent-To: s@y.test\r\nResent-Bcc: t@y.test\r\n"
    older = b"Resent-From: old@x.test\r\nResent-To: old@y.test\r\n"
    assert envelope_addresses(block + older + HEAD) == ("r@x.test", ["s@y.test", "t@y.test"])


def test_utf8_addresses() -> None:
    """RFC 6532: raw UTF-8 in a header section."""
    head = "From: grüße@bücher.test\r\nTo: Ü <ü@y.test>\r\n".encode()
    assert envelope_addresses(head) == ("grüße@bücher.test", ["ü@y.test"])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"To: a@y.test\r\n",
        b"From: a@x.test\r\n",
        b"From: a@x.test\r\nTo: undisclosed-recipients:;\r\n",
        b"From: a@x.test\r\nTo: <b@y.test> c\r\n",
        b"From: a@x.test\r\nTo: b@y.test; c@y.test\r\n",
        b"From: a@x.test\r\nTo: @@@\r\n",
        b"From: a@x.test\r\nTo: \xff@y.test\r\n",
        b'From: "a@x.test\r\nTo: b@y.test\r\n',
    ],
)
def test_what_names_nobody_for_certain_is_an_error(head: bytes) -> None:
    """Guessing would send mail to somebody else."""
    with pytest.raises(EnvelopeError):
        envelope_addresses(head)


def test_an_address_within_a_quoted_string_is_not_one() -> None:
    """CVE-2025-14874's kind: the address is what stands in the brackets, and nothing else."""
    head = b'From: a@x.test\r\nTo: "x@evil.test y"@y.test, "z@evil.test" <b@y.test>\r\n'
    assert envelope_addresses(head)[1] == ['"x@evil.test y"@y.test', "b@y.test"]


def test_bcc_goes_with_its_folded_lines_and_nothing_else_changes() -> None:
    """Also Resent-Bcc, in any case and with any line end."""
    assert without_bcc(HEAD) == HEAD.replace(b"Bcc: e@y.test,\r\n\tf@y.test\r\n", b"")
    assert without_bcc(b"rEsEnt-bCC : x\n y\nA: b\n") == b"A: b\n"
    assert without_bcc(b"BCC: x") == b""
    assert without_bcc(b"Bccx: y\nX-Bcc: z\n") == b"Bccx: y\nX-Bcc: z\n"
    assert without_bcc(b"") == b""


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_where_the_header_section_ends(end: bytes) -> None:
    """Behind its last line end; unknown while the empty line has not come."""
    head = b"A: b" + end + b" c" + end
    assert head_of(head + end + b"body" + end + end) == len(head)
    assert head_of(head) is None
    assert head_of(end + b"body") == 0
    assert head_of(b"") is None


@given(st.lists(st.sampled_from([b"A: b", b" c", b"Bcc: d", b"\r\n", b"\n", b"\r", b"x", b":"])))
def test_any_octets_keep_all_that_is_not_bcc(pieces: list[bytes]) -> None:
    """Whatever the octets, taking Bcc out leaves the rest in order, and a second time nothing."""
    head = b"".join(pieces)
    left = without_bcc(head)
    assert without_bcc(left) == left
    if b"Bcc" not in head:
        assert left == head


def test_a_parser_that_gives_up_is_an_error_of_ours() -> None:
    """Comments within comments, a thousand deep; a field that makes it stumble."""
    for address in ("(" * 3000 + "b@y.test", "multipart/mixed; boundary=b"):
        head = f"From: a@x.test\r\nTo: {address}\r\n".encode()
        with pytest.raises(EnvelopeError):
            envelope_addresses(head)
