"""Our client against an OpenSMTPD whose TLS says 220 and fails."""

from __future__ import annotations

import pytest

from tests.interop.mail import connected, marker, message, trusting
from tests.interop.peers.arrived import wait_for
from txsmtpconn import Delivery, Envelope, TLSError


async def test_mail_in_clear(opensmtpd):
    """A server without PIPELINING is not hurried, however many messages wait."""
    marks = [marker() for _ in range(5)]
    async with connected(opensmtpd.mx, ignore_tls=True) as connection:
        assert not connection.extensions.pipelining
        sending = [
            connection.send(Envelope("a@a.test", ["u@a.test"]), message(mark)) for mark in marks
        ]
        for each in sending:
            assert (await each).accepted == ["u@a.test"]
    for mark in marks:
        (arrived,) = await wait_for(opensmtpd.messages, mark)
        assert arrived.data == message(mark)


@pytest.mark.parametrize(
    "options", [{}, {"require_tls": True}, {"opportunistic_tls": True}], ids=str
)
async def test_a_handshake_that_fails_is_an_error(opensmtpd, certificate_zoo, options):
    """Nothing is sent in clear behind it: not even where TLS was only asked for."""
    with pytest.raises(TLSError) as caught:
        async with connected(opensmtpd.mx, tls=trusting(certificate_zoo), **options):
            pass
    assert caught.value.code == "ETLS"
    assert caught.value.delivery is Delivery.NOT_SENT
