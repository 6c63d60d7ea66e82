"""A capture server in a process of its own, for code that is not written for Twisted.

    with CaptureServer.running() as server:
        server.reject(rcpt="bob@b.test", code=550)
        send_mail(server.host, server.port)
        (message,) = server.wait_for(1)

Calls go through a pipe and block until they are answered; in asyncio,
``await asyncio.to_thread(server.wait_for, 1)``. The other process ends when this one closes the
pipe, however this one ends. This module imports no Twisted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from txsmtpconn.errors import ConfigError
from txsmtpconn.sink.rules import Rule
from txsmtpconn.testing.captured import CapturedMessage, CapturedSession, MissingMessages
from txsmtpconn.testing.pipe import Pipe
from txsmtpconn.testing.rules import Ruled

#: Seconds that the process has to end before it is killed.
_PATIENCE = 10.0

#: What the process begins with: it finds this package, and what it needs, where we have found
#: them; its own standard library comes first.
_BOOT = """
import sys
ours, *theirs = sys.argv[1:]
if ours not in sys.path:
    sys.path.insert(0, ours)
sys.path += [path for path in theirs if path not in sys.path]
from txsmtpconn.testing.child import main
main()
"""

_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (ConfigError, MissingMessages, TypeError, ValueError)
}


class CaptureProcess(Ruled):
    """A capture server in another process: `CaptureServer` without Deferreds.

    Its methods may be called from any thread, also while another thread waits in one of them.

    Args:
        **options: Those of `CaptureServer` but ``reactor`` and ``network``; plain values and paths.

    Attributes:
        host: Where it listens: an address, or the path of a unix socket.
        port: The TCP port; 0 where there is none.
        url: What `connect` and `SMTPTransport` take.
        ca_file: The authority that a client must trust; None without TLS.

    Raises:
        ConfigError: An option is wrong.
    """

    def __init__(self, **options: Any) -> None:
        self.host = ""
        self.port = 0
        self.url = ""
        self.ca_file: Path | None = None
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Pipe | None = None

    # -- life

    def start(self) -> CaptureProcess:
        """Start the process, and listen.

        Raises:
            ConfigError: An option is wrong, or it runs already.
        """
        if self._process is not None:
            raise ConfigError("the server runs already")
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # -P: what lies in the working directory is not to be imported.
            [sys.executable, "-P", "-c", _BOOT, str(Path(__file__).parents[2]), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._pipe = Pipe(self._process)
        try:
            place = self._call("start", **self._options)
        except BaseException:
            self.stop()
            raise
        self.host, self.port, self.url = place["host"], place["port"], place["url"]
        self.ca_file = None if place["ca_file"] is None else Path(place["ca_file"])
        return self

    def stop(self) -> None:
        """End the process, and wait until it has ended. Stopped already, do nothing."""
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        if process is None or pipe is None or not pipe.is_ours:
            return
        pipe.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        pipe.join()
        if self.ca_file is not None:
            # The process has done so itself, unless it was killed.
            shutil.rmtree(self.ca_file.parent, ignore_errors=True)

    def __enter__(self) -> CaptureProcess:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # -- what came

    @property
    def messages(self) -> list[CapturedMessage]:
        """Every message that was accepted, in order."""
        return [CapturedMessage.from_json(told) for told in self._call("messages")]

    @property
    def sessions(self) -> list[CapturedSession]:
        """Every session, in order, as it is now."""
        return [CapturedSession.from_json(told) for told in self._call("sessions")]

    @property
    def transcript(self) -> str:
        """What was said in every session, secrets and mail data left out."""
        return "\n".join(map(str, self.sessions))

    def wait_for(self, count: int = 1, timeout: float = 5.0) -> list[CapturedMessage]:
        """Wait until so many messages have come since the start, or since `clear`.

        Args:
            count: How many.
            timeout: Seconds.

        Raises:
            MissingMessages: They have not come; it tells what came and what was said.
        """
        __tracebackhide__ = True
        told = self._call("wait_for", count=count, timeout=timeout)
        return [CapturedMessage.from_json(each) for each in told]

    def clear(self) -> None:
        """Forget the messages, and the sessions that have ended."""
        self._call("clear")

    # -- rules

    def add_rule(self, rule: Rule) -> Rule:
        """Add a rule behind the others; return it with its number."""
        return Rule.from_json(self._call("add_rule", rule=rule.as_json()))

    def hits(self, rule: Rule) -> int:
        """Return how often a rule has struck."""
        return int(self._call("hits", rule=rule.as_json()))

    def clear_rules(self) -> None:
        """Let it behave from now on."""
        self._call("clear_rules")

    def _call(self, call: str, /, **arguments: Any) -> Any:
        __tracebackhide__ = True  # pytest shows the line of the test
        pipe = self._pipe
        if pipe is None:
            raise RuntimeError("the capture server is not running")
        answer = pipe.ask(call, arguments)
        if "error" in answer:
            raise _ERRORS.get(answer["kind"], RuntimeError)(answer["error"])
        return answer["result"]
