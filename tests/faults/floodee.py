"""A server in a process of its own, to be flooded: ``python -m tests.faults.floodee OPTIONS``.

`OPTIONS` is JSON: those of `ServerOptions`, and

- ``files``: how many descriptors the process may have;
- ``delay``: seconds that the hook of each recipient takes.
"""

from __future__ import annotations

import contextlib
import json
import resource
import smtplib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 60.0
MESSAGE = b"Subject: among the floods\r\n\r\nHere I am.\r\n"


class Floodee:
    """The server, seen from the test.

    Attributes:
        port: Where it listens on loopback.
    """

    def __init__(self, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.floodee", json.dumps(options)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def memory(self, what: str = "VmRSS") -> int:
        """Return octets of memory: what is resident now, or with ``VmHWM`` what ever was."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(what)

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew at what is resident now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def serves(self) -> bool:
        """Send a message as any client would; tell whether it was taken."""
        with (
            contextlib.suppress(smtplib.SMTPException, OSError),
            smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client,
        ):
            return client.sendmail("a@x.test", ["b@y.test"], MESSAGE) == {}
        return False

    def serves_again(self) -> bool:
        """The same, however long it takes the server to see who has gone."""
        end = time.monotonic() + PATIENCE
        while not self.serves():
            if time.monotonic() > end:
                return False
        return True


def most_files() -> int:
    """Raise the limit of descriptors as far as it goes; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 100_000 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def serve(files: int | None = None, delay: float = 0.0, **options: Any) -> None:
    """Serve until killed; write the port to the standard output first."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import TCP4ServerEndpoint
    from twisted.internet.task import deferLater

    from txsmtpconn.server import ServerOptions, ServerTimeouts, SMTPServerFactory

    if files is None:
        most_files()
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    timeouts = ServerTimeouts(**options.pop("timeouts", {}))

    class Hooks:
        def on_rcpt_to(self, *_: object) -> Any:
            return deferLater(reactor, delay) if delay else None

    factory = SMTPServerFactory(
        reactor, Hooks(), ServerOptions(name="mx.test", timeouts=timeouts, **options)
    )
    endpoint = TCP4ServerEndpoint(reactor, 0, backlog=1024, interface="127.0.0.1")
    endpoint.listen(factory).addCallback(
        lambda port: print(port.getHost().port, flush=True)  # noqa: T201 - the parent reads it
    )
    reactor.run()


if __name__ == "__main__":
    serve(**json.loads(sys.argv[1]))
