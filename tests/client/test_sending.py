"""One `send()`: streamed bodies, failing sources, split messages, LMTP, the withheld mark."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.client.dial import BODY, ENVELOPE, PIPELINING, TWO, Dial, delivery, greeted
from txsmtpconn import (
    Delivery,
    Envelope,
    EnvelopeError,
    MessageError,
    PoolError,
    SendCancelled,
    SMTPError,
    StreamError,
)
from txsmtpconn.testing import failure_result_of, no_result_of, success_result_of
from txsmtpconn.testing.script import (
    expect,
    expect_close,
    expect_data,
    expect_silence,
    pause,
    send,
)

BIG = b"".join(b"%08d: all work and no play\r\n" % number for number in range(20_000))
THREE = Envelope("a@example.org", ["b@x.test", "c@x.test", "d@x.test"])
FLIGHT = ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA")


def streamed(body: bytes) -> tuple[Any, ...]:
    """The steps of a pipelining server that takes one streamed message."""
    return (
        expect(*FLIGHT),
        send("250 ok", "250 ok", "354 go"),
        expect(body + b".\r\n"),
        send("250 queued"),
    )


def numbered() -> Iterator[bytes]:
    """`BIG` in pieces of no particular size, some of them empty."""
    for start in range(0, len(BIG), 7001):
        yield BIG[start : start + 7001]
        yield b""


# -- sources


@pytest.mark.parametrize(
    "message",
    [
        BIG,
        bytearray(BIG),
        memoryview(BIG),
        BIG.decode(),
        list(numbered()),
        numbered(),
        io.BytesIO(BIG),
    ],
    ids=["bytes", "bytearray", "memoryview", "str", "list", "generator", "file"],
)
def test_a_big_message_of_any_kind_arrives_as_it_is(message: Any) -> None:
    """Streamed through back-pressure, octet by octet the same."""
    dial = Dial(*greeted(*PIPELINING), *streamed(BIG))
    result = dial.result_of(dial.ready.send(ENVELOPE, message))
    assert result.message_size == len(BIG) + 3
    assert dial.network.links[0].client.most_buffered < 3 * 65536
    dial.ready.close()


def test_lines_of_an_iterable_leave_in_one_write() -> None:
    """Small pieces are gathered: no write for each line."""
    dial = Dial(*greeted(*PIPELINING), *streamed(BODY))
    connection = dial.ready
    transport = dial.network.links[0].client
    writes: list[bytes] = []
    write = transport.write
    transport.write = lambda data: (writes.append(data), write(data))  # type: ignore[method-assign]
    assert dial.result_of(connection.send(ENVELOPE, BODY.splitlines(keepends=True))).accepted
    assert len(writes) <= 3
    connection.close()


def test_a_slow_async_source_is_waited_for() -> None:
    """The next chunk is asked for when the last was taken, and nothing is sent meanwhile."""
    waits: list[Deferred[bytes]] = []

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            waits.append(Deferred())
            yield await waits[-1]

    dial = Dial(*greeted(*PIPELINING), expect_silence(1), *streamed(b"one\r\ntwo\r\nthree\r\n"))
    connection = dial.ready
    sent = connection.send(ENVELOPE, chunks())
    dial.network.advance(1)
    for number, chunk in enumerate((b"one\r\n", b"two\r\n", b"three\r\n")):
        assert len(waits) == number + 1
        waits[number].callback(chunk)
        dial.network.settle()
    assert success_result_of(sent).accepted
    connection.close()


def test_an_async_source_that_never_waits_does_not_recurse() -> None:
    """A thousand and more chunks that are there at once."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3000):
            yield b"x\r\n"

    dial = Dial(*greeted(*PIPELINING), *streamed(b"x\r\n" * 3000))
    assert dial.result_of(dial.ready.send(ENVELOPE, chunks())).accepted
    dial.ready.close()


def test_an_empty_source_is_found_before_mail() -> None:
    """Its first chunk is read ahead; the server hears nothing."""

    async def nothing() -> AsyncIterator[bytes]:
        for chunk in ():
            yield chunk

    dial = Dial(*greeted(*PIPELINING), expect_silence(1), *delivery())
    connection = dial.ready
    for message in (nothing(), iter(()), io.BytesIO(b""), lambda: io.BytesIO(b"")):
        error = dial.failure_of(connection.send(ENVELOPE, message))
        assert isinstance(error, MessageError)
        assert error.command == "API"
    dial.network.advance(1)
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


def test_what_is_sent_behind_a_slow_source_keeps_its_place() -> None:
    """A message whose first chunk is awaited holds the turn of those behind it."""
    first_chunk: Deferred[bytes] = Deferred()

    async def chunks() -> AsyncIterator[bytes]:
        yield await first_chunk

    dial = Dial(*greeted(*PIPELINING), expect_silence(1), *streamed(b"one\r\n"), *delivery())
    connection = dial.ready
    one, two = connection.send(ENVELOPE, chunks()), connection.send(ENVELOPE, BODY)
    dial.network.advance(1)
    first_chunk.callback(b"one\r\n")
    assert dial.result_of(one).accepted
    assert dial.result_of(two).accepted
    connection.close()


def test_a_wait_for_the_first_chunk_can_be_cancelled() -> None:
    """The source is closed, and what stands behind goes on."""
    cancelled: list[object] = []
    first_chunk: Deferred[bytes] = Deferred(cancelled.append)

    async def chunks() -> AsyncIterator[bytes]:
        yield await first_chunk

    dial = Dial(*greeted(*PIPELINING), *delivery())
    connection = dial.ready
    one, two = connection.send(ENVELOPE, chunks()), connection.send(ENVELOPE, BODY)
    one.cancel()
    assert isinstance(failure_result_of(one), SendCancelled)
    assert cancelled == [first_chunk]
    assert dial.result_of(two).accepted
    connection.close()


@pytest.mark.parametrize("offers", [PIPELINING, ("PIPELINING", "CHUNKING")], ids=["DATA", "BDAT"])
def test_a_source_that_fails_never_completes_its_message(offers: tuple[str, ...]) -> None:
    """A23: ESTREAM with the cause chained; BDAT keeps the connection, DATA must close it."""

    def breaking() -> Iterator[bytes]:
        yield b"x" * 70_000
        raise OSError("the disk is gone")

    chunked = "CHUNKING" in offers
    after: tuple[Any, ...]
    if chunked:
        steps: tuple[Any, ...] = (expect(*FLIGHT[:2]), send("250 ok", "250 ok"))
        after = (
            expect(b"BDAT 65536\r\n" + b"x" * 65536 + b"BDAT 4464\r\n" + b"x" * 4464),
            expect("RSET"),
        )
    else:
        steps = (expect(*FLIGHT), send("250 ok", "250 ok", "354 go"))
        after = (expect(b"x" * 65536), expect_close())
    dial = Dial(*greeted(*offers), *steps, *after, chunking="always")
    connection = dial.ready
    error = dial.failure_of(connection.send(ENVELOPE, breaking()))
    assert isinstance(error, StreamError)
    assert error.code == "ESTREAM"
    assert isinstance(error.__cause__, OSError)
    assert error.delivery is Delivery.NOT_SENT
    assert "disk" not in str(error)
    if not chunked:
        assert dial.is_over()
    connection.close()


def test_a_source_that_fails_at_once_costs_nothing() -> None:
    """Nothing was sent, and the next message goes."""

    def broken() -> Iterator[bytes]:
        raise OSError("no such disk")
        yield b""

    def unopenable() -> Any:
        raise PermissionError("not yours")

    dial = Dial(*greeted(*PIPELINING), expect_silence(1), *delivery())
    connection = dial.ready
    for message in (broken(), unopenable, lambda: 42, [b"x", 42], ["text"]):
        error = dial.failure_of(connection.send(ENVELOPE, message))
        assert isinstance(error, StreamError)
        assert error.delivery is Delivery.NOT_SENT
    dial.network.advance(1)
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


def test_a_file_of_ours_is_closed_once_and_a_callers_never(tmp_path: Path) -> None:
    """What a callable opened is ours; what was given open is not."""
    path = tmp_path / "message.eml"
    path.write_bytes(BIG)
    opened: list[_CountingFile] = []

    def reopen() -> _CountingFile:
        opened.append(_CountingFile(path))
        return opened[-1]

    dial = Dial(*greeted(*PIPELINING), *streamed(BIG), *streamed(BIG))
    connection = dial.ready
    assert dial.result_of(connection.send(ENVELOPE, reopen)).accepted
    assert [file.closes for file in opened] == [1]
    with path.open("rb") as file:
        assert dial.result_of(connection.send(ENVELOPE, file)).accepted
        assert not file.closed
    connection.close()


def test_a_file_of_ours_is_closed_when_the_connection_dies(tmp_path: Path) -> None:
    """No handle outlives its message."""
    path = tmp_path / "message.eml"
    path.write_bytes(BIG)
    opened: list[_CountingFile] = []

    def reopen() -> _CountingFile:
        opened.append(_CountingFile(path))
        return opened[-1]

    dial = Dial(
        *greeted(*PIPELINING), expect(*FLIGHT), send("250 ok", "550 no", "354 go"), interrupted=True
    )
    connection = dial.ready
    sent = connection.send(ENVELOPE, reopen)
    dial.network.settle()
    connection.close()
    failure_result_of(sent)
    assert [file.closes for file in opened] == [1]


def test_an_early_refusal_stops_the_source() -> None:
    """A 552 in the middle of the data is taken as the answer, and no more is pulled."""
    pulled: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            pulled.append(number)
            yield b"x" * 65536

    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        send("250 ok", "250 ok", "354 go"),
        expect(b"x" * 65536),
        send("552 5.3.4 too big"),
        pause(100),
        interrupted=True,
    )
    error = dial.failure_of(dial.ready.send(ENVELOPE, chunks()))
    assert isinstance(error, MessageError)
    assert error.response_code == 552
    assert error.delivery is Delivery.REJECTED
    assert len(pulled) < 20
    assert dial.is_over()


def test_a_message_that_is_known_to_be_too_big_is_not_sent() -> None:
    """C37: SIZE is checked before MAIL."""
    dial = Dial(*greeted("PIPELINING", "SIZE 5"), expect_silence(1))
    error = dial.failure_of(dial.ready.send(ENVELOPE, BODY), within=1)
    assert isinstance(error, MessageError)
    assert error.command == "MAIL FROM"
    assert error.reply is None
    dial.ready.close()


def test_a_stream_that_outgrows_the_limit_is_broken_off() -> None:
    """A24: never a complete message beyond the server's SIZE."""
    dial = Dial(
        *greeted("PIPELINING", "SIZE 70000"),
        expect(*FLIGHT),
        send("250 ok", "250 ok", "354 go"),
        expect_close(),
        interrupted=True,
    )
    error = dial.failure_of(dial.ready.send(ENVELOPE, iter([b"x" * 65536] * 3)))
    assert isinstance(error, MessageError)
    assert error.delivery is Delivery.NOT_SENT
    assert not dial.peer.received.endswith(b"\r\n.\r\n")
    assert dial.is_over()


def test_an_email_message_brings_its_smtputf8_with_it() -> None:
    """UTF-8 header fields need the extension though the envelope is ASCII."""
    message = EmailMessage()
    message["From"] = "jörg@example.org"
    message["Subject"] = "hello"
    message.set_content("hi")
    dial = Dial(
        *greeted("PIPELINING", "SMTPUTF8", "8BITMIME"),
        expect("MAIL FROM:<a@example.org> SMTPUTF8 BODY=8BITMIME", *FLIGHT[1:]),
        send("250 ok", "250 ok", "354 go"),
        expect_data(),
        send("250 ok"),
    )
    assert dial.result_of(dial.ready.send(ENVELOPE, message)).accepted
    assert "From: jörg@example.org".encode() in dial.peer.received
    dial.ready.close()
    dial = Dial(*greeted("PIPELINING", "8BITMIME"), expect_silence(1))
    error = dial.failure_of(dial.ready.send(ENVELOPE, message), within=1)
    assert isinstance(error, EnvelopeError)
    dial.ready.close()


def test_the_result_tells_how_long_it_took() -> None:
    """Seconds from MAIL to the go-ahead, and from there to the last reply."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        pause(2),
        send("250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n"),
        pause(5),
        send("250 queued"),
    )
    result = dial.result_of(dial.ready.send(ENVELOPE, BODY), within=10)
    assert result.envelope_time == pytest.approx(2)
    assert result.message_time == pytest.approx(5)
    dial.ready.close()


# -- more than one transaction


def three_transactions(most: int, *counts: int) -> tuple[Any, ...]:
    """The steps of a server that says RCPTMAX and takes the message in parts."""
    names = iter(recipient.address for recipient in THREE.recipients)
    steps: list[Any] = [*greeted("PIPELINING", f"LIMITS RCPTMAX={most}")]
    for number, count in enumerate(counts):
        part = [f"RCPT TO:<{next(names)}>" for _ in range(count)]
        steps += [
            expect(FLIGHT[0], *part, "DATA"),
            send("250 ok", *["250 ok"] * count, "354 go"),
            expect(BODY + b".\r\n"),
            send(f"250 part {number}"),
        ]
    return tuple(steps)


def test_rcptmax_splits_a_message() -> None:
    """RFC 9422: parts of that size, one result with everybody in place."""
    dial = Dial(*three_transactions(2, 2, 1))
    result = dial.result_of(dial.ready.send(THREE, BODY))
    assert result.accepted == ["b@x.test", "c@x.test", "d@x.test"]
    assert [str(each.reply) for each in result.recipients] == ["250 part 0"] * 2 + ["250 part 1"]
    assert result.response == "250 part 1"
    dial.ready.close()


def test_too_many_recipients_is_answered_by_another_transaction() -> None:
    """C39: of three recipients one was accepted: the rest goes in a transaction of its own."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(FLIGHT[0], *[f"RCPT TO:<{each}@x.test>" for each in "bcd"], "DATA"),
        send("250 ok", "250 ok", "452 4.5.3 too many", "552 5.5.3 too many", "354 go"),
        expect(BODY + b".\r\n"),
        send("250 first"),
        expect(FLIGHT[0], "RCPT TO:<c@x.test>", "RCPT TO:<d@x.test>", "DATA"),
        send("250 ok", "250 ok", "550 5.1.1 nobody", "354 go"),
        expect(BODY + b".\r\n"),
        send("250 second"),
    )
    result = dial.result_of(dial.ready.send(THREE, BODY))
    assert result.accepted == ["b@x.test", "c@x.test"]
    assert result.rejected == ["d@x.test"]
    assert result.rejected_errors[0].response_code == 550
    dial.ready.close()


def test_how_many_recipients_fit_is_learnt() -> None:
    """A server that took 120 of 400 is asked to take 120 each time, and the 40 that are left."""
    names = [f"{number}@x.test" for number in range(400)]
    steps: list[Any] = list(greeted(*PIPELINING))
    left = names
    while left:
        asked = left if left is names else left[:120]
        fits = len(asked[:120])
        steps += [
            expect(FLIGHT[0], *[f"RCPT TO:<{name}>" for name in asked], "DATA"),
            send("250 ok", *["250 ok"] * fits, *["452 4.5.3 no more"] * (len(asked) - fits)),
            send("354 go"),
            expect(BODY + b".\r\n"),
            send("250 ok"),
        ]
        left = left[120:]
    dial = Dial(*steps)
    envelope = Envelope("a@example.org", names)
    assert dial.result_of(dial.ready.send(envelope, BODY)).accepted == names
    dial.ready.close()


def test_a_full_mailbox_is_no_reason_for_another_transaction() -> None:
    """452 4.2.2 means this recipient, not their number."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(FLIGHT[0], "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>", "DATA"),
        send("250 ok", "250 ok", "452 4.2.2 mailbox full", "354 go"),
        expect_data(),
        send("250 ok"),
        expect_silence(5),
    )
    result = dial.result_of(dial.ready.send(TWO, BODY))
    assert result.rejected == ["c@example.net"]
    dial.network.advance(5)
    dial.ready.close()


def test_no_progress_ends_the_splitting() -> None:
    """A server that says "too many" to the first recipient is not asked again."""
    dial = Dial(
        *greeted(*PIPELINING),
        expect(FLIGHT[0], "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>", "DATA"),
        send("250 ok", "452 too many", "452 too many", "503 no recipients"),
        expect_silence(5),
    )
    error = dial.failure_of(dial.ready.send(TWO, BODY), within=5)
    assert error.rejected == ["b@example.net", "c@example.net"]
    assert error.is_transient
    dial.ready.close()


@pytest.mark.parametrize("message", [lambda: io.BytesIO(BODY), io.BytesIO(BODY), BODY])
def test_a_part_that_nobody_wanted_leaves_nothing_behind(message: Any) -> None:
    """What was read for it is not sent again in front of the next one."""
    dial = Dial(
        *greeted("PIPELINING", "LIMITS RCPTMAX=2"),
        expect(FLIGHT[0], "RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>", "DATA"),
        send("250 ok", "550 no", "550 no", "554 nobody"),
        expect("RSET", FLIGHT[0], "RCPT TO:<d@x.test>", "DATA"),
        send("250 ok", "250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n"),
        send("250 taken"),
    )
    result = dial.result_of(dial.ready.send(THREE, message))
    assert result.accepted == ["d@x.test"]
    dial.ready.close()


def test_a_message_that_can_be_read_once_reports_whom_it_left_over() -> None:
    """The first part is sent; the others are NOT_SENT and may be tried again."""
    dial = Dial(*three_transactions(2, 2))
    result = dial.result_of(dial.ready.send(THREE, iter([BODY])))
    assert result.accepted == ["b@x.test", "c@x.test"]
    assert result.not_sent == ["d@x.test"]
    error = result.recipients[2].error
    assert isinstance(error, StreamError)
    assert error.is_transient
    dial.ready.close()


def test_a_connection_lost_between_the_parts_keeps_what_was_accepted() -> None:
    """The union of the transactions: accepted stays accepted, the rest is NOT_SENT."""
    dial = Dial(*three_transactions(2, 2), pause(100), interrupted=True)
    connection = dial.ready
    sent = connection.send(THREE, BODY)
    dial.network.settle()
    no_result_of(sent)
    connection.close()
    result = success_result_of(sent)
    assert result.accepted == ["b@x.test", "c@x.test"]
    assert result.not_sent == ["d@x.test"]


def test_cancelling_a_split_message_stops_it() -> None:
    """SendCancelled, and its recipients say who was served."""
    dial = Dial(*three_transactions(1, 1), pause(100), interrupted=True)
    connection = dial.ready
    sent = connection.send(THREE, BODY)
    dial.network.settle()
    sent.cancel()
    error = failure_result_of(sent)
    assert isinstance(error, SendCancelled)
    assert [each.delivery for each in error.recipients] == [
        Delivery.ACCEPTED,
        Delivery.NOT_SENT,
        Delivery.NOT_SENT,
    ]
    connection.close()


def test_mailmax_is_obeyed() -> None:
    """RFC 9422: the message after the last one is a PoolError, and the server does not see it."""
    dial = Dial(*greeted("PIPELINING", "LIMITS MAILMAX=1"), *delivery(), expect_silence(1))
    connection = dial.ready
    first, second = connection.send(ENVELOPE, BODY), connection.send(ENVELOPE, BODY)
    error = dial.failure_of(second, within=1)
    assert isinstance(error, PoolError)
    assert error.code == "EMAXLIMIT"
    assert error.delivery is Delivery.NOT_SENT
    assert success_result_of(first).accepted
    connection.close()


def test_prdr_fails_where_nobody_was_accepted() -> None:
    """Unlike LMTP: it is SMTP, whose callers take a result for a delivery."""
    dial = Dial(
        *greeted("PIPELINING", "PRDR"),
        expect(FLIGHT[0] + " PRDR", "RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>", "DATA"),
        send("250 ok", "250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n"),
        send("353 each", "550 not b", "550 not c", "550 nobody"),
    )
    envelope = Envelope("a@example.org", ["b@x.test", "c@x.test"], prdr=True)
    error = dial.failure_of(dial.ready.send(envelope, BODY))
    assert error.rejected == ["b@x.test", "c@x.test"]
    dial.ready.close()


# -- LMTP


def lmtp(*finals: str) -> Dial:
    """A connection to an LMTP server that accepts both recipients and gives these final replies."""
    return Dial(
        *greeted("PIPELINING", verb="LHLO"),
        expect(FLIGHT[0], "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>", "DATA"),
        send("250 ok", "250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n"),
        send(*finals),
        interrupted=True,
        lmtp=True,
    )


def test_lmtp_answers_for_each_recipient() -> None:
    """C54: one reply each, in order."""
    dial = lmtp("250 for b", "452 4.2.2 c is full")
    result = dial.result_of(dial.ready.send(TWO, BODY))
    assert result.accepted == ["b@example.net"]
    assert result.rejected == ["c@example.net"]
    assert result.rejected_errors[0].code == "EMESSAGE"
    assert result.response == "452 4.2.2 c is full"
    dial.ready.close()


def test_lmtp_succeeds_though_every_final_reply_is_a_refusal() -> None:
    """As smtp-connection documents it: the caller reads `rejected`."""
    dial = lmtp("550 not b", "550 not c")
    result = dial.result_of(dial.ready.send(TWO, BODY))
    assert result.accepted == []
    assert result.rejected == ["b@example.net", "c@example.net"]
    dial.ready.close()


def test_lmtp_fails_where_no_recipient_is_accepted() -> None:
    """Then no chunk is sent: RFC 2033 section 4.3 would leave it without a reply."""
    dial = Dial(
        *greeted("PIPELINING", "CHUNKING", verb="LHLO"),
        expect(FLIGHT[0], "RCPT TO:<b@example.net>"),
        send("450 not you", "503 no MAIL"),
        expect_silence(1),
        interrupted=True,
        lmtp=True,
        chunking="always",
    )
    error = dial.failure_of(dial.ready.send(ENVELOPE, BODY))
    assert (error.code, error.response_code) == ("EENVELOPE", 450)
    dial.ready.close()


def test_lmtp_succeeds_though_the_last_transaction_has_no_final_reply() -> None:
    """One of several did answer a recipient at the end."""
    dial = Dial(
        *greeted("PIPELINING", "LIMITS RCPTMAX=2", verb="LHLO"),
        expect(FLIGHT[0], "RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>", "DATA"),
        send("250 ok", "250 ok", "250 ok", "354 go"),
        expect(BODY + b".\r\n"),
        send("550 not b", "550 not c"),
        expect(FLIGHT[0], "RCPT TO:<d@x.test>", "DATA"),
        send("250 ok", "550 no d", "503 nobody"),
        interrupted=True,
        lmtp=True,
    )
    result = dial.result_of(dial.ready.send(THREE, BODY))
    assert result.rejected == ["b@x.test", "c@x.test", "d@x.test"]
    dial.ready.close()


def test_an_lmtp_reply_that_never_came_is_in_doubt() -> None:
    """C51: the first recipient's reply counts, the second's delivery is unknown."""
    dial = lmtp("250 for b")
    connection = dial.ready
    sent = connection.send(TWO, BODY)
    dial.network.settle()
    connection.close()
    result = success_result_of(sent)
    assert result.accepted == ["b@example.net"]
    assert result.in_doubt == ["c@example.net"]
    dial = lmtp("550 not b")
    connection = dial.ready
    sent = connection.send(TWO, BODY)
    dial.network.settle()
    connection.close()
    assert failure_result_of(sent).delivery is Delivery.IN_DOUBT  # type: ignore[attr-defined]


# -- the end mark, when somebody else decides


@pytest.mark.parametrize("message", [BODY, [BODY]], ids=["whole", "streamed"])
def test_the_mark_waits_for_its_release(message: Any) -> None:
    """`before_mark` is asked when all the rest has left; the dot follows its Deferred."""
    asked: list[Deferred[None]] = []

    def before_mark() -> Deferred[None]:
        asked.append(Deferred())
        return asked[-1]

    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        send("250 ok", "250 ok", "354 go"),
        pause(1),
        expect(BODY + b".\r\n"),
        send("250 queued"),
    )
    connection = dial.ready
    sent = connection.send(ENVELOPE, message, before_mark=before_mark)
    dial.network.advance(1)
    assert len(asked) == 1
    assert not dial.peer.received.endswith(b".\r\n")
    asked[0].callback(None)
    assert dial.result_of(sent).accepted
    connection.close()


def test_a_withheld_mark_is_never_sent() -> None:
    """NOT_SENT with the reason chained, and the connection closes without a dot."""

    def before_mark() -> Deferred[None]:
        raise RuntimeError("the lease is lost")

    dial = Dial(
        *greeted(*PIPELINING),
        expect(*FLIGHT),
        send("250 ok", "250 ok", "354 go"),
        expect_close(),
        interrupted=True,
    )
    error = dial.failure_of(dial.ready.send(ENVELOPE, BODY, before_mark=before_mark))
    assert isinstance(error, SMTPError)
    assert isinstance(error.__cause__, RuntimeError)
    assert error.delivery is Delivery.NOT_SENT
    assert not dial.peer.received.endswith(b"\r\n.\r\n")
    assert dial.is_over()


class _CountingFile(io.FileIO):
    """A file that counts how often it is closed."""

    closes = 0

    def close(self) -> None:
        if not self.closed:
            self.closes += 1
        super().close()
