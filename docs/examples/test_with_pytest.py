"""Synchronous code, tested with pytest."""

import smtplib
import ssl

import pytest


def welcome(host, port, address, *, ca_file=None, login=None):
    """The code under test: it greets a new customer."""
    with smtplib.SMTP(host, port) as client:
        if ca_file:
            client.starttls(context=ssl.create_default_context(cafile=ca_file))
        if login:
            client.login(*login)
        client.sendmail("shop@example.org", [address], "Subject: Welcome\n\nGood to see you.\n")


def test_a_customer_is_greeted(capture_process):
    welcome(capture_process.host, capture_process.port, "ann@example.net")
    (message,) = capture_process.wait_for(1)
    assert message.subject == "Welcome"
    assert message.rcpt_to == ("ann@example.net",)


def test_an_unknown_customer_is_reported(capture_process):
    capture_process.reject(rcpt="ann@example.net", code=550, text="No such user")
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="No such user"):
        welcome(capture_process.host, capture_process.port, "ann@example.net")
    assert capture_process.messages == []


@pytest.mark.parametrize("capture_options", [{"tls": "starttls", "users": {"shop": "secret"}}])
def test_the_shop_logs_in(capture_process):
    server, login = capture_process, ("shop", "secret")
    welcome(server.host, server.port, "ann@example.net", ca_file=server.ca_file, login=login)
    (message,) = server.wait_for(1)
    assert message.session.user == "shop"
    assert message.session.tls == "TLSv1.3"
