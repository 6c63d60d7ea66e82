"""SMTP smuggling on sockets: each sequence in segments of its own (S1, F32)."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.task import deferLater

from tests.faults.test_server_sockets import closing_time, serving
from tests.server.hand import OPENING, Hand, Recording, codes
from tests.server.test_smuggling import BEFORE, check
from tests.vectors.mail_data import PRETENDERS, SMUGGLED

__all__ = ["closing_time"]


class Talker(Hand):
    """Sends each piece at once, and tells when the other side has closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.setTcpNoDelay(True)

    def connectionLost(self, reason: Any) -> None:
        self.closed.callback(None)


@pytest.mark.parametrize("policy", ["refuse", "normalise"])
@pytest.mark.parametrize("pretender", PRETENDERS, ids=ascii)
@pytest_twisted.ensureDeferred
async def test_a_message_is_one_message(pretender: bytes, policy: str) -> None:
    """Cut in two at each place in the sequence, and QUIT behind it."""
    from twisted.internet import reactor

    data = BEFORE + pretender + SMUGGLED
    async with serving(hooks := Recording(), bare_line_ends=policy) as port:
        for place in range(len(BEFORE), len(BEFORE) + len(pretender) + 1):
            hooks.asked.clear()
            hooks.sinks.clear()
            talker = await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), Talker())
            talker.transport.write(OPENING)
            for piece in (data[:place], data[place:] + b"QUIT\r\n"):
                # The server reads in between: a turn of the reactor is one for both.
                await deferLater(reactor, 0)
                await deferLater(reactor, 0)
                talker.transport.write(piece)
            await talker.closed
            *opening, said = codes(talker.heard.removesuffix(b"221 2.0.0 Bye\r\n"))
            assert opening == [220, 250, 250, 250, 354]
            check(hooks, b"%d x\r\n" % said, pretender, policy)
