"""The connection and our own server, in memory: what arrives, and what is said of it."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from txsmtpconn import (
    DSN,
    Credentials,
    Delivery,
    Envelope,
    Recipient,
    SendResult,
    SMTPError,
    TLSOptions,
    connect,
    simple_server,
)
from txsmtpconn.testing import CertificateZoo, MemoryNetwork
from txsmtpconn.testing.stream import Fault

ENVELOPE = Envelope("a@example.org", ["b@example.net"])


@pytest.mark.parametrize("lmtp", [False, True], ids=["SMTP", "LMTP"])
@pytest.mark.parametrize("chunking", ["auto", "always", "off"])
@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
def test_mail_arrives_as_it_was_sent(
    certificate_zoo: CertificateZoo, pipelining: str, chunking: str, lmtp: bool
) -> None:
    """Under TLS, after a login, in every mode: envelope and octets."""
    network = MemoryNetwork(segment=1000)
    arrived: list[tuple[Envelope, bytes]] = []

    async def receive(message: Any) -> None:
        arrived.append((message.envelope, await message.read()))

    files = certificate_zoo["server"]
    network.listen(
        simple_server(
            network.clock,
            receive,
            name="mx.test",
            lmtp=lmtp,
            tls_cert_file=files.chain,
            tls_key_file=files.key,
            tls_required=True,
            auth_required=True,
            on_auth=lambda _, credentials: credentials.authcid,
        )
    )
    connecting = connect(
        network.clock,
        endpoint=network.client_endpoint(),
        host="localhost",
        name="client.test",
        tls=TLSOptions(ca_file=certificate_zoo.ca),
        lmtp=lmtp,
        chunking=chunking,
        pipelining=pipelining,
        auth=Credentials("user", "password"),
    )
    connection = network.result_of(connecting)
    assert connection.secure
    network.result_of(connection.login())
    bodies = [b"hi\r\n", b".\r\n..x\r\n", "grüße\r\n".encode(), b"z" * 70_000 + b"\r\n"]
    dsn = Recipient("c@example.net", DSN(notify="NEVER"))
    envelope = Envelope("a@example.org", ["b@example.net", dsn], dsn=DSN(ret="HDRS", envid="x+1"))
    sent: list[Any] = [connection.send(envelope, body) for body in bodies]
    sent.append(connection.send(envelope, iter([b"one\n", b"two\r", b"\n.\n"])))
    international = EmailMessage()
    international["From"] = "jörg@example.org"
    international.set_content("hello")
    sent.append(connection.send(Envelope("jörg@example.org", ["b@example.net"]), international))
    for each in sent:
        result = network.result_of(each)
        assert len(result.accepted) == len(result.recipients)
    network.result_of(connection.quit(), 5)
    assert [octets for _, octets in arrived[:5]] == [*bodies, b"one\r\ntwo\r\n.\r\n"]
    assert arrived[0][0].recipients == envelope.recipients
    assert arrived[0][0].dsn == DSN(ret="HDRS", envid="x+1")
    assert arrived[5][0].mail_from == "jörg@example.org"
    assert "jörg@example.org".encode() in arrived[5][1]


MOMENTS = st.floats(0, 2, allow_nan=False).map(lambda seconds: round(seconds, 2))
OPERATION = st.tuples(
    st.sampled_from(["bytes", "stream", "big", "noop", "reset", "broken"]),
    MOMENTS,
    st.none() | MOMENTS,
)


@given(
    operations=st.lists(OPERATION, min_size=1, max_size=7),
    cut=st.none() | st.tuples(st.booleans(), st.integers(0, 2000), st.sampled_from(list(Fault))),
    closing=st.none() | MOMENTS,
    chunking=st.sampled_from(["auto", "always", "off"]),
    pipelining=st.sampled_from(["full", "transaction", "off"]),
    lmtp=st.booleans(),
    segment=st.sampled_from([None, 1, 13, 500]),
)
def test_whatever_happens_every_call_ends_once_and_tells_the_truth(
    operations: list[tuple[str, float, float | None]],
    cut: tuple[bool, int, Fault] | None,
    closing: float | None,
    chunking: str,
    pipelining: str,
    lmtp: bool,
    segment: int | None,
) -> None:
    """Faults, cancellations and a close at any moment: ACCEPTED arrived, NOT_SENT did not."""
    network = MemoryNetwork(latency=0.05, segment=segment)
    arrived: list[bytes] = []

    async def receive(message: Any) -> None:
        arrived.append(await message.read())

    network.listen(simple_server(network.clock, receive, name="mx.test", lmtp=lmtp))
    connecting = connect(
        network.clock,
        endpoint=network.client_endpoint(),
        name="client.test",
        lmtp=lmtp,
        chunking=chunking,
        pipelining=pipelining,
    )
    network.advance(0.1)
    [link] = network.links
    if cut is not None:
        to_server, octets, fault = cut
        (link.to_server if to_server else link.to_client).cut_after(octets, fault)
    connection: Any = link.client.protocol
    ends: list[list[Any]] = [[]]
    connecting.addBoth(ends[0].append)
    bodies: list[bytes | None] = [None]

    def begin(kind: str, number: int, cancelled: float | None) -> None:
        body = None if kind in ("noop", "reset") else b"message %d\r\n" % number
        if body is None:
            call: Deferred[Any] = getattr(connection, kind)()
        else:
            body *= 8000 if kind == "big" else 1
            call = connection.send(ENVELOPE, message_of(kind, body))
        end: list[Any] = []
        ends.append(end)
        bodies.append(body)
        call.addBoth(end.append)
        if cancelled is not None:
            network.clock.callLater(cancelled, call.cancel)

    for number, (kind, moment, cancelled) in enumerate(operations):
        network.clock.callLater(moment, begin, kind, number, cancelled)
    if closing is not None:
        network.clock.callLater(closing, connection.close)
    network.advance(2.5)
    quitting = connection.quit()
    ends.append([])
    bodies.append(None)
    quitting.addBoth(ends[-1].append)
    network.advance(4000)
    assert not [call for call in network.clock.getDelayedCalls() if call.active()]
    assert [len(end) for end in ends] == [1] * len(ends)
    assert ends[-1] == [None]
    for body, [end] in zip(bodies, ends, strict=True):
        if body is not None:
            check(body, getattr(end, "value", end), arrived)


def message_of(kind: str, body: bytes) -> Any:
    """The body in memory, as a stream, or as a stream that breaks at its end."""

    def chunks() -> Any:
        yield body[:3]
        yield body[3:]
        if kind == "broken":
            raise OSError("gone")

    return body if kind == "bytes" else chunks()


def check(body: bytes, end: Any, arrived: list[bytes]) -> None:
    """What was said of a message is what became of it."""
    assert isinstance(end, (SendResult, SMTPError))
    [outcome] = end.recipients
    times = arrived.count(body)
    assert times <= 1
    assert not any(whole != body and body in whole[: len(body)] for whole in arrived)
    if outcome.delivery is Delivery.ACCEPTED:
        assert times == 1
    elif outcome.delivery is not Delivery.IN_DOUBT:
        assert times == 0
