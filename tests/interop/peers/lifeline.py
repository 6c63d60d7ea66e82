"""Ends the peers if the test run dies without doing so itself.

A process of its own holds the other end of a pipe. It is told which process groups run, and when
the pipe breaks, because the test run was killed, it ends those that still do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress


class Lifeline:
    """The end of the pipe that the test run holds."""

    def __init__(self) -> None:
        self._watcher: subprocess.Popen[bytes] | None = None

    def tie(self, group: int) -> None:
        """Let a process group not outlive this process."""
        self._tell(f"+{group}\n")

    def untie(self, group: int) -> None:
        """Forget a process group that has ended."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._watcher is None:
            command = [sys.executable, "-S", "-E", __file__]
            self._watcher = subprocess.Popen(
                command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        assert self._watcher.stdin is not None
        with suppress(OSError):
            self._watcher.stdin.write(line.encode())


def watch() -> None:
    """Read which groups run until the pipe breaks; then end them."""
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line[1:])
        (groups.add if line[0] == "+" else groups.discard)(number)
    for each in (signal.SIGTERM, signal.SIGKILL):
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, each)
        if groups:
            time.sleep(2)


lifeline = Lifeline()

if __name__ == "__main__":
    watch()
