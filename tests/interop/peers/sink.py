"""Our own sink as the program that users run, with its page."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.interop.peers.process import Running, running, scratch_directory, wait_until


class Sink:
    """A sink that runs.

    Attributes:
        port: Where it takes mail.
        web_port: Where its page is.
        url: The page.
        directory: Where it makes its temporary files.
    """

    def __init__(self, program: Running, directory: Path) -> None:
        self._program = program
        self.directory = directory
        self.port = self._told(r"ListeningService\S* listening on 127\.0\.0\.1:(\d+)")
        self.web_port = self._told(r"the page is at http://127\.0\.0\.1:(\d+)/")
        self.url = f"http://127.0.0.1:{self.web_port}/"

    def _told(self, pattern: str) -> int:
        found: list[str] = []

        def look() -> bool:
            found[:] = re.findall(pattern, self._program.output)
            return bool(found)

        wait_until(look, pattern, blame=lambda: self._program.output)
        return int(found[0])

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._program.alive

    @property
    def log(self) -> str:
        """What it has said."""
        return self._program.output

    def stop(self) -> None:
        """End it, as an operator does."""
        self._program.stop()

    def ask(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Ask its JSON API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)

    def messages(self) -> list[dict[str, Any]]:
        """List the messages, newest first."""
        found: list[dict[str, Any]] = self.ask("api/messages?limit=100")["messages"]
        return found


@contextmanager
def running_sink(*arguments: str) -> Iterator[Sink]:
    """Run ``twistd smtpsink --web`` with these further arguments, on ports that are free."""
    command = [
        *(sys.executable, "-m", "twisted", "--log-format=text", "smtpsink"),
        *("--listen=tcp:0:interface=127.0.0.1", "--web", "--web-listen=tcp:0:interface=127.0.0.1"),
        *arguments,
    ]
    with scratch_directory("sink") as directory:
        env = {"TMPDIR": str(directory)}
        with running(command, directory, env) as program:
            yield Sink(program, directory)
