"""Servers that are broken or mean to be: what a connection makes of their replies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.dial import BODY, ENVELOPE, NAME, PIPELINING, TWO, Dial, delivery, greeted
from txsmtpconn import (
    ConnectionLostError,
    Delivery,
    Envelope,
    EnvelopeError,
    MessageError,
    ProtocolError,
    SMTPError,
    connect,
)
from txsmtpconn.testing import (
    MemoryNetwork,
    ScriptedPeer,
    failure_result_of,
    success_result_of,
)
from txsmtpconn.testing.script import (
    close,
    expect,
    expect_close,
    expect_data,
    expect_silence,
    pause,
    read_again,
    send,
    stop_reading,
)

FLIGHT = ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")


def dial_send(*steps: Any, offers: tuple[str, ...] = PIPELINING, **options: Any) -> Any:
    """Send one message to a server with these steps behind the envelope; return the failure."""
    dial = Dial(*greeted(*offers), expect(*FLIGHT), *steps, interrupted=True, **options)
    sent = dial.ready.send(ENVELOPE, BODY)
    dial.network.settle()
    return dial, failure_result_of(sent)


@pytest.mark.parametrize("command", range(3))
def test_a_421_to_any_command_ends_the_session(command: int) -> None:
    """C20: transient, NOT_SENT, reported for the command, and nothing more is said."""
    replies = ["250 ok", "250 ok", "354 go"]
    replies[command:] = ["421 4.3.2 going down"]
    dial, error = dial_send(send(*replies), expect_close())
    assert isinstance(error, ConnectionLostError)
    assert error.response_code == 421
    assert error.is_transient
    assert error.delivery is Delivery.NOT_SENT
    assert error.recipients[0].delivery is Delivery.NOT_SENT
    assert b".\r\n" not in dial.peer.received.split(b"DATA\r\n")[1]
    assert dial.is_over()


def test_a_421_to_the_mark_is_a_refusal() -> None:
    """It answers the message, and closes."""
    dial, error = dial_send(send("250 ok", "250 ok", "354 go"), expect_data(), send("421 later"))
    assert error.delivery is Delivery.REJECTED
    assert error.is_transient
    assert dial.is_over()


@pytest.mark.parametrize("code", [251, 252, 299])
def test_any_2xx_accepts_a_recipient(code: int) -> None:
    """C40, C14: the first digit decides."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        send("250 ok", f"{code} will forward", "354 go"),
        expect_data(),
        send("250 queued"),
    )
    assert dial.result_of(dial.ready.send(ENVELOPE, BODY)).accepted == ["b@example.net"]
    dial.ready.close()


@pytest.mark.parametrize(
    "reply", ["350 what", "000 what", "199 what", "600 what", "25 x", "2500 x", "FOO"]
)
def test_a_reply_out_of_place_is_eprotocol(reply: str) -> None:
    """C14: 3xx where none belongs, and codes that are none."""
    dial, error = dial_send(send("250 ok", reply), expect_close())
    assert isinstance(error, ProtocolError)
    assert error.delivery is Delivery.NOT_SENT
    assert dial.is_over()


def test_250_to_data_is_no_go_ahead() -> None:
    """C30: EPROTO, the message is not sent and not reported as sent."""
    dial, error = dial_send(send("250 ok", "250 ok", "250 ok"), expect_close())
    assert isinstance(error, ProtocolError)
    assert error.delivery is Delivery.NOT_SENT
    assert BODY not in dial.peer.received


def test_data_refused_after_a_good_recipient() -> None:
    """C28: no body, the refusal is the answer, and the connection lives."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        send("250 ok", "250 ok", "503 bad sequence"),
        expect("RSET", *FLIGHT),
        send("250 reset", "250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n"),
        send("250 queued"),
    )
    connection = dial.ready
    error = dial.failure_of(connection.send(ENVELOPE, BODY))
    assert isinstance(error, EnvelopeError)
    assert error.command == "DATA"
    assert error.delivery is Delivery.REJECTED
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


@pytest.mark.parametrize(
    ("reply", "transient"),
    [("550 5.7.1 spam", False), ("451 4.3.0 later", True), ("552 too big", False)],
)
def test_a_refused_message(reply: str, transient: bool) -> None:
    """EMESSAGE, with the reply, its code and its enhanced code; the connection lives."""
    dial = Dial(
        *greeted(*PIPELINING), *delivery(final=reply), *delivery(), expect("QUIT"), send("221 bye")
    )
    connection = dial.ready
    error = dial.failure_of(connection.send(ENVELOPE, BODY))
    assert isinstance(error, MessageError)
    assert error.code == "EMESSAGE"
    assert error.is_transient is transient
    assert str(error.response) == reply
    assert error.delivery is Delivery.REJECTED
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    assert dial.result_of(connection.quit()) is None


def test_a_refused_sender() -> None:
    """EENVELOPE for MAIL FROM, though the server answered the rest too."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        send("550 not you", "503 mail first", "503 rcpt first"),
    )
    error = dial.failure_of(dial.ready.send(ENVELOPE, BODY))
    assert isinstance(error, EnvelopeError)
    assert error.response_code in (550, 503)
    assert error.delivery is Delivery.REJECTED
    dial.ready.close()


def test_354_for_a_sender_that_was_refused_never_gets_a_dot() -> None:
    """A dot there could deliver an empty message: the connection closes."""
    dial, error = dial_send(send("550 not you", "250 ok", "354 go"), expect_close())
    assert isinstance(error, ProtocolError)
    assert not dial.peer.received.endswith(b".\r\n")
    assert dial.is_over()


def test_data_after_quit_is_ignored() -> None:
    """C55: fifty lines more, and a clean end."""
    dial = Dial(*greeted(), expect("QUIT"), send("221 bye", *["250 more"] * 50), close())
    connection = dial.ready
    assert dial.result_of(connection.quit()) is None
    assert dial.result_of(connection.when_closed()) is None
    assert dial.is_over()


def test_hostile_text_in_a_reply_stays_text() -> None:
    """C11, C12: kept as it came, shown escaped."""
    dial, error = dial_send(
        send("250 ok", b"550 \x1b[2J\x00 nobody\r550 evil \xff\r\n", "503 no", "503 no")
    )
    assert error.response_code == 550
    assert "\x1b" not in str(error)
    assert "\x00" not in str(error)
    assert "\\x1b" in str(error)
    assert "\r" not in str(error)
    dial.ready.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_conversation_cut_anywhere_is_the_same(size: int) -> None:
    """C15: all replies in pieces of one size."""
    dial = Dial(
        *[
            send(*_pieces(step), split=size) if hasattr(step, "split") else step
            for step in (*greeted(*PIPELINING), *delivery(), expect("QUIT"), send("221 bye"))
        ]
    )
    connection = dial.ready
    assert dial.result_of(connection.send(ENVELOPE, BODY)).response == "250 2.0.0 queued"
    assert dial.result_of(connection.quit()) is None
    assert dial.is_over()


def _pieces(step: Any) -> tuple[bytes, ...]:
    return (step.octets,)


def test_a_server_that_writes_without_reading_does_not_deadlock() -> None:
    """C29, RFC 2920 section 3.1: replies are read while commands are written."""
    many = Envelope("a@example.org", [f"user{number}@example.net" for number in range(2000)])
    network = MemoryNetwork(capacity=4096)
    lines = [f"RCPT TO:<user{number}@example.net>" for number in range(2000)]
    network.serve(
        ScriptedPeer(
            *greeted(*PIPELINING),
            expect("MAIL FROM:<a@example.org>"),
            stop_reading(),
            send("250 ok"),
            pause(1),
            read_again(),
            *[step for line in lines for step in (expect(line), send("250 ok " + "x" * 100))],
            expect("DATA"),
            send("354 go"),
            expect(BODY + b".\r\n"),
            send("250 queued"),
        )
    )
    connecting = connect(network.clock, endpoint=network.client_endpoint(), name=NAME)
    network.settle()
    connection = success_result_of(connecting)
    sent = connection.send(many, BODY)
    network.advance(2)
    assert len(success_result_of(sent).accepted) == 2000
    connection.close()
    network.settle()


def test_duplicate_recipients_are_kept_and_told_apart() -> None:
    """A15: by their places."""
    twice = Envelope("a@example.org", ["b@example.net", "b@example.net"])
    dial = Dial(
        *greeted(*PIPELINING),
        expect(FLIGHT[0], FLIGHT[1], FLIGHT[1], "DATA"),
        send("250 ok", "250 ok", "550 once is enough", "354 go"),
        expect_data(),
        send("250 queued"),
    )
    result = dial.result_of(dial.ready.send(twice, BODY))
    assert result.accepted == ["b@example.net"]
    assert result.rejected == ["b@example.net"]
    dial.ready.close()


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope("a@example.org", ["ü@example.net"]),
        Envelope("ü@example.org", ["b@example.net"]),
        Envelope("a@example.org", ["b@example.net"], requiretls=True),
        Envelope("a@example.org", ["b@example.net"], body="BINARYMIME"),
        Envelope("a@example.org", ["b@example.net"], hold_for=60),
    ],
)
def test_what_the_server_cannot_honour_is_not_sent(envelope: Envelope) -> None:
    """A10, A33: an error before MAIL, and no orphan reply is awaited."""
    dial = Dial(*greeted(*PIPELINING), expect_silence(1), *delivery())
    connection = dial.ready
    error = dial.failure_of(connection.send(envelope, BODY), within=1)
    assert isinstance(error, SMTPError)
    assert error.reply is None
    assert error.delivery is Delivery.NOT_SENT
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        (b".", b"..\r\n.\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b"x", b"x\r\n.\r\n"),
        (b"x\n", b"x\r\n.\r\n"),
        (b"x\r", b"x\r\n.\r\n"),
        (b"a\nb\rc\r\nd", b"a\r\nb\r\nc\r\nd\r\n.\r\n"),
        (b"a\n.\nMAIL FROM:<evil>\n", b"a\r\n..\r\nMAIL FROM:<evil>\r\n.\r\n"),
        (b"a\r.\r\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_never_ends_early(body: bytes, wire: bytes, streamed: bool) -> None:
    """A16, A17, A18: one message, with CRLF throughout and its dots stuffed."""
    message: Any = iter([body[:1], body[1:]]) if streamed else body
    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        send("250 ok", "250 ok", "354 go"),
        expect(wire),
        send("250 queued"),
        expect_silence(1),
    )
    assert dial.result_of(dial.ready.send(ENVELOPE, message)).accepted
    dial.network.advance(1)
    dial.ready.close()


def test_every_recipient_of_two_is_told_of_a_lost_connection() -> None:
    """Each has its outcome, in order."""
    dial = Dial(*greeted(*PIPELINING), expect(FLIGHT[0]), close(), interrupted=True)
    error = dial.failure_of(dial.ready.send(TWO, BODY))
    assert [each.address for each in error.recipients] == ["b@example.net", "c@example.net"]
    assert {each.delivery for each in error.recipients} == {Delivery.NOT_SENT}
