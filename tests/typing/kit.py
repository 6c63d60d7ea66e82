"""The test kit as a type checker sees it in somebody's tests. Never run."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from typing import Any, assert_type

from twisted.internet.defer import Deferred

from txsmtpconn import ConnectionOptions, Envelope
from txsmtpconn.testing import (
    CapturedMessage,
    CapturedSession,
    CaptureProcess,
    CaptureServer,
    MemoryNetwork,
    Rule,
)


async def in_the_reactor(reactor: Any) -> None:
    """Deferreds that can be awaited, and chained."""
    async with CaptureServer(reactor, tls="starttls", users={"u": "p"}, max_size=1000) as server:
        assert_type(server, CaptureServer)
        assert_type(server.url, str)
        assert_type(server.ca_file, Path | None)
        assert_type(await server.wait_for(2, timeout=1), list[CapturedMessage])
        assert_type(server.stop(), Deferred[None])
    network = MemoryNetwork()
    in_memory = CaptureServer(network=network, address="mx.test:25", lmtp=True)
    assert_type(in_memory.client_options(name="me.test"), ConnectionOptions)
    assert_type(network.result_of(in_memory.start(), within=1), CaptureServer)
    assert_type(network.report(), str)


def in_a_process() -> None:
    """Plain values."""
    with CaptureServer.running(path="/tmp/x") as running:
        assert_type(running, CaptureProcess)
    with CaptureProcess() as server:
        (message,) = server.wait_for()
        assert_type(message.envelope, Envelope)
        assert_type(message.raw, bytes)
        assert_type(message.subject, str)
        email: EmailMessage = message.email
        email.get_body()
        assert_type(message.session, CapturedSession)
        assert_type(message.session.tls, str | None)
        rule = server.reject("MAIL", mail_from="a@a.test", code=451, times=1)
        assert_type(rule, Rule)
        assert_type(server.hits(rule), int)
        server.delay("DATA", seconds=0.5)
        server.drop(rcpt="*@b.test", reset=True)
        server.mailbox_full("b@b.test", permanent=True, verb="MESSAGE")
