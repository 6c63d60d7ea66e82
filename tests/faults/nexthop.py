"""A next hop with a journal, and a relay in a process of its own that can be killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 20.0
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


class NextHop:
    """Takes mail and keeps a journal of what it said 250 to, by recipient.

    Attributes:
        journal: (subject, recipient), once for each acceptance.
        bodies: What came, by subject.
        silent: Accept mail data, journal it, and never answer.
        pause: Seconds before each answer to mail data.
    """

    def __init__(self, port: int = 0) -> None:
        self.journal: Counter[tuple[str, str]] = Counter()
        self.bodies: dict[str, bytes] = {}
        self.silent = False
        self.pause = 0.0
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in self._connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def wait_for(self, condition: Callable[[Counter[tuple[str, str]]], bool]) -> None:
        """Wait until the journal is as it should be."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.journal), PATIENCE), self.journal

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client.makefile("rwb") as stream:
            self._talk(stream)

    def _talk(self, stream: Any) -> None:
        recipients: list[str] = []

        def say(*lines: bytes) -> None:
            stream.write(b"".join(line + b"\r\n" for line in lines))
            stream.flush()

        say(b"220 hop.test")
        while line := stream.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                say(b"250-hop.test", b"250-PIPELINING", b"250 8BITMIME")
            elif verb == b"RCPT":
                recipients.append(line.split(b"<")[1].split(b">")[0].decode())
                say(b"250 2.1.5 Ok")
            elif verb == b"DATA":
                say(b"354 Go on")
                self._take(stream, recipients)
                recipients = []
                if self.silent:
                    stream.readline()
                    return
                time.sleep(self.pause)
                say(b"250 2.0.0 Ok")
            elif verb == b"QUIT":
                say(b"221 2.0.0 Bye")
                return
            else:
                recipients = [] if verb == b"RSET" else recipients
                say(b"250 2.0.0 Ok")

    def _take(self, stream: Any, recipients: list[str]) -> None:
        lines = []
        while (line := stream.readline()) != b".\r\n":
            if not line:
                raise ConnectionResetError
            lines.append(line[1:] if line.startswith(b".") else line)
        body = b"".join(lines)
        found = re.search(rb"^Subject: (.*)\r$", body, re.MULTILINE)
        subject = found[1].decode() if found else ""
        with self._changed:
            self.bodies[subject] = body
            for recipient in recipients:
                self.journal[subject, recipient] += 1
            self._changed.notify_all()


class RelayProcess:
    """A ``twistd smtprelay`` on a spool, as a process or `under` a program that watches it.

    Attributes:
        port: Where it listens.
        log: What it has written so far.
    """

    def __init__(
        self,
        spool: Path,
        upstream: int,
        *arguments: str,
        failpoint: str | None = None,
        under: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = ""
        self.port = 0
        self._ended = False
        self._changed = threading.Condition()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        if failpoint is not None:
            environment["TXSMTPCONN_FAILPOINT"] = failpoint
        self.process = subprocess.Popen(
            [
                *under,
                str(Path(sys.executable).parent / "twistd"),
                *("--nodaemon", "--pidfile=", "smtprelay", "--name=relay.test"),
                f"--spool={spool}",
                f"--upstream=smtp://127.0.0.1:{upstream}",
                *("--listen=tcp:0:interface=127.0.0.1", "--retry=1s,2s", *arguments),
            ],
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for(lambda log: _LISTENING.search(log) is not None)
        except AssertionError:
            self.process.kill()
            self.stop()
            raise
        found = _LISTENING.search(self.log)
        assert found
        self.port = int(found[1])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.log += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[str], bool]) -> None:
        """Wait until the log is as it should be, or the relay has ended."""
        with self._changed:
            self._changed.wait_for(lambda: condition(self.log) or self._ended, PATIENCE)
            assert condition(self.log), self.log

    def wait_for_death(self) -> None:
        """Wait until the failpoint has killed it."""
        assert self.process.wait(PATIENCE) == -signal.SIGKILL, self.log
        self._reader.join(PATIENCE)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.wait_for_death()

    def stop(self) -> bool:
        """Send SIGTERM and wait; tell whether it stopped in order."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return "the relay has stopped" in self.log


def rows(spool: Path, query: str) -> list[tuple[Any, ...]]:
    """Look into a spool that no relay holds."""
    connection = sqlite3.connect(spool / "spool.sqlite3")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
