"""A pool among connections that open, refuse, answer, die and fall silent as they please.

Whatever they do: never is a message on two connections at once, never does anybody get it twice,
never is it lost without a word; who sent it hears of it, once, and what he hears is true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import (
    AuthenticationError,
    ConnectionLostError,
    EnvelopeError,
    SMTPError,
    SocketError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult, overall
from txsmtpconn.transport import Pool, PoolOptions
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.reply import Reply

OFFERS = [
    Extensions(),
    Extensions({"LIMITS": ("RCPTMAX=2",)}),
    Extensions({"LIMITS": ("RCPTDOMAINMAX=1", "MAILMAX=3")}),
]
LOST = ConnectionLostError("lost")
PROBE_AFTER = 3.0


@dataclass
class Sent:
    """A message as its sender knows it."""

    serial: int
    envelope: Envelope
    kind: str
    at: float
    cancelled: bool = False
    deferred: Any = None
    answers: list[Any] = field(default_factory=list)


@dataclass
class Sending:
    """A transaction on a connection."""

    envelope: Envelope
    deferred: Deferred[SendResult]
    cancelled: bool = False


class Connection:
    """A server and the way to it, as the test plays them."""

    def __init__(self, world: PoolMachine, extensions: Extensions) -> None:
        self.extensions = extensions
        self.world = world
        self.begun = 0
        self.under_way: list[Sending] = []
        self.closed: Deferred[None] = Deferred()
        self.probe: Deferred[None] | None = None
        self.leaving = self.dead = False
        self.heard_at = world.clock.seconds()

    def send(self, envelope: Envelope, message: object) -> Deferred[SendResult]:
        assert not self.leaving, "given to a connection that was quit"
        assert self.probe is None, "given to a connection that owes a sign of life"
        silence = self.world.clock.seconds() - self.heard_at
        assert self.under_way or self.dead or silence < PROBE_AFTER, "given to one that may be dead"
        self.begun += 1
        self.world.begins(envelope, self)
        sending = Sending(envelope, Deferred(lambda _: self.cancel(sending)))
        self.under_way.append(sending)
        if self.dead:
            self.end(sending, self.outcomes(envelope, [Delivery.NOT_SENT], LOST))
        return sending.deferred

    def cancel(self, sending: Sending) -> None:
        # Every other one was too late.
        delivery = Delivery.IN_DOUBT if self.begun % 2 else Delivery.NOT_SENT
        sending.cancelled = True
        self.end(sending, self.outcomes(sending.envelope, [delivery], SendCancelled("cancelled")))

    def when_closed(self) -> Deferred[None]:
        return self.closed

    def noop(self) -> Deferred[None]:
        assert not self.under_way
        assert self.probe is None
        self.probe = Deferred()
        return self.probe

    def show_life(self) -> None:
        """Answer a probe."""
        probe, self.probe = self.probe, None
        self.heard_at = self.world.clock.seconds()
        assert probe is not None
        probe.callback(None)

    def quit(self) -> Deferred[None]:
        assert not self.under_way, "quit while it has messages"
        self.leaving = True
        return Deferred()

    def close(self) -> None:
        self.die([Delivery.NOT_SENT])

    def outcomes(
        self, envelope: Envelope, deliveries: Sequence[Delivery], error: SMTPError
    ) -> list[RecipientOutcome]:
        found = []
        for at, recipient in enumerate(envelope.recipients):
            delivery = deliveries[at % len(deliveries)]
            if delivery is Delivery.ACCEPTED:
                found.append(RecipientOutcome(recipient.address, Reply.of(250, "ok"), delivery))
            elif delivery is Delivery.REJECTED:
                refusal = EnvelopeError("no", reply=Reply.of(550, "no"), delivery=delivery)
                found.append(
                    RecipientOutcome(recipient.address, Reply.of(550, "no"), delivery, refusal)
                )
            else:
                found.append(RecipientOutcome(recipient.address, None, delivery, error))
        return found

    def end(self, sending: Sending, outcomes: list[RecipientOutcome]) -> None:
        """Do to each recipient what the outcome says, and tell the pool."""
        self.under_way.remove(sending)
        if not self.dead:
            self.heard_at = self.world.clock.seconds()
        self.world.done(sending.envelope, outcomes)
        delivery = overall(outcomes)
        if delivery is Delivery.ACCEPTED and not sending.cancelled:
            sending.deferred.callback(SendResult(tuple(outcomes), reply=Reply.of(250, "ok")))
            return
        errors = [each.error for each in outcomes if each.delivery is delivery]
        error = next(each for each in errors if each is not None)
        told = type(error)("told", reply=error.reply, delivery=delivery, recipients=outcomes)
        sending.deferred.errback(told)

    def die(self, deliveries: Sequence[Delivery]) -> None:
        """End all transactions, then the connection, in the order in which a session does."""
        if self.dead:
            return
        self.dead = True
        for sending in list(self.under_way):
            if sending in self.under_way:
                self.end(sending, self.outcomes(sending.envelope, deliveries, LOST))
            deliveries = [Delivery.NOT_SENT]
        if self.probe is not None and not self.probe.called:
            self.probe.errback(LOST)
        self.world.connections.remove(self)
        self.closed.callback(None)


class PoolMachine(RuleBasedStateMachine):
    """The world around a pool."""

    @initialize(
        connections=st.integers(1, 3),
        messages=st.integers(1, 4),
        in_flight=st.integers(1, 3),
        requeues=st.integers(0, 3),
        rate=st.integers(0, 2),
        waiting=st.sampled_from([None, 5]),
        queue_timeout=st.sampled_from([None, 30.0]),
        abruptly=st.booleans(),
    )
    def begin(
        self,
        connections: int,
        messages: int,
        in_flight: int,
        requeues: int,
        rate: int,
        waiting: int | None,
        queue_timeout: float | None,
        abruptly: bool,
    ) -> None:
        """Make a pool, to be closed when all is done or in the midst of things."""
        self.abruptly = abruptly
        self.decided: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.clock = Clock()
        self.openings: list[Deferred[SMTPConnection]] = []
        self.connections: list[Connection] = []
        self.sent: list[Sent] = []
        self.by_address: dict[str, Sent] = {}
        self.delivered: Counter[str] = Counter()
        self.starts: list[float] = []
        self.first_starts: list[int] = []
        self.readings: Counter[int] = Counter()
        self.options = PoolOptions(
            max_connections=connections,
            max_messages=messages,
            max_in_flight=in_flight,
            max_requeues=requeues,
            max_waiting=waiting,
            rate_limit=rate,
            rate_delta=2.0,
            queue_timeout=queue_timeout,
            idle_timeout=8.0,
            max_age=40.0,
            probe_after=PROBE_AFTER,
        )
        self.pool = Pool(self.open, self.options, cast(Any, self.clock), chance=lambda: 0.5)
        self.closing: Deferred[None] | None = None

    # -- what the pool does, as it is seen from outside

    def open(self) -> Deferred[SMTPConnection]:
        """An attempt to connect begins."""
        opening: Deferred[SMTPConnection] = Deferred(self.given_up)
        self.openings.append(opening)
        assert len(self.openings) + len(self.connections) <= self.options.max_connections
        return opening

    def given_up(self, opening: Deferred[SMTPConnection]) -> None:
        """The pool cancels an attempt."""
        self.openings.remove(opening)
        opening.errback(SendCancelled("cancelled"))

    def begins(self, envelope: Envelope, connection: Connection) -> None:
        """A transaction begins."""
        limits = connection.extensions
        assert connection.begun <= min(self.options.max_messages, limits.mailmax or 99)
        assert len(connection.under_way) < self.options.max_in_flight
        addresses = [recipient.address for recipient in envelope.recipients]
        sent = self.by_address[addresses[0]]
        assert all(self.by_address[address] is sent for address in addresses)
        under_way = [each for one in self.connections for each in one.under_way]
        for other in under_way:
            assert not set(addresses) & {each.address for each in other.envelope.recipients}
        assert all(self.delivered[address] == 0 for address in addresses)
        self.readings[sent.serial] += 1
        self.attempts.update(addresses)
        assert all(self.attempts[each] <= 1 + self.options.max_requeues for each in addresses)
        if sent.kind == "once":
            assert self.readings[sent.serial] == 1, "read twice"
        else:
            domains = {each.mailbox.domain for each in envelope.recipients}
            assert len(addresses) <= (limits.rcptmax or 99)
            assert len(domains) <= (limits.rcptdomainmax or 99)
        if sent.kind == "file":
            assert all(
                self.by_address[each.envelope.recipients[0].address] is not sent
                for each in under_way
            ), "read from two places at once"
        in_flight = {each.address for other in under_way for each in other.envelope.recipients}
        for older in self.sent[: sent.serial - 1]:
            late = older.at + (self.options.queue_timeout or 1e9) <= self.clock.seconds()
            if not (older.kind == "file" or older.answers or older.cancelled or late):
                theirs = {each.address for each in older.envelope.recipients}
                assert theirs <= in_flight | self.decided, "overtaken"
        if sent.serial not in self.first_starts:
            self.first_starts.append(sent.serial)
        now = self.clock.seconds()
        self.starts.append(now)
        if self.options.rate_limit:
            window = [at for at in self.starts if at + self.options.rate_delta > now]
            assert len(window) <= self.options.rate_limit

    def done(self, envelope: Envelope, outcomes: list[RecipientOutcome]) -> None:
        """A transaction ends; half of those in doubt did arrive."""
        for outcome in outcomes:
            if outcome.error is None or not isinstance(outcome.error, ConnectionLostError):
                self.decided.add(outcome.address)
            exhausted = self.attempts[outcome.address] > self.options.max_requeues
            if exhausted or outcome.delivery is Delivery.IN_DOUBT:
                self.decided.add(outcome.address)
            doubtful = outcome.delivery is Delivery.IN_DOUBT and "a.test" in outcome.address
            if outcome.delivery is Delivery.ACCEPTED or doubtful:
                self.delivered[outcome.address] += 1

    # -- what the world does

    @rule(
        recipients=st.lists(st.sampled_from("abc"), min_size=1, max_size=4), kind=st.integers(0, 5)
    )
    def send(self, recipients: list[str], kind: int) -> None:
        """Somebody has a message: in memory, in a file, or to be read once."""
        serial = len(self.sent) + 1
        addresses = [f"m{serial}r{at}@{domain}.test" for at, domain in enumerate(recipients)]
        envelope = Envelope("s@x.test", addresses)
        kinds = ["memory", "memory", "memory", "memory", "file", "once"]
        sent = Sent(serial, envelope, kinds[kind], self.clock.seconds())
        self.sent.append(sent)
        self.by_address |= dict.fromkeys(addresses, sent)
        pieces = [b"x"]
        message: object = {"memory": b"x", "file": pieces, "once": iter(pieces)}[sent.kind]
        sent.deferred = self.pool.send(envelope, message)
        sent.deferred.addBoth(sent.answers.append)

    @precondition(lambda self: any(not sent.answers for sent in self.sent))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Somebody does not want to know any more."""
        sent = data.draw(st.sampled_from([sent for sent in self.sent if not sent.answers]))
        sent.cancelled = True
        sent.deferred.cancel()
        assert sent.answers

    @precondition(lambda self: self.openings)
    @rule(offers=st.sampled_from(OFFERS))
    def connect(self, offers: Extensions) -> None:
        """An attempt to connect succeeds."""
        opening = self.openings.pop(0)
        connection = Connection(self, offers)
        self.connections.append(connection)
        opening.callback(cast(SMTPConnection, connection))

    @precondition(lambda self: self.openings)
    @rule(for_good=st.booleans())
    def refuse(self, for_good: bool) -> None:
        """An attempt to connect fails."""
        opening = self.openings.pop(0)
        opening.errback(AuthenticationError("no") if for_good else SocketError("refused"))

    @precondition(lambda self: self.openings)
    @rule()
    def flap(self) -> None:
        """A server takes a connection, and drops it with all that is on it."""
        self.connect(Extensions())
        self.connections[-1].die([Delivery.NOT_SENT])

    @precondition(lambda self: any(each.under_way for each in self.connections))
    @rule(
        data=st.data(),
        deliveries=st.lists(
            st.sampled_from([Delivery.ACCEPTED, Delivery.ACCEPTED, Delivery.REJECTED]),
            min_size=1,
            max_size=4,
        ),
    )
    def answer(self, data: st.DataObject, deliveries: list[Delivery]) -> None:
        """A server answers the oldest message on a connection."""
        connection = data.draw(
            st.sampled_from([each for each in self.connections if each.under_way])
        )
        sending = connection.under_way[0]
        connection.end(sending, connection.outcomes(sending.envelope, deliveries, LOST))

    @precondition(lambda self: self.connections)
    @rule(
        data=st.data(),
        deliveries=st.lists(st.sampled_from(list(Delivery)), min_size=1, max_size=4),
    )
    def die(self, data: st.DataObject, deliveries: list[Delivery]) -> None:
        """A connection ends, and its oldest message as it may."""
        data.draw(st.sampled_from(self.connections)).die(deliveries)

    @precondition(lambda self: any(each.leaving for each in self.connections))
    @rule()
    def go(self) -> None:
        """A connection that was quit is gone."""
        next(each for each in self.connections if each.leaving).die([])

    @precondition(lambda self: any(each.probe for each in self.connections))
    @rule(lives=st.booleans())
    def show_life(self, lives: bool) -> None:
        """A connection answers a probe, or turns out to be dead."""
        connection = next(each for each in self.connections if each.probe)
        if lives:
            connection.show_life()
        else:
            connection.die([])

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    # -- what must hold

    @invariant()
    def answers_are_true(self) -> None:
        """Each sender hears once, and what he hears of each recipient is so."""
        assert all(count <= 1 for count in self.delivered.values()), "delivered twice"
        for sent in getattr(self, "sent", ()):
            if not sent.answers:
                continue
            [answer] = sent.answers
            outcome = answer.value if isinstance(answer, Failure) else answer
            addresses = [recipient.address for recipient in sent.envelope.recipients]
            told = outcome.recipients
            if told:
                assert [each.address for each in told] == addresses
            for at, address in enumerate(addresses):
                delivery = told[at].delivery if told else outcome.delivery
                if delivery is Delivery.ACCEPTED:
                    assert self.delivered[address] == 1
                elif delivery is not Delivery.IN_DOUBT:
                    assert self.delivered[address] == 0

    @invariant()
    def order_is_that_of_arrival(self) -> None:
        """Nobody's first attempt comes before that of somebody who waited longer."""
        starts = getattr(self, "first_starts", [])
        assert starts == sorted(starts)

    @invariant()
    def figures_add_up(self) -> None:
        """What the pool says of itself is what is seen."""
        if not hasattr(self, "pool"):
            return
        figures = self.pool.figures()
        answered = sum(bool(sent.answers) for sent in self.sent)
        assert figures.in_flight == sum(len(each.under_way) for each in self.connections)
        assert figures.connections == len(self.connections) + len(self.openings)
        assert self.pool.is_clear == (answered == len(self.sent))

    def teardown(self) -> None:
        """Everybody is answered in the end, and nothing is left."""
        if not hasattr(self, "pool"):
            return
        if not self.abruptly:
            self.finish()
            assert all(sent.answers for sent in self.sent), "somebody waits for ever"
        closed: list[None] = []
        self.pool.close(1.0).addCallback(closed.append)
        self.clock.advance(1.0)
        assert all(sent.answers for sent in self.sent), "somebody is left behind"
        self.answers_are_true()
        assert closed == [None]
        assert not self.connections
        assert not self.openings
        self.clock.advance(10.0)
        assert not self.clock.getDelayedCalls()

    def finish(self) -> None:
        """Let every attempt succeed and every message be accepted, as long as that takes."""
        for _ in range(400):
            if all(sent.answers for sent in self.sent):
                return
            while self.openings:
                self.connect(Extensions())
            for connection in list(self.connections):
                if connection.leaving:
                    connection.die([])
                elif connection.probe is not None:
                    connection.show_life()
                elif connection.under_way:
                    sending = connection.under_way[0]
                    accepted = connection.outcomes(sending.envelope, [Delivery.ACCEPTED], LOST)
                    connection.end(sending, accepted)
            self.clock.advance(1.0)


TestPool = PoolMachine.TestCase
TestPool.settings = settings(
    max_examples=settings().max_examples, stateful_step_count=40, deadline=None
)


@pytest.fixture(autouse=True)
def _quiet(logged_failures: list[object]) -> None:
    """Failures that nobody observes fail the test: see tests/conftest.py."""
