"""Code for Twisted, tested with trial."""

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from txsmtpconn import ConnectionLostError, Delivery, Envelope, connect
from txsmtpconn.testing import CaptureServer


async def welcome(url, address):
    """The code under test: it greets a new customer."""
    connection = await connect(reactor, url)
    try:
        await connection.send(
            Envelope("shop@example.org", [address]), b"Subject: Welcome\r\n\r\nGood to see you.\r\n"
        )
    finally:
        await connection.quit()


class WelcomeTests(TestCase):
    def setUp(self):
        self.server = CaptureServer(reactor)
        self.addCleanup(self.server.stop)
        return self.server.start()

    async def test_a_customer_is_greeted(self):
        await welcome(self.server.url, "ann@example.net")
        (message,) = await self.server.wait_for(1)
        self.assertEqual(message.subject, "Welcome")

    async def test_a_server_that_dies_leaves_us_in_doubt(self):
        self.server.drop("MESSAGE", taken=True)
        with self.assertRaises(ConnectionLostError) as caught:
            await welcome(self.server.url, "ann@example.net")
        self.assertIs(caught.exception.delivery, Delivery.IN_DOUBT)
        self.assertEqual(len(self.server.messages), 1)
