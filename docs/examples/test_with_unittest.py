"""An asyncio program, tested with nothing but the standard library."""

import asyncio
import unittest
from email.message import EmailMessage

import aiosmtplib

from txsmtpconn.testing import CaptureProcess


async def welcome(host, port, address):
    """The code under test: it greets a new customer."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.org", address, "Welcome"
    message.set_content("Good to see you.\n")
    await aiosmtplib.send(message, hostname=host, port=port)


class WelcomeTests(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.smtp = cls.enterClassContext(CaptureProcess())

    def setUp(self):
        self.smtp.clear()
        self.smtp.clear_rules()

    async def test_a_customer_is_greeted(self):
        await welcome(self.smtp.host, self.smtp.port, "ann@example.net")
        # It blocks, so a thread waits: the event loop has other things to do.
        (message,) = await asyncio.to_thread(self.smtp.wait_for, 1)
        self.assertEqual(message.subject, "Welcome")

    async def test_a_busy_server_is_reported(self):
        self.smtp.reject("MAIL", code=451, text="Try later")
        with self.assertRaisesRegex(aiosmtplib.SMTPSenderRefused, "Try later"):
            await welcome(self.smtp.host, self.smtp.port, "ann@example.net")
