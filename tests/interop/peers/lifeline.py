"""Ends the peers, and removes their directories, if the test run dies without doing so itself.

A process of its own holds the other end of a pipe. It is told what there is, and when the pipe
breaks, because the test run was killed, it clears away what still is there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


class Lifeline:
    """The end of the pipe that the test run holds."""

    def __init__(self) -> None:
        self._watcher: subprocess.Popen[bytes] | None = None

    def tie(self, thing: int | Path) -> None:
        """Let a process group, or a directory, not outlive this process."""
        self._tell(f"+{thing}\n")

    def untie(self, thing: int | Path) -> None:
        """Forget what is gone already."""
        self._tell(f"-{thing}\n")

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
    """Read what there is until the pipe breaks; then clear it away."""
    things: set[str] = set()
    for line in sys.stdin:
        (things.add if line[0] == "+" else things.discard)(line[1:].rstrip("\n"))
    groups = [int(thing) for thing in things if thing.isdigit()]
    for each in (signal.SIGTERM, signal.SIGKILL):
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, each)
        if groups:
            time.sleep(2)
    for directory in things:
        if directory.startswith("/tmp/"):
            shutil.rmtree(directory, ignore_errors=True)


lifeline = Lifeline()

if __name__ == "__main__":
    watch()
