"""The front door, behind the real server, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed

from tests.relay.spool_contract import claim
from tests.relay.test_sqlite import SQLiteLaboratory
from tests.server.hand import LMTP_OPENING, OPENING, Hand, Meeting
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.counters import Counters
from txsmtpconn.relay.front import FrontDoor
from txsmtpconn.relay.spool import (
    Capacity,
    Incoming,
    NewMessage,
    SpoolFullError,
    SpoolUnavailableError,
)
from txsmtpconn.relay.sqlite import SQLiteSpool
from txsmtpconn.sasl import Finished
from txsmtpconn.testing import MemoryNetwork
from txsmtpconn.testing.results import success_result_of

NOON = 1_800_000_000.0


class Relay:
    """A front door on a spool, and a hand that knocks."""

    def __init__(self, lab: SQLiteLaboratory, *, lmtp: bool = False, **options: Any) -> None:
        self.lab = lab
        self.spool: SQLiteSpool = lab.start()
        self.counters = Counters()
        self.accepted = 0
        self.ready: Deferred[None] | None = None
        given: dict[str, Any] = {"spool": "x", "upstream": "smtp://x", "reserve": 0}
        door = FrontDoor(
            self.spool,
            RelayOptions(**given | options),
            "relay.test",
            cast(Any, lab.reactor),
            self.counters,
            ready=lambda: self.ready,
            accepted=self._accepted,
            on_auth=self._believe,
            now=lambda: NOON,
        )
        self.meeting = Meeting(
            door, MemoryNetwork(lab.reactor), lmtp=lmtp, allow_insecure_auth=True
        )

    def _accepted(self) -> None:
        self.accepted += 1

    @staticmethod
    def _believe(session: Any, credentials: Finished) -> bool:
        return credentials.password == "hunter2"

    def hand(self) -> Hand:
        return self.meeting.hand()

    def says(self, hand: Hand, octets: bytes) -> bytes:
        return self.meeting.says(hand, octets)

    def stored(self) -> list[bytes]:
        """The bodies in the spool."""
        return [each.body or b"" for each in claim(self.spool)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SQLiteLaboratory]:
    """A spool to put mail into."""
    laboratory = SQLiteLaboratory(tmp_path / "spool")
    yield laboratory
    if laboratory.spool is not None:
        success_result_of(laboratory.spool.stop())


def test_message_is_spooled_with_one_trace_field_and_nothing_else(lab: SQLiteLaboratory) -> None:
    """250 names the queue id; the octets are the client's, behind one Received field."""
    relay = Relay(lab)
    hand = relay.hand()
    relay.says(hand, OPENING)
    body = b"\r\nno header at all\r\n" + bytes(range(128, 256)) + b"\r\n"
    heard = relay.says(hand, body + b"\r\n.\r\n").decode()
    (claimed,) = claim(relay.spool)
    assert heard == f"250 2.0.0 Ok: queued as {claimed.message}\r\n"
    assert claimed.body is not None
    field, _, rest = claimed.body.partition(b" +0000\r\n")
    assert field.startswith(
        b"Received: from me.test ([127.0.0.1])\r\n\tby relay.test with ESMTP id "
    )
    assert f"id {claimed.message}\r\n\tfor <r@y.test>;\r\n".encode() in field
    assert rest == body + b"\r\n"
    assert (relay.accepted, relay.counters.accepted) == (1, 1)


def test_250_waits_for_the_commit(lab: SQLiteLaboratory) -> None:
    """The client hears nothing until the transaction is on the disk."""
    relay = Relay(lab)
    hand = relay.hand()
    relay.says(hand, OPENING)
    threads: Any = relay.spool._pools[0].threadpool
    threads.gated = True
    assert relay.says(hand, b"Subject: x\r\n\r\n.\r\n") == b""
    threads.gated = False
    threads.step()
    relay.meeting.network.settle()
    assert hand.heard.endswith(b"\r\n") and b"250 2.0.0 Ok: queued as" in hand.heard  # noqa: PT018


def test_recipients_are_not_told_of_each_other(lab: SQLiteLaboratory) -> None:
    """With several recipients the trace field names none."""
    relay = Relay(lab)
    hand = relay.hand()
    relay.says(hand, OPENING.replace(b"DATA\r\n", b"RCPT TO:<hidden@y.test>\r\nDATA\r\n"))
    relay.says(hand, b"Subject: x\r\n\r\n.\r\n")
    assert b" for " not in relay.stored()[0].replace(b"\t", b" ")


def test_strangers_may_not_relay(lab: SQLiteLaboratory) -> None:
    """550 for whatever form of an address, from whatever sender (RFC 5321 section 7.9)."""
    relay = Relay(lab, networks=("192.0.2.0/24",))
    hand = relay.hand()
    relay.says(hand, b"EHLO me.test\r\n")
    for sender in (b"<s@x.test>", b"<>", b"<postmaster@relay.test>"):
        relay.says(hand, b"RSET\r\nMAIL FROM:" + sender + b"\r\n")
        for address in (
            b"<u@elsewhere.test>",
            b"<u%elsewhere.test@relay.test>",
            b'<"u@elsewhere.test"@relay.test>',
            b"<@relay.test:u@elsewhere.test>",
            b"<u@[127.0.0.1]>",
            b"<u@relay.test>",
            b"<postmaster>",
            b"<u>",
        ):
            assert relay.says(hand, b"RCPT TO:" + address + b"\r\n")[:1] == b"5", address
    assert relay.says(hand, b"DATA\r\n")[:1] == b"5"
    assert relay.counters.refused > 0
    assert relay.stored() == []


def test_who_has_logged_in_may_relay(lab: SQLiteLaboratory) -> None:
    """A stranger's address with a believed login is let in, and the trace says so."""
    relay = Relay(lab, networks=("192.0.2.0/24",))
    hand = relay.hand()
    relay.says(hand, b"EHLO me.test\r\n")
    assert relay.says(hand, b"AUTH PLAIN AHUAaHVudGVyMg==\r\n").startswith(b"235")
    relay.says(hand, OPENING.partition(b"\r\n")[2])
    assert relay.says(hand, b"Subject: x\r\n\r\n.\r\n").startswith(b"250")
    assert b"with ESMTPA id" in relay.stored()[0]


def test_login_does_not_outlive_its_failure(lab: SQLiteLaboratory) -> None:
    """A refused login leaves a stranger a stranger."""
    relay = Relay(lab, networks=("192.0.2.0/24",))
    hand = relay.hand()
    relay.says(hand, b"EHLO me.test\r\n")
    assert relay.says(hand, b"AUTH PLAIN AHUAd3Jvbmc=\r\n").startswith(b"535")
    heard = relay.says(hand, b"MAIL FROM:<s@x.test>\r\nRCPT TO:<r@y.test>\r\n")
    assert heard.splitlines()[-1].startswith(b"550 5.7.1")


def test_unix_sockets_may_relay(lab: SQLiteLaboratory) -> None:
    """A client of a unix socket has passed its permissions."""
    relay = Relay(lab, networks=("192.0.2.0/24",))
    door: Any = relay.meeting.factory.hooks.on_rcpt_to

    class Session:
        remote_address = ""
        peer = UNIXAddress("/run/relay.sock")
        identity = None
        id = "1"

    assert door(Session(), "b@example.net", None) is None


def test_mail_loop_is_refused(lab: SQLiteLaboratory) -> None:
    """More Received fields than any road is long: 554 5.4.6, and nothing is kept."""
    relay = Relay(lab, hop_limit=50)
    hand = relay.hand()
    relay.says(hand, OPENING)
    heard = relay.says(hand, b"Received: x\r\n" * 51 + b"\r\nbody\r\n.\r\n")
    assert heard.startswith(b"554 5.4.6")
    relay.says(hand, OPENING.partition(b"\r\n")[2])
    heard = relay.says(hand, b"Received: x\r\n" * 50 + b"\r\nReceived: body\r\n.\r\n")
    assert heard.startswith(b"250")
    assert len(relay.stored()) == 1


def test_full_disk_is_452_before_the_data(lab: SQLiteLaboratory) -> None:
    """What does not fit beside the reserve is refused at MAIL; with SIZE, before it is sent."""
    relay = Relay(lab)
    relay.spool.capacity = lambda: Capacity(10_000, 1_000)  # type: ignore[method-assign]
    hand = relay.hand()
    relay.says(hand, b"EHLO me.test\r\n")
    assert relay.says(hand, b"MAIL FROM:<s@x.test> SIZE=9001\r\n").startswith(b"452 4.3.1")
    assert relay.says(hand, b"MAIL FROM:<s@x.test> SIZE=9000\r\n").startswith(b"250")


def test_unreadable_disk_is_451(lab: SQLiteLaboratory) -> None:
    """A file system that does not answer is a transient error of ours."""
    relay = Relay(lab)

    def capacity() -> Capacity:
        raise OSError(5, "Input/output error")

    relay.spool.capacity = capacity  # type: ignore[method-assign]
    hand = relay.hand()
    heard = relay.says(hand, b"EHLO me.test\r\nMAIL FROM:<s@x.test>\r\n")
    assert heard.splitlines()[-1].startswith(b"451 4.3.0")


@pytest.mark.parametrize(
    ("error", "code"),
    [(SpoolFullError("full"), b"452 4.3.1"), (SpoolUnavailableError("EIO"), b"451 4.3.0")],
)
def test_failed_commit_is_never_250(lab: SQLiteLaboratory, error: Exception, code: bytes) -> None:
    """No room or no disk: a clear transient reply, and the session goes on."""
    relay = Relay(lab)
    run = relay.spool._writer.run
    hand = relay.hand()
    relay.says(hand, OPENING)
    relay.spool._writer.run = lambda work: fail(error)  # type: ignore[method-assign]
    assert relay.says(hand, b"Subject: x\r\n\r\n.\r\n").startswith(code)
    relay.spool._writer.run = run  # type: ignore[method-assign]
    relay.says(hand, OPENING.partition(b"\r\n")[2])
    assert relay.says(hand, b"Subject: x\r\n\r\n.\r\n").startswith(b"250")
    assert relay.counters.refused == 1


def test_disk_that_fills_in_mid_message_is_452(lab: SQLiteLaboratory) -> None:
    """Octets that could not be stored are answered at the end of the data, once."""
    relay = Relay(lab)
    hand = relay.hand()
    relay.says(hand, OPENING)
    relay.spool._writer.run = lambda work: fail(SpoolFullError("full"))  # type: ignore[method-assign]
    line = b"x" * 998 + b"\r\n"
    for _ in range(20):
        assert relay.says(hand, line * 60) == b""
    assert relay.says(hand, b".\r\n").startswith(b"452 4.3.1")


def test_slow_disk_pauses_the_client(lab: SQLiteLaboratory) -> None:
    """A client does not fill the memory while the disk is behind."""
    relay = Relay(lab)
    hand = relay.hand()
    intake: list[Any] = []
    begin = relay.spool.open

    def keep(envelope: NewMessage) -> Incoming:
        intake.append(begin(envelope))
        return cast(Incoming, intake[0])

    relay.spool.open = keep  # type: ignore[method-assign]
    relay.says(hand, OPENING)
    threads: Any = relay.spool._pools[0].threadpool
    threads.gated = True
    line = b"x" * 998 + b"\r\n"
    for _ in range(40):
        relay.says(hand, line * 60)
    assert intake[0]._size < 700_000
    threads.gated = False
    while threads.waiting:
        threads.step()
        relay.meeting.network.settle()
    assert relay.says(hand, b".\r\n").endswith(b"\r\n")
    relay.meeting.network.settle()
    assert b"queued as" in hand.heard
    (claimed,) = claim(relay.spool)
    assert claimed.size > 40 * 60 * 1000


def test_message_stored_too_late_is_taken_back(lab: SQLiteLaboratory) -> None:
    """The client gave up long ago and will come back: 451, and nothing goes out now."""
    relay = Relay(lab, spooling_limit=60.0)
    hand = relay.hand()
    relay.says(hand, OPENING)
    threads: Any = relay.spool._pools[0].threadpool
    threads.gated = True
    relay.says(hand, b"Subject: x\r\n\r\n.\r\n")
    lab.advance(61)
    threads.gated = False
    threads.step()
    relay.meeting.network.settle()
    assert hand.heard.splitlines()[-1].startswith(b"451 4.3.0")
    assert relay.stored() == []
    assert relay.counters.overdue == 1


def test_claimed_submitter_is_not_vouched_for(lab: SQLiteLaboratory) -> None:
    """AUTH= of whoever says so becomes "nobody known" (RFC 4954 section 5)."""
    relay = Relay(lab)
    hand = relay.hand()
    mail = b"EHLO me.test\r\nMAIL FROM:<s@x.test> AUTH=ceo@x.test\r\n"
    relay.says(hand, mail + b"RCPT TO:<r@y.test>\r\nDATA\r\n")
    assert relay.says(hand, b"x\r\n.\r\n").startswith(b"250")
    (claimed,) = claim(relay.spool)
    assert claimed.parameters == b" AUTH=<>"


def test_client_that_leaves_in_mid_message_leaves_nothing(lab: SQLiteLaboratory) -> None:
    """No end of data, no message, no octets."""
    relay = Relay(lab)
    hand = relay.hand()
    relay.says(hand, OPENING)
    line = b"x" * 998 + b"\r\n"
    for _ in range(10):
        relay.says(hand, line * 60)
    transport: Any = hand.transport
    transport.loseConnection()
    relay.meeting.network.settle()
    assert relay.counters.aborted == 1
    assert lab.execute("SELECT count(*) FROM chunk") == [(0,)]


def test_lmtp_answers_for_each_recipient(lab: SQLiteLaboratory) -> None:
    """One reply per accepted RCPT (RFC 2033 section 4.2), and the trace says LMTP."""
    relay = Relay(lab, lmtp=True)
    hand = relay.hand()
    relay.says(hand, LMTP_OPENING)
    heard = relay.says(hand, b"Subject: x\r\n\r\n.\r\n")
    assert heard.count(b"250 2.0.0 Ok: queued as") == 2
    (body,) = relay.stored()
    assert b"with LMTP id" in body


def test_nobody_is_greeted_before_the_spool_has_started(lab: SQLiteLaboratory) -> None:
    """A client waits for the greeting, and gets it when there is a place for its mail."""
    relay = Relay(lab)
    relay.ready = Deferred()
    hand = relay.hand()
    assert hand.heard == b""
    relay.ready.callback(None)
    relay.meeting.network.settle()
    assert hand.heard.startswith(b"220 ")
    relay.ready = succeed(None)
