"""Who guesses passwords: slowed down by address, over sessions, and shut out in the end."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.server.hand import Meeting, codes
from txsmtpconn.server import guessing
from txsmtpconn.server.guessing import Guessing

HELLO = b"EHLO me.test\r\n"
WRONG = b"AUTH PLAIN " + b64encode(b"\0u\0wrong") + b"\r\n"
RIGHT = b"AUTH PLAIN " + b64encode(b"\0u\0hunter2") + b"\r\n"


class Door:
    """Believes who says hunter2."""

    def __init__(self) -> None:
        self.asked = 0

    def on_auth(self, session: Any, credentials: Any) -> bool:
        self.asked += 1
        return bool(credentials.proves("hunter2"))


def guessing_of(clock: Clock, **options: Any) -> Guessing:
    """Return a memory with short numbers."""
    given = {"delay": 1.0, "longest": 5.0, "most": 4, "memory": 60.0} | options
    return Guessing(clock, **given)


def test_each_failure_waits_longer_over_sessions() -> None:
    """The first reply comes at once; a new connection does not begin anew."""
    meeting = Meeting(Door(), allow_insecure_auth=True, auth_delay=1.0, auth_delay_most=3.0)
    waited = []
    for _ in range(4):
        hand = meeting.hand()
        heard = meeting.says(hand, HELLO + WRONG)
        seconds = 0.0
        while 535 not in codes(heard):
            meeting.waits(0.5)
            seconds += 0.5
            heard = hand.heard
        waited.append(seconds)
        assert codes(meeting.says(hand, b"QUIT\r\n")) == [221]
    assert waited == [0.0, 1.0, 2.0, 3.0]


def test_who_knows_the_password_does_not_wait() -> None:
    """Not even behind failures from the same address."""
    meeting = Meeting(Door(), allow_insecure_auth=True, auth_delay=1.0)
    hand = meeting.hand()
    meeting.says(hand, HELLO + WRONG + WRONG)
    meeting.waits(1.0)
    assert codes(meeting.says(hand, RIGHT)) == [235]
    meeting.ends()


def test_commands_behind_a_failure_wait_too() -> None:
    """Pipelining guesses does not make them faster."""
    door = Door()
    meeting = Meeting(door, allow_insecure_auth=True, auth_delay=10.0, max_auth_failures=9)
    hand = meeting.hand()
    meeting.says(hand, HELLO + WRONG * 5)
    assert door.asked == 2
    meeting.waits(10.0)
    assert door.asked == 3
    meeting.ends()


def test_a_client_that_leaves_meanwhile_leaves_nothing() -> None:
    """The pause is cancelled with its session."""
    meeting = Meeting(Door(), allow_insecure_auth=True, auth_delay=10.0)
    hand = meeting.hand()
    meeting.says(hand, HELLO + WRONG + WRONG)
    meeting.ends()
    assert hand.lost is not None
    assert not meeting.network.clock.getDelayedCalls()


def test_too_many_failures_shut_an_address_out_for_a_while() -> None:
    """Nobody is asked about what it says; once it has kept still, it may try again."""
    door = Door()
    meeting = Meeting(
        door, allow_insecure_auth=True, max_auth_failures_per_address=2, auth_failures_kept=60.0
    )
    for _ in range(2):
        hand = meeting.hand()
        meeting.says(hand, HELLO + WRONG + b"QUIT\r\n")
    hand = meeting.hand()
    heard = meeting.says(hand, HELLO + RIGHT)
    assert codes(heard) == [250, 421]
    assert b"421 4.7.0 " in heard
    assert hand.lost is not None
    assert door.asked == 2
    meeting.waits(60.0)
    hand = meeting.hand()
    assert codes(meeting.says(hand, HELLO + RIGHT)) == [250, 235]
    meeting.ends()


def test_mail_is_not_a_matter_of_passwords() -> None:
    """An address that is shut out may send what needs no login."""
    meeting = Meeting(Door(), allow_insecure_auth=True, max_auth_failures_per_address=1)
    hand = meeting.hand()
    meeting.says(hand, HELLO + WRONG)
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test>\r\n")) == [250]
    meeting.ends()


def test_what_is_malformed_is_no_guess() -> None:
    """501 is a client's fault, and tells it nothing."""
    meeting = Meeting(Door(), allow_insecure_auth=True, max_auth_failures_per_address=1)
    hand = meeting.hand()
    meeting.says(hand, HELLO + b"AUTH PLAIN AAAA\r\n" + b"AUTH PLAIN !\r\n")
    assert len(meeting.factory.guessing) == 0
    assert codes(meeting.says(hand, RIGHT)) == [235]
    meeting.ends()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_whose_failures_are_added_up(first: str, second: str, same: bool) -> None:
    """One address of IPv4 is one client, and so is one customer's part of IPv6."""
    guesses = guessing_of(Clock(), most=1)
    guesses.failed(first)
    assert guesses.refuses(second) is same


def test_who_has_no_address_is_not_remembered() -> None:
    """A unix socket has many users behind one name."""
    guesses = guessing_of(Clock(), most=1)
    assert [guesses.failed("") for _ in range(5)] == [0.0] * 5
    assert not guesses.refuses("")
    assert len(guesses) == 0


def test_delays_have_an_end() -> None:
    """They double up to the longest, however many failures there are."""
    guesses = guessing_of(Clock(), most=None)
    assert [guesses.failed("192.0.2.1") for _ in range(6)] == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    for _ in range(2000):
        assert guesses.failed("192.0.2.1") == 5.0
    assert not guesses.refuses("192.0.2.1")


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, and by time: the one that failed longest ago goes first."""
    monkeypatch.setattr(guessing, "ADDRESSES", 3)
    clock = Clock()
    guesses = guessing_of(clock, most=1)
    for last in (1, 2, 3, 1, 4):
        guesses.failed(f"192.0.2.{last}")
    assert len(guesses) == 3
    assert not guesses.refuses("192.0.2.2")
    assert guesses.refuses("192.0.2.1")
    clock.advance(60.0)
    assert not guesses.refuses("192.0.2.1")
    assert len(guesses) == 0
