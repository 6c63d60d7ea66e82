"""What the tests of the commands begin with: a sink, a proxy, and the command itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TWISTD = str(Path(sys.executable).parent / "twistd")


class RunningService:
    """A ``twistd`` service of the test's own, on a port that it chose.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, directory: Path, told: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [TWISTD, "--nodaemon", "--pidfile=", *arguments],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(told, line)
            if found:
                self.port = int(found[1])
                return
        raise AssertionError("the service did not start")

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.communicate(timeout=30)


class RunningSink(RunningService):
    """A ``twistd smtpsink``, with one user."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.kept = directory / "kept"
        users = directory / "users"
        users.write_text("alice:wonderland\n")
        super().__init__(
            directory,
            r"listening on 127\.0\.0\.1:(\d+)",
            *("smtpsink", "--listen=tcp:0:interface=127.0.0.1", f"--store={self.kept}"),
            *(f"--users={users}", "--allow-insecure-auth", *arguments),
        )

    def take(self) -> tuple[bytes, dict[str, object]]:
        """Return the one message there is, with its envelope, and forget it."""
        (message,) = self.kept.glob("*.eml")
        facts = message.with_suffix(".json")
        taken = message.read_bytes(), json.loads(facts.read_text())
        message.unlink()
        facts.unlink()
        return taken


def environment(**more: str) -> dict[str, str]:
    """The environment without secrets for the command, but for those given."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SMTPCONN_")}
    return kept | more


def command(*arguments: str) -> list[str]:
    """The command with these arguments."""
    return [sys.executable, "-m", "txsmtpconn.cli", *arguments]


def smtpconn(
    *arguments: str, given: bytes = b"", password: str | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    if password is not None:
        variables["SMTPCONN_PASSWORD"] = password
    return subprocess.run(
        command(*arguments),
        input=given,
        capture_output=True,
        timeout=60,
        env=environment(**variables),
        check=False,
    )
