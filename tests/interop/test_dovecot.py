"""Our client against Dovecot: LMTP on TCP and on a unix socket, submission with SASL."""

from __future__ import annotations

import pytest

from tests.interop.mail import connected, deliveries, marker, message, trusting
from tests.interop.peers.arrived import wait_for
from tests.interop.peers.dovecot import PASSWORD, USER, UTF8_PASSWORD, UTF8_USER, access_token
from txsmtpconn import AuthenticationError, Credentials, Delivery, Envelope, connect

REJECTED, ACCEPTED = Delivery.REJECTED, Delivery.ACCEPTED

THREE = Envelope("a@a.test", ["u@a.test", "nobody@a.test", "v@a.test"])


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("chunking", ["always", "off"])
@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
async def test_lmtp_delivers_byte_for_byte(dovecot, certificate_zoo, pipelining, chunking, tls):
    """Two mailboxes take it and one does not exist; a reply each."""
    mark = marker()
    security = {"require_tls": True, "tls": trusting(certificate_zoo)}
    async with connected(
        dovecot.lmtp,
        lmtp=True,
        pipelining=pipelining,
        chunking=chunking,
        **(security if tls else {"ignore_tls": True}),
    ) as connection:
        assert connection.secure is tls
        result = await connection.send(THREE, message(mark))
    assert result.accepted == ["u@a.test", "v@a.test"]
    assert result.rejected == ["nobody@a.test"]
    assert deliveries(result) == [ACCEPTED, REJECTED, ACCEPTED]
    assert result.recipients[1].reply.code == 550
    assert "<u@a.test>" in result.recipients[0].reply.text
    assert "<v@a.test>" in result.recipients[2].reply.text
    arrived = await wait_for(dovecot.messages, mark, 2)
    assert [each.data for each in arrived] == [message(mark)] * 2
    assert {each.facts for each in arrived} == {"u@a.test", "v@a.test"}


async def test_lmtp_on_a_unix_socket(dovecot):
    """The same by a path; many messages at once, in order."""
    from twisted.internet import reactor

    marks = [marker() for _ in range(10)]
    connection = await connect(
        reactor, path=str(dovecot.socket), lmtp=True, ignore_tls=True, name="client.test"
    )
    sending = [connection.send(THREE, message(mark)) for mark in marks]
    for each in sending:
        assert (await each).accepted == ["u@a.test", "v@a.test"]
    await connection.quit()
    for mark in marks:
        arrived = await wait_for(dovecot.messages, mark, 2)
        assert {each.data for each in arrived} == {message(mark)}


async def test_lmtp_url(dovecot):
    """`lmtp+unix:` says the same in one line."""
    from twisted.internet import reactor

    connection = await connect(reactor, f"lmtp+unix://{dovecot.socket}?ignore_tls=true")
    result = await connection.send(THREE, message("m"))
    assert result.accepted == ["u@a.test", "v@a.test"]
    await connection.quit()


async def test_lmtp_to_nobody(dovecot):
    """All recipients refused at RCPT: no data, and the connection lives."""
    async with connected(dovecot.lmtp, lmtp=True, ignore_tls=True) as connection:
        nobody = Envelope("a@a.test", ["nobody@a.test", "none@a.test"])
        outcome = await _refused(connection, nobody)
        assert deliveries(outcome) == [REJECTED, REJECTED]
        assert (await connection.send(THREE, message("m"))).accepted == ["u@a.test", "v@a.test"]


async def _refused(connection, envelope):
    from txsmtpconn import EnvelopeError

    with pytest.raises(EnvelopeError) as caught:
        await connection.send(envelope, message("m"))
    return caught.value


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"])
async def test_submission(dovecot, smtp_sink, certificate_zoo, mechanism, implicit):
    """Login by each mechanism; what is submitted reaches the relay behind."""
    mark = marker()
    relay = smtp_sink(port=dovecot.relay)
    if mechanism == "XOAUTH2":
        credentials = Credentials(USER, access_token=access_token())
    else:
        credentials = Credentials(USER, PASSWORD, mechanism=mechanism)
    async with connected(
        dovecot.submissions if implicit else dovecot.submission,
        secure=implicit,
        tls=trusting(certificate_zoo),
        auth=credentials,
    ) as connection:
        assert connection.secure
        await connection.login()
        result = await connection.send(
            Envelope("a@a.test", ["u@a.test", "x@elsewhere.test"]), message(mark)
        )
    assert result.accepted == ["u@a.test", "x@elsewhere.test"]
    (arrived,) = await wait_for(relay.messages, mark)
    assert arrived.data == message(mark)
    assert [path.split()[0] for path in arrived.rcpt_to] == ["<u@a.test>", "<x@elsewhere.test>"]


async def test_submission_with_a_name_beyond_ascii(dovecot, smtp_sink, certificate_zoo):
    """User and password are UTF-8."""
    smtp_sink(port=dovecot.relay)
    async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
        await connection.login(Credentials(UTF8_USER, UTF8_PASSWORD))
        assert connection.authenticated


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"])
async def test_a_failed_login_can_be_followed_by_another(
    dovecot, smtp_sink, certificate_zoo, mechanism
):
    """535, whatever the mechanism's last steps were; then the right credentials."""
    smtp_sink(port=dovecot.relay)
    if mechanism == "XOAUTH2":
        wrong = Credentials(USER, access_token=access_token(valid=-60))
    else:
        wrong = Credentials(USER, "not the password", mechanism=mechanism)
    async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
        with pytest.raises(AuthenticationError) as caught:
            await connection.login(wrong)
        assert caught.value.response_code == 535
        await connection.login(Credentials(USER, PASSWORD))
        assert connection.authenticated
