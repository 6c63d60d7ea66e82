"""Our client against Postfix: MX, submission with STARTTLS and AUTH, TLS from the start."""

from __future__ import annotations

import re

import pytest

from tests.interop.mail import connected, deliveries, marker, message, trusting
from tests.interop.peers.arrived import wait_for
from tests.interop.peers.dovecot import PASSWORD, USER, UTF8_PASSWORD, UTF8_USER, access_token
from tests.interop.peers.postfix import RECIPIENTS, SIZE
from tests.vectors.mail_data import PRETENDERS, SMUGGLED
from txsmtpconn import (
    AuthenticationError,
    ConnectionLostError,
    Credentials,
    Delivery,
    Envelope,
    EnvelopeError,
    MessageError,
    TLSError,
)
from txsmtpconn.wire.transparency import canonical

NOT_SENT, REJECTED, ACCEPTED = Delivery.NOT_SENT, Delivery.REJECTED, Delivery.ACCEPTED

TWO = Envelope("a@a.test", ["u@a.test", "v@a.test"])


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("chunking", ["always", "off"])
@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
async def test_what_is_sent_is_what_is_delivered(
    postfix, certificate_zoo, pipelining, chunking, tls
):
    """Byte for byte, to both mailboxes, in clear and by STARTTLS."""
    mark = marker()
    options = {"require_tls": True, "tls": trusting(certificate_zoo)}
    async with connected(
        postfix.mx,
        pipelining=pipelining,
        chunking=chunking,
        **(options if tls else {"ignore_tls": True}),
    ) as connection:
        assert connection.secure is tls
        assert connection.max_size == SIZE
        result = await connection.send(TWO, message(mark))
    assert result.accepted == ["u@a.test", "v@a.test"]
    assert "queued as" in result.response
    assert result.reply.enhanced == (2, 0, 0)
    assert deliveries(result) == [ACCEPTED, ACCEPTED]
    arrived = await wait_for(postfix.messages, mark, 2)
    assert [each.data for each in arrived] == [message(mark)] * 2
    assert {each.field("Delivered-To") for each in arrived} == {"u@a.test", "v@a.test"}
    assert all(each.field("Return-Path") == "<a@a.test>" for each in arrived)


@pytest.mark.parametrize("chunking", ["always", "off"])
async def test_messages_in_flight_keep_their_envelopes(postfix, certificate_zoo, chunking):
    """Twenty at once on one connection, half of them refused: the others arrive, each as itself."""
    marks = [marker() for _ in range(20)]
    people = ["u@a.test" if n % 2 else "reject@a.test" for n in range(20)]
    async with connected(
        postfix.mx, chunking=chunking, tls=trusting(certificate_zoo)
    ) as connection:
        sending = [
            connection.send(Envelope(f"s{n}@a.test", [people[n]]), message(marks[n]))
            for n in range(20)
        ]
        for n, each in enumerate(sending):
            if n % 2:
                assert (await each).accepted == ["u@a.test"]
            else:
                with pytest.raises(EnvelopeError) as caught:
                    await each
                assert caught.value.response_code == 550
                assert deliveries(caught.value) == [REJECTED]
    for n in range(1, 20, 2):
        (arrived,) = await wait_for(postfix.messages, marks[n])
        assert arrived.field("Return-Path") == f"<s{n}@a.test>"
        assert arrived.data == message(marks[n])


@pytest.mark.parametrize("chunking", ["always", "off"])
async def test_nobody_smuggles_a_message_through_our_client(postfix, certificate_zoo, chunking):
    """A18: Postfix as it is here ends a message at more than CRLF.CRLF; we send it nothing else."""
    mark = marker()
    hidden = SMUGGLED.replace(b"y.test", b"a.test")
    contents = [message(mark, b"body" + pretender + hidden) for pretender in PRETENDERS]
    async with connected(
        postfix.mx, chunking=chunking, tls=trusting(certificate_zoo)
    ) as connection:
        to_one = Envelope("a@a.test", ["u@a.test"])
        for sent in [connection.send(to_one, content) for content in contents]:
            await sent
    arrived = await wait_for(postfix.messages, mark, len(contents))
    assert sorted(each.data for each in arrived) == sorted(map(canonical, contents))
    assert not [each for each in postfix.messages() if "victim" in each.field("Delivered-To")]


@pytest.mark.parametrize("chunking", ["always", "off"])
@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
async def test_more_recipients_than_it_takes_at_once(
    postfix, certificate_zoo, pipelining, chunking
):
    """452 4.5.3: the others are asked for in further transactions, and it is one result."""
    mark = marker()
    people = [f"r{n}@a.test" for n in range(2 * RECIPIENTS + 2)]
    people[1] = "reject@a.test"
    async with connected(
        postfix.narrow, pipelining=pipelining, chunking=chunking, tls=trusting(certificate_zoo)
    ) as connection:
        result = await connection.send(Envelope("a@a.test", people), message(mark))
        behind = marker()
        await connection.send(TWO, message(behind))
    assert result.rejected == ["reject@a.test"]
    assert [each.address for each in result.recipients] == people
    assert result.accepted == [each for each in people if each != "reject@a.test"]
    arrived = await wait_for(postfix.messages, mark, len(people) - 1)
    assert [each.data for each in arrived] == [message(mark)] * len(arrived)
    assert sorted(each.field("Delivered-To") for each in arrived) == sorted(result.accepted)
    # It took more than one transaction, which Postfix numbers.
    queued = {re.search(r"id (\w+)", each.field("Received"))[1] for each in arrived}
    assert len(queued) >= len(arrived) / RECIPIENTS
    await wait_for(postfix.messages, behind, 2)


async def test_a_stream_goes_to_no_more_than_it_takes_at_once(postfix, certificate_zoo):
    """What cannot be read again is sent once: who was one too many is refused, for now."""
    mark = marker()
    people = [f"r{n}@a.test" for n in range(RECIPIENTS + 2)]
    async with connected(postfix.narrow, tls=trusting(certificate_zoo)) as connection:
        result = await connection.send(Envelope("a@a.test", people), iter([message(mark)]))
    assert result.accepted == people[:RECIPIENTS]
    assert result.rejected == people[RECIPIENTS:]
    assert {error.response_code for error in result.rejected_errors} == {452}
    assert all(error.is_transient for error in result.rejected_errors)
    await wait_for(postfix.messages, mark, RECIPIENTS)


@pytest.mark.parametrize("chunking", ["always", "off"])
@pytest.mark.parametrize("pipelining", ["full", "off"])
async def test_some_recipients_are_refused(postfix, certificate_zoo, pipelining, chunking):
    """One is taken, one does not exist, one may be tried later, one is elsewhere; in RCPT order."""
    mark = marker()
    people = ["reject@a.test", "u@a.test", "defer@a.test", "x@elsewhere.test"]
    async with connected(
        postfix.mx, pipelining=pipelining, chunking=chunking, tls=trusting(certificate_zoo)
    ) as connection:
        result = await connection.send(Envelope("a@a.test", people), message(mark))
    assert result.accepted == ["u@a.test"]
    assert result.rejected == ["reject@a.test", "defer@a.test", "x@elsewhere.test"]
    assert [error.response_code for error in result.rejected_errors] == [550, 450, 454]
    assert [error.is_permanent for error in result.rejected_errors] == [True, False, False]
    assert [error.recipient for error in result.rejected_errors] == result.rejected
    assert str(result.rejected_errors[0].enhanced_code) == "5.1.1"
    assert deliveries(result) == [REJECTED, ACCEPTED, REJECTED, REJECTED]
    (arrived,) = await wait_for(postfix.messages, mark)
    assert arrived.data == message(mark)


async def test_421_to_a_recipient_ends_the_session(postfix, certificate_zoo):
    """Nothing was sent, not even to the one accepted before, and the next message is not either."""
    async with connected(postfix.mx, tls=trusting(certificate_zoo), pipelining="off") as connection:
        first = connection.send(Envelope("a@a.test", ["u@a.test", "drop@a.test"]), message("m"))
        second = connection.send(TWO, message("m"))
        for sending in (first, second):
            with pytest.raises(ConnectionLostError) as caught:
                await sending
            assert deliveries(caught.value) == [NOT_SENT, NOT_SENT]
            assert caught.value.response_code == 421
        connection.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", None])
@pytest.mark.parametrize("user", [(USER, PASSWORD), (UTF8_USER, UTF8_PASSWORD)])
async def test_login_and_relay(postfix, certificate_zoo, mechanism, user):
    """Behind AUTH, the server takes mail for everyone; each mechanism, also with UTF-8 names."""
    async with connected(
        postfix.submission, require_tls=True, tls=trusting(certificate_zoo)
    ) as connection:
        assert connection.allows_auth
        await connection.login(Credentials(*user, mechanism=mechanism))
        assert connection.authenticated
        result = await connection.send(Envelope("a@a.test", ["x@elsewhere.test"]), message("m"))
    assert result.accepted == ["x@elsewhere.test"]


async def test_login_with_a_token(postfix, certificate_zoo):
    """XOAUTH2: a good token lets in, an expired one is refused, and does not show."""
    async with connected(
        postfix.submissions, secure=True, tls=trusting(certificate_zoo)
    ) as connection:
        expired = access_token(valid=-60)
        with pytest.raises(AuthenticationError) as caught:
            await connection.login(Credentials(USER, access_token=expired))
        assert expired not in str(caught.value) + repr(caught.value)
        await connection.login(Credentials(USER, access_token=access_token()))
        assert connection.authenticated


async def test_a_wrong_password_is_refused_once(postfix, certificate_zoo, dovecot):
    """535 is the answer, and no second mechanism is tried with the same password."""
    secret = marker()
    async with connected(
        postfix.submission, require_tls=True, tls=trusting(certificate_zoo)
    ) as connection:
        before = dovecot.log.read_text().count("assword mismatch")
        with pytest.raises(AuthenticationError) as caught:
            await connection.login(Credentials(USER, secret))
        assert caught.value.response_code == 535
        assert caught.value.is_permanent
        assert secret not in str(caught.value) + repr(caught.value)
        assert dovecot.log.read_text().count("assword mismatch") - before == 1
        assert not connection.authenticated


async def test_tls_from_the_start(postfix, certificate_zoo):
    """Secure before the greeting; login and delivery."""
    mark = marker()
    credentials = Credentials(USER, PASSWORD)
    async with connected(
        postfix.submissions, secure=True, tls=trusting(certificate_zoo), auth=credentials
    ) as connection:
        assert connection.secure
        await connection.login()
        await connection.send(TWO, message(mark))
    assert len(await wait_for(postfix.messages, mark, 2)) == 2


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("trouble", ["name", "authority"])
async def test_another_servers_certificate_is_refused(postfix, certificate_zoo, implicit, trouble):
    """A name that is not in it, or an authority that we do not know: ETLS, and no session."""
    options = {"tls": trusting(certificate_zoo)}
    if trouble == "name":
        options["servername"] = "other.test"
    else:
        del options["tls"]
    port = postfix.submissions if implicit else postfix.mx
    with pytest.raises(TLSError) as caught:
        async with connected(port, secure=implicit, **options):
            pass
    assert caught.value.code == "ETLS"


async def test_mail_without_the_tls_that_is_required(postfix):
    """530 to MAIL is a refusal like any other."""
    async with connected(postfix.submission, ignore_tls=True) as connection:
        assert not connection.allows_auth
        with pytest.raises(EnvelopeError) as caught:
            await connection.send(TWO, message("m"))
        assert caught.value.response_code == 530
        assert deliveries(caught.value) == [REJECTED, REJECTED]


async def test_a_message_known_to_be_too_big_is_not_begun(postfix, certificate_zoo):
    """The size that the server told is held against the message; the connection lives."""
    async with connected(postfix.mx, tls=trusting(certificate_zoo)) as connection:
        with pytest.raises(MessageError) as caught:
            await connection.send(TWO, b"x" * (SIZE + 1))
        assert deliveries(caught.value) == [NOT_SENT, NOT_SENT]
        assert (await connection.send(TWO, message("m"))).accepted == ["u@a.test", "v@a.test"]


@pytest.mark.parametrize("chunking", ["always", "off"])
async def test_a_stream_that_grows_too_big_is_broken_off(postfix, certificate_zoo, chunking):
    """Its size was not known beforehand: it stops at the server's limit, and nobody gets it."""
    mark = marker()
    line = b"0123456789" * 7 + b"\r\n"
    size = SIZE // len(line * 500) + 2
    chunks = iter([message(mark), *(line * 500 for _ in range(size))])
    with pytest.raises(MessageError, match="limit of 5242880 octets") as caught:
        async with connected(
            postfix.mx, tls=trusting(certificate_zoo), chunking=chunking
        ) as connection:
            await connection.send(TWO, chunks)
    assert deliveries(caught.value) == [NOT_SENT, NOT_SENT]
    async with connected(postfix.mx, tls=trusting(certificate_zoo)) as connection:
        await connection.send(Envelope("a@a.test", ["u@a.test"]), message(mark + "-behind"))
    (arrived,) = await wait_for(postfix.messages, mark)
    assert arrived.data == message(mark + "-behind")


@pytest.mark.parametrize("chunking", ["always", "off"])
async def test_a_big_message_arrives_whole(postfix, certificate_zoo, chunking):
    """Four mebibytes through TLS, streamed, byte for byte."""
    mark = marker()
    body = b"".join(b".%07d........................................\r\n" % n for n in range(80_000))
    sent = message(mark, body)
    chunks = (sent[n : n + 50_001] for n in range(0, len(sent), 50_001))
    async with connected(
        postfix.mx, tls=trusting(certificate_zoo), chunking=chunking
    ) as connection:
        await connection.send(Envelope("a@a.test", ["u@a.test"]), chunks)
    (arrived,) = await wait_for(postfix.messages, mark)
    assert arrived.data == sent


async def test_addresses_beyond_ascii(postfix, certificate_zoo):
    """SMTPUTF8 is asked for where an address needs it, and the address arrives."""
    mark = marker()
    async with connected(postfix.mx, tls=trusting(certificate_zoo)) as connection:
        result = await connection.send(Envelope("jürgen@a.test", ["ünï@a.test"]), message(mark))
    assert result.accepted == ["ünï@a.test"]
    (arrived,) = await wait_for(postfix.messages, mark)
    assert arrived.field("Delivered-To") == "ünï@a.test"
    assert arrived.field("Return-Path") == "<jürgen@a.test>"


@pytest.mark.parametrize("pipelining", ["full", "off"])
async def test_a_strict_server_finds_no_fault(postfix, certificate_zoo, pipelining):
    """No bare LF reaches it, and no command ahead of its turn, whatever the message was."""
    mark = marker()
    sent = message(mark, b"bare\nline feeds\n.\nand returns\r")
    async with connected(
        postfix.strict, tls=trusting(certificate_zoo), pipelining=pipelining
    ) as connection:
        sending = [connection.send(TWO, sent) for _ in range(3)]
        for each in sending:
            assert (await each).accepted == ["u@a.test", "v@a.test"]
    for arrived in await wait_for(postfix.messages, mark, 6):
        assert arrived.data == message(mark, b"bare\r\nline feeds\r\n.\r\nand returns\r\n")


async def test_reset_and_noop(postfix, certificate_zoo):
    """Both are answered between messages."""
    async with connected(postfix.mx, tls=trusting(certificate_zoo)) as connection:
        await connection.noop()
        await connection.reset()
        assert connection.last_reply.code == 250
        assert (await connection.send(TWO, message("m"))).reply.code == 250
