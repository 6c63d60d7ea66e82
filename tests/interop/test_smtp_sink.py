"""Our client against smtp-sink: faults on command, hidden extensions, LMTP, a shut window."""

from __future__ import annotations

import pytest

from tests.interop.mail import connected, deliveries, marker, message, on_the_wire
from tests.interop.peers.arrived import wait_for
from txsmtpconn import (
    DSN,
    ConnectionLostError,
    DeadlineError,
    Delivery,
    Envelope,
    EnvelopeError,
    MessageError,
    ProtocolError,
    Recipient,
    SMTPError,
)

NOT_SENT, IN_DOUBT = Delivery.NOT_SENT, Delivery.IN_DOUBT
REJECTED, ACCEPTED = Delivery.REJECTED, Delivery.ACCEPTED

TWO = Envelope("a@a.test", ["u@a.test", "v@a.test"])


@pytest.mark.parametrize("chunking", ["always", "off"])
@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
async def test_what_is_sent_is_what_arrives(smtp_sink, pipelining, chunking):
    """Every octet, both recipients in order, and a result that tells the same."""
    sink = smtp_sink()
    sent = message(marker())
    async with connected(sink.port, pipelining=pipelining, chunking=chunking) as connection:
        result = await connection.send(TWO, sent)
    (arrived,) = sink.messages()
    assert arrived.data == sent
    assert arrived.mail_from == "<a@a.test> BODY=8BITMIME"
    assert arrived.rcpt_to == ("<u@a.test>", "<v@a.test>")
    assert result.accepted == ["u@a.test", "v@a.test"]
    assert result.rejected == []
    assert result.reply.code == 250
    assert result.response.startswith("250 2.0.0")
    assert result.message_size == on_the_wire(sent)
    assert "PIPELINING" in result.ehlo
    assert deliveries(result) == [ACCEPTED, ACCEPTED]


@pytest.mark.parametrize("pipelining", ["full", "transaction", "off"])
async def test_many_messages_at_once_keep_their_envelopes(smtp_sink, pipelining):
    """Forty sends without waiting: each message arrives under its own sender, to its own people."""
    sink = smtp_sink()
    async with connected(sink.port, pipelining=pipelining) as connection:
        sending = [
            connection.send(Envelope(f"a{n}@a.test", [f"u{n}@a.test"]), message(f"number-{n}."))
            for n in range(40)
        ]
        results = [await each for each in sending]
    assert [result.accepted for result in results] == [[f"u{n}@a.test"] for n in range(40)]
    arrived = {each.mail_from.split()[0]: each for each in sink.messages()}
    assert len(arrived) == 40
    for n in range(40):
        one = arrived[f"<a{n}@a.test>"]
        assert one.rcpt_to == (f"<u{n}@a.test>",)
        assert one.data == message(f"number-{n}.")


@pytest.mark.parametrize(
    "body",
    [
        b"bare\nline feeds\nonly\n",
        b"bare\rreturns\rtoo\r",
        b"no end of line",
        b".",
        b"\r\n\r\n",
        b"\n.\n.\r\n.\r.",
    ],
)
async def test_any_line_end_becomes_crlf(smtp_sink, body):
    """What is not CRLF in a message is made so, and its last line is ended."""
    sink = smtp_sink()
    async with connected(sink.port) as connection:
        await connection.send(TWO, message("m", body))
    (arrived,) = sink.messages()
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected = message("m", lines.replace(b"\n", b"\r\n"))
    assert arrived.data == expected + (b"" if expected.endswith(b"\r\n") else b"\r\n")


async def test_an_iterable_is_streamed(smtp_sink):
    """Chunks cut inside CRLF and before dots arrive as the whole did."""
    sink = smtp_sink()
    sent = message(marker())
    async with connected(sink.port) as connection:
        await connection.send(TWO, (sent[n : n + 3] for n in range(0, len(sent), 3)))
    (arrived,) = sink.messages()
    assert arrived.data == sent


@pytest.mark.parametrize(
    ("flags", "error", "delivery", "code"),
    [
        (("-f", "MAIL"), EnvelopeError, REJECTED, 500),
        (("-r", "MAIL"), EnvelopeError, REJECTED, 450),
        (("-f", "RCPT"), EnvelopeError, REJECTED, 500),
        (("-r", "RCPT"), EnvelopeError, REJECTED, 450),
        (("-f", "DATA"), EnvelopeError, REJECTED, 500),
        (("-r", "DATA"), EnvelopeError, REJECTED, 450),
        (("-f", "."), MessageError, REJECTED, 500),
        (("-r", "."), MessageError, REJECTED, 450),
        (("-q", "MAIL"), ConnectionLostError, NOT_SENT, None),
        (("-q", "RCPT"), ConnectionLostError, NOT_SENT, None),
        (("-q", "DATA"), ConnectionLostError, NOT_SENT, None),
        (("-q", "."), ConnectionLostError, IN_DOUBT, None),
        (("-Q", "MAIL"), ConnectionLostError, NOT_SENT, 421),
        (("-Q", "RCPT"), ConnectionLostError, NOT_SENT, 421),
        (("-Q", "DATA"), ConnectionLostError, NOT_SENT, 421),
        (("-Q", "."), ConnectionLostError, REJECTED, 421),
        (("-A", "0"), MessageError, REJECTED, 550),
    ],
)
@pytest.mark.parametrize("pipelining", ["full", "off"])
async def test_a_failed_transaction_tells_what_became_of_it(
    smtp_sink, flags, error, delivery, code, pipelining
):
    """Refused, not sent, or in doubt: for each recipient, with the reply that decided it."""
    sink = smtp_sink(*flags)
    with pytest.raises(SMTPError) as caught:
        async with connected(sink.port, pipelining=pipelining) as connection:
            await connection.send(TWO, message("m"))
    assert type(caught.value) is error
    assert caught.value.delivery is delivery
    assert deliveries(caught.value) == [delivery, delivery]
    assert caught.value.response_code == code
    assert caught.value.is_transient is (code not in (500, 550))


@pytest.mark.parametrize(
    ("flags", "error", "code"),
    [
        (("-q", "CONNECT"), ConnectionLostError, None),
        (("-q", "EHLO"), ConnectionLostError, None),
        (("-Q", "CONNECT"), ProtocolError, 421),
        (("-Q", "EHLO"), ConnectionLostError, 421),
        (("-f", "CONNECT"), ProtocolError, 500),
        (("-r", "CONNECT"), ProtocolError, 450),
        (("-f", "EHLO,HELO"), ProtocolError, 500),
    ],
)
async def test_a_session_that_does_not_begin(smtp_sink, flags, error, code):
    """`connect` fails with the reply there was."""
    sink = smtp_sink(*flags)
    with pytest.raises(SMTPError) as caught:
        async with connected(sink.port):
            pass
    assert type(caught.value) is error
    assert caught.value.response_code == code
    assert caught.value.delivery is NOT_SENT


async def test_helo_is_spoken_where_ehlo_is_not_known(smtp_sink):
    """A server of the old kind gets its mail, one command at a time."""
    sink = smtp_sink("-f", "EHLO")
    async with connected(sink.port) as connection:
        assert list(connection.extensions) == []
        result = await connection.send(TWO, message("m"))
    assert result.accepted == ["u@a.test", "v@a.test"]
    (arrived,) = sink.messages()
    assert arrived.facts["X-Client-Proto"] == ["SMTP"]


async def test_a_transaction_that_failed_does_not_stain_the_next(smtp_sink):
    """The second message on a connection whose first was refused at DATA is refused alone."""
    sink = smtp_sink("-r", "DATA")
    async with connected(sink.port) as connection:
        first = connection.send(Envelope("one@a.test", ["u@a.test"]), message("m1"))
        second = connection.send(Envelope("two@a.test", ["v@a.test"]), message("m2"))
        for sending, address in ((first, "u@a.test"), (second, "v@a.test")):
            with pytest.raises(EnvelopeError) as caught:
                await sending
            assert [each.address for each in caught.value.recipients] == [address]
            assert caught.value.response_code == 450


@pytest.mark.parametrize(
    ("flag", "hidden"),
    [
        ("-p", "PIPELINING"),
        ("-8", "8BITMIME"),
        ("-E", "ENHANCEDSTATUSCODES"),
        ("-N", "DSN"),
        ("-e", None),
    ],
)
async def test_what_is_not_offered_is_not_used(smtp_sink, flag, hidden):
    """Mail goes through with any of the extensions hidden, or all of them."""
    sink = smtp_sink(flag)
    sent = message(marker())
    async with connected(sink.port) as connection:
        assert hidden is None or hidden not in connection.extensions
        sending = [connection.send(TWO, sent) for _ in range(3)]
        results = [await each for each in sending]
    assert all(result.accepted == ["u@a.test", "v@a.test"] for result in results)
    assert [each.data for each in sink.messages()] == [sent] * 3


async def test_dsn_parameters_reach_the_server(smtp_sink):
    """RET, ENVID, NOTIFY and ORCPT, encoded as RFC 3461 says."""
    sink = smtp_sink()
    envelope = Envelope(
        "a@a.test",
        [Recipient("u@a.test", dsn=DSN(notify="never")), "v@a.test"],
        dsn=DSN(ret="HDRS", envid="id+1", notify=["success", "failure"], orcpt="w+x@a.test"),
    )
    async with connected(sink.port) as connection:
        await connection.send(envelope, message("m"))
    (arrived,) = sink.messages()
    assert arrived.mail_from.split() == [
        "<a@a.test>",
        "BODY=8BITMIME",
        "RET=HDRS",
        "ENVID=id+2B1",
    ]
    assert "NOTIFY=NEVER" in arrived.rcpt_to[0]
    assert "NOTIFY=SUCCESS,FAILURE" in arrived.rcpt_to[1]
    assert "ORCPT=rfc822;w+2Bx@a.test" in arrived.rcpt_to[1]


async def test_a_null_reverse_path_is_sent_as_such(smtp_sink):
    """A report has no sender."""
    sink = smtp_sink()
    async with connected(sink.port) as connection:
        await connection.send(Envelope("", ["u@a.test"]), message("m"))
    (arrived,) = sink.messages()
    assert arrived.mail_from.split()[0] == "<>"


@pytest.mark.parametrize("flags", [("-w", "1"), ("-p", "-W", "DATA:1"), ("-H", "1", "-T", "1024")])
async def test_a_slow_server_is_waited_for(smtp_sink, flags):
    """A late reply, or no reading for a while behind a small window: the message arrives whole."""
    sink = smtp_sink(*flags)
    sent = message(
        marker(), b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789\r\n" * 5000
    )
    async with connected(sink.port) as connection:
        result = await connection.send(TWO, iter([sent]))
    assert result.accepted == ["u@a.test", "v@a.test"]
    (arrived,) = await wait_for(sink.messages, "interop")
    assert arrived.data == sent


@pytest.mark.parametrize(
    ("delay", "options", "delivery"),
    [
        ("MAIL:30", {"command_timeout": 0.3}, NOT_SENT),
        ("DATA:30", {"data_timeout": 0.3}, NOT_SENT),
        (".:30", {"final_timeout": 0.3}, IN_DOUBT),
    ],
)
async def test_a_server_too_slow_is_left(smtp_sink, delay, options, delivery):
    """Each deadline ends the wait, and tells whether the message may have been taken."""
    # Without -p, this server answers what follows a delayed command before that command.
    sink = smtp_sink("-p", "-W", delay)
    with pytest.raises(DeadlineError) as caught:
        async with connected(sink.port, **options) as connection:
            await connection.send(TWO, message("m"))
    assert deliveries(caught.value) == [delivery, delivery]


async def test_quit_without_an_answer_harms_nothing(smtp_sink):
    """The message is delivered, whatever becomes of QUIT."""
    sink = smtp_sink("-q", "QUIT")
    async with connected(sink.port) as connection:
        result = await connection.send(TWO, message("m"))
    assert deliveries(result) == [ACCEPTED, ACCEPTED]


@pytest.mark.parametrize("pipelining", ["full", "off"])
async def test_lmtp_has_a_reply_for_each_recipient(smtp_sink, pipelining):
    """Three recipients, one of them twice: three final replies, in order."""
    sink = smtp_sink("-L")
    people = ["u@a.test", "v@a.test", "u@a.test"]
    async with connected(sink.port, lmtp=True, pipelining=pipelining) as connection:
        sending = [connection.send(Envelope("a@a.test", people), message("m")) for _ in range(3)]
        for each in sending:
            result = await each
            assert result.accepted == people
            assert [outcome.reply.code for outcome in result.recipients] == [250, 250, 250]
    assert len(sink.messages()) == 3


async def test_lmtp_where_every_reply_is_a_refusal(smtp_sink):
    """Refused for each recipient: the result says so, as LMTP's documents promise."""
    sink = smtp_sink("-L", "-f", ".")
    async with connected(sink.port, lmtp=True) as connection:
        result = await connection.send(TWO, message("m"))
    assert result.accepted == []
    assert deliveries(result) == [REJECTED, REJECTED]
    assert [each.reply.code for each in result.recipients] == [500, 500]


async def test_lmtp_cut_before_the_replies(smtp_sink):
    """No reply came: each recipient is in doubt."""
    sink = smtp_sink("-L", "-q", ".")
    with pytest.raises(ConnectionLostError) as caught:
        async with connected(sink.port, lmtp=True) as connection:
            await connection.send(TWO, message("m"))
    assert deliveries(caught.value) == [IN_DOUBT, IN_DOUBT]
