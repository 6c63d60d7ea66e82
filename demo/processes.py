"""The two programs of the demonstration, as the operator of a real pair would start them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_LISTENING = re.compile(r"listening on (?:127\.0\.0\.1|localhost):(\d+)")


class Program:
    """A ``twistd --nodaemon`` with its log.

    Args:
        arguments: What follows ``twistd --nodaemon``.
        log: Where its output goes.
        environment: Variables besides those of this process.

    Attributes:
        port: Where it listens.

    Raises:
        RuntimeError: It ended, or said nothing of a port within half a minute.
    """

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: dict[str, str] | None = None
    ) -> None:
        twistd = Path(sys.executable).parent / "twistd"
        self._log = log
        self._listening = threading.Event()
        self.port = 0
        self._process = subprocess.Popen(
            [str(twistd), "--nodaemon", "--pidfile=", *arguments],
            cwd=log.parent,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(30) or not self.port:
            self.stop()
            raise RuntimeError(f"it did not start; its log says:\n{self.tail()}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._log.open("w") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                found = _LISTENING.search(line)
                if found and not self.port:
                    self.port = int(found[1])
                    self._listening.set()
        self._listening.set()

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        return "\n".join(self._log.read_text().splitlines()[-lines:])

    def stop(self) -> int:
        """Ask it to stop in order, and return its exit code."""
        self._process.terminate()
        try:
            code = self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(10)
        return code
