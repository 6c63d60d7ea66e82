"""The transcript: one event for each line, nothing secret, nothing that steers a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import Logger

from txsmtpconn.net.transcript import (
    REDACTED,
    Transcript,
    announce,
    logger_for,
    next_session_id,
)
from txsmtpconn.session.trace import Direction


def watched(*, content: bool = False) -> tuple[Transcript, list[dict[str, Any]]]:
    """A transcript and the events it made."""
    events: list[dict[str, Any]] = []
    return Transcript(Logger("test", observer=events.append), "7", content=content), events


def test_a_line_is_an_event_with_direction_text_and_session() -> None:
    """So that an observer can watch a conversation: smtp-connection's `log` event."""
    transcript, events = watched()
    transcript(Direction.SENT, b"EHLO client.test", False)
    transcript(Direction.RECEIVED, b"250 mx.test", False)
    assert [(each["session_id"], each["direction"], each["text"]) for each in events] == [
        ("7", "C", "EHLO client.test"),
        ("7", "S", "250 mx.test"),
    ]


def test_what_is_secret_is_replaced_by_a_mark() -> None:
    """Only what the session said may be shown is."""
    transcript, events = watched()
    transcript(Direction.SENT, b"AUTH PLAIN", True)
    transcript(Direction.SENT, b"", True)
    assert [each["text"] for each in events] == [f"AUTH PLAIN {REDACTED}", REDACTED]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"550 \x1b[2Jgone", "550 \\x1b[2Jgone"),
        (b"250 ok\r550 evil", "250 ok\\r550 evil"),
        (b"250 nul\0", "250 nul\\x00"),
        ("250 grüß".encode(), "250 grüß"),
        (b"250 gr\xfc\xdf", "250 grüß"),
        ("250 \u2028\u202e".encode(), "250 \\u2028\\u202e"),
    ],
)
def test_control_characters_are_escaped(line: bytes, text: str) -> None:
    """C11, C12: no peer forges a line of a log."""
    transcript, events = watched()
    transcript(Direction.RECEIVED, line, False)
    assert events[0]["text"] == text


def test_a_brace_is_no_format() -> None:
    """The text is a field; nothing in it is interpreted."""
    from twisted.logger import formatEvent

    transcript, events = watched()
    transcript(Direction.RECEIVED, b"250 {log_logger} {0}", False)
    assert formatEvent(events[0]) == "7 S: 250 {log_logger} {0}"


def test_mail_data_is_a_size_unless_content_is_wanted() -> None:
    """`transaction_log` is the wire without content, `debug` the content too."""
    transcript, events = watched()
    transcript(Direction.CONTENT, b"Subject: x\r\n\r\nhi\r\n.\r\n", False)
    assert [each["text"] for each in events] == ["[21 octets of mail data]"]
    transcript, events = watched(content=True)
    transcript(Direction.CONTENT, b"Subject: x\r\n\r\n\x1bhi\r\n.\r\n", False)
    assert [each["text"] for each in events] == ["Subject: x", "", "\\x1bhi", "."]
    assert {each["direction"] for each in events} == {"C"}


def test_the_logger_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Unset or False is silence, True prints, a Logger is used as it is."""
    assert logger_for(None) is None
    assert logger_for(False) is None
    own = Logger("own")
    assert logger_for(own) is own
    printing = logger_for(True)
    assert printing is not None
    printing.info("hello {name}", name="there")
    assert "hello there" in capsys.readouterr().out


def test_announcements_go_nowhere_without_a_logger() -> None:
    """And to it with their fields, where there is one."""
    announce(None, "{session_id} ready", session_id="7")
    events: list[dict[str, Any]] = []
    announce(Logger("test", observer=events.append), "{session_id} ready", session_id="7")
    assert events[0]["session_id"] == "7"


def test_session_ids_differ() -> None:
    """In one process."""
    assert len({next_session_id() for _ in range(100)}) == 100
