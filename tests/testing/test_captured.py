"""What was captured: values that can be read, shown and sent to another process."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from txsmtpconn.envelope import DSN, Envelope, Recipient
from txsmtpconn.testing.captured import CapturedMessage, CapturedSession, report

SESSION = CapturedSession(
    "1f", "127.0.0.1", "me.test", "u", "TLSv1.3", "ESMTPSA", ("S: 220 x", "C: QUIT"), closed=True
)
RAW = (
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nHall\xc3\xb6chen\r\n"
)


def message(raw: bytes = RAW, envelope: Envelope | None = None) -> CapturedMessage:
    """Make a message."""
    return CapturedMessage(
        envelope or Envelope("a@a.test", ["b@b.test", "c@b.test"]), raw, SESSION, ("b@b.test",)
    )


def test_a_message_is_read_in_three_ways() -> None:
    """Octets, parsed, and the two things that most tests ask for."""
    captured = message()
    assert captured.raw == RAW
    assert captured.email["subject"] == captured.subject == "Grüße"
    assert captured.text == "Hallöchen\n"
    assert captured.html == ""
    assert message(RAW.replace(b"plain", b"html")).html == "Hallöchen\n"
    assert captured.email is captured.email
    assert (captured.mail_from, captured.rcpt_to) == ("a@a.test", ("b@b.test",))


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\xff\xfe", b"no header at all", b"\r\n" * 99])
def test_no_message_is_too_odd_to_be_looked_at(raw: bytes) -> None:
    """Whatever was sent can be shown in a report."""
    assert message(raw).subject == ""
    assert f"{len(raw)} octets" in str(message(raw))


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope("", ["b@b.test"]),
        Envelope("ä@a.test", ["ö@b.test"], smtputf8=True, body="8BITMIME", size=10),
        Envelope(
            "a@a.test",
            ["b@b.test", Recipient("c@b.test", DSN(notify=["SUCCESS"], orcpt="x@y.test"))],
            dsn=DSN(ret="HDRS", envid="id"),
            requiretls=True,
            deliver_by=(60, "N", True),
            mt_priority=-3,
            hold_for=5,
            auth="me@a.test",
        ),
    ],
)
def test_messages_survive_json(envelope: Envelope) -> None:
    """Every octet and every parameter of the envelope."""
    captured = message(bytes(range(256)), envelope)
    again = CapturedMessage.from_json(json.loads(json.dumps(captured.as_json())))
    assert again == captured
    assert again.envelope == envelope


def test_a_session_shows_who_and_what() -> None:
    """In the report of a failure; a long one only its end."""
    assert str(SESSION).splitlines() == [
        "session 1f: from 127.0.0.1, hello 'me.test', user 'u', TLSv1.3, closed",
        "  S: 220 x",
        "  C: QUIT",
    ]
    bare = CapturedSession("1", "", "", None, None, "SMTP", tuple(f"C: {n}" for n in range(500)))
    shown = str(bare).splitlines()
    assert shown[0] == "session 1: from a unix socket, no hello, no user, no TLS, open"
    assert shown[1:3] == ["  (400 lines more)", "  C: 400"]
    assert shown[-1] == "  C: 499"


def test_a_report_tells_what_came_instead() -> None:
    """Messages, sessions, rules; of very many sessions the last."""
    assert report("1 message expected", [], [], "", "mx.test:25") == (
        "1 message expected; none came\nnobody has connected to mx.test:25"
    )
    sessions = [replace(SESSION, id=str(n), transcript=()) for n in range(30)]
    text = report("2 messages expected", [message()], sessions, "at RCPT: ...", "mx.test:25")
    lines = text.splitlines()
    assert lines[0] == "2 messages expected; 1 came"
    assert lines[1].startswith("message from <a@a.test> to <b@b.test>, subject 'Grüße'")
    assert lines[2] == "(10 sessions more)"
    assert lines[3].startswith("session 10:")
    assert lines[-2:] == ["rules:", "at RCPT: ..."]
