"""A client connection to a scripted server, in memory: what the tests of the client begin with."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from twisted.internet.defer import Deferred

from txsmtpconn import Envelope, SMTPConnection, connect
from txsmtpconn.testing import MemoryNetwork, ScriptedPeer, failure_result_of, success_result_of
from txsmtpconn.testing.script import Step, expect, send
from txsmtpconn.testing.stream import CAPACITY

NAME = "client.test"
ENVELOPE = Envelope("a@example.org", ["b@example.net"])
TWO = Envelope("a@example.org", ["b@example.net", "c@example.net"])
BODY = b"Subject: test\r\n\r\nhello\r\n"
PIPELINING = ("PIPELINING",)


def greeted(*keywords: str, verb: str = "EHLO") -> tuple[Step, ...]:
    """The steps of a server up to the point where mail may be sent."""
    lines = ["mx.test", *keywords]
    reply = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
    return (send("220 mx.test ESMTP"), expect(f"{verb} {NAME}"), send(*reply))


def hello_again(*keywords: str) -> tuple[Step, ...]:
    """The steps of a server from the end of a TLS handshake."""
    return greeted(*keywords)[1:]


def delivery(*recipients: str, final: str = "250 2.0.0 queued") -> tuple[Step, ...]:
    """The steps of a server that pipelines one message of `BODY`."""
    recipients = recipients or ("b@example.net",)
    return (
        expect(
            "MAIL FROM:<a@example.org>",
            *[f"RCPT TO:<{recipient}>" for recipient in recipients],
            "DATA",
        ),
        send("250 ok", *["250 ok" for _ in recipients], "354 go"),
        expect(BODY + b".\r\n"),
        send(final),
    )


class _Interrupted(ScriptedPeer):
    """A server that does not mind if its script ends early."""

    def raise_failure(self) -> None:
        pass


class Dial:
    """A network, a scripted server and the connection to it."""

    def __init__(
        self,
        *steps: Step,
        latency: float = 0.0,
        capacity: int = CAPACITY,
        interrupted: bool = False,
        **options: Any,
    ) -> None:
        self.network = MemoryNetwork(latency=latency, capacity=capacity)
        self.clock = self.network.clock
        self.peer = (_Interrupted if interrupted else ScriptedPeer)(*steps)
        self.network.serve(self.peer)
        options.setdefault("name", NAME)
        self.connecting: Deferred[SMTPConnection] = connect(
            self.clock, endpoint=self.network.client_endpoint(), **options
        )

    @cached_property
    def ready(self) -> SMTPConnection:
        """The connection, which must be ready now."""
        self.network.settle()
        return success_result_of(self.connecting)

    @property
    def refusal(self) -> Any:
        """The error with which connecting must have failed by now."""
        self.network.settle()
        return failure_result_of(self.connecting)

    def result_of(self, deferred: Deferred[Any], within: float = 0.0) -> Any:
        """The result that must be there after some time."""
        return self.network.result_of(deferred, within)

    def failure_of(self, deferred: Deferred[Any], within: float = 0.0) -> Any:
        """The exception that must be there after some time."""
        self.network.settle()
        if within:
            self.network.advance(within)
        return failure_result_of(deferred)

    def is_over(self) -> bool:
        """Whether nothing is left: the connection is closed and the clock has nothing to do."""
        self.network.settle()
        return all(link.closed for link in self.network.links) and not self.clock.getDelayedCalls()
