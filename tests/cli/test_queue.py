"""``smtpconn queue``: what an operator is told of a spool, while its relay runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import smtpconn
from tests.relay.spool_contract import BODY, accept, claim, end
from tests.relay.test_sqlite import SQLiteLaboratory
from txsmtpconn.relay.inspection import looking_into
from txsmtpconn.relay.spool import Event, SpoolError, SpoolFormatError, State
from txsmtpconn.relay.spoolfile import DATABASE, SCHEMA_VERSION


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[SQLiteLaboratory]:
    """A running spool: its lock is held and its writer open all the time."""
    laboratory = SQLiteLaboratory(tmp_path)
    laboratory.start()
    yield laboratory
    laboratory.crash()


def test_a_permanent_failure_is_found_with_its_reason(laboratory: SQLiteLaboratory) -> None:
    """The operator sees who did not get it, why, and what happened before; nothing is changed."""
    assert laboratory.spool is not None
    message = accept(laboratory.spool, "bad@y.test", "waiting@y.test")
    (taken,) = claim(laboratory.spool)
    end(
        laboratory.spool, taken, State.FAILED, Event.FAILED, detail="550 5.1.1 no \x1b[31msuch user"
    )
    other = accept(laboratory.spool, "good@y.test")

    listed = smtpconn("queue", str(laboratory.directory)).stdout.decode()
    assert message in listed
    assert other in listed
    assert "failed      <bad@y.test>" in listed
    assert "550 5.1.1 no" in listed
    assert "\x1b" not in listed
    assert listed.rstrip().endswith("recipients: 2 failed, 1 ready")

    failed = smtpconn("queue", str(laboratory.directory), "--state=failed").stdout.decode()
    assert message in failed
    assert other not in failed

    story = smtpconn("queue", str(laboratory.directory), message).stdout.decode()
    assert f"{len(BODY)} octets" in story
    assert "550 5.1.1 no" in story.splitlines()[-1]

    lines = smtpconn("queue", str(laboratory.directory), "--json").stdout.decode().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert [each["state"] for each in first["recipients"]] == ["failed", "failed"]
    assert second["message"] == other
    told = smtpconn("queue", str(laboratory.directory), message, "--json").stdout.decode()
    assert {json.loads(line).get("event") for line in told.splitlines()} == {None, "failed"}


def test_the_story_outlives_the_message(laboratory: SQLiteLaboratory) -> None:
    """What was delivered has left the spool, and its history still tells so."""
    assert laboratory.spool is not None
    message = accept(laboratory.spool, "good@y.test")
    (taken,) = claim(laboratory.spool)
    end(laboratory.spool, taken, State.DELIVERED, Event.DELIVERED, detail="250 2.0.0 taken")
    story = smtpconn("queue", str(laboratory.directory), message).stdout.decode()
    assert "has left the spool" in story
    assert "delivered" in story
    listed = smtpconn("queue", str(laboratory.directory)).stdout.decode()
    assert listed == "recipients: none\n"


def test_long_lists_are_whole(laboratory: SQLiteLaboratory) -> None:
    """Paging neither skips nor repeats."""
    assert laboratory.spool is not None
    queued = [accept(laboratory.spool, "b@y.test") for _ in range(205)]
    with looking_into(laboratory.directory) as view:
        assert [each.message for each in view.messages()] == queued


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["queue", "/no/such"], "no spool"),
        (["queue", "SPOOL", "nonsense"], "nonsense"),
        (["queue", "SPOOL", "nonsense", "--state=failed"], "--state"),
    ],
)
def test_mistakes(laboratory: SQLiteLaboratory, arguments: list[str], told: str) -> None:
    """A sentence and exit code 78."""
    words = [str(laboratory.directory) if each == "SPOOL" else each for each in arguments]
    done = smtpconn(*words)
    assert done.returncode == 78
    assert told in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_what_is_no_spool_is_not_read(tmp_path: Path) -> None:
    """Another program's database, a later release's, or no database at all."""
    path = tmp_path / DATABASE
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(SpoolFormatError), looking_into(tmp_path):
        pass
    path.unlink()
    laboratory = SQLiteLaboratory(tmp_path)
    laboratory.start()
    laboratory.crash()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(SpoolFormatError), looking_into(tmp_path):
        pass
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(SpoolError), looking_into(tmp_path):
        pass
