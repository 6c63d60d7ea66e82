"""A Django application, tested with Django's own test runner."""

import os
from smtplib import SMTPRecipientsRefused
from unittest import mock

from django.core.mail import EmailMultiAlternatives
from django.test import SimpleTestCase, override_settings

from txsmtpconn.testing import CaptureProcess


def welcome(address):
    """The code under test: it greets a new customer."""
    message = EmailMultiAlternatives(
        "Welcome", "Good to see you.", "Shop <shop@example.org>", [address], bcc=["log@example.org"]
    )
    message.attach_alternative("<p>Good to see <b>you</b>.</p>", "text/html")
    message.attach("terms.txt", "No terms.", "text/plain")
    message.send()


class WelcomeTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.smtp = cls.enterClassContext(CaptureProcess())
        # The test runner has put a backend in place that sends nothing.
        cls.enterClassContext(
            override_settings(
                EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
                EMAIL_HOST=cls.smtp.host,
                EMAIL_PORT=cls.smtp.port,
            )
        )

    def setUp(self):
        self.smtp.clear()
        self.smtp.clear_rules()

    def test_a_customer_is_greeted(self):
        welcome("ann@example.net")
        (message,) = self.smtp.wait_for(1)
        self.assertEqual(message.subject, "Welcome")
        self.assertEqual(message.mail_from, "shop@example.org")
        self.assertEqual(message.text.strip(), "Good to see you.")
        self.assertIn("<b>you</b>", message.html)
        (terms,) = message.email.iter_attachments()
        self.assertEqual(terms.get_filename(), "terms.txt")

    def test_nobody_sees_who_else_is_told(self):
        welcome("ann@example.net")
        (message,) = self.smtp.wait_for(1)
        self.assertEqual(message.rcpt_to, ("ann@example.net", "log@example.org"))
        self.assertNotIn(b"log@example.org", message.raw)

    def test_an_unknown_customer_is_reported(self):
        self.smtp.reject(rcpt="*@example.net", code=550, text="No such user")
        self.smtp.reject(rcpt="log@example.org", code=550)
        with self.assertRaises(SMTPRecipientsRefused):
            welcome("ann@example.net")


class LoginTests(SimpleTestCase):
    def test_the_settings_for_tls_and_login_are_good(self):
        with CaptureProcess(tls="starttls", users={"shop": "secret"}, auth_required=True) as smtp:
            # Django lets nobody choose the authorities to trust: OpenSSL's variable does.
            trust = mock.patch.dict(os.environ, SSL_CERT_FILE=str(smtp.ca_file))
            backend = "django.core.mail.backends.smtp.EmailBackend"
            settings = override_settings(
                EMAIL_BACKEND=backend,
                EMAIL_HOST="localhost",
                EMAIL_PORT=smtp.port,
                EMAIL_USE_TLS=True,
                EMAIL_HOST_USER="shop",
                EMAIL_HOST_PASSWORD="secret",
            )
            with trust, settings:
                welcome("ann@example.net")
            (message,) = smtp.wait_for(1)
        self.assertEqual(message.session.user, "shop")
        self.assertEqual(message.session.protocol, "ESMTPSA")
