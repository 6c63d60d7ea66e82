"""A pool, real clients and real servers: what the faults of a network cost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.transport.office import BODY, ENVELOPE, Office
from txsmtpconn import (
    ConnectionLostError,
    DeadlineError,
    Delivery,
    Envelope,
    EnvelopeError,
    MessageError,
    PoolOptions,
    SMTPRejection,
    SMTPTransport,
)
from txsmtpconn.testing import MemoryNetwork, ScriptedPeer
from txsmtpconn.testing.script import Step, close, expect, reset, send


def greeted(*keywords: str) -> list[Step]:
    """The steps of a server up to the point where mail may be sent."""
    lines = ["mx.test", *keywords]
    reply = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
    return [send("220 mx.test"), expect("EHLO client.test"), send(*reply)]


def delivery() -> list[Step]:
    """The steps of a server that takes one message without PIPELINING."""
    return [
        expect("MAIL FROM:<s@x.test>"),
        send("250 ok"),
        expect("RCPT TO:<r@y.test>"),
        send("250 ok"),
        expect("DATA"),
        send("354 go"),
        expect(BODY + b".\r\n"),
        send("250 2.0.0 queued"),
    ]


def scripted(*scripts: list[Step], **options: Any) -> tuple[MemoryNetwork, SMTPTransport]:
    """Return a network with a server for each script, and a pool of one connection to them."""
    network = MemoryNetwork()
    network.serve(*(ScriptedPeer(*script) for script in scripts))
    transport = SMTPTransport(
        network.clock,
        endpoint=network.client_endpoint(),
        name="client.test",
        pool=PoolOptions(max_connections=1, **options),
    )
    return network, transport


def test_a_rejected_message_costs_no_connection() -> None:
    """Refused at RCPT or at its end: the next one goes over the same connection."""

    def refuse(session: object, address: str, parameters: object) -> None:
        if address.startswith("no"):
            raise SMTPRejection(550, "5.1.1", "No such user")

    office = Office(on_rcpt_to=refuse, max_size=1000)
    transport = office.transport(pool=PoolOptions(max_connections=1))
    office.result_of(transport.send(ENVELOPE, BODY))
    nobody = Envelope("s@x.test", ["nobody@y.test"])
    assert isinstance(office.failure_of(transport.send(nobody, BODY)), EnvelopeError)
    assert isinstance(office.failure_of(transport.send(ENVELOPE, b"x\n" * 600)), MessageError)
    office.result_of(transport.send(ENVELOPE, BODY))
    assert office.connections == 1
    assert len(office.taken) == 2
    office.result_of(transport.close())
    assert office.is_over()


def test_421_while_idle_costs_no_message() -> None:
    """A server takes leave of a connection that carries nothing, and no message notices."""
    network, transport = scripted(
        [*greeted(), *delivery(), send("421 4.4.2 bye"), close()],
        [*greeted(), *delivery(), expect("QUIT"), send("221 bye"), close()],
    )
    for _ in range(2):
        assert network.result_of(transport.send(ENVELOPE, BODY)).accepted == ["r@y.test"]
    network.result_of(transport.close())


def test_a_half_open_connection_costs_seconds_and_no_message() -> None:
    """A firewall has forgotten it: the probe is not answered, and another connection is made."""
    office = Office()
    transport = office.transport(
        pool=PoolOptions(max_connections=1, idle_timeout=1000, max_requeues=0)
    )
    office.result_of(transport.send(ENVELOPE, BODY))
    office.network.links[0].vanish()
    office.network.advance(60)
    sending = transport.send(ENVELOPE, BODY)
    assert office.result_of(sending, within=10).accepted == ["r@y.test"]
    assert len(office.taken) == 2
    office.result_of(transport.close(1), within=10)


@pytest.mark.parametrize("end", [close, reset])
def test_a_connection_that_dies_in_the_envelope_is_replaced(end: Any) -> None:
    """Nobody can have got the message, so it goes again."""
    network, transport = scripted(
        [*greeted(), expect("MAIL FROM:<s@x.test>"), end()],
        [*greeted(), *delivery(), expect("QUIT"), send("221 bye"), close()],
    )
    assert network.result_of(transport.send(ENVELOPE, BODY)).accepted == ["r@y.test"]
    network.result_of(transport.close())


@pytest.mark.parametrize("end", [close, reset])
def test_a_connection_that_dies_behind_the_final_dot_is_doubt(end: Any) -> None:
    """The server may have it: the pool does not send it again, and says so."""
    network, transport = scripted(
        [*greeted(), *delivery()[:-1], end()],
        [*greeted(), *delivery(), expect("QUIT"), send("221 bye"), close()],
    )
    lost: list[Any] = []
    transport.send(ENVELOPE, BODY).addErrback(lambda failure: lost.append(failure.value))
    network.settle()
    assert isinstance(lost[0], ConnectionLostError)
    assert lost[0].delivery is Delivery.IN_DOUBT
    assert len(network.links) == 1
    network.result_of(transport.send(ENVELOPE, BODY))
    network.result_of(transport.close())


def test_a_server_that_hangs_is_given_up_in_time() -> None:
    """The deadline of the command counts, then the next connection."""
    network, transport = scripted(
        [*greeted(), expect("MAIL FROM:<s@x.test>")],
        [*greeted(), *delivery(), expect("QUIT"), send("221 bye"), close()],
    )
    sending = transport.send(ENVELOPE, BODY)
    assert network.result_of(sending, within=300).accepted == ["r@y.test"]
    network.result_of(transport.close())


def test_a_server_that_always_hangs_up_is_not_hammered() -> None:
    """So many attempts, further and further apart; then the sender is told."""
    script = [*greeted(), expect("MAIL FROM:<s@x.test>"), close()]
    network, transport = scripted(*[list(script) for _ in range(9)], max_requeues=3)
    told: list[Any] = []
    transport.send(ENVELOPE, BODY).addErrback(lambda failure: told.append(failure.value))
    network.settle()
    assert len(network.links) == 2
    network.advance(60)
    assert len(network.links) == 4
    assert isinstance(told[0], ConnectionLostError)
    assert told[0].delivery is Delivery.NOT_SENT
    network.result_of(transport.close())


def test_a_restart_in_the_middle_of_a_burst_loses_and_doubles_nothing() -> None:
    """Each message is delivered once, or its sender is told that it is in doubt."""
    office = Office(latency=0.01)
    transport = office.transport(pool=PoolOptions(max_connections=3))
    outcomes: dict[int, Any] = {}

    def note(outcome: Any, at: int) -> None:
        assert at not in outcomes
        outcomes[at] = getattr(outcome, "value", outcome)

    for at in range(200):
        envelope = Envelope("s@x.test", [f"r{at}@y.test"])
        transport.send(envelope, b"%d\r\n" % at).addBoth(note, at)
    office.network.advance(0.31)
    office.port.stopListening()
    for link in office.network.links:
        link.reset()
    office.network.advance(0.5)
    office.port.startListening()
    office.network.advance(60)
    assert len(outcomes) == 200
    arrived = [envelope.recipients[0].address for envelope, _ in office.taken]
    assert len(arrived) == len(set(arrived))
    for at, outcome in outcomes.items():
        if isinstance(outcome, Exception):
            assert getattr(outcome, "delivery", None) is Delivery.IN_DOUBT
        else:
            assert f"r{at}@y.test" in arrived
    assert sum(isinstance(each, Exception) for each in outcomes.values()) <= 3 * 4
    office.result_of(transport.close(5), within=10)


def test_a_server_that_is_down_is_told_of_at_once_and_found_again() -> None:
    """ESOCKET, without waiting where it never worked; the next try after the pause succeeds."""
    office = Office()
    office.port.stopListening()
    transport = office.transport(pool=True)
    for _ in range(3):
        assert office.failure_of(transport.send(ENVELOPE, BODY)).code == "ESOCKET"
    office.port.startListening()
    office.network.advance(2)
    office.result_of(transport.send(ENVELOPE, BODY))
    office.result_of(transport.close())
    assert office.is_over()


def test_an_unreachable_server_holds_nobody_for_ever() -> None:
    """ETIMEDOUT when the attempt to connect has taken too long."""
    office = Office()
    office.network.make_unreachable()
    transport = office.transport(pool=True, connection_timeout=7)
    error = office.failure_of(transport.send(ENVELOPE, BODY), within=7)
    assert isinstance(error, DeadlineError)
    office.result_of(transport.close())
    assert office.is_over()


def test_rcptmax_is_spread_over_the_pool() -> None:
    """A server that takes two recipients at a time gets three transactions, side by side."""
    office = Office(latency=0.05, max_recipients=2)
    transport = office.transport(pool=PoolOptions(max_connections=3))
    warm = [transport.send(ENVELOPE, BODY) for _ in range(3)]
    for sending in warm:
        office.result_of(sending, within=5)
    addresses = [f"r{at}@y.test" for at in range(5)]
    result = office.result_of(transport.send(Envelope("s@x.test", addresses), BODY), within=5)
    assert result.accepted == addresses
    assert sorted(len(envelope.recipients) for envelope, _ in office.taken[3:]) == [1, 2, 2]
    office.result_of(transport.close(), within=5)
