"""Free space, and how long mail may be held: refused at MAIL, before anything is sent."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.server.hand import Meeting, Recording, codes
from txsmtpconn.errors import ConfigError
from txsmtpconn.server import ServerOptions, SMTPServerFactory
from txsmtpconn.testing import MemoryNetwork

HELLO = b"EHLO me.test\r\n"
MEGABYTE = 1024 * 1024


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A disk of which a test says how much is free."""
    facts = SimpleNamespace(f_bavail=10, f_frsize=MEGABYTE)
    monkeypatch.setattr(os, "statvfs", lambda _: facts)
    return facts


def test_what_finds_no_room_is_refused_before_it_comes(disk: Any, tmp_path: Path) -> None:
    """By the size that is declared, less the reserve; the application is not asked."""
    hooks = Recording()
    meeting = Meeting(hooks, room_in=tmp_path, room_reserve=8 * MEGABYTE)
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    heard = meeting.says(hand, b"MAIL FROM:<a@x.test> SIZE=%d\r\n" % (2 * MEGABYTE + 1))
    assert heard == b"452 4.3.1 Insufficient system storage, try again later\r\n"
    assert "mail_from" not in hooks.names()
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test> SIZE=%d\r\n" % (2 * MEGABYTE))) == [250]
    disk.f_bavail = 8
    rest = b"RCPT TO:<b@y.test>\r\nDATA\r\n"
    assert codes(meeting.says(hand, rest)) == [250, 452]
    assert codes(meeting.says(hand, b"RSET\r\nMAIL FROM:<a@x.test>\r\n")) == [250, 452]
    disk.f_bavail = 9
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test>\r\n" + rest)) == [250, 250, 354]
    assert hooks.names().count("mail_from") == 2
    meeting.ends()


def test_a_server_without_hooks_has_a_disk_too(disk: Any, tmp_path: Path) -> None:
    """The check is the server's own."""
    disk.f_bavail = 0
    meeting = Meeting(None, room_in=str(tmp_path))
    hand = meeting.hand()
    assert codes(meeting.says(hand, HELLO + b"MAIL FROM:<>\r\n")) == [250, 452]
    disk.f_bavail = 100
    whole = b"MAIL FROM:<>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"
    assert codes(meeting.says(hand, whole)) == [250, 250, 354]
    meeting.ends()


@pytest.mark.parametrize("wrong", ["/no/such/directory", "a\0b", 5.5])
def test_a_directory_that_is_none(wrong: Any) -> None:
    """Told at the start."""
    with pytest.raises(ConfigError, match="room_in"):
        SMTPServerFactory(MemoryNetwork().clock, None, ServerOptions(room_in=wrong))
    with pytest.raises(ConfigError, match="room_reserve"):
        ServerOptions(room_reserve=-1)


def test_how_soon_mail_can_be_delivered() -> None:
    """RFC 2852: the minimum is told, and enforced where the message would be returned."""
    meeting = Meeting(None, promises=["DELIVERBY"], min_deliver_by=240)
    hand = meeting.hand()
    assert b"DELIVERBY 240\r\n" in meeting.says(hand, HELLO)
    for by, code in (("240;R", 250), ("239;R", 555), ("1;rt", 555), ("1;N", 250), ("-5;N", 250)):
        heard = meeting.says(hand, f"MAIL FROM:<> BY={by}\r\nRSET\r\n".encode())
        assert codes(heard) == [code, 250], by
    meeting.ends()
    for wrong in (0, 10**9):
        with pytest.raises(ConfigError):
            ServerOptions(min_deliver_by=wrong)


def test_how_long_mail_may_be_held() -> None:
    """RFC 4865: both limits are told, the second in the world's time, and enforced."""
    meeting = Meeting(None, promises=["FUTURERELEASE"], max_hold=3600)
    meeting.waits(1000)
    before = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4600)
    hand = meeting.hand()
    (line,) = [line for line in meeting.says(hand, HELLO).splitlines() if b"FUTURERELEASE" in line]
    _, seconds, moment = line.decode()[4:].split()
    assert seconds == "3600"
    latest = datetime.fromisoformat(moment)
    assert timedelta() <= latest - before < timedelta(seconds=60)
    for parameter, code in (
        ("HOLDFOR=3600", 250),
        ("HOLDFOR=3601", 501),
        (f"HOLDUNTIL={moment}", 250),
        (f"HOLDUNTIL={(latest + timedelta(seconds=61)).isoformat()}", 501),
        ("HOLDUNTIL=9999-12-31T23:59:59Z", 501),
    ):
        heard = meeting.says(hand, f"MAIL FROM:<> {parameter}\r\nRSET\r\n".encode())
        assert codes(heard) == [code, 250], parameter
    meeting.ends()
    for wrong in (0, 10**9):
        with pytest.raises(ConfigError):
            ServerOptions(max_hold=wrong)


def test_mail_is_not_held_beyond_its_time() -> None:
    """RFC 4865 section 5.2.2: 501, whether the end is told in seconds or as a moment."""
    meeting = Meeting(None, promises=["FUTURERELEASE", "DELIVERBY"])
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    now = datetime.now(UTC).replace(microsecond=0)
    soon, late = ((now + timedelta(seconds=after)).isoformat() for after in (600, 7200))
    for parameters, code in (
        ("HOLDFOR=3600 BY=3600;R", 250),
        ("HOLDFOR=3601 BY=3600;R", 501),
        (f"HOLDUNTIL={soon} BY=3600;N", 250),
        (f"HOLDUNTIL={late} BY=3600;N", 501),
        (f"HOLDUNTIL={late}", 250),
    ):
        heard = meeting.says(hand, f"MAIL FROM:<s@x.test> {parameters}\r\nRSET\r\n".encode())
        assert codes(heard) == [code, 250], parameters
        assert code == 250 or heard.startswith(b"501 5.5.4"), heard
    meeting.ends()


def test_mail_is_held_back_by_submission_only() -> None:
    """RFC 4865 section 4.2: LMTP does not offer it, whatever was promised."""
    meeting = Meeting(None, promises=["FUTURERELEASE"], lmtp=True)
    hand = meeting.hand()
    assert b"FUTURERELEASE" not in meeting.says(hand, b"LHLO me.test\r\n")
    assert codes(meeting.says(hand, b"MAIL FROM:<s@x.test> HOLDFOR=60\r\n")) == [555]
    meeting.ends()
