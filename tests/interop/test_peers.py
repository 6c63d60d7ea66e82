"""The peers themselves: each runs, and takes a message from smtplib, before we send it ours.

A failure here is the peer's or the machine's, not the library's.
"""

from __future__ import annotations

import smtplib
import ssl

import pytest

from tests.interop.peers.arrived import Arrived, split_trace
from tests.interop.peers.dovecot import PASSWORD, USER
from tests.interop.peers.process import wait_until

# With all fields that a server might add where they are missing.
MESSAGE = (
    b"From: a@a.test\r\nTo: u@a.test\r\nDate: Fri, 20 Nov 2026 19:00:00 +0000\r\n"
    b"Message-ID: <peer@a.test>\r\nSubject: peer\r\n\r\n.dot\r\n..dots\r\n\xff8 bit\r\n"
)


def send(client, *recipients, login=False, tls=None):
    """Send the message by smtplib."""
    with client:
        if tls is not None:
            client.starttls(context=tls)
        if login:
            client.login(USER, PASSWORD)
        client.sendmail("a@a.test", list(recipients), MESSAGE)


def one_arrived(peer):
    """Wait for the message, which must be as it was sent."""
    wait_until(lambda: _found(peer), "the message")
    message = _found(peer)[0]
    assert message.data == MESSAGE
    return message


def _found(peer):
    return [message for message in peer.messages() if b"<peer@a.test>" in message.data]


@pytest.fixture
def trusting(certificate_zoo):
    """A context that trusts the throw-away authority."""
    return ssl.create_default_context(cafile=str(certificate_zoo.ca))


def test_smtp_sink_dumps_what_it_takes(smtp_sink):
    """Envelope, parameters and octets are read back from a dump."""
    sink = smtp_sink()
    send(smtplib.SMTP("127.0.0.1", sink.port), "u@a.test", "v@a.test")
    message = one_arrived(sink)
    assert message.mail_from == "<a@a.test>"
    assert message.rcpt_to == ("<u@a.test>", "<v@a.test>")


def test_postfix_delivers_byte_for_byte(postfix, trusting):
    """STARTTLS and AUTH by way of Dovecot; delivered with trace fields in front."""
    client = smtplib.SMTP("localhost", postfix.submission)
    send(client, "u@a.test", login=True, tls=trusting)
    assert one_arrived(postfix).field("Delivered-To") == "u@a.test"


def test_dovecot_takes_lmtp_and_knows_its_mailboxes(dovecot):
    """TCP and the unix socket; an unknown mailbox is refused at RCPT."""
    with smtplib.LMTP("127.0.0.1", dovecot.lmtp) as client:
        client.sendmail("a@a.test", ["u@a.test"], MESSAGE)
    with smtplib.LMTP(str(dovecot.socket)) as client:
        refused = client.sendmail("a@a.test", ["v@a.test", "nobody@a.test"], MESSAGE)
    assert list(refused) == ["nobody@a.test"]
    one_arrived(dovecot)


def test_exim_delivers_byte_for_byte(exim, trusting):
    """TLS from the start, AUTH, CHUNKING offered."""
    client = smtplib.SMTP_SSL("localhost", exim.smtps, context=trusting)
    client.ehlo()
    assert client.has_extn("chunking")
    send(client, "u@a.test", login=True)
    one_arrived(exim)


def test_opensmtpd_takes_mail_in_clear_only(opensmtpd, trusting):
    """It offers STARTTLS, says 220 and fails the handshake."""
    send(smtplib.SMTP("localhost", opensmtpd.mx), "u@a.test")
    one_arrived(opensmtpd)
    with smtplib.SMTP("localhost", opensmtpd.mx) as client, pytest.raises(OSError):
        client.starttls(context=trusting)
    client.close()


@pytest.mark.parametrize("name", ["smtp_server", "aiosmtpd"])
def test_libraries_as_servers_keep_octets(name, request, trusting):
    """smtp-server and aiosmtpd, with STARTTLS and AUTH."""
    options = {} if name == "smtp_server" else {"tls": True}
    server = request.getfixturevalue(name)(**options)
    send(smtplib.SMTP("localhost", server.port), "u@a.test", login=True, tls=trusting)
    message = one_arrived(server)
    assert message.facts["secure"]
    assert message.rcpt_to == ("u@a.test",)


def test_trace_fields_are_told_from_the_message():
    """Folded fields of the server come off; the sender's own stay."""
    stored = b"Return-Path: <a@b>\nReceived: from x\n\tby y; z\nSubject: s\n\nReceived: no\n"
    trace, data = split_trace(stored)
    assert Arrived(data, trace=trace).field("received") == "from x by y; z"
    assert data == b"Subject: s\r\n\r\nReceived: no\r\n"
