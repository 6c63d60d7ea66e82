"""A service that cannot start: twistd and twist end with status 1 and a sentence that says why."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import TWISTD

SPOOL = ["--spool=spool", "--upstream=smtp://mx.example:2525"]


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port of this host that another process holds."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def ended(directory: Path, *command: str) -> tuple[int, str]:
    """Run a program; return its status, and the output that is not twistd's greeting."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "SMTPRELAY_PASSWORD": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("service", [["smtpsink"], ["smtprelay", *SPOOL]], ids=["sink", "relay"])
def test_taken_port_is_told_in_a_sentence(service: list[str], taken: int, tmp_path: Path) -> None:
    """It names the port, as the last thing of the log."""
    listen = f"--listen=tcp:{taken}:interface=127.0.0.1"
    status, output = ended(tmp_path, TWISTD, "--nodaemon", "--pidfile=pid", *service, listen)
    assert status == 1
    assert "Traceback" not in output
    last = output.splitlines()[-1]
    assert f"{service[0]}: Couldn't listen on 127.0.0.1:{taken}: " in last
    assert not (tmp_path / "pid").exists()


def test_twist_tells_the_same(taken: int, tmp_path: Path) -> None:
    """It starts services in a way of its own, and prints nothing else."""
    listen = f"--listen=tcp:{taken}:interface=127.0.0.1"
    status, output = ended(tmp_path, sys.executable, "-m", "twisted", "smtpsink", listen)
    assert status == 1
    assert output.startswith(f"smtpsink: Couldn't listen on 127.0.0.1:{taken}: ")
    assert output.count("\n") == 1


def test_daemon_tells_who_started_it(taken: int, tmp_path: Path) -> None:
    """The shell sees the sentence and the status, although the log is elsewhere."""
    listen = f"--listen=tcp:{taken}:interface=127.0.0.1"
    command = ["--pidfile=pid", "--logfile=log", "smtpsink", listen]
    status, output = ended(tmp_path, TWISTD, *command)
    assert status == 1
    assert f"smtpsink: Couldn't listen on 127.0.0.1:{taken}" in output


@pytest.mark.parametrize(
    ("service", "told"),
    [
        (
            ["smtprelay", "--spool=file", SPOOL[1], "--listen=tcp:0:interface=127.0.0.1"],
            "smtprelay: cannot use file as a spool: File exists",
        ),
        (
            ["smtpsink", "--listen=unix:file/socket"],
            "smtpsink: Couldn't listen on unix:file/socket: Not a directory.",
        ),
    ],
    ids=["spool", "socket"],
)
def test_what_cannot_be_made_is_named(service: list[str], told: str, tmp_path: Path) -> None:
    """A spool in the place of a file, and a socket under one."""
    (tmp_path / "file").touch()
    status, output = ended(tmp_path, TWISTD, "--nodaemon", "--pidfile=", *service)
    assert status == 1
    assert "Traceback" not in output
    assert output.splitlines()[-1].endswith(told)
