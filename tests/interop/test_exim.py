"""Our client against Exim: CHUNKING, a server that insists on the order of commands, TLS, AUTH."""

from __future__ import annotations

import pytest

from tests.interop.mail import connected, deliveries, marker, message, trusting
from tests.interop.peers.arrived import wait_for
from tests.interop.peers.dovecot import PASSWORD, USER
from txsmtpconn import AuthenticationError, Credentials, Delivery, Envelope, EnvelopeError

REJECTED, ACCEPTED = Delivery.REJECTED, Delivery.ACCEPTED

ONE = Envelope("a@a.test", ["u@a.test"])


@pytest.mark.parametrize("road", ["clear", "starttls", "implicit"])
@pytest.mark.parametrize("chunking", ["always", "auto", "off"])
@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
async def test_what_is_sent_is_what_is_delivered(exim, certificate_zoo, pipelining, chunking, road):
    """Several messages behind each other, by DATA and by BDAT: byte for byte."""
    marks = [marker() for _ in range(4)]
    async with connected(
        exim.smtps if road == "implicit" else exim.mx,
        secure=road == "implicit",
        ignore_tls=road == "clear",
        tls=trusting(certificate_zoo),
        pipelining=pipelining,
        chunking=chunking,
    ) as connection:
        assert connection.secure is (road != "clear")
        assert connection.extensions.chunking
        sending = [connection.send(ONE, message(mark)) for mark in marks]
        for each in sending:
            result = await each
            assert result.accepted == ["u@a.test"]
            assert result.reply.code == 250
    for mark in marks:
        (arrived,) = await wait_for(exim.messages, mark)
        assert arrived.data == message(mark)


@pytest.mark.parametrize("chunking", ["always", "off"])
async def test_a_stream_in_chunks(exim, certificate_zoo, chunking):
    """A megabyte of pieces, cut anywhere."""
    mark = marker()
    sent = message(mark, b"".join(b".line %06d\r\n" % n for n in range(80_000)))
    pieces = (sent[n : n + 7777] for n in range(0, len(sent), 7777))
    async with connected(exim.mx, tls=trusting(certificate_zoo), chunking=chunking) as connection:
        await connection.send(ONE, pieces)
    (arrived,) = await wait_for(exim.messages, mark)
    assert arrived.data == sent


@pytest.mark.parametrize("chunking", ["always", "off"])
@pytest.mark.parametrize("pipelining", ["full", "off"])
async def test_refusals_do_not_disturb_what_follows(exim, certificate_zoo, pipelining, chunking):
    """All refused, some refused, none refused, without waiting: each has its own fate."""
    marks = [marker() for _ in range(3)]
    envelopes = [
        Envelope("a@a.test", ["reject@a.test", "defer@a.test"]),
        Envelope("b@a.test", ["reject@a.test", "u@a.test"]),
        Envelope("c@a.test", ["u@a.test"]),
    ]
    async with connected(
        exim.mx, tls=trusting(certificate_zoo), pipelining=pipelining, chunking=chunking
    ) as connection:
        sending = [
            connection.send(envelope, message(mark))
            for envelope, mark in zip(envelopes, marks, strict=True)
        ]
        with pytest.raises(EnvelopeError) as caught:
            await sending[0]
        assert deliveries(caught.value) == [REJECTED, REJECTED]
        assert [each.reply.code for each in caught.value.recipients] == [550, 451]
        second = await sending[1]
        assert second.accepted == ["u@a.test"]
        assert deliveries(second) == [REJECTED, ACCEPTED]
        assert (await sending[2]).accepted == ["u@a.test"]
    for mark, sender in zip(marks[1:], ("b", "c"), strict=True):
        (arrived,) = await wait_for(exim.messages, mark)
        assert arrived.field("Return-path") == f"<{sender}@a.test>"
        assert arrived.data == message(mark)
    assert not [each for each in exim.messages() if marks[0].encode() in each.data]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", None])
async def test_login(exim, certificate_zoo, mechanism):
    """Each mechanism, behind STARTTLS; before it, AUTH is not offered."""
    async with connected(exim.mx, ignore_tls=True) as connection:
        assert not connection.allows_auth
    async with connected(exim.mx, tls=trusting(certificate_zoo)) as connection:
        await connection.login(Credentials(USER, PASSWORD, mechanism=mechanism))
        assert connection.authenticated


async def test_a_wrong_password(exim, certificate_zoo):
    """535, and the session goes on."""
    async with connected(exim.mx, tls=trusting(certificate_zoo)) as connection:
        with pytest.raises(AuthenticationError) as caught:
            await connection.login(Credentials(USER, "not the password"))
        assert caught.value.response_code == 535
        assert (await connection.send(ONE, message("m"))).accepted == ["u@a.test"]


async def test_addresses_beyond_ascii(exim, certificate_zoo):
    """SMTPUTF8 by BDAT."""
    mark = marker()
    async with connected(exim.mx, tls=trusting(certificate_zoo), chunking="always") as connection:
        result = await connection.send(Envelope("jürgen@a.test", ["ünï@a.test"]), message(mark))
    assert result.accepted == ["ünï@a.test"]
    await wait_for(exim.messages, mark)
