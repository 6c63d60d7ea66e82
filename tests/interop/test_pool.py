"""The transport's pool against smtp-sink and Postfix: bursts, faults, a server that goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.defer import DeferredList

from tests.interop.mail import marker, message, trusting
from tests.interop.peers.arrived import wait_for
from txsmtpconn import (
    ConnectionLostError,
    Delivery,
    Envelope,
    EnvelopeError,
    PoolOptions,
    SMTPTransport,
)


@asynccontextmanager
async def pooled(port: int, options: dict[str, Any], **pool: Any) -> AsyncIterator[SMTPTransport]:
    """A transport with a pool to a port of localhost."""
    from twisted.internet import reactor

    transport = SMTPTransport(
        reactor,
        host="localhost",
        port=port,
        name="client.test",
        pool=PoolOptions(**pool),
        **options,
    )
    try:
        yield transport
    finally:
        await transport.close(5)


def envelope(number: int) -> Envelope:
    """Return an envelope of which there is no other."""
    return Envelope(f"a{number}@a.test", [f"u{number}@a.test"])


async def test_a_burst_arrives_whole_and_once(smtp_sink):
    """Two hundred messages, three connections: each under its own envelope, none twice."""
    sink = smtp_sink()
    async with pooled(sink.port, {}, max_connections=3, max_messages=1000) as transport:
        sending = [transport.send(envelope(n), message(f"number-{n}.")) for n in range(200)]
        results = [await each for each in sending]
        assert transport.pool.figures().opened <= 3
    assert [result.accepted for result in results] == [[f"u{n}@a.test"] for n in range(200)]
    arrived = {each.mail_from.split()[0]: each for each in sink.messages()}
    assert len(sink.messages()) == len(arrived) == 200
    for n in range(200):
        one = arrived[f"<a{n}@a.test>"]
        assert one.rcpt_to == (f"<u{n}@a.test>",)
        assert one.data == message(f"number-{n}.")


async def test_connections_are_replaced_under_way(smtp_sink):
    """Five messages for each connection, then another; nobody notices."""
    sink = smtp_sink()
    async with pooled(sink.port, {}, max_connections=2, max_messages=5) as transport:
        sending = [transport.send(envelope(n), message(f"number-{n}.")) for n in range(40)]
        for each in sending:
            await each
        assert transport.pool.figures().opened >= 8
        assert transport.pool.figures().requeued == 0
    assert len({each.mail_from for each in sink.messages()}) == len(sink.messages()) == 40


async def test_a_refusal_costs_no_connection(smtp_sink):
    """550 to each RCPT, five times over one connection."""
    sink = smtp_sink("-f", "rcpt")
    async with pooled(sink.port, {}, max_connections=1) as transport:
        outcomes = await DeferredList(
            [transport.send(envelope(n), message(marker())) for n in range(5)], consumeErrors=True
        )
        assert all(isinstance(failure.value, EnvelopeError) for _, failure in outcomes)
        assert transport.pool.figures().opened == 1


async def test_a_connection_lost_behind_the_dot_is_doubt_and_no_second_try(smtp_sink):
    """The server has all of it and hangs up: only the sender may decide to send it again."""
    sink = smtp_sink("-q", ".")
    async with pooled(sink.port, {"pipelining": "off"}, max_connections=1) as transport:
        [(_, failure)] = await DeferredList(
            [transport.send(envelope(1), message(marker()))], consumeErrors=True
        )
    assert isinstance(failure.value, ConnectionLostError)
    assert failure.value.delivery is Delivery.IN_DOUBT
    assert len(sink.messages()) <= 1


async def test_421_to_every_mail_is_not_answered_with_a_storm(smtp_sink):
    """One attempt: what a server says to the first message of a connection is told its sender."""
    sink = smtp_sink("-Q", "mail")
    async with pooled(sink.port, {}, max_connections=1, max_requeues=2) as transport:
        [(_, failure)] = await DeferredList(
            [transport.send(envelope(1), message(marker()))], consumeErrors=True
        )
        assert transport.pool.figures().opened == 1
    assert failure.value.delivery is Delivery.NOT_SENT
    assert failure.value.response_code == 421
    assert sink.messages() == []


async def test_postfix_takes_a_burst_over_tls(postfix, certificate_zoo):
    """Sixty messages over two connections under STARTTLS: all delivered, each as itself."""
    mark = marker()
    options = {"require_tls": True, "tls": trusting(certificate_zoo)}
    async with pooled(postfix.mx, options, max_connections=2) as transport:
        assert await transport.verify() is True
        sending = [
            transport.send(Envelope("a@a.test", ["u@a.test"]), message(f"{mark}-{n}."))
            for n in range(60)
        ]
        for each in sending:
            assert (await each).accepted == ["u@a.test"]
        assert transport.pool.figures().opened == 2
    arrived = await wait_for(postfix.messages, mark, 60)
    assert {each.data for each in arrived} == {message(f"{mark}-{n}.") for n in range(60)}
