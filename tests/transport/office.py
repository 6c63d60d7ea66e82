"""A real server on a network in memory, and transports to it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txsmtpconn import Envelope, SMTPTransport, simple_server
from txsmtpconn.server import IncomingMessage
from txsmtpconn.testing import MemoryNetwork, failure_result_of

ENVELOPE = Envelope("s@x.test", ["r@y.test"])
BODY = b"Subject: test\r\n\r\nhello\r\n"


class Office:
    """A server that takes every message, unless told otherwise; it keeps what it took.

    Attributes:
        taken: Envelope and content of each message, in the order of their ends.
        users: Whoever logged in, in order.
    """

    def __init__(self, *, latency: float = 0.0, **server: Any) -> None:
        self.network = MemoryNetwork(latency=latency)
        self.clock = self.network.clock
        self.taken: list[tuple[Envelope, bytes]] = []
        self.users: list[str] = []
        server.setdefault("name", "mx.test")
        if server.pop("auth", False):
            server |= {"on_auth": self._let_in, "allow_insecure_auth": True, "auth_delay": 0}
        self.server = simple_server(self.clock, self._take, **server)
        self.port = self.network.listen(self.server)

    async def _take(self, message: IncomingMessage) -> None:
        content = await message.read()
        self.taken.append((message.envelope, content))

    def _let_in(self, session: object, credentials: Any) -> bool:
        self.users.append(credentials.authcid)
        return bool(credentials.password == "secret")

    def transport(self, url: str | None = None, **options: Any) -> SMTPTransport:
        """Return a transport to the server."""
        options.setdefault("name", "client.test")
        options.setdefault("endpoint", self.network.client_endpoint())
        return SMTPTransport(self.clock, url, **options)

    @property
    def connections(self) -> int:
        """How many were made."""
        return len(self.network.links)

    @property
    def bodies(self) -> list[bytes]:
        """The last line of each message taken."""
        return [content.splitlines()[-1] for _, content in self.taken]

    def result_of(self, deferred: Deferred[Any], within: float = 0.0) -> Any:
        """Return the result that must be there after some time."""
        return self.network.result_of(deferred, within)

    def failure_of(self, deferred: Deferred[Any], within: float = 0.0) -> Any:
        """Return the exception that must be there after some time."""
        self.network.settle()
        self.network.advance(within)
        return failure_result_of(deferred)

    def is_over(self) -> bool:
        """Whether all connections are closed and the clock has nothing to do."""
        self.network.settle()
        return all(link.closed for link in self.network.links) and not self.clock.getDelayedCalls()
