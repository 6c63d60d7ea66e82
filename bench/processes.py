"""Starting, pinning and stopping the programs of a benchmark, so that none is left behind."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The directory that holds the package ``bench``; every program is started there."""

START_LIMIT = 10.0
"""Seconds that a server may take until it accepts connections."""


class ServerError(Exception):
    """A server did not start."""


def cores() -> tuple[int, ...]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return ()


@functools.cache
def can_pin() -> bool:
    """Tell whether programs can be tied to a core."""
    return bool(cores()) and shutil.which("taskset") is not None


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """Return the command tied to one of `cores`, counted from 0; None leaves it free."""
    if core is None or not can_pin():
        return list(command)
    available = cores()
    return ["taskset", "-c", str(available[core % len(available)]), *command]


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(
    command: Sequence[str], *, core: int | None = None, log: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, its output in a log or nowhere."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        return subprocess.Popen(
            pinned(command, core),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started; first asked, then told."""
    for signum, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


@contextlib.contextmanager
def server(
    command: Sequence[str], port: int, *, core: int | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of a ``with`` block, which begins when it accepts connections.

    Raises:
        ServerError: It ended, or `START_LIMIT` passed, before it accepted one.
    """
    process = start(command, core=core, log=log)
    try:
        wait_for_port(port, process, log)
        yield process
    finally:
        stop(process)


def wait_for_port(
    port: int, process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    """Return when something accepts connections on a loopback port.

    Raises:
        ServerError: The process ended, or `START_LIMIT` passed.
    """
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit and (process is None or process.poll() is None):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    said = log.read_text(errors="replace").strip().splitlines()[-1:] if log else []
    raise ServerError(f"nothing listens on port {port}" + "".join(f": {line}" for line in said))
