"""The SQLite spool: the contract, and what is its own: files, locks, groups, full disks."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, fail

from tests.relay.spool_contract import *  # noqa: F403
from tests.relay.spool_contract import BODY, Laboratory, accept, claim, end, envelope
from tests.relay.threads import InlinePool, InlineReactor, InlineThreads
from txsmtpconn.relay.groupcommit import GroupCommit
from txsmtpconn.relay.spool import (
    Doubt,
    Event,
    NewMessage,
    Recovery,
    SpoolError,
    SpoolFormatError,
    SpoolFullError,
    SpoolLockedError,
    SpoolUnavailableError,
    State,
)
from txsmtpconn.relay.spoolfile import DATABASE, LOCK, SCHEMA_VERSION
from txsmtpconn.relay.spoolrows import message_number, queue_id
from txsmtpconn.relay.sqlite import SQLiteSpool
from txsmtpconn.testing.results import failure_result_of, no_result_of, success_result_of


class SQLiteLaboratory:
    """A spool in a folder, without threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reactor = InlineReactor()
        self.reactor.advance(1_800_000_000)
        self.spool: SQLiteSpool | None = None
        self._recovery = Recovery()

    def make(self, **options: Any) -> SQLiteSpool:
        seconds = self.reactor.seconds
        return SQLiteSpool(
            self.directory,
            self.reactor,  # type: ignore[arg-type]
            now=seconds,
            monotonic=seconds,
            pool=InlinePool,
            **options,
        )

    def start(self, doubt: Doubt = Doubt.RETRY) -> SQLiteSpool:
        self.spool = self.make()
        self._recovery = success_result_of(self.spool.start(doubt))
        return self.spool

    def crash(self) -> None:
        # Closing an SQLite connection writes nothing that a kill would not leave to recovery.
        assert self.spool is not None
        self.spool._close()

    def recovery(self) -> Recovery:
        return self._recovery

    def advance(self, seconds: float) -> None:
        self.reactor.advance(seconds)

    def execute(self, statement: str, *arguments: Any) -> list[Any]:
        with sqlite3.connect(self.directory / DATABASE) as connection:
            rows = connection.execute(statement, arguments).fetchall()
        connection.close()
        return rows

    def corrupt_body(self, message: str) -> None:
        number = message_number(message)
        ((octets, piece),) = self.execute(
            "SELECT octets, max(number) FROM chunk WHERE message = ?", number
        )
        flipped = octets[:-1] + bytes([octets[-1] ^ 1])
        self.execute(
            "UPDATE chunk SET octets = ? WHERE message = ? AND number = ?", flipped, number, piece
        )

    def corrupt_recipient(self, message: str) -> None:
        self.execute(
            "UPDATE recipient SET address = 'c' || substr(address, 2) WHERE message = ?",
            message_number(message),
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SQLiteLaboratory]:
    """An SQLite spool to try."""
    laboratory = SQLiteLaboratory(tmp_path / "spool")
    yield laboratory
    if laboratory.spool is not None:
        success_result_of(laboratory.spool.stop())


def test_sqlite_laboratory_is_one(lab: SQLiteLaboratory) -> None:
    """The fixture is what the contract asks for."""
    checked: Laboratory = lab
    assert checked is lab


def test_nobody_else_can_read_the_spool(lab: SQLiteLaboratory) -> None:
    """The folder is 0700 and each file 0600, whatever the umask and whatever stood there."""
    lab.directory.mkdir(mode=0o777)
    before = os.umask(0)
    try:
        accept(lab.start())
    finally:
        os.umask(before)
    assert stat.S_IMODE(lab.directory.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in lab.directory.iterdir()}
    assert set(files.values()) == {0o600}
    assert {DATABASE, LOCK, DATABASE + "-wal"} <= set(files)


def test_commits_are_flushed_to_disk(lab: SQLiteLaboratory) -> None:
    """The writer runs in WAL mode with synchronous = FULL (2): a commit is a promise."""
    spool = lab.start()
    answer = spool._writer.run(
        lambda db: (
            db.execute("PRAGMA journal_mode").fetchone()[0],
            db.execute("PRAGMA synchronous").fetchone()[0],
        )
    )
    assert success_result_of(answer) == ("wal", 2)


def test_second_process_is_refused(lab: SQLiteLaboratory) -> None:
    """Two on one spool would deliver everything twice."""
    lab.start()
    error = failure_result_of(lab.make().start(), SpoolLockedError)
    assert str(os.getpid()) in str(error)
    accept(lab.spool)  # type: ignore[arg-type]


def test_a_dead_process_leaves_no_lock(lab: SQLiteLaboratory) -> None:
    """The lock file of one that was killed does not stand in the way."""
    lab.directory.mkdir()
    (lab.directory / LOCK).write_bytes(b"99999\n")
    assert accept(lab.start())


def test_later_format_is_refused_and_left_alone(lab: SQLiteLaboratory) -> None:
    """A spool that a later release has written is not touched."""
    lab.start()
    lab.crash()
    lab.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    lab.spool = None
    failure_result_of(lab.make().start(), SpoolFormatError)
    assert lab.execute("PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]


@pytest.mark.parametrize("octets", [b"not a database, but a text" * 100, b"\x00" * 8192])
def test_foreign_file_is_refused(lab: SQLiteLaboratory, octets: bytes) -> None:
    """A file that is no spool gives an error that says so, and keeps its octets."""
    lab.directory.mkdir()
    (lab.directory / DATABASE).write_bytes(octets)
    failure_result_of(lab.make().start(), SpoolFormatError, SpoolUnavailableError)
    assert (lab.directory / DATABASE).read_bytes() == octets


def test_database_of_another_program_is_refused(lab: SQLiteLaboratory) -> None:
    """Another program's tables are not ours to add to."""
    lab.directory.mkdir()
    lab.execute("CREATE TABLE theirs (x)")
    error = failure_result_of(lab.make().start(), SpoolFormatError)
    assert "another program" in str(error)


def test_link_in_place_of_the_database_is_refused(lab: SQLiteLaboratory, tmp_path: Path) -> None:
    """We do not write where a symbolic link points."""
    lab.directory.mkdir()
    (lab.directory / DATABASE).symlink_to(tmp_path / "elsewhere")
    failure_result_of(lab.make().start(), SpoolError)
    assert not (tmp_path / "elsewhere").exists()


def test_garbage_row_is_quarantined(lab: SQLiteLaboratory) -> None:
    """A recipient without a message is set aside once; the others flow."""
    spool = lab.start()
    bad, good = accept(spool), accept(spool)
    lab.execute("DELETE FROM message WHERE id = ?", message_number(bad))
    assert [each.message for each in claim(spool)] == [good]
    assert lab.execute("SELECT state FROM recipient WHERE message = ?", message_number(bad)) == [
        (State.QUARANTINED,)
    ]


def test_truncated_body_is_quarantined(lab: SQLiteLaboratory) -> None:
    """A missing piece is as good as a flipped bit."""
    spool = lab.start()
    bad = accept(spool)
    lab.execute("DELETE FROM chunk WHERE message = ?", message_number(bad))
    assert claim(spool) == ()
    assert success_result_of(spool.counts()) == {State.QUARANTINED: 1}


def test_full_disk_refuses_the_message_and_keeps_working(lab: SQLiteLaboratory) -> None:
    """No room: a clear error for the newcomer, deliveries and removals go on, then mail again."""
    spool = lab.start()
    kept = accept(spool)
    (pages,) = success_result_of(
        spool._writer.run(lambda db: db.execute("PRAGMA page_count").fetchone())
    )
    limit = f"PRAGMA max_page_count = {pages + 2}"
    success_result_of(spool._writer.run(lambda db: db.execute(limit).fetchone()))
    incoming = spool.open(envelope("b@example.net"))
    for _ in range(20):
        waiting = incoming.write(b"x" * 60_000)
        if waiting is not None:
            failure_result_of(waiting, SpoolFullError)
            break
    incoming.abort()
    small = spool.open(envelope("b@example.net"))
    small.write(b"x" * 40_000)
    failure_result_of(small.commit(), SpoolFullError)
    (claimed,) = claim(spool)
    assert claimed.message == kept
    assert end(spool, claimed) == 0
    success_result_of(
        spool._writer.run(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    )
    assert accept(spool)
    assert lab.execute("SELECT count(*) FROM chunk WHERE message NOT IN (SELECT id FROM message)")[
        0
    ] == (0,)


class SmallDisk:
    """A disk of so many octets; only the spool is on it."""

    f_frsize = 1

    def __init__(self, directory: Path, size: int) -> None:
        self._directory = directory
        self._size = size

    @property
    def f_bavail(self) -> int:
        used = sum(each.stat().st_size for each in self._directory.iterdir())
        return max(0, self._size - used)


def test_mail_stops_short_of_the_reserve(
    lab: SQLiteLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that do not say how much they send cannot fill the disk: results need some of it."""
    lab.directory.mkdir()
    disk = SmallDisk(lab.directory, 20_000_000)
    monkeypatch.setattr("txsmtpconn.relay.room.os.statvfs", lambda _: disk)
    lab.spool = spool = lab.make(reserve=10_000_000)
    success_result_of(spool.start())
    incoming = [spool.open(envelope("b@example.net")) for _ in range(4)]
    refused = []
    for _ in range(100):
        for one in incoming:
            waiting = one.write(b"x" * 60_000)
            if waiting is not None:
                waiting.addErrback(refused.append)
    assert refused
    assert all(failure.check(SpoolFullError) for failure in refused)
    assert disk.f_bavail > 5_000_000  # the journal may have some of it
    for one in incoming:
        one.abort()
    assert spool.capacity().admits(0)  # what they left is room again, without any housekeeping
    assert accept(spool, body=b"x" * 1_000_000)


def test_space_of_delivered_mail_is_room_at_once(
    lab: SQLiteLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spool that was full takes mail as soon as it has delivered some, though no file shrinks."""
    lab.directory.mkdir()
    disk = SmallDisk(lab.directory, 20_000_000)
    monkeypatch.setattr("txsmtpconn.relay.room.os.statvfs", lambda _: disk)
    lab.spool = spool = lab.make(reserve=10_000_000)
    success_result_of(spool.start())
    accept(spool, body=b"x" * 4_500_000)
    assert not spool.capacity().admits(4_000_000)
    end(spool, claim(spool)[0])
    assert spool.capacity().admits(4_000_000)


def test_octets_that_could_not_be_dropped_are_dropped_later(lab: SQLiteLaboratory) -> None:
    """A disk that fails for a moment does not keep what nobody owns until the next start."""
    spool = lab.start()
    incoming = spool.open(envelope("b@example.net"))
    for _ in range(10):
        incoming.write(b"x" * 60_000)
    run = spool._writer.run
    spool._writer.run = lambda _: fail(SpoolFullError("full"))  # type: ignore[method-assign]
    incoming.abort()
    spool._writer.run = run  # type: ignore[method-assign]
    assert lab.execute("SELECT count(*) FROM chunk") != [(0,)]
    success_result_of(spool.recover())
    assert lab.execute("SELECT count(*) FROM chunk") == [(0,)]


@pytest.mark.parametrize("size", [100, 1_000_000])
def test_cancelled_commit_leaves_nothing(lab: SQLiteLaboratory, size: int) -> None:
    """Who gave up waiting has told the client so; the message does not go out all the same."""
    spool = lab.start()
    incoming = spool.open(envelope("b@example.net"))
    for _ in range(0, size, 50_000):
        incoming.write(b"x" * 50_000)
    threads = _gated(spool)
    committed = incoming.commit()
    committed.cancel()
    failure_result_of(committed, CancelledError)
    threads.gated = False
    while threads.waiting:
        threads.step()
    assert claim(spool) == ()
    assert lab.execute("SELECT count(*) FROM chunk") == [(0,)]


def test_failed_flush_fails_every_call_of_its_group(lab: SQLiteLaboratory) -> None:
    """After EIO nobody is told that his mail is safe, and the connection is opened afresh."""
    spool = lab.start()
    threads = _gated(spool)
    incoming = [spool.open(envelope(f"{number}@example.net")) for number in range(3)]
    first = incoming[0].commit()
    others = [one.commit() for one in incoming[1:]]
    threads.step()
    success_result_of(first)

    class Broken:
        """A disk whose first flush fails, and which then works as if nothing had been."""

        reconnected = False

        def cursor(self) -> Any:
            if not self.reconnected:
                raise _with_code(sqlite3.SQLITE_IOERR_FSYNC)
            return sqlite3.connect(lab.directory / DATABASE, isolation_level=None).cursor()

        def reconnect(self) -> None:
            self.reconnected = True

    broken = Broken()
    on_result, _, run_group, group, last = threads.waiting.pop()
    assert len(group) == 2
    threads._run(on_result, run_group, broken, group, last)
    assert broken.reconnected
    for other in others:
        failure_result_of(other, SpoolUnavailableError)
    threads.gated = False
    threads.step()  # what may have come through all the same is dropped
    assert len(claim(spool)) == 1


def _with_code(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


def _gated(spool: SQLiteSpool) -> InlineThreads:
    threads: InlineThreads = cast(Any, spool._pools[0]).threadpool
    threads.gated = True
    return threads


def test_calls_that_come_during_a_commit_share_the_next(lab: SQLiteLaboratory) -> None:
    """One goes alone at once; all that came meanwhile go together, and none fires before."""
    spool = lab.start()
    threads = _gated(spool)
    commits = [spool.open(envelope(f"{number}@example.net")).commit() for number in range(20)]
    assert len(threads.waiting) == 1
    threads.step()
    success_result_of(commits[0])
    for commit in commits[1:]:
        no_result_of(commit)
    assert len(threads.waiting) == 1
    threads.step()
    for commit in commits[1:]:
        assert success_result_of(commit)


def test_one_failing_call_does_not_harm_its_group(lab: SQLiteLaboratory) -> None:
    """The others' work is committed, the failing one learns its own error."""
    spool = lab.start()
    threads = _gated(spool)
    commits = [spool.open(envelope(f"{number}@example.net")).commit() for number in range(3)]
    wrong = spool._writer.run(lambda db: db.execute("SELECT nothing FROM nowhere"))
    absurd = spool._writer.run(lambda db: 1 // 0)
    while threads.waiting:
        threads.step()
    for commit in commits:
        assert success_result_of(commit)
    failure_result_of(wrong, SpoolUnavailableError)
    failure_result_of(absurd, ZeroDivisionError)
    threads.gated = False
    assert len(claim(spool)) == 3


def test_slow_disk_holds_the_writer_back(lab: SQLiteLaboratory) -> None:
    """At most two pieces of a message are in memory: then `write` waits."""
    spool = lab.start()
    threads = _gated(spool)
    incoming = spool.open(envelope("b@example.net"))
    written, waiting = 0, None
    while waiting is None:
        waiting = incoming.write(b"x" * 65_536)
        written += 65_536
    assert written == 512 * 1024
    no_result_of(waiting)
    threads.step()
    success_result_of(waiting)
    incoming.abort()
    while threads.waiting:
        threads.step()


def test_stop_finishes_what_was_asked(lab: SQLiteLaboratory) -> None:
    """A commit that is under way when the spool stops is finished and answered."""
    spool = lab.start()
    threads = _gated(spool)
    commits = [spool.open(envelope("b@example.net")).commit() for _ in range(2)]
    stopped = spool.stop()
    no_result_of(stopped)
    threads.step()
    threads.step()
    for commit in commits:
        assert success_result_of(commit)
    success_result_of(stopped)


def test_cancelled_call_harms_nobody(lab: SQLiteLaboratory) -> None:
    """Who no longer waits for his commit does not stop the others'."""
    spool = lab.start()
    threads = _gated(spool)
    first, second, third = (spool.open(envelope("b@example.net")).commit() for _ in range(3))
    second.cancel()
    second.addErrback(lambda _: None)
    threads.step()
    threads.step()
    assert success_result_of(first)
    assert success_result_of(third)


def test_queue_ids_sort_by_time_and_read_back(lab: SQLiteLaboratory) -> None:
    """Ids are 13 letters that a person can copy, also in lower case, and later ones are greater."""
    spool = lab.start()
    ids = [accept(spool) for _ in range(20)]
    lab.advance(0.002)
    ids.append(accept(spool))
    assert ids == sorted(set(ids))
    for text in ids:
        assert queue_id(message_number(text.lower())) == text


def test_ids_are_not_given_twice_when_the_clock_goes_back(lab: SQLiteLaboratory) -> None:
    """After a restart with the clock set back, new ids still follow the ones in the spool."""
    old = accept(lab.start())
    lab.crash()
    lab.reactor.rightNow -= 3600
    assert accept(lab.start()) > old


def test_ids_of_messages_that_have_left_are_not_given_again(lab: SQLiteLaboratory) -> None:
    """The history of one message is never taken for that of another."""
    spool = lab.start()
    lab.reactor.rightNow += 3600
    gone = accept(spool)
    end(spool, claim(spool)[0])
    lab.crash()
    lab.reactor.rightNow -= 3600
    assert accept(lab.start()) > gone


def test_space_comes_back_after_a_large_message(lab: SQLiteLaboratory) -> None:
    """The file shrinks again once a large message has left and housekeeping has run."""
    spool = lab.start()
    accept(spool, body=b"x" * 4_000_000)
    end(spool, claim(spool)[0])
    success_result_of(spool.prune(1, 1))
    success_result_of(
        spool._writer._pool.runWithConnection(
            lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        )
    )
    assert (lab.directory / DATABASE).stat().st_size < 500_000


def test_capacity_counts_the_reserve(lab: SQLiteLaboratory) -> None:
    """What would eat into the reserve is not admitted."""
    spool = lab.start()
    capacity = spool.capacity()
    assert capacity.admits(0)
    assert not capacity.admits(capacity.free - capacity.reserve + 1)


def test_history_keeps_hostile_text_as_data(lab: SQLiteLaboratory) -> None:
    """Addresses and replies are stored and returned as they are, quotes and all."""
    spool = lab.start()
    hostile = "x'); DROP TABLE message; --\r\n\x1b[2J@example.net"
    message = success_result_of(
        spool.open(NewMessage(hostile, envelope(hostile).recipients)).commit()
    )
    end(spool, claim(spool)[0], State.FAILED, Event.FAILED, detail=hostile)
    (entry,) = success_result_of(spool.why(message))
    assert (entry.recipient, entry.detail) == (hostile, hostile)


def test_group_commit_refuses_after_close() -> None:
    """Work given to a closed writer fails at once and is not run."""
    writer = GroupCommit(None)  # type: ignore[arg-type]
    success_result_of(writer.close())
    failure_result_of(writer.run(lambda db: BODY), SpoolUnavailableError)
