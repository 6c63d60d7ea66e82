"""Reading a message: what is seen of good ones, and that no bad one breaks the reader."""

from __future__ import annotations

import base64
import json
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.web.sink.reading import (
    FIELD_LENGTH,
    FIELDS,
    PARTS,
    TEXT_LENGTH,
    WORK,
    part_of,
    pictures_of,
    read,
)


def crlf(text: str) -> bytes:
    """Return a message as it is on the wire."""
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def full() -> bytes:
    """Return a message with all that one can have."""
    message = EmailMessage()
    message["From"] = "Åsa <asa@x.test>"
    message["To"] = "b@y.test"
    message["Subject"] = "Grüße 🎉"
    message.set_content("Text: é\n")
    message.add_alternative("<p>HTML: é</p><img src=cid:pic@x>", subtype="html")
    message.get_payload()[1].add_related(b"PNG", "image", "png", cid="<pic@x>")  # type: ignore[union-attr]
    message.add_attachment(b"\0\1", "application", "zip", filename="a b.zip")
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("inner text")
    message.add_attachment(inner)
    return message.as_bytes()


def test_a_good_message() -> None:
    """Text, HTML, fields, the picture, the attachment, and an attached message as one."""
    reading = read(full())
    assert reading.subject == "Grüße 🎉"
    assert reading.first("FROM") == "Åsa <asa@x.test>"
    assert reading.text == "Text: é\n"
    assert reading.html is not None
    assert reading.html.startswith("<p>HTML: é</p>")
    assert [(part.name, part.type, part.octets, part.inline) for part in reading.parts] == [
        ("part-2.png", "image/png", 3, True),
        ("a b.zip", "application/zip", 2, False),
        (reading.parts[2].name, "message/rfc822", reading.parts[2].octets, False),
    ]
    assert reading.parts[2].name.endswith(".eml")
    assert reading.defects == []
    found = part_of(full(), reading.parts[1].number)
    assert found is not None
    assert found[1] == b"\0\1"
    attached = part_of(full(), reading.parts[2].number)
    assert attached is not None
    assert b"inner text" in attached[1]
    assert part_of(full(), 99) is None
    assert pictures_of(full()) == {"pic@x": ("image/png", b"PNG")}


def test_a_plain_message_and_an_empty_one() -> None:
    """Neither needs MIME, nor anything."""
    assert read(b"Subject: x\r\n\r\nHello\r\n").text == "Hello\n"
    assert read(b"Hello").text is not None
    empty = read(b"")
    assert (empty.subject, empty.fields, empty.html) == ("", [], None)


def test_charsets_that_lie() -> None:
    """What cannot be decoded is replaced, what has no charset is taken for UTF-8."""

    def text(charset: str, octets: bytes) -> str | None:
        head = f"Content-Type: text/plain; charset={charset}\r\n\r\n"
        return read(head.encode() + octets).text

    assert text("iso-8859-1", b"\xe9") == "é"
    assert text("us-ascii", "é".encode()) == "é"
    assert text("utf-8", b"\xff") == "\ufffd"
    for charset in ("nonsense", "rot13", "zlib", "idna", "unicode_escape", "undefined", "''"):
        assert text(charset, rb"\x41 ok") == r"\x41 ok", charset


@pytest.mark.parametrize(
    "field",
    [
        "Subject: =?utf-8?b?////?=",
        "Subject: =?nonsense?q?x?=",
        "Subject: \udcff\udcfe",
        "Subject: \x00\x07\x1b[31m",
        "To: <<<>>>,,,;;:@@",
        'To: "' + "(" * 500,
        "From: =?utf-8?q?=00=0d=0aBcc:_x?= <a@b>",
        "Content-Type: multipart/mixed",
        "Content-Type: multipart/mixed; boundary=",
        "Content-Type: ;;;",
        "Content-Type: text/plain; charset*=x''%ff; charset*0=a; charset*2=b",
        "Content-Type: message/rfc822",
        "Content-Type: message/external-body",
        "Content-Transfer-Encoding: nonsense",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: x-uuencode",
        "Content-Disposition: attachment; filename*=utf-8''%00%0d%0a..%2f",
        "Content-ID: [] <<>> =?",
        "Date: not a date",
        "Message-ID: <<[a@b>",
        ": nothing",
        "no colon at all",
    ],
)
def test_broken_fields_break_nothing(field: str) -> None:
    """All can be said in JSON afterwards, with no control character but tab and line feed."""
    raw = crlf(f"{field}\nX-Last: 1\n\nbody =C3 ///\n")
    reading = read(raw)
    told = json.dumps(reading.fields).encode() + (reading.text or "").encode()
    assert told
    for _, value in reading.fields:
        assert not set(map(chr, [0, 7, 13, 27])) & set(value)
    for number in range(3):
        part_of(raw, number)
    pictures_of(raw)


@given(st.binary(max_size=400))
def test_any_octets_are_read(raw: bytes) -> None:
    """Whatever comes, there is something to see, and it can be told."""
    reading = read(raw)
    json.dumps([reading.fields, reading.text, reading.html]).encode()
    (reading.text or "").encode()


@given(
    st.lists(
        st.sampled_from(
            [
                b"--b\r\n",
                b"--b--\r\n",
                b"--c\r\n",
                b"\r\n",
                b"x",
                b"Content-Type: text/html\r\n",
                b"Content-Type: message/rfc822\r\n",
                b"Content-Type: multipart/mixed; boundary=b\r\n",
                b"Content-Type: multipart/alternative; boundary=c\r\n",
                b"Content-ID: <i>\r\n",
                b"Content-Transfer-Encoding: base64\r\n",
                b"Content-Disposition: attachment\r\n",
            ]
        ),
        max_size=40,
    )
)
def test_any_structure_is_read(pieces: list[bytes]) -> None:
    """Parts in parts, without end or beginning."""
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n" + b"".join(pieces)
    reading = read(raw)
    for part in reading.parts:
        found = part_of(raw, part.number)
        assert found is not None
        assert len(found[1]) == part.octets


def test_parts_within_parts_without_end() -> None:
    """As deep as any program makes them they are parts; what is deeper is text, and told."""
    raw = b"Subject: deep\r\n"
    for number in range(3000):
        raw += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (number, number)
    reading = read(raw + b"\r\nend\r\n")
    assert reading.subject == "deep"
    assert "more than 15 multiparts: the others are shown as text" in reading.defects
    assert reading.text is not None
    assert reading.text.endswith("end")


def test_messages_within_messages_without_end() -> None:
    """Deeper than the parser can go: the header is there, and the rest as text."""
    reading = read(b"Subject: deep\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 5000)
    assert reading.subject == "deep"
    assert "cannot be parsed: RecursionError" in reading.defects
    assert reading.text is not None


def test_the_slow_parsers_are_given_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take the square of what they are given; a message cannot make them take hours."""
    given: list[int] = []
    parse = HeaderRegistry.__call__

    def counted(self: HeaderRegistry, name: str, value: str) -> object:
        given.append(len(value))
        return parse(self, name, value)

    monkeypatch.setattr(HeaderRegistry, "__call__", counted)
    field = b"To: " + b"a@b," * (FIELD_LENGTH // 4 - 1) + b"\r\n"
    mime = b"Content-Type: x/y" + b";" * 100_000 + b"\r\n"
    for raw in (
        field * 100 + b"\r\n",
        mime * 100 + b"\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + (b"--b\r\nContent-Type: x/y; a=b\r\n" + field + mime + b"\r\nx\r\n") * 400,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: message/rfc822\r\n\r\n" + field * 400,
    ):
        reading = read(raw)
        for part in reading.parts[:3]:
            part_of(raw, part.number)
        assert sum(length**2 for length in given) <= WORK
        given.clear()
    many = read(b"Subject: x\r\nTo: " + b"a@b, " * 1000 + b"\r\n\r\n")
    assert many.first("to").count("a@b") == 1000
    assert given


def test_parts_without_number() -> None:
    """Some are shown, and it is told that there are more."""
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    raw += b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n" * 3000
    reading = read(raw)
    assert len(reading.parts) < PARTS
    assert any("more than" in defect for defect in reading.defects)


def test_fields_without_number_and_without_end() -> None:
    """Each is bounded, and so is their number; a long one is shown undecoded."""
    raw = b"X: 1\r\n" * (FIELDS + 50) + b"\r\n"
    assert len(read(raw).fields) == FIELDS
    long = read(b"Subject: " + b"(" * (20 * FIELD_LENGTH) + b"\r\n\r\n")
    assert len(long.subject) == 4 * FIELD_LENGTH
    assert any("not decoded" in defect for defect in long.defects)


def test_text_without_end_is_cut() -> None:
    """And it is told that it was."""
    reading = read(b"\r\n" + b"x" * (TEXT_LENGTH + 1))
    assert reading.truncated
    assert reading.text is not None
    assert len(reading.text) == TEXT_LENGTH


def test_defects_are_said_in_words() -> None:
    """The author of the message learns what is wrong with it."""
    reading = read(b"Content-Type: multipart/mixed\r\nTo: <a@\r\n\r\nx\r\n")
    assert "no boundary in multipart" in reading.defects
    assert any(defect.startswith("To: ") for defect in reading.defects)


def test_base64_that_is_none() -> None:
    """As much as can be decoded is."""
    head = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    found = part_of(head + base64.b64encode(b"whole")[:-1] + b"!", 0)
    assert found is not None
    assert found[1].startswith(b"whol") or found[1]
