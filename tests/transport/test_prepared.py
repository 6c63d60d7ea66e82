"""Message objects made ready: complete, without Bcc, in as many bits as the server takes."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn import Envelope, EnvelopeError, MessageError, SMTPError
from txsmtpconn.transport.prepared import PreparedMessage, prepare
from txsmtpconn.wire.extensions import EMPTY, Extensions

EIGHT = Extensions({"8BITMIME": ()})
PARTS = (
    b"From: a@x.test\r\nTo: b@y.test\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe = x\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\n\xff\xfe\x01\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Subject: x\r\n\r\n\xe4\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nleft as it is\r\n--b--\r\n"
)


def octets(prepared: PreparedMessage, extensions: Extensions = EIGHT) -> bytes:
    """Return what a server with these extensions is sent."""
    body = prepared.source_for(extensions).open()
    chunks: list[Any] = []
    while chunk := body.read():
        chunks.append(chunk)
    return b"".join(chunks)


def simple(**fields: str) -> EmailMessage:
    """Return a message with these fields and a line of text."""
    message = EmailMessage()
    for name, value in {"From": "a@x.test", "To": "b@y.test", **fields}.items():
        message[name.replace("_", "-")] = value
    message.set_content("x\n")
    return message


def test_date_and_message_id_are_added_where_missing() -> None:
    """A date with a zone; an identifier in the author's domain, another one each time."""
    one, two = prepare(simple()), prepare(simple())
    parsed = message_from_bytes(octets(one), policy=policy.default)
    assert parsedate_to_datetime(parsed["Date"]).tzinfo is not None
    assert parsed["Message-ID"] == one.message_id
    assert one.message_id.endswith("@x.test>")
    assert one.message_id != two.message_id
    given = simple(Date="Fri, 20 Nov 2026 12:00:00 +0000", Message_ID="<mine@x.test>")
    kept = prepare(given)
    assert kept.message_id == "<mine@x.test>"
    assert octets(kept).count(b"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n") == 1


def test_the_callers_message_is_not_touched() -> None:
    """Not even its list of fields, which a shallow copy shares."""
    message = simple(Bcc="c@z.test", Cc="d@bücher.test")
    before = message.as_string()
    octets(prepare(message, defaults={"X-Default": "1"}), EMPTY)
    assert message.as_string() == before


def test_resent_fields_name_the_envelope() -> None:
    """RFC 5322 section 3.6.6; Resent-Bcc is left out like Bcc."""
    message = simple(Resent_From="r@x.test", Resent_To="s@y.test", Resent_Bcc="t@y.test")
    prepared = prepare(message)
    assert prepared.envelope == Envelope("r@x.test", ["s@y.test", "t@y.test"])
    assert b"t@y.test" not in octets(prepared)


def test_a_message_of_the_old_kind_is_taken_too() -> None:
    """`email.message.Message`, as the parser's default policy makes it."""
    prepared = prepare(message_from_bytes(PARTS))
    assert prepared.envelope == Envelope("a@x.test", ["b@y.test"])
    assert prepared.message_id.endswith("@x.test>")


@pytest.mark.parametrize("how", [policy.default, policy.compat32, policy.SMTP], ids=str)
def test_every_part_is_put_into_seven_bits(how: Any) -> None:
    """Text quoted-printable, the rest base64, in nested messages too; nothing is lost by it."""
    prepared = prepare(message_from_bytes(PARTS, policy=how))
    sent = octets(prepared, EMPTY)
    assert sent.isascii()
    assert b"8bit" not in sent
    assert b"binary" not in sent
    assert b"\r\n\r\nleft as it is\r\n" in sent
    parsed = message_from_bytes(sent, policy=policy.default)
    text, data, nested, _ = parsed.iter_parts()  # type: ignore[attr-defined]
    assert text.get_content().rstrip("\r\n") == "Grüße = x"
    assert data.get_content() == b"\xff\xfe\x01"
    assert nested.get_content().get_payload(decode=True).rstrip(b"\r\n") == b"\xe4"
    assert octets(prepared, EMPTY) is not None
    assert b"Gr\xfc\xdfe = x" in octets(prepared)


def test_seven_bits_stay_as_they_are() -> None:
    """A message that needs nothing is the same for every server."""
    prepared = prepare(simple())
    assert octets(prepared, EMPTY) == octets(prepared, EIGHT)


def test_what_is_signed_is_not_encoded_anew() -> None:
    """It would verify no more: the message is refused instead, before MAIL."""
    signed = PARTS.replace(b"multipart/mixed", b"multipart/signed")
    prepared = prepare(message_from_bytes(signed, policy=policy.default))
    assert b"\xfc" in octets(prepared)
    with pytest.raises(MessageError, match="signed"):
        prepared.source_for(EMPTY)


def test_header_fields_beyond_ascii_are_decided_by_addresses() -> None:
    """A name is encoded; a local part needs SMTPUTF8; a domain alone does not."""
    named = prepare(simple(Cc='"Jürgen" <j@y.test>', Subject="Grüße"))
    assert not named.source_for(EIGHT).smtputf8
    assert octets(named).isascii()
    local = prepare(simple(Cc="jürgen@y.test"))
    assert local.source_for(EIGHT).smtputf8
    assert local.envelope.needs_smtputf8
    domain = prepare(simple(Cc="Ännchen: j@bücher.test, k@y.test;"))
    assert not domain.source_for(EIGHT).smtputf8
    assert b"j@xn--bcher-kva.test, k@y.test;" in octets(domain)
    assert [each.address for each in domain.envelope.recipients] == [
        "b@y.test",
        "j@xn--bcher-kva.test",
        "k@y.test",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"To": ""},
        {"From": ""},
        {"To": "undisclosed-recipients:;"},
        {"To": "b@y.test\udcff"},
        {"To": "b@-bücher-.test"},
    ],
    ids=str,
)
def test_what_names_nobody_for_certain_is_refused(fields: dict[str, str]) -> None:
    """As for `smtpconn send`."""
    with pytest.raises((EnvelopeError, MessageError)):
        prepare(simple(**fields))


def test_a_header_injection_does_not_get_through() -> None:
    """A line end in an address or a field makes no further recipient or field."""
    with pytest.raises(ValueError, match="linefeed"):
        simple(Subject="x\r\nBcc: evil@z.test")
    message = message_from_bytes(
        b"From: a@x.test\r\nTo: b@y.test\r\n"
        b"Subject: =?utf-8?q?x=0D=0ABcc:_evil@z.test?=\r\n\r\nx\r\n",
        policy=policy.default,
    )
    prepared = prepare(message)
    assert prepared.envelope == Envelope("a@x.test", ["b@y.test"])
    assert b"\nBcc" not in octets(prepared)


@pytest.mark.parametrize("value", ["x\nBcc: evil@z.test", "x\r\n\r\nbody", "x\rTo: evil@z.test"])
def test_a_message_of_the_old_kind_smuggles_no_field(value: str) -> None:
    """It takes any text for a field; we do not."""
    message = message_from_bytes(PARTS)
    message["Subject"] = value
    with pytest.raises(MessageError, match="line end"):
        prepare(message)
    folded = message_from_bytes(PARTS)
    folded["Subject"] = "x\r\n y"
    assert b"Subject: x\r\n y\r\n" in octets(prepare(folded))


PIECES = [
    *(b"From: ", b"To: ", b"Cc: ", b"Bcc: ", b"Resent-From: ", b"Resent-Bcc: ", b"Sender: "),
    *(b"Date: ", b"Message-ID: ", b"Content-Type: ", b"Content-Transfer-Encoding: 8bit"),
    *(b"multipart/mixed; boundary=b", b"--b", b"text/plain", b"a@x.test", b"<b@y.test>", b", "),
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b'"', b"(", b"=?utf-8?q?=C3=BC?=", b"@"),
    *("ü".encode(), b"\xff", b"\x00", b"j@b\xc3\xbccher.test", b"=?", b"group: "),
]


@given(
    st.lists(st.sampled_from(PIECES), max_size=40),
    st.sampled_from([policy.default, policy.compat32, policy.SMTP, policy.SMTPUTF8]),
)
def test_whatever_a_parser_makes_of_octets_is_sent_or_refused(
    pieces: list[bytes], how: Any
) -> None:
    """No error but ours, and no blind copy in what is sent, in eight bits and in seven."""
    octets_given = b"From: a@x.test\r\nTo: b@y.test\r\n" + b"".join(pieces)
    try:
        prepared = prepare(message_from_bytes(octets_given, policy=how))
        sent = [octets(prepared), octets(prepared, EMPTY)]
    except SMTPError:
        return
    for each in sent:
        head = each.replace(b"\r\n", b"\n").replace(b"\r", b"\n").partition(b"\n\n")[0]
        fields = [line.lower() for line in head.split(b"\n")]
        assert not any(re.match(rb"(resent-)?bcc[ \t]*:", field) for field in fields)
