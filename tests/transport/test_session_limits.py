"""RCPTDOMAINMAX against our own server: one connection, and the pool."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.hand import Recording
from txsmtpconn import Envelope, PoolOptions, SMTPTransport, connect
from txsmtpconn.errors import PoolError
from txsmtpconn.outcome import Delivery
from txsmtpconn.server import ServerOptions, SMTPServerFactory
from txsmtpconn.testing import MemoryNetwork

ACCEPTED, NOT_SENT = Delivery.ACCEPTED, Delivery.NOT_SENT


class Stage:
    """A server in memory that takes recipients of so many domains in one session."""

    def __init__(self, **options: Any) -> None:
        self.network = MemoryNetwork()
        self.hooks = Recording()
        self.factory = SMTPServerFactory(
            self.network.clock, self.hooks, ServerOptions(name="mx.test", **options)
        )
        self.network.listen(self.factory)

    def gives(self, awaitable: Any) -> Any:
        """Return what comes of something."""
        return self.network.result_of(awaitable, within=5)

    def recipients(self) -> list[str]:
        """Return the recipients of all messages that came."""
        envelopes = [asked[1] for asked in self.hooks.asked if asked[0] == "data"]
        return [address for envelope in envelopes for address in envelope.addresses]


def deliveries(result: Any) -> list[Delivery]:
    """Return what became of each recipient."""
    return [outcome.delivery for outcome in result.recipients]


@pytest.mark.parametrize("max_recipients", [1000, 1])
def test_one_connection_sends_to_whom_it_may(max_recipients: int) -> None:
    """The first domains; the others are not asked for, and are told why."""
    stage = Stage(max_recipient_domains=2, max_recipients=max_recipients)
    conn = stage.gives(connect(stage.network.clock, endpoint=stage.network.client_endpoint()))
    people = ["a@one.test", "b@two.test", "c@three.test", "d@One.test"]
    result = stage.gives(conn.send(Envelope("s@x.test", people), b"hello\r\n"))
    assert deliveries(result) == [ACCEPTED, ACCEPTED, NOT_SENT, ACCEPTED]
    assert isinstance(result.recipients[2].error, PoolError)
    assert stage.recipients() == [people[0], people[1], people[3]]
    with pytest.raises(PoolError, match="RCPTDOMAINMAX"):
        stage.gives(conn.send(Envelope("s@x.test", ["c@three.test"]), b"hello\r\n"))
    assert "c@three.test" not in [asked[-1] for asked in stage.hooks.asked]
    stage.gives(conn.quit())


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("in_flight", [1, 8])
def test_the_pool_finds_everybody_a_connection(limit: int, in_flight: int) -> None:
    """Messages to other domains one after the other and at once, and one to all of them."""
    stage = Stage(max_recipient_domains=limit)
    transport = SMTPTransport(
        stage.network.clock,
        endpoint=stage.network.client_endpoint(),
        pool=PoolOptions(max_connections=2, max_in_flight=in_flight),
    )
    domains = ["one.test", "two.test", "three.test", "four.test", "five.test"]
    sends = [
        transport.send(Envelope("s@x.test", [f"u@{domain}"]), b"hello\r\n")
        for domain in [*domains, *domains]
    ]
    everybody = [f"all@{domain}" for domain in domains]
    sends.append(transport.send(Envelope("s@x.test", everybody), b"hello\r\n"))
    results = [stage.gives(each) for each in sends]
    assert {delivery for each in results for delivery in deliveries(each)} == {ACCEPTED}
    assert results[-1].accepted == everybody
    expected = sorted([*(f"u@{domain}" for domain in [*domains, *domains]), *everybody])
    assert sorted(stage.recipients()) == expected
    stage.gives(transport.close())
