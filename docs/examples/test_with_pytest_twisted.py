"""Code for Twisted, tested with pytest and pytest-twisted: the server is in the same reactor."""

import pytest
import pytest_twisted
from twisted.internet import reactor

from txsmtpconn import Envelope, EnvelopeError, connect


async def welcome(url, address):
    """The code under test: it greets a new customer."""
    connection = await connect(reactor, url)
    try:
        await connection.send(
            Envelope("shop@example.org", [address]), b"Subject: Welcome\r\n\r\nGood to see you.\r\n"
        )
    finally:
        await connection.quit()


@pytest_twisted.ensureDeferred
async def test_a_customer_is_greeted(capture_server):
    await welcome(capture_server.url, "ann@example.net")
    (message,) = await capture_server.wait_for(1)
    assert message.subject == "Welcome"


@pytest_twisted.ensureDeferred
async def test_a_full_mailbox_is_reported(capture_server):
    capture_server.mailbox_full("ann@example.net")
    with pytest.raises(EnvelopeError, match="Mailbox full"):
        await welcome(capture_server.url, "ann@example.net")
