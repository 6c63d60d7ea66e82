"""The connection against scripted servers: order, ends, timers and cancellation."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, formatEvent

from tests.client.dial import BODY, ENVELOPE, PIPELINING, TWO, Dial, delivery, greeted
from txsmtpconn import (
    ConnectionLostError,
    ConnectionOptions,
    DeadlineError,
    Delivery,
    EnvelopeError,
    MessageError,
    ProtocolError,
    SendCancelled,
    SMTPConnection,
    SMTPError,
)
from txsmtpconn.testing import failure_result_of, no_result_of, success_result_of
from txsmtpconn.testing.script import (
    close,
    expect,
    expect_close,
    expect_data,
    expect_silence,
    pause,
    read_again,
    reset,
    send,
    stop_reading,
)


def test_a_message_is_delivered_and_the_result_says_so() -> None:
    """One message: envelope and DATA in one flight, the result with reply and outcomes."""
    dial = Dial(*greeted(*PIPELINING), *delivery(), expect("QUIT"), send("221 bye"))
    connection = dial.ready
    result = dial.result_of(connection.send(ENVELOPE, BODY))
    assert result.accepted == ["b@example.net"]
    assert result.rejected == []
    assert result.response == "250 2.0.0 queued"
    assert result.ehlo == ("PIPELINING",)
    assert result.message_size == len(BODY) + 3
    assert dial.result_of(connection.quit()) is None
    assert dial.result_of(connection.when_closed()) is None
    assert dial.is_over()


def test_the_facts_of_a_connection() -> None:
    """The attributes tell what the server offered and how far the session is."""
    dial = Dial(*greeted("SIZE 1000", "AUTH PLAIN"))
    connection = dial.ready
    assert connection.max_size == 1000
    assert connection.allows_auth
    assert not connection.secure
    assert not connection.authenticated
    assert "SIZE" in connection.extensions
    assert connection.last_reply is not None
    assert connection.last_reply.code == 250
    assert connection.id in repr(connection)
    connection.close()


def test_the_transport_is_told_not_to_wait() -> None:
    """Small writes leave at once, and a peer that vanished is noticed."""
    dial = Dial(*greeted())
    connection = dial.ready
    assert dial.network.links[0].client.getTcpNoDelay()
    assert dial.network.links[0].client.getTcpKeepAlive()
    connection.close()


def test_sends_queue_in_order_and_share_round_trips() -> None:
    """The second envelope leaves in the same write as the first message's end."""
    envelope_lines = ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")
    dial = Dial(
        *greeted(*PIPELINING),
        expect(*envelope_lines),
        send("250 ok", "250 ok", "354 go"),
        expect(b"one\r\n.\r\n", *envelope_lines),
        expect_silence(),
        send("250 first", "250 ok", "250 ok", "354 go"),
        expect(b"two\r\n.\r\n"),
        send("250 second"),
    )
    connection = dial.ready
    first = connection.send(ENVELOPE, b"one\r\n")
    second = connection.send(ENVELOPE, b"two\r\n")
    assert dial.result_of(first).response == "250 first"
    assert dial.result_of(second).response == "250 second"
    connection.close()


def test_sends_may_precede_readiness() -> None:
    """Calls made before the greeting are carried out in their order after it."""
    dial = Dial(*greeted(*PIPELINING), *delivery(), expect("QUIT"), send("221 bye"), latency=0.5)
    dial.network.advance(1)
    connection = dial.network.links[0].client.protocol
    sent, quitted = connection.send(ENVELOPE, BODY), connection.quit()
    no_result_of(dial.connecting)
    assert dial.result_of(sent, within=20).accepted == ["b@example.net"]
    assert dial.result_of(quitted, within=20) is None
    dial.network.advance(5)
    assert dial.ready is connection
    assert dial.is_over()


@pytest.mark.parametrize("message", [b"", "", []])
def test_an_empty_message_is_found_before_anything_is_sent(message: Any) -> None:
    """EMESSAGE, and the server hears nothing of it."""
    dial = Dial(*greeted(*PIPELINING), expect_silence(1), *delivery())
    connection = dial.ready
    error = dial.failure_of(connection.send(ENVELOPE, message), within=1)
    assert isinstance(error, MessageError)
    assert error.code == "EMESSAGE"
    assert error.command == "API"
    assert error.delivery is Delivery.NOT_SENT
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


@pytest.mark.parametrize(
    "arguments", [(None, BODY), ("a@b.c", BODY), (ENVELOPE, 42), (ENVELOPE, {})]
)
def test_send_never_raises(arguments: tuple[Any, Any]) -> None:
    """What is wrong with the arguments comes as a failure of the Deferred."""
    dial = Dial(*greeted())
    error = failure_result_of(dial.ready.send(*arguments))
    assert isinstance(error, (EnvelopeError, MessageError))
    dial.ready.close()


def test_rejected_recipients_are_reported_beside_accepted_ones() -> None:
    """One refusal of two is a success with `rejected` and its error."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.net>",
            "RCPT TO:<c@example.net>",
            "DATA",
        ),
        send("250 ok", "550 5.1.1 no such user", "250 ok", "354 go"),
        expect_data(),
        send("250 queued"),
    )
    result = dial.result_of(dial.ready.send(TWO, BODY))
    assert result.accepted == ["c@example.net"]
    assert result.rejected == ["b@example.net"]
    [error] = result.rejected_errors
    assert error.response_code == 550
    assert error.recipient == "b@example.net"
    dial.ready.close()


def test_all_recipients_refused_with_354_gets_a_lone_dot() -> None:
    """C26: the connection lives; the error has every recipient."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.net>",
            "RCPT TO:<c@example.net>",
            "DATA",
        ),
        send("250 ok", "550 no", "551 no", "354 go"),
        expect(b".\r\n"),
        send("554 no valid recipients"),
        *delivery(),
    )
    connection = dial.ready
    error = dial.failure_of(connection.send(TWO, BODY))
    assert isinstance(error, EnvelopeError)
    assert error.command == "RCPT TO"
    assert error.response_code == 551
    assert error.rejected == ["b@example.net", "c@example.net"]
    assert error.delivery is Delivery.REJECTED
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


def test_quit_is_bounded_in_time() -> None:
    """C5: a server that never answers QUIT costs five seconds and no error."""
    dial = Dial(*greeted(), expect("QUIT"))
    connection = dial.ready
    quitting = connection.quit()
    dial.network.advance(4)
    no_result_of(quitting)
    dial.network.advance(1)
    assert success_result_of(quitting) is None
    assert dial.result_of(connection.when_closed()) is None
    assert dial.is_over()


def test_each_quit_waits_for_the_one_farewell() -> None:
    """A second call neither says QUIT again nor is answered before the server is."""
    dial = Dial(*greeted(), expect("QUIT"), pause(1), send("221 bye"))
    connection = dial.ready
    first = connection.quit()
    dial.network.settle()
    second = connection.quit()
    third = connection.quit()
    third.cancel()
    failure_result_of(third, SendCancelled)
    no_result_of(first)
    no_result_of(second)
    dial.network.advance(1)
    assert success_result_of(first) is success_result_of(second) is None
    assert dial.is_over()


def test_close_is_immediate_and_idempotent() -> None:
    """What was under way fails; a second close does nothing; the end was asked for."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
    )
    connection = dial.ready
    sent = connection.send(ENVELOPE, BODY)
    dial.network.settle()
    closed = connection.when_closed()
    connection.close()
    error = failure_result_of(sent)
    assert isinstance(error, ConnectionLostError)
    assert error.delivery is Delivery.NOT_SENT
    connection.close()
    assert dial.is_over()
    assert success_result_of(closed) is None
    assert isinstance(failure_result_of(connection.send(ENVELOPE, BODY)), ConnectionLostError)
    assert isinstance(failure_result_of(connection.noop()), ConnectionLostError)
    assert success_result_of(connection.quit()) is None


def test_a_connection_closed_beforehand_never_says_a_word() -> None:
    """The transport that comes up all the same is aborted."""
    connection = SMTPConnection(Clock(), ConnectionOptions(name="client.test"))
    waiting = connection.when_ready()
    connection.close()
    assert isinstance(failure_result_of(waiting), ConnectionLostError)
    assert success_result_of(connection.when_closed()) is None
    transport = StringTransport()
    connection.makeConnection(transport)  # type: ignore[no-untyped-call]
    assert transport.disconnecting or transport.disconnected
    assert transport.value() == b""
    connection.connectionLost()


def test_everybody_waits_with_a_deferred_of_their_own() -> None:
    """Cancelling one wait, or failing one, leaves the others alone."""
    dial = Dial(*greeted(), pause(1), reset(), latency=0.5)
    dial.network.advance(1)
    connection = dial.network.links[0].client.protocol
    waits = [connection.when_ready() for _ in range(3)]
    waits[1].cancel()
    assert isinstance(failure_result_of(waits[1]), SendCancelled)
    dial.network.advance(2)
    assert success_result_of(waits[0]) is connection
    assert success_result_of(waits[2]) is connection
    closed = [connection.when_closed() for _ in range(2)]
    dial.network.advance(2)
    errors = [failure_result_of(each) for each in closed]
    assert errors[0] is not errors[1]
    assert all(isinstance(error, ConnectionLostError) for error in errors)
    assert dial.ready is connection
    assert dial.is_over()


def test_reset_and_noop() -> None:
    """Both fire with the reply; a refusal is EPROTOCOL and the connection lives."""
    dial = Dial(
        *greeted(),
        expect("RSET"),
        send("250 flushed"),
        expect("NOOP"),
        send("250 still here"),
        expect("NOOP"),
        send("502 no"),
        expect("QUIT"),
        send("221 bye"),
    )
    connection = dial.ready
    assert dial.result_of(connection.reset()).text == "flushed"
    assert dial.result_of(connection.noop()).text == "still here"
    error = dial.failure_of(connection.noop())
    assert isinstance(error, ProtocolError)
    assert error.command == "NOOP"
    assert error.response_code == 502
    assert dial.result_of(connection.quit()) is None
    assert dial.is_over()


def test_an_idle_421_ends_the_session_with_its_reply() -> None:
    """C21: the reason for the end is the server's own."""
    dial = Dial(*greeted(), pause(3), send("421 4.3.2 shutting down"), close())
    closed = dial.ready.when_closed()
    error = dial.failure_of(closed, within=3)
    assert isinstance(error, ConnectionLostError)
    assert error.response_code == 421
    assert dial.is_over()


def test_an_unasked_reply_ends_the_session() -> None:
    """A reply with nothing outstanding is a protocol error, never the answer to what comes."""
    dial = Dial(*greeted(), pause(1), send("250 surprise"), expect_close())
    closed = dial.ready.when_closed()
    assert isinstance(dial.failure_of(closed, within=1), ProtocolError)
    assert dial.is_over()


# -- the log


def test_without_a_transaction_log_only_the_sessions_life_is_told() -> None:
    """Constant formats with fields: ready, each message, the end; no line of the wire."""
    events: list[dict[str, Any]] = []
    dial = Dial(
        *greeted(*PIPELINING),
        *delivery(),
        *delivery(final="550 5.7.1 no \x1b[2J"),
        expect("QUIT"),
        send("221 bye"),
        logger=Logger("test", observer=events.append),
    )
    connection = dial.ready
    dial.result_of(connection.send(ENVELOPE, BODY))
    dial.failure_of(connection.send(ENVELOPE, BODY))
    dial.result_of(connection.quit())
    assert [formatEvent(event).split(" ", 1)[1] for event in events] == [
        "connected",
        "ready",
        "message 250 2.0.0 queued (1 of 1 recipients)",
        "message rejected: the message was refused for b@example.net: 550 5.7.1 no \\x1b[2J",
        "ended: quit",
    ]
    assert {event["session_id"] for event in events} == {connection.id}


def test_a_transaction_log_has_the_wire_and_debug_the_content() -> None:
    """Each line is one event."""
    for options, content in (({"transaction_log": True}, False), ({"debug": True}, True)):
        events: list[dict[str, Any]] = []
        dial = Dial(
            *greeted(*PIPELINING),
            *delivery(),
            logger=Logger("test", observer=events.append),
            **options,
        )
        dial.result_of(dial.ready.send(ENVELOPE, BODY))
        told = [(event["direction"], event["text"]) for event in events if "direction" in event]
        assert ("S", "220 mx.test ESMTP") in told
        assert ("C", "MAIL FROM:<a@example.org>") in told
        assert (("C", "hello") in told) is content
        dial.ready.close()


# -- deadlines: C3, C4, C57


def test_a_silent_server_is_left_after_the_greeting_timeout() -> None:
    """Nothing came."""
    dial = Dial(expect_close(), greeting_timeout=30)
    dial.network.advance(29)
    no_result_of(dial.connecting)
    dial.network.advance(1)
    error = dial.refusal
    assert isinstance(error, DeadlineError)
    assert error.code == "ETIMEDOUT"
    assert error.command == "CONN"
    assert dial.is_over()


def test_a_greeting_that_dribbles_is_no_greeting() -> None:
    """C3: lines for ever do not renew the deadline."""
    dial = Dial(send(*["220-x"] * 100, split=7, every=0.5), greeting_timeout=30, interrupted=True)
    dial.network.advance(31)
    assert isinstance(dial.refusal, DeadlineError)
    dial.network.advance(200)
    assert dial.is_over()


@pytest.mark.parametrize(
    ("said", "replies", "seconds", "delivery_", "command"),
    [
        (["MAIL FROM:<a@example.org>"], [], 300, Delivery.NOT_SENT, "MAIL FROM"),
        (
            ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>"],
            ["250"],
            300,
            Delivery.NOT_SENT,
            "RCPT TO",
        ),
        (
            ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"],
            ["250", "250"],
            120,
            Delivery.NOT_SENT,
            "DATA",
        ),
        (
            ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA", BODY + b".\r\n"],
            ["250", "250", "354"],
            600,
            Delivery.IN_DOUBT,
            "DATA",
        ),
    ],
    ids=["MAIL", "RCPT", "DATA", "mark"],
)
def test_each_stage_has_its_deadline(
    said: list[Any], replies: list[str], seconds: float, delivery_: Delivery, command: str
) -> None:
    """The error names the command; after the end mark the outcome is in doubt."""
    steps: list[Any] = []
    for line, reply in zip(said, [*replies, None], strict=True):
        steps.append(expect(line))
        if reply is not None:
            steps.append(send(reply))
    dial = Dial(*greeted(), *steps, expect_close(), socket_timeout=1000)
    sent = dial.ready.send(ENVELOPE, BODY)
    dial.network.advance(seconds - 1)
    no_result_of(sent)
    dial.network.advance(1)
    error = failure_result_of(sent)
    assert isinstance(error, DeadlineError)
    assert error.delivery is delivery_
    assert error.command == command
    assert dial.is_over()


def test_inactivity_closes_an_idle_connection() -> None:
    """`socket_timeout` without an octet in either direction."""
    dial = Dial(*greeted(), expect_close(), socket_timeout=50)
    closed = dial.ready.when_closed()
    dial.network.advance(50)
    assert isinstance(failure_result_of(closed), DeadlineError)
    assert dial.is_over()


def test_a_server_that_stops_reading_is_left_after_the_block_timeout() -> None:
    """C57: the source is paused, memory stays flat, and the block deadline ends it."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        send("250 ok", "250 ok", "354 go"),
        stop_reading(),
    )
    pulled: list[int] = []

    def chunks() -> Any:
        for number in range(10_000):
            pulled.append(number)
            yield b"x" * 65536

    sent = dial.ready.send(ENVELOPE, chunks())
    dial.network.advance(100)
    no_result_of(sent)
    assert len(pulled) < 20
    dial.network.advance(100)
    error = failure_result_of(sent)
    assert isinstance(error, DeadlineError)
    assert error.delivery is Delivery.NOT_SENT
    assert dial.network.links[0].client.most_buffered < 4 * 65536
    assert dial.is_over()


def half_read(*steps: Any) -> Dial:
    """A server that lets most of a message lie in our transport, with its end mark."""
    return Dial(
        *greeted(*PIPELINING),
        expect("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        send("250 ok", "250 ok", "354 go"),
        stop_reading(),
        *steps,
        pause(2000),
        capacity=4096,
        interrupted=True,
        socket_timeout=5000,
    )


def test_the_final_deadline_begins_when_the_transport_is_empty() -> None:
    """The server reads on after 100 seconds, and has its 600 from then."""
    dial = half_read(pause(100), read_again())
    sent = dial.ready.send(ENVELOPE, b"x" * 65536)
    dial.network.advance(100 + 599)
    no_result_of(sent)
    dial.network.advance(2)
    error = failure_result_of(sent)
    assert isinstance(error, DeadlineError)
    assert error.delivery is Delivery.IN_DOUBT
    assert dial.is_over()


def test_a_message_that_does_not_move_is_given_up() -> None:
    """Its mark lies in the transport still: 180 seconds, not 600."""
    dial = half_read()
    sent = dial.ready.send(ENVELOPE, b"x" * 65536)
    dial.network.advance(179)
    no_result_of(sent)
    dial.network.advance(2)
    assert isinstance(failure_result_of(sent), DeadlineError)
    assert dial.is_over()


# -- the end at each stage: C23, C24, C25


@pytest.mark.parametrize("fault", [close, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([], Delivery.NOT_SENT),
        ([send("250 ok")], Delivery.NOT_SENT),
        ([send("250 ok", "250 ok", "354 go")], Delivery.NOT_SENT),
        ([send("250 ok", "250 ok", "354 go"), expect_data()], Delivery.IN_DOUBT),
        ([send("250 ok", "250 ok", "354 go"), expect_data(), send(b"250 que")], Delivery.IN_DOUBT),
    ],
    ids=["envelope", "MAIL", "354", "mark", "half a reply"],
)
def test_a_connection_lost_at_any_stage(before: list[Any], expected: Delivery, fault: Any) -> None:
    """ECONNECTION, transient, with the truth about the delivery."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        *before,
        fault(),
    )
    sent = dial.ready.send(
        ENVELOPE, b"x" * 100_000 if len(before) == 1 and expected is Delivery.NOT_SENT else BODY
    )
    error = dial.failure_of(sent)
    assert isinstance(error, ConnectionLostError)
    assert error.is_transient
    if expected is Delivery.IN_DOUBT or len(before) == 0:
        assert error.delivery is expected
    [outcome] = error.recipients
    assert outcome.delivery is error.delivery
    assert dial.is_over()


def test_a_delivered_message_stays_delivered_when_the_peer_resets() -> None:
    """C25: RST right behind the 250 changes nothing."""
    dial = Dial(*greeted(*PIPELINING), *delivery(), pause(0.1), reset())
    assert dial.result_of(dial.ready.send(ENVELOPE, BODY)).accepted == ["b@example.net"]
    dial.network.advance(1)
    assert dial.is_over()


# -- cancellation: C61 and rows 14 to 17 of the delivery table


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
def test_connecting_can_be_cancelled_at_any_moment(moment: float) -> None:
    """Before the connection, the greeting, EHLO's reply: one failure, and nothing is left."""
    dial = Dial(pause(0.5), *greeted(), latency=0.5, interrupted=True)
    dial.network.advance(moment)
    no_result_of(dial.connecting)
    dial.connecting.cancel()
    error = failure_result_of(dial.connecting)
    assert isinstance(error, SendCancelled)
    assert isinstance(error, CancelledError)
    dial.network.advance(5)
    assert dial.is_over()


def test_a_queued_send_is_cancelled_without_a_trace() -> None:
    """Row 14: NOT_SENT; those before and behind it are delivered."""
    dial = Dial(*greeted(), *_lockstep(b"one\r\n"), *_lockstep(b"three\r\n"))
    connection = dial.ready
    first = connection.send(ENVELOPE, b"one\r\n")
    second = connection.send(ENVELOPE, b"two\r\n")
    third = connection.send(ENVELOPE, b"three\r\n")
    second.cancel()
    error = failure_result_of(second)
    assert isinstance(error, SendCancelled)
    assert error.delivery is Delivery.NOT_SENT
    assert [each.delivery for each in error.recipients] == [Delivery.NOT_SENT]
    assert dial.result_of(first).accepted
    assert dial.result_of(third).accepted
    connection.close()


def test_a_send_cancelled_before_data_costs_an_rset() -> None:
    """Row 15: the connection lives, and the next message has its own sender."""
    dial = Dial(
        *greeted(),
        expect("MAIL FROM:<a@example.org>"),
        pause(1),
        send("250 ok"),
        expect("RSET"),
        send("250 ok"),
        *_lockstep(BODY),
    )
    connection = dial.ready
    first = connection.send(ENVELOPE, BODY)
    dial.network.settle()
    first.cancel()
    assert failure_result_of(first).delivery is Delivery.NOT_SENT  # type: ignore[attr-defined]
    assert dial.result_of(connection.send(ENVELOPE, BODY), within=2).accepted
    connection.close()


def test_a_send_cancelled_in_its_body_closes_and_never_ends_the_data() -> None:
    """Row 16: NOT_SENT at once; an earlier message is still answered; a later one is not sent."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        send("250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        pause(2),
        send("250 first"),
        expect_close(),
    )
    connection = dial.ready
    first, second, third = (connection.send(ENVELOPE, BODY) for _ in range(3))
    dial.network.settle()
    second.cancel()
    error = failure_result_of(second)
    assert isinstance(error, SendCancelled)
    assert error.delivery is Delivery.NOT_SENT
    assert dial.result_of(first, within=3).response == "250 first"
    assert failure_result_of(third).delivery is Delivery.NOT_SENT  # type: ignore[attr-defined]
    dial.network.advance(1)
    assert dial.is_over()


def test_a_send_cancelled_behind_its_mark_is_in_doubt() -> None:
    """Row 17: the reply is read and dropped, and the connection lives."""
    dial = Dial(
        *greeted(),
        *_lockstep(BODY)[:-1],
        pause(1),
        send("250 too late"),
        *_lockstep(BODY),
    )
    connection = dial.ready
    sent = connection.send(ENVELOPE, BODY)
    dial.network.settle()
    sent.cancel()
    error = failure_result_of(sent)
    assert isinstance(error, SendCancelled)
    assert error.delivery is Delivery.IN_DOUBT
    assert dial.result_of(connection.send(ENVELOPE, BODY), within=2).accepted
    connection.close()


def test_cancelling_from_a_callback_of_the_same_input_is_too_late() -> None:
    """Two answers in one segment: what the first's callback cancels has its answer already."""
    flight = ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>")
    chunk = (f"BDAT {len(BODY)} LAST", BODY)
    dial = Dial(
        *greeted("PIPELINING", "CHUNKING"),
        expect(*flight, *chunk, "RSET", *flight, *chunk),
        send("250 ok", "250 ok", "250 first", "250 reset", "250 ok", "250 ok", "250 second"),
        chunking="always",
    )
    connection = dial.ready
    first, second = connection.send(ENVELOPE, BODY), connection.send(ENVELOPE, BODY)
    first.addCallback(lambda _: second.cancel())
    dial.network.settle()
    assert success_result_of(second).response == "250 second"
    connection.close()


def test_timeouts_of_callers_cancel_like_anybody() -> None:
    """`addTimeout` sees a `CancelledError` and makes its own error of it."""
    dial = Dial(*greeted(), expect("MAIL FROM:<a@example.org>"))
    sent = dial.ready.send(ENVELOPE, BODY).addTimeout(5, dial.clock)
    dial.network.advance(5)
    assert type(failure_result_of(sent)).__name__ == "TimeoutError"
    dial.ready.close()
    assert dial.is_over()


def test_a_callback_may_send_close_and_quit() -> None:
    """Calls made while an input is being acted on are part of it."""
    dial = Dial(*greeted(*PIPELINING), *delivery(), *delivery(), expect("QUIT"), send("221 bye"))
    connection = dial.ready
    ends: list[Any] = []

    def again(_: object) -> Any:
        sent = connection.send(ENVELOPE, BODY)
        sent.addCallback(lambda _: connection.quit()).addCallback(ends.append)

    connection.send(ENVELOPE, BODY).addCallback(again)
    dial.network.settle()
    assert ends == [None]
    assert dial.is_over()


def test_close_from_a_callback_in_the_middle_of_an_input() -> None:
    """Whatever else the input brought, every Deferred fires once."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        send("250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        send("250 first", "250 ok", "550 no", "503 no recipients"),
    )
    connection = dial.ready
    first, second = connection.send(ENVELOPE, BODY), connection.send(ENVELOPE, BODY)
    first.addCallback(lambda _: connection.close())
    dial.network.settle()
    assert success_result_of(first) is None
    assert isinstance(failure_result_of(second), SMTPError)
    assert dial.is_over()


def _lockstep(body: bytes) -> tuple[Any, ...]:
    return (
        expect("MAIL FROM:<a@example.org>"),
        send("250 ok"),
        expect("RCPT TO:<b@example.net>"),
        send("250 ok"),
        expect("DATA"),
        send("354 go"),
        expect(body + b".\r\n"),
        send("250 queued"),
    )
