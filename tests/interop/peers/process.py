"""Starting a program, waiting until it serves, and leaving nothing of it behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.interop.peers.lifeline import lifeline

_POLL = 0.02


def free_ports(count: int = 1) -> list[int]:
    """Find TCP ports that are free on 127.0.0.1 at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def scratch_directory(name: str) -> Iterator[Path]:
    """Make a directory that servers may enter which have given up root, and remove it afterwards.

    Its path is short enough for a unix socket inside it.
    """
    path = Path(tempfile.mkdtemp(prefix=f"txs-{name}-", dir="/tmp"))
    path.chmod(0o755)
    lifeline.tie(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lifeline.untie(path)


def wait_until(
    done: Callable[[], object], what: str, seconds: float = 20.0, *, blame: Callable[[], str] = str
) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it is not, in this time; with what `blame` says.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s\n{blame()}")
        time.sleep(_POLL)


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


class Running:
    """A program in a process group of its own, its output in a file.

    Args:
        command: the program and its arguments.
        directory: where it runs, and where its output goes.
        env: added to the environment.
        keep: descriptors of ours that it has, too.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        directory: Path,
        env: dict[str, str] | None = None,
        *,
        keep: Sequence[int] = (),
    ) -> None:
        self._output = directory / "output.txt"
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=directory,
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=keep,
            )
        self._name = Path(command[0]).name
        lifeline.tie(self._process.pid)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text("utf-8", "replace")

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait_for_ports(self, *ports: int) -> None:
        """Wait until it listens on all of these ports.

        Raises:
            RuntimeError: it has ended before.
        """
        for port in ports:
            wait_until(
                lambda port=port: self._check() and accepts(port),
                f"{self._name} on port {port}",
                blame=lambda: self.output,
            )

    def wait_for_output(self, text: str) -> None:
        """Wait until it has printed something.

        Raises:
            RuntimeError: it has ended before.
        """
        wait_until(
            lambda: self._check() and text in self.output,
            f"{self._name} to print {text!r}",
            blame=lambda: self.output,
        )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it and all that it started without a warning."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it and all that it started: asked first, then killed."""
        group = self._process.pid
        for each in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(group, each)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
                break
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        lifeline.untie(group)

    def _check(self) -> bool:
        if not self.alive:
            raise RuntimeError(f"{self._name} ended:\n{self.output}")
        return True


@contextmanager
def running(
    command: Sequence[str | Path],
    directory: Path,
    env: dict[str, str] | None = None,
    *,
    keep: Sequence[int] = (),
) -> Iterator[Running]:
    """Run a program for as long as the block lasts."""
    process = Running(command, directory, env, keep=keep)
    try:
        yield process
    finally:
        process.stop()
