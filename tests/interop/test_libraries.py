"""Our client against servers that are libraries: smtp-server of Nodemailer's makers, aiosmtpd."""

from __future__ import annotations

import pytest

from tests.interop.mail import connected, deliveries, marker, message, trusting
from tests.interop.peers.arrived import wait_for
from tests.interop.peers.dovecot import PASSWORD, USER
from txsmtpconn import (
    AuthenticationError,
    Credentials,
    Delivery,
    Envelope,
    EnvelopeError,
    MessageError,
    NoCredentialsError,
    SMTPError,
)

NOT_SENT, REJECTED, ACCEPTED = Delivery.NOT_SENT, Delivery.REJECTED, Delivery.ACCEPTED

#: How each server is told to speak TLS from the start, or to offer STARTTLS.
IMPLICIT = {"smtp_server": {"secure": True}, "aiosmtpd": {"implicit_tls": True}}
STARTTLS = {"smtp_server": {}, "aiosmtpd": {"tls": True}}
NAMES = ["smtp_server", "aiosmtpd"]

TWO = Envelope("a@a.test", ["u@a.test", "v@a.test"])


@pytest.fixture(params=NAMES)
def library(request):
    """Return each library's name and the function that starts it."""
    return request.param, request.getfixturevalue(request.param)


@pytest.mark.parametrize("road", ["clear", "starttls", "implicit"])
@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
async def test_what_is_sent_is_what_arrives(library, certificate_zoo, pipelining, road):
    """Three messages at once, byte for byte, each with its envelope."""
    name, start = library
    server = start(**(IMPLICIT if road == "implicit" else STARTTLS)[name])
    marks = [marker() for _ in range(3)]
    async with connected(
        server.port,
        secure=road == "implicit",
        ignore_tls=road == "clear",
        tls=trusting(certificate_zoo),
        pipelining=pipelining,
    ) as connection:
        assert connection.secure is (road != "clear")
        sending = [
            connection.send(Envelope(f"s{n}@a.test", ["u@a.test", "v@a.test"]), message(mark))
            for n, mark in enumerate(marks)
        ]
        for each in sending:
            result = await each
            assert result.accepted == ["u@a.test", "v@a.test"]
            assert result.response == "250 2.0.0 taken"
    for n, mark in enumerate(marks):
        (arrived,) = await wait_for(server.messages, mark)
        assert arrived.data == message(mark)
        assert arrived.mail_from == f"s{n}@a.test"
        assert arrived.rcpt_to == ("u@a.test", "v@a.test")
        assert arrived.facts["secure"] is (road != "clear")


async def test_some_recipients_are_refused(library, certificate_zoo):
    """550 and 450 for two of three; none left for the second message."""
    name, start = library
    server = start(**STARTTLS[name])
    mark = marker()
    people = ["reject@a.test", "u@a.test", "defer@a.test"]
    async with connected(server.port, tls=trusting(certificate_zoo)) as connection:
        result = await connection.send(Envelope("a@a.test", people), message(mark))
        assert deliveries(result) == [REJECTED, ACCEPTED, REJECTED]
        assert [each.response_code for each in result.rejected_errors] == [550, 450]
        with pytest.raises(EnvelopeError) as caught:
            await connection.send(Envelope("a@a.test", ["defer@a.test"]), message(mark))
        assert caught.value.is_transient
    (arrived,) = await wait_for(server.messages, mark)
    assert arrived.rcpt_to == ("u@a.test",)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_login(library, certificate_zoo, mechanism):
    """Right, and wrong: 535 tells which."""
    name, start = library
    server = start(**STARTTLS[name])
    mark = marker()
    async with connected(server.port, tls=trusting(certificate_zoo)) as connection:
        with pytest.raises(AuthenticationError) as caught:
            await connection.login(Credentials(USER, "wrong", mechanism=mechanism))
        assert caught.value.response_code == 535
        await connection.login(Credentials(USER, PASSWORD, mechanism=mechanism))
        await connection.send(TWO, message(mark))
    (arrived,) = await wait_for(server.messages, mark)
    assert arrived.facts["authenticated"]


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "XOAUTH2"])
async def test_login_at_smtp_server(smtp_server, certificate_zoo, mechanism):
    """Its further mechanisms, first with the wrong secret."""
    server = smtp_server(authMethods=["PLAIN", mechanism])
    secrets = {"CRAM-MD5": "password", "XOAUTH2": "access_token"}
    right = {"CRAM-MD5": PASSWORD, "XOAUTH2": "good-token"}[mechanism]
    async with connected(server.port, tls=trusting(certificate_zoo)) as connection:
        for secret in ("wrong", right):
            made = Credentials(USER, **{secrets[mechanism]: secret}, mechanism=mechanism)
            if secret == "wrong":
                with pytest.raises(AuthenticationError):
                    await connection.login(made)
            else:
                await connection.login(made)
        assert connection.authenticated


async def test_no_login_in_clear(smtp_server):
    """Credentials stay here where there is no TLS, unless the caller says otherwise."""
    server = smtp_server(hideSTARTTLS=True, allowInsecureAuth=True)
    credentials = Credentials(USER, PASSWORD)
    async with connected(server.port) as connection:
        with pytest.raises(SMTPError) as caught:
            await connection.login(credentials)
        assert isinstance(caught.value, (AuthenticationError, NoCredentialsError))
        assert PASSWORD not in str(caught.value)
        assert not connection.authenticated
    async with connected(server.port, allow_insecure_auth=True) as connection:
        await connection.login(credentials)
        assert connection.authenticated


async def test_a_limit_on_size(smtp_server, certificate_zoo):
    """Known to be too big: not begun. What fits is taken on the same connection."""
    server = smtp_server(size=2000)
    async with connected(server.port, tls=trusting(certificate_zoo)) as connection:
        assert connection.max_size == 2000
        with pytest.raises(MessageError) as caught:
            await connection.send(TWO, b"x" * 3000)
        assert deliveries(caught.value) == [NOT_SENT, NOT_SENT]
        assert (await connection.send(TWO, message("m"))).accepted == ["u@a.test", "v@a.test"]


@pytest.mark.parametrize("utf8", [True, False])
async def test_addresses_beyond_ascii(library, certificate_zoo, utf8):
    """Where SMTPUTF8 is offered they go; else the envelope is refused before MAIL."""
    name, start = library
    hidden = {"smtp_server": {"hideSMTPUTF8": True}, "aiosmtpd": {"enable_SMTPUTF8": False}}
    offered = {"smtp_server": {}, "aiosmtpd": {"enable_SMTPUTF8": True}}
    server = start(**STARTTLS[name], **(offered if utf8 else hidden)[name])
    envelope = Envelope("jürgen@a.test", ["ünï@a.test"])
    mark = marker()
    async with connected(server.port, tls=trusting(certificate_zoo)) as connection:
        if not utf8:
            with pytest.raises(EnvelopeError) as caught:
                await connection.send(envelope, message(mark))
            assert deliveries(caught.value) == [NOT_SENT]
            return
        await connection.send(envelope, message(mark))
    (arrived,) = await wait_for(server.messages, mark)
    assert (arrived.mail_from, arrived.rcpt_to) == ("jürgen@a.test", ("ünï@a.test",))


async def test_a_domain_beyond_ascii_needs_no_smtputf8(aiosmtpd, certificate_zoo):
    """A U-label goes as its A-label where the local part is ASCII."""
    server = aiosmtpd(tls=True, enable_SMTPUTF8=False)
    mark = marker()
    async with connected(server.port, tls=trusting(certificate_zoo)) as connection:
        await connection.send(Envelope("a@bücher.test", ["u@bücher.test"]), message(mark))
    (arrived,) = await wait_for(server.messages, mark)
    assert arrived.rcpt_to == ("u@xn--bcher-kva.test",)


async def test_lmtp_of_smtp_server(smtp_server, certificate_zoo):
    """A reply for each of the accepted recipients."""
    server = smtp_server(lmtp=True)
    people = ["u@a.test", "reject@a.test", "v@a.test"]
    async with connected(server.port, lmtp=True, tls=trusting(certificate_zoo)) as connection:
        result = await connection.send(Envelope("a@a.test", people), message("m"))
    assert deliveries(result) == [ACCEPTED, REJECTED, ACCEPTED]
