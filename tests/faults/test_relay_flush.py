"""What 250 promises is on the disk: the flush of the journal precedes the reply, seen by strace.

kill -9 shows the order of commit and reply; only the order of system calls shows that a power cut
would find the message, too.
"""

from __future__ import annotations

import re
import smtplib
from pathlib import Path

import pytest

from tests.faults.nexthop import NextHop, RelayProcess
from tests.interop.peers.available import program

pytestmark = pytest.mark.slow

# strace without arguments of its own; a page of the journal is shown whole.
_TRACED = "trace=fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg"
_SYNC = re.compile(r"\bf(?:data)?sync\(\d+<([^>]*)>")
_WRITE = re.compile(r"\bpwrite64\(\d+<([^>]*)>")


def unflushed(trace: list[str], wal: str, subjects: list[str]) -> list[str]:
    """Return the subjects whose 250 left before their octets were flushed, in order of arrival."""
    dirty: set[str] = set()
    flushed: set[str] = set()
    early = []
    waiting = list(subjects)
    for line in trace:
        if (written := _WRITE.search(line)) and written[1] == wal:
            dirty |= {subject for subject in subjects if subject in line}
        elif (synced := _SYNC.search(line)) and synced[1] == wal:
            flushed |= dirty
        elif "250 2.0.0 Ok: queued" in line and "sendto(" in line and waiting:
            subject = waiting.pop(0)
            if subject not in flushed:
                early.append(subject)
    assert not waiting, f"no reply seen for {waiting}"
    return early


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path, list[str]]:
    """The system calls of a relay that takes three messages, its spool, and their subjects."""
    strace = program("strace")
    directory = tmp_path_factory.mktemp("flush")
    spool, log = directory / "new" / "spool", directory / "trace"
    hop = NextHop()
    relay = RelayProcess(
        spool,
        hop.port,
        under=(strace, "-D", "-f", "-y", "-s", "4200", "-o", str(log), "-e", _TRACED),
    )
    subjects = [f"power-cut-{number}" for number in range(3)]
    try:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            for subject in subjects:
                body = f"Subject: {subject}\r\n\r\nIt must last.\r\n"
                client.sendmail("a@example.org", ["b@example.net"], body)
        hop.wait_for(lambda journal: journal.total() == 3)
    finally:
        relay.stop()
        hop.close()
    return log.read_text().splitlines(), spool, subjects


def test_flush_precedes_250(traced: tuple[list[str], Path, list[str]]) -> None:
    """Each message's octets are in the journal and the journal is flushed before its 250 leaves."""
    trace, spool, subjects = traced
    assert unflushed(trace, f"{spool}/spool.sqlite3-wal", subjects) == []


def test_the_trace_would_tell(traced: tuple[list[str], Path, list[str]]) -> None:
    """The negative control: the same trace without its flushes convicts every reply."""
    trace, spool, subjects = traced
    without = [line for line in trace if not _SYNC.search(line)]
    assert unflushed(without, f"{spool}/spool.sqlite3-wal", subjects) == subjects


def test_directories_are_flushed(traced: tuple[list[str], Path, list[str]]) -> None:
    """A spool whose directory was made just now is found again: each new name is flushed, too."""
    trace, spool, _ = traced
    greeted = next(number for number, line in enumerate(trace) if '"220 relay.test' in line)
    synced = {found[1] for line in trace[:greeted] if (found := _SYNC.search(line))}
    assert {str(spool), str(spool.parent), str(spool.parent.parent)} <= synced
