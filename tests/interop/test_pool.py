"""The transport's pool against smtp-sink and Postfix: bursts, faults, a server that goes away."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.internet.task import deferLater
from twisted.protocols import portforward

from tests.interop.mail import marker, message, trusting
from tests.interop.peers.arrived import wait_for
from txsmtpconn import (
    ConnectionLostError,
    DeadlineError,
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


async def test_421_to_an_idle_connection_costs_no_message(postfix):
    """Postfix takes leave of a silent client; the next message has a connection of its own."""
    mark = marker()
    options = {"ignore_tls": True}
    async with pooled(postfix.impatient, options, probe_after=None) as transport:
        await transport.send(Envelope("a@a.test", ["u@a.test"]), message(f"{mark}-1."))
        await reaches(lambda: transport.pool.figures().died == 1)
        result = await transport.send(Envelope("a@a.test", ["u@a.test"]), message(f"{mark}-2."))
        assert result.accepted == ["u@a.test"]
        assert transport.pool.figures().requeued == 0
    assert len(await wait_for(postfix.messages, mark, 2)) == 2


async def test_a_server_that_hangs_behind_the_dot_leaves_doubt_and_others_their_turn(smtp_sink):
    """No answer in time: in doubt, not tried again; what waited goes over another connection."""
    sink = smtp_sink("-W", ".:30")
    # smtp-sink would answer what comes behind the dot before the dot itself.
    options = {"final_timeout": 0.3, "pipelining": "transaction"}
    async with pooled(sink.port, options, max_connections=1) as transport:
        outcomes = await DeferredList(
            [transport.send(envelope(n), message(f"number-{n}.")) for n in range(3)],
            consumeErrors=True,
        )
        assert transport.pool.figures().opened == 3
    assert [failure.value.delivery for _, failure in outcomes] == [Delivery.IN_DOUBT] * 3
    assert all(isinstance(failure.value, DeadlineError) for _, failure in outcomes)
    whole = [each.data for each in sink.messages() if each.data.startswith(b"From:")]
    assert len(whole) == len(set(whole))


async def test_a_reset_behind_the_dot_is_doubt(smtp_sink):
    """RST where the reply should be, though the server has taken the message."""
    sink = smtp_sink()
    with resetting_behind_the_dot(sink.port) as port:
        async with pooled(port, {}, max_connections=1) as transport:
            [(_, failure)] = await DeferredList(
                [transport.send(envelope(1), message("number-1."))], consumeErrors=True
            )
            assert failure.value.delivery is Delivery.IN_DOUBT
            assert transport.pool.figures().requeued == 0
    await wait_for(sink.messages, "number-1.", 1)


async def test_a_server_that_is_killed_in_a_burst_and_comes_back(smtp_sink):
    """Three hundred messages, and the server dies under a third of them.

    Each has its answer; what was accepted is there once, what is in doubt at most once, and nothing
    else is missing: at most one message for each connection was beyond recall.
    """
    sink = smtp_sink()
    connections = 3
    async with pooled(sink.port, {}, max_connections=connections) as transport:
        sending = [transport.send(envelope(n), message(f"number-{n}.")) for n in range(300)]
        await sending[100]
        sink.kill()
        again = smtp_sink(port=sink.port)
        outcomes = await DeferredList(sending, consumeErrors=True)
    doubted = {
        n for n, (success, result) in enumerate(outcomes) if not success and result.value.delivery
    }
    assert {outcomes[n][1].value.delivery for n in doubted} <= {Delivery.IN_DOUBT}
    assert len(doubted) <= connections
    arrived = Counter(each.data for one in (sink, again) for each in one.messages())
    for n, (success, _) in enumerate(outcomes):
        times = arrived[message(f"number-{n}.")]
        assert times == 1 if success else n in doubted and times <= 1


@contextmanager
def resetting_behind_the_dot(port: int) -> Iterator[int]:
    """A port that leads to another one until a message has gone through; both then hear a reset."""
    from twisted.internet import reactor

    class Server(portforward.ProxyServer):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if data.endswith(b"\r\n.\r\n"):
                # The message is on its way to the server; the reply is on nobody's.
                self.transport.abortConnection()

    factory = portforward.ProxyFactory("127.0.0.1", port)
    factory.protocol = Server
    factory.noisy = False
    listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        yield listening.getHost().port
    finally:
        listening.stopListening()


async def reaches(condition: Callable[[], bool]) -> None:
    """Wait until something is so, while the reactor runs."""
    from twisted.internet import reactor

    end = reactor.seconds() + 20
    while not condition():
        assert reactor.seconds() < end
        await deferLater(reactor, 0.01)
