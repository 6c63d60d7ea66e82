"""Delivery on a Clock, with a courier that does what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from tests.relay.spool_contract import accept, events, states
from tests.relay.test_sqlite import SQLiteLaboratory
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConnectionLostError, EnvelopeError, SocketError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.streams import MessageSource
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.counters import Counters
from txsmtpconn.relay.delivery import Dispatcher
from txsmtpconn.relay.schedule import Schedule
from txsmtpconn.relay.spool import (
    Doubt,
    Event,
    NewMessage,
    NewRecipient,
    SpoolUnavailableError,
    State,
)
from txsmtpconn.relay.sqlite import SQLiteSpool
from txsmtpconn.testing.results import no_result_of, success_result_of
from txsmtpconn.wire.reply import Reply

OK, LATER, NO = Reply.of(250, "2.0.0 Ok"), Reply.of(450, "4.2.0 Later"), Reply.of(550, "5.1.1 No")


class Sent:
    """One message with the courier."""

    def __init__(self, envelope: Envelope, source: MessageSource) -> None:
        self.envelope = envelope
        self.source = source
        self.answer: Deferred[SendResult] = Deferred(self._cancel)

    @staticmethod
    def _cancel(answer: Deferred[SendResult]) -> None:
        answer.errback(SendCancelled("cancelled"))

    @property
    def addresses(self) -> list[str]:
        return [one.address for one in self.envelope.recipients]

    def read(self) -> bytes:
        """Read the source to its end, fence included."""
        body, octets = self.source.open(), b""
        while True:
            chunk = body.read()
            if isinstance(chunk, Deferred):
                chunk = success_result_of(chunk)
            if not chunk:
                return octets
            octets += chunk

    def reply(self, *replies: Reply) -> None:
        """Answer each recipient."""
        self.answer.callback(
            SendResult(
                tuple(
                    _outcome(address, reply)
                    for address, reply in zip(self.addresses, replies, strict=True)
                ),
                reply=replies[-1],
            )
        )


def _outcome(address: str, reply: Reply) -> RecipientOutcome:
    if reply.is_positive:
        return RecipientOutcome(address, reply, Delivery.ACCEPTED)
    error = EnvelopeError("refused", reply=reply, command="RCPT TO", delivery=Delivery.REJECTED)
    return RecipientOutcome(address, reply, Delivery.REJECTED, error)


class FakeCourier:
    """Keeps what it is given, or fails at once."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.down = False

    def send(self, envelope: Envelope, source: MessageSource) -> Deferred[SendResult]:
        if self.down:
            return fail(SocketError("connection refused", command="CONN"))
        self.sent.append(Sent(envelope, source))
        return self.sent[-1].answer

    def close(self, timeout: float | None = None) -> Deferred[None]:
        return succeed(None)


class Bench:
    """A dispatcher between a spool and a fake courier."""

    def __init__(self, lab: SQLiteLaboratory, **options: Any) -> None:
        given: dict[str, Any] = {
            "spool": "x",
            "upstream": "smtp://x",
            "schedule": Schedule((100.0, 1000.0), lifetime=10_000.0, jitter=0.0),
            "concurrency": 3,
            "lease": 300.0,
        }
        self.lab = lab
        self.spool: SQLiteSpool = lab.start()
        self.courier = FakeCourier()
        self.counters = Counters()
        self.dispatcher = Dispatcher(
            self.spool,
            self.courier,
            RelayOptions(**given | options),
            cast(Any, lab.reactor),
            self.counters,
            chance=lambda: 0.5,
        )

    def accept(self, *addresses: str, body: bytes = b"Subject: x\r\n\r\n") -> str:
        message = accept(self.spool, *addresses, body=body)
        self.dispatcher.wake()
        return message

    @property
    def last(self) -> Sent:
        return self.courier.sent[-1]

    def end(self) -> None:
        success_result_of(self.dispatcher.stop(1.0))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SQLiteLaboratory]:
    """A spool to deliver from."""
    laboratory = SQLiteLaboratory(tmp_path / "spool")
    yield laboratory
    if laboratory.spool is not None:
        success_result_of(laboratory.spool.stop())


@pytest.fixture
def bench(lab: SQLiteLaboratory) -> Bench:
    """A dispatcher that has started."""
    bench = Bench(lab)
    bench.dispatcher.start()
    return bench


def test_message_is_delivered_and_leaves(bench: Bench) -> None:
    """An accepted message goes out at once, and its row goes when 250 has come."""
    message = bench.accept("b@example.net", body=b"octets")
    assert bench.last.addresses == ["b@example.net"]
    assert bench.last.read() == b"octets"
    bench.last.reply(OK)
    assert states(bench.spool, message) == {}
    assert events(bench.spool, message) == [Event.DELIVERED]
    assert bench.counters.delivered == 1
    bench.end()


def test_parameters_travel_with_the_message(bench: Bench) -> None:
    """Notifications, body type, SMTPUTF8 and REQUIRETLS of the original are asked for again."""
    facts = NewMessage(
        "ä@example.org",
        (NewRecipient("b@example.net", b" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@example.net"),),
        b" SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=e+2B1 REQUIRETLS",
    )
    incoming = bench.spool.open(facts)
    incoming.write("Subject: ü\r\n\r\n".encode())
    success_result_of(incoming.commit())
    bench.dispatcher.wake()
    envelope = bench.last.envelope
    assert envelope.mail_from == "ä@example.org"
    assert (envelope.body, envelope.requiretls, envelope.needs_smtputf8) == ("8BITMIME", True, True)
    assert envelope.dsn is not None
    assert (envelope.dsn.ret, envelope.dsn.envid) == ("HDRS", "e+1")
    asked = envelope.rcpt_parameters(envelope.recipients[0])
    assert (asked.notify, asked.orcpt) == (("SUCCESS", "DELAY"), "rfc822;x@example.net")
    assert bench.last.source.smtputf8
    assert bench.last.source.eight_bit
    bench.last.reply(OK)
    bench.end()


def test_mixed_recipients_end_apart(bench: Bench) -> None:
    """250, 450 and 550: the first is never sent again, the second alone is, the third is kept."""
    message = bench.accept("1@example", "2@example", "3@example")
    bench.last.reply(OK, LATER, NO)
    assert states(bench.spool, message) == {
        "1@example": State.DELIVERED,
        "2@example": State.READY,
        "3@example": State.FAILED,
    }
    bench.lab.advance(99)
    assert len(bench.courier.sent) == 1
    bench.lab.advance(1)
    assert bench.last.addresses == ["2@example"]
    bench.last.reply(OK)
    assert states(bench.spool, message)["3@example"] is State.FAILED
    history = success_result_of(bench.spool.why(message))
    assert {(one.recipient, one.detail) for one in history if one.event is Event.FAILED} == {
        ("3@example", "550 5.1.1 No")
    }
    bench.end()


def test_retries_follow_the_schedule_until_the_message_expires(bench: Bench) -> None:
    """100 s, then 1000 s each, and after its lifetime a recipient is given up with the reason."""
    message = bench.accept("b@example")
    moments: list[float] = []
    while states(bench.spool, message)["b@example"] is not State.EXPIRED:
        if len(bench.courier.sent) > len(moments):
            moments.append(bench.lab.reactor.seconds())
            bench.last.reply(LATER)
        bench.lab.advance(50)
    waits = [later - earlier for earlier, later in pairwise(moments)]
    assert waits == [100.0] + [1000.0] * 10
    assert events(bench.spool, message)[-1] is Event.EXPIRED
    assert bench.counters.expired == 1
    bench.end()


def test_no_more_are_under_way_than_may_be(bench: Bench) -> None:
    """Concurrency is bounded, and each end makes room for the next."""
    for number in range(10):
        bench.accept(f"{number}@example")
    assert len(bench.courier.sent) == 3
    bench.courier.sent[0].reply(OK)
    assert len(bench.courier.sent) == 4
    answered = 1
    while answered < len(bench.courier.sent):
        bench.courier.sent[answered].reply(OK)
        answered += 1
    assert bench.counters.delivered == 10
    bench.end()


def test_dead_host_is_left_alone_and_costs_no_attempt(bench: Bench) -> None:
    """One probe at a time, at growing intervals; when the host is back everything flows."""
    bench.courier.down = True
    messages = [bench.accept(f"{number}@example") for number in range(20)]
    failures_at_first = bench.counters.host_failures
    assert failures_at_first <= 3
    bench.lab.reactor.pump([5.0] * 120)
    assert bench.counters.host_failures - failures_at_first < 15
    bench.courier.down = False
    bench.lab.reactor.pump([10.0] * 40)
    assert len(bench.courier.sent) == 1
    bench.last.reply(OK)
    assert len(bench.courier.sent) > 1
    for _ in range(40):
        for sent in list(bench.courier.sent):
            if not sent.answer.called:
                sent.reply(OK)
        bench.lab.advance(100)
    assert bench.counters.delivered == 20
    for message in messages:
        assert states(bench.spool, message) == {}
    bench.end()


def test_doubt_is_retried_counted_and_written_down(bench: Bench) -> None:
    """A reply that never came: sent again, and everybody can see that it may be a duplicate."""
    message = bench.accept("b@example")
    bench.last.answer.errback(ConnectionLostError("lost", delivery=Delivery.IN_DOUBT))
    assert events(bench.spool, message) == [Event.IN_DOUBT]
    assert bench.counters.in_doubt == 1
    bench.lab.advance(100)
    bench.last.reply(OK)
    assert events(bench.spool, message) == [Event.IN_DOUBT, Event.DELIVERED]
    bench.end()


def test_doubt_is_held_where_the_policy_says_so(lab: SQLiteLaboratory) -> None:
    """The mail waits for the operator, and is not sent again by itself."""
    bench = Bench(lab, in_doubt=Doubt.HOLD)
    bench.dispatcher.start()
    message = bench.accept("b@example")
    bench.last.answer.errback(ConnectionLostError("lost", delivery=Delivery.IN_DOUBT))
    assert states(bench.spool, message) == {"b@example": State.HELD}
    lab.reactor.pump([100.0] * 100)
    assert len(bench.courier.sent) == 1
    bench.end()


def test_mail_is_marked_with_its_claim_while_the_host_answers(bench: Bench) -> None:
    """That saves a commit; where the host is down, it would make doubt of mail that never left."""

    def accepted(state: State) -> str:
        message = bench.accept("b@example", body=b"octets")
        assert states(bench.spool, message) == {"b@example": state}
        assert bench.last.source.whole == (b"octets" if state is State.COMMITTING else None)
        return message

    # Nothing was heard of it yet.
    accepted(State.LEASED)
    bench.last.reply(NO)
    accepted(State.COMMITTING)
    bench.last.reply(OK)
    down = accepted(State.COMMITTING)
    bench.last.answer.errback(SocketError("connection refused", command="CONN"))
    bench.lab.reactor.advance(10)
    # The probe.
    assert states(bench.spool, down) == {"b@example": State.LEASED}
    bench.last.reply(OK)
    accepted(State.COMMITTING)
    bench.last.reply(OK)
    bench.end()


def test_fence_marks_before_the_end_of_data(lab: SQLiteLaboratory) -> None:
    """With doubt held, COMMITTING is on disk when the source says that it has ended, not before."""
    bench = Bench(lab, in_doubt=Doubt.HOLD)
    bench.dispatcher.start()
    message = bench.accept("b@example", body=b"octets")
    assert bench.last.source.whole is None
    assert states(bench.spool, message) == {"b@example": State.LEASED}
    assert bench.last.read() == b"octets"
    assert states(bench.spool, message) == {"b@example": State.COMMITTING}
    assert bench.last.read() == b"octets"
    bench.last.reply(OK)
    assert states(bench.spool, message) == {}
    bench.end()


def test_lost_lease_stops_the_end_of_data(lab: SQLiteLaboratory) -> None:
    """Another has the recipients: the source fails at its end, and nothing is recorded."""
    bench = Bench(lab, in_doubt=Doubt.HOLD)
    bench.dispatcher.start()
    message = bench.accept("b@example", body=b"octets")
    success_result_of(bench.spool._run(_take_over))
    reading = bench.last.source.open()
    assert reading.read() == b"octets"
    end = reading.read()
    assert isinstance(end, Deferred)
    failures: list[Any] = []
    end.addErrback(failures.append)
    bench.last.answer.errback(failures[0])
    assert bench.counters.fenced == 1
    assert events(bench.spool, message) == []
    assert states(bench.spool, message) == {"b@example": State.LEASED}
    bench.end()


def _take_over(db: Any) -> None:
    db.execute("UPDATE recipient SET token = token + 1, owner = 'another'")


def test_late_result_is_fenced(bench: Bench) -> None:
    """A result that comes after the lease was lost changes nothing, and is counted."""
    message = bench.accept("b@example")
    success_result_of(bench.spool._run(_take_over))
    bench.last.reply(NO)
    assert bench.counters.fenced == 1
    assert states(bench.spool, message)["b@example"] is State.LEASED
    bench.end()


def test_leases_are_renewed_while_a_delivery_is_slow(bench: Bench) -> None:
    """A delivery that takes longer than a lease keeps it."""
    bench.accept("b@example")
    bench.lab.reactor.pump([50.0] * 20)
    assert success_result_of(bench.spool.recover()).in_doubt == ()
    bench.last.reply(OK)
    assert bench.counters.fenced == 0
    bench.end()


def test_unrenewable_leases_stop_what_can_be_stopped(bench: Bench) -> None:
    """When the spool does not renew, deliveries are cancelled before others may take them."""
    bench.accept("b@example")

    def failing(lease: float) -> Deferred[int]:
        return fail(SpoolUnavailableError("gone"))

    renew, bench.spool.renew = bench.spool.renew, failing  # type: ignore[method-assign]
    first = bench.last
    bench.lab.reactor.pump([100.0] * 4)
    assert first.answer.called
    assert bench.dispatcher.under_way == 0
    bench.spool.renew = renew  # type: ignore[method-assign]
    bench.lab.advance(100)
    bench.last.reply(OK)
    bench.end()


def test_result_that_cannot_be_written_is_kept_and_written_later(bench: Bench) -> None:
    """A full disk between reply and record does not turn delivered mail into a duplicate."""
    message = bench.accept("b@example")
    record = bench.spool.record
    bench.spool.record = lambda *_: fail(SpoolUnavailableError("disk"))  # type: ignore[method-assign]
    bench.last.reply(OK)
    bench.lab.reactor.pump([1.0] * 20)
    assert bench.dispatcher.under_way == 1
    bench.spool.record = record  # type: ignore[method-assign]
    bench.lab.advance(30)
    assert states(bench.spool, message) == {}
    assert len(bench.courier.sent) == 1
    bench.end()


def test_spool_that_fails_is_asked_again(bench: Bench) -> None:
    """A claim that fails is no end of the relay."""
    claim = bench.spool.claim
    bench.spool.claim = lambda *_, **__: fail(SpoolUnavailableError("busy"))  # type: ignore[method-assign]
    bench.accept("b@example")
    bench.lab.reactor.pump([1.0] * 10)
    assert bench.courier.sent == []
    bench.spool.claim = claim  # type: ignore[method-assign]
    bench.lab.advance(30)
    bench.last.reply(OK)
    bench.end()


def test_corrupt_stream_is_set_aside(bench: Bench) -> None:
    """A large message that does not read back is quarantined, never ended as if it were whole."""
    bench.dispatcher._stopping = True
    message = accept(bench.spool, "b@example", body=b"x" * 300_000)
    bench.lab.corrupt_body(message)
    bench.dispatcher._stopping = False
    bench.dispatcher.wake()
    reading = bench.last.source.open()
    failures: list[Any] = []
    while not failures:
        chunk = reading.read()
        if isinstance(chunk, Deferred):
            chunk.addErrback(failures.append)
    bench.last.answer.errback(failures[0])
    assert states(bench.spool, message) == {"b@example": State.QUARANTINED}
    assert bench.counters.quarantined == 1
    bench.end()


def test_unreadable_parameters_are_set_aside(bench: Bench) -> None:
    """A message whose envelope nobody can read does not stop the others."""
    incoming = bench.spool.open(NewMessage("a@x.example", (NewRecipient("b@x.example"),), b" ?"))
    bad = success_result_of(incoming.commit())
    bench.dispatcher.wake()
    good = bench.accept("b@example")
    assert states(bench.spool, bad) == {"b@x.example": State.QUARANTINED}
    bench.last.reply(OK)
    assert states(bench.spool, good) == {}
    bench.end()


def test_courier_that_breaks_is_doubt(bench: Bench, logged_failures: list[object]) -> None:
    """An exception of ours while sending is logged, and the mail is tried again with an entry."""
    message = bench.accept("b@example")
    bench.last.answer.errback(ZeroDivisionError("a fault"))
    assert events(bench.spool, message) == [Event.IN_DOUBT]
    assert len(logged_failures) == 1
    logged_failures.clear()
    bench.end()


def test_stop_waits_for_what_is_under_way(bench: Bench) -> None:
    """Nothing new is begun; what ends in time is recorded."""
    message = bench.accept("b@example")
    stopped = bench.dispatcher.stop(20.0)
    waiting = bench.accept("c@example")
    no_result_of(stopped)
    bench.last.reply(OK)
    success_result_of(stopped)
    assert states(bench.spool, message) == {}
    assert states(bench.spool, waiting) == {"c@example": State.READY}
    assert len(bench.courier.sent) == 1


def test_stop_cancels_what_takes_too_long(bench: Bench) -> None:
    """After its time a delivery is cancelled; before its mark that is no doubt, and it is due."""
    message = bench.accept("b@example")
    stopped = bench.dispatcher.stop(20.0)
    bench.lab.advance(20)
    success_result_of(stopped)
    assert states(bench.spool, message) == {"b@example": State.READY}
    bench.lab.crash()
    bench.lab.start()
    assert bench.lab.recovery().in_doubt == ()


def test_stop_during_a_claim_gives_it_back(lab: SQLiteLaboratory) -> None:
    """A claim that comes when the relay stops is not begun, and not in doubt afterwards."""
    bench = Bench(lab)
    message = accept(bench.spool, "b@example")
    threads: Any = bench.spool._pools[0].threadpool
    threads.gated = True
    bench.dispatcher.start()
    stopped = bench.dispatcher.stop(20.0)
    no_result_of(stopped)
    threads.gated = False
    threads.step()
    success_result_of(stopped)
    assert bench.courier.sent == []
    assert states(bench.spool, message) == {"b@example": State.READY}
