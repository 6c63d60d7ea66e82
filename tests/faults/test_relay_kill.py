"""The relay is killed, at each step that matters: what was acknowledged is never lost.

The client is smtplib, the next hop keeps a journal, and the relay is a process of its own that a
failpoint (``txsmtpconn.relay.failpoint``) or the test kills with SIGKILL.
"""

from __future__ import annotations

import contextlib
import random
import smtplib
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.nexthop import NextHop, RelayProcess, rows

pytestmark = pytest.mark.slow

Start = Callable[..., RelayProcess]


@pytest.fixture
def hop() -> Iterator[NextHop]:
    """A next hop that takes everything."""
    one = NextHop()
    yield one
    one.close()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the relays of one test keep their mail, one after the other."""
    return tmp_path / "spool"


@pytest.fixture
def start(spool: Path) -> Iterator[Start]:
    """Starts relays, and leaves none behind."""
    started: list[RelayProcess] = []

    def start(upstream: int, *arguments: str, failpoint: str | None = None) -> RelayProcess:
        started.append(RelayProcess(spool, upstream, *arguments, failpoint=failpoint))
        return started[-1]

    yield start
    for relay in started:
        if relay.process.poll() is None:
            relay.process.kill()
        relay.stop()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def send(relay: RelayProcess, subject: str, *recipients: str, size: int = 100) -> bool:
    """Hand a message to the relay; tell whether it was acknowledged."""
    body = f"Subject: {subject}\r\n\r\n".encode() + b"x" * 70 + b"\r\n"
    body += (b".y" * 35 + b"\r\n") * (size // 72)
    try:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.sendmail("a@example.org", recipients or ("b@example.net",), body)
    except (smtplib.SMTPException, OSError):
        return False
    return True


@pytest.mark.parametrize(
    ("failpoint", "size"),
    [("open:after", 100), ("write:before@9", 2_000_000), ("commit:before", 100)],
)
def test_killed_before_the_commit(
    start: Start, spool: Path, hop: NextHop, failpoint: str, size: int
) -> None:
    """The client has no 250; nothing is delivered, and no octet of it stays."""
    relay = start(hop.port, failpoint=failpoint)
    assert not send(relay, "unacknowledged", size=size)
    relay.wait_for_death()
    again = start(hop.port)
    assert send(again, "next")
    hop.wait_for(lambda journal: journal["next", "b@example.net"] == 1)
    assert again.stop()
    assert set(hop.journal) == {("next", "b@example.net")}
    assert rows(spool, "SELECT count(*) FROM chunk") == [(0,)]


def test_killed_after_the_commit_and_before_250(start: Start, hop: NextHop) -> None:
    """The message is the relay's from the commit on, though the client could not hear it."""
    relay = start(closed_port(), failpoint="commit:after")
    assert not send(relay, "committed")
    relay.wait_for_death()
    start(hop.port)
    hop.wait_for(lambda journal: journal["committed", "b@example.net"] == 1)


def test_killed_after_250(start: Start, hop: NextHop, spool: Path) -> None:
    """Acknowledged mail of any size survives, whole, and is delivered exactly once."""
    relay = start(closed_port())
    assert send(relay, "small", "b@example.net", "c@example.net")
    assert send(relay, "large", size=3_000_000)
    relay.kill()
    again = start(hop.port)
    hop.wait_for(lambda journal: journal.total() == 3)
    assert again.stop()
    assert set(hop.journal.values()) == {1}
    large = hop.bodies["large"]
    assert large.startswith(b"Received: from ")
    assert large.endswith(b"\r\n\r\n" + b"x" * 70 + b"\r\n" + (b".y" * 35 + b"\r\n") * 41666)
    assert rows(spool, "SELECT count(*) FROM message") == [(0,)]


def test_killed_while_the_next_hop_does_not_answer(start: Start, spool: Path, hop: NextHop) -> None:
    """Nothing can have left, so nothing is in doubt: neither under way, nor tried and refused."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        relay = start(silent.getsockname()[1])
        for number in range(5):
            assert send(relay, f"waiting {number}")
        # It takes the connection and greets nobody: what is sent there is under way.
        with silent.accept()[0]:
            relay.kill()
    relay = start(closed_port())
    relay.wait_for(lambda log: "deferred to <b@example.net>" in log)
    relay.kill()
    again = start(hop.port)
    hop.wait_for(lambda journal: journal.total() == 5)
    assert again.stop()
    assert set(hop.journal.values()) == {1}
    assert "in doubt" not in again.log
    assert not rows(spool, "SELECT event FROM history WHERE event = 'in-doubt'")


@pytest.mark.parametrize("failpoint", ["claim:before", "claim:after"])
def test_killed_around_the_claim(start: Start, hop: NextHop, failpoint: str) -> None:
    """A claim dies with its process; the mail is due again."""
    first = start(closed_port())
    assert send(first, "claimed")
    first.kill()
    start(hop.port, failpoint=failpoint).wait_for_death()
    assert hop.journal.total() == 0
    start(hop.port)
    hop.wait_for(lambda journal: journal["claimed", "b@example.net"] == 1)


def test_killed_between_reply_and_record(start: Start, spool: Path, hop: NextHop) -> None:
    """The one window that SMTP leaves: delivered twice, and said so in history and log."""
    relay = start(hop.port, failpoint="record:before")
    assert send(relay, "doubt")
    relay.wait_for_death()
    assert hop.journal["doubt", "b@example.net"] == 1
    again = start(hop.port)
    hop.wait_for(lambda journal: journal["doubt", "b@example.net"] == 2)
    again.wait_for(lambda log: "in doubt: an attempt to <b@example.net>" in log)
    assert again.stop()
    events = rows(spool, "SELECT event FROM history ORDER BY id")
    assert events == [("in-doubt",), ("delivered",)]


def test_killed_after_the_record(start: Start, spool: Path, hop: NextHop) -> None:
    """What is recorded is never sent again."""
    relay = start(hop.port, failpoint="record:after")
    assert send(relay, "recorded")
    relay.wait_for_death()
    again = start(hop.port)
    assert send(again, "next")
    hop.wait_for(lambda journal: journal["next", "b@example.net"] == 1)
    assert again.stop()
    assert hop.journal["recorded", "b@example.net"] == 1


def test_killed_while_the_reply_is_awaited(start: Start, spool: Path, hop: NextHop) -> None:
    """With doubt held, mail whose end has left waits for the operator instead of going twice."""
    hop.silent = True
    relay = start(hop.port, "--in-doubt=hold")
    assert send(relay, "held")
    hop.wait_for(lambda journal: journal["held", "b@example.net"] == 1)
    relay.kill()
    hop.silent = False
    again = start(hop.port, "--in-doubt=hold")
    assert send(again, "next")
    hop.wait_for(lambda journal: journal["next", "b@example.net"] == 1)
    assert again.stop()
    assert hop.journal["held", "b@example.net"] == 1
    assert rows(spool, "SELECT state FROM recipient") == [("held",)]


@pytest.mark.parametrize("failpoint", ["mark:before", "mark:after"])
def test_killed_at_the_fence(start: Start, spool: Path, hop: NextHop, failpoint: str) -> None:
    """Before the mark there is no doubt; behind it there is, though the end had not left yet."""
    relay = start(hop.port, "--in-doubt=hold", failpoint=failpoint)
    assert send(relay, "fenced")
    relay.wait_for_death()
    assert hop.journal.total() == 0
    again = start(hop.port, "--in-doubt=hold")
    if failpoint == "mark:before":
        hop.wait_for(lambda journal: journal["fenced", "b@example.net"] == 1)
    else:
        again.wait_for(lambda log: "in doubt: an attempt" in log)
    assert again.stop()
    held = rows(spool, "SELECT count(*) FROM recipient WHERE state = 'held'")
    assert held == [(int(failpoint == "mark:after"),)]


def test_second_process_is_refused(start: Start, hop: NextHop) -> None:
    """Two relays on one spool would deliver everything twice: the second does not start."""
    relay = start(hop.port)
    second = start(hop.port)
    second.wait_for(lambda log: "holds the spool" in log)
    assert second.process.wait(20) > 0
    assert send(relay, "first")
    hop.wait_for(lambda journal: journal["first", "b@example.net"] == 1)


def test_spool_that_cannot_be_used_fails_the_process(
    start: Start, spool: Path, hop: NextHop
) -> None:
    """A start that fails late ends with a status that a supervisor takes for what it is."""
    relay = start(hop.port)
    assert send(relay, "before")
    assert relay.stop()
    with contextlib.closing(sqlite3.connect(spool / "spool.sqlite3")) as connection:
        connection.execute("DROP TABLE chunk")
    relay = start(hop.port)
    relay.wait_for(lambda log: "the relay cannot start" in log)
    assert relay.process.wait(20) == 1


def test_stopped_under_load(start: Start, spool: Path, hop: NextHop) -> None:
    """SIGTERM while clients hand in and the next hop dawdles: the rest is delivered after a start.

    Nothing is left out. What goes twice is at most the one message whose end had left on the one
    connection when the time for it was over, and the history says so.
    """
    hop.pause = 0.02
    relay = start(hop.port, "--drain=1s", "--connections=1")
    acknowledged = [f"load-{number}" for number in range(150) if send(relay, f"load-{number}")]
    hop.wait_for(lambda journal: journal.total() >= 3)
    assert relay.stop()
    assert hop.journal.total() < len(acknowledged) == 150
    hop.pause = 0
    again = start(hop.port)
    hop.wait_for(lambda journal: all((each, "b@example.net") in journal for each in acknowledged))
    assert again.stop()
    duplicates = [subject for (subject, _), times in hop.journal.items() if times > 1]
    doubted = rows(spool, "SELECT count(*) FROM history WHERE event = 'in-doubt'")[0][0]
    assert len(duplicates) <= doubted <= 1
    assert rows(spool, "SELECT count(*) FROM message") == [(0,)]


def test_killed_at_random_under_load(start: Start, spool: Path, hop: NextHop) -> None:
    """Many clients, kills at any moment: acknowledged is delivered, twice only where it was said.

    The seed is printed with a failure; the moments depend on the machine all the same.
    """
    chance = random.Random(5321)
    acknowledged: set[str] = set()
    lock = threading.Lock()

    def client(relay: RelayProcess, name: str) -> None:
        for number in range(200):
            subject = f"{name}-{number}"
            if not send(relay, subject, size=chance.choice((100, 5_000, 400_000))):
                return
            with lock:
                acknowledged.add(subject)

    in_doubt = ""
    for turn in range(3):
        relay = start(hop.port)
        clients = [
            threading.Thread(target=client, args=(relay, f"{turn}-{number}")) for number in range(4)
        ]
        for each in clients:
            each.start()
        target = hop.journal.total() + chance.randrange(20, 60)
        with contextlib.suppress(AssertionError):
            hop.wait_for(lambda journal, target=target: journal.total() >= target)  # type: ignore[misc]
        relay.kill()
        for each in clients:
            each.join()
        in_doubt += relay.log
    last = start(hop.port)
    hop.wait_for(lambda journal: all((each, "b@example.net") in journal for each in acknowledged))
    assert send(last, "last")
    hop.wait_for(lambda journal: journal["last", "b@example.net"] == 1)
    assert last.stop()
    assert len(acknowledged) > 30
    duplicates = {subject for (subject, _), times in hop.journal.items() if times > 1}
    doubted = rows(spool, "SELECT count(*) FROM history WHERE event = 'in-doubt'")[0][0]
    assert len(duplicates) <= doubted
    assert rows(spool, "SELECT count(*) FROM chunk") == [(0,)]
