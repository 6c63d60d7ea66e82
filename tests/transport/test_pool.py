"""The pool: which connection a message takes, and what a connection's end costs."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from tests.transport.bench import ENVELOPE, RESULT, Bench, FakeConnection
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    DeadlineError,
    EnvelopeError,
    MessageError,
    PoolError,
    ProtocolError,
    SMTPError,
    SocketError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult
from txsmtpconn.transport import Pool, PoolOptions, opened_by
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.reply import Reply


def test_a_connection_is_opened_when_there_is_mail_and_used_again() -> None:
    """Lazy at first, and reused as long as it lives."""
    bench = Bench()
    assert bench.attempts == 0
    bench.send(b"1")
    connection = bench.open()
    connection.answer()
    bench.send(b"2")
    connection.answer()
    assert bench.outcomes == {b"1": RESULT, b"2": RESULT}
    assert bench.attempts == 1


def test_messages_spread_before_they_queue_behind_each_other() -> None:
    """A connection with nothing to do, then a new one, then pipelining, then waiting."""
    bench = Bench(max_connections=2, max_in_flight=2)
    bench.send(b"1", b"2", b"3", b"4", b"5")
    assert bench.attempts == 2
    one, two = bench.open(), bench.open()
    assert sorted(one.messages + two.messages) == [b"1", b"2", b"3", b"4"]
    assert len(one.messages) == len(two.messages) == 2
    assert bench.pool.waiting == 1
    assert bench.pool.in_flight == 4
    one.answer()
    assert one.messages[-1] == b"5"


def test_no_more_connections_than_messages_that_wait() -> None:
    """Ten connections may be; two messages need two."""
    bench = Bench(max_connections=10)
    bench.send(b"1", b"2")
    assert bench.attempts == 2


def test_a_rejected_message_costs_no_connection() -> None:
    """A refusal of the message is no fault of the connection, and is not tried again."""
    bench = Bench()
    bench.send(b"1")
    connection = bench.open()
    error = EnvelopeError("no", delivery=Delivery.REJECTED)
    connection.answer(0, error)
    assert bench.outcomes[b"1"] is error
    bench.send(b"2")
    assert connection.messages == [b"1", b"2"]
    assert connection.quits == 0


def test_a_dead_connection_gives_its_unsent_messages_to_another_in_order() -> None:
    """What reached nobody for certain goes again, before what came later."""
    bench = Bench(max_connections=1, max_in_flight=3)
    bench.send(b"1", b"2", b"3", b"4")
    bench.open().die()
    another = bench.open()
    assert another.messages == [b"1", b"2", b"3"]
    for _ in range(4):
        another.answer()
    assert list(bench.outcomes.values()) == [RESULT] * 4


def test_a_message_in_doubt_is_never_sent_again() -> None:
    """The pool reports it; those behind it, which never left, go again."""
    bench = Bench(max_connections=1, max_in_flight=2)
    bench.send(b"1", b"2")
    bench.open().die(Delivery.IN_DOUBT)
    assert bench.outcomes[b"1"].delivery is Delivery.IN_DOUBT
    another = bench.open()
    assert another.messages == [b"2"]


def test_421_to_the_first_message_of_a_connection_is_told_and_not_tried_again() -> None:
    """A message that makes servers hang up must not wear out one connection after the other."""
    bench = Bench(max_connections=1, max_in_flight=1)
    bench.send(b"poison", b"good")
    refusal = ConnectionLostError("bye", reply=Reply.of(421, "go away"), command="MAIL FROM")
    first = bench.open()
    first.answer(0, refusal)
    assert bench.outcomes[b"poison"] is refusal
    first.gone()
    bench.clock.advance(1.0)
    second = bench.open()
    assert second.messages == [b"good"]
    second.answer()
    bench.send(b"next")
    second.answer(0, ConnectionLostError("bye", reply=Reply.of(421, "enough"), command="MAIL FROM"))
    second.gone()
    bench.open().answer()  # a server that has had enough of a connection says the same
    assert bench.outcomes[b"next"] is RESULT


def test_requeues_are_bounded_and_further_and_further_apart() -> None:
    """A server that always dies gets a message so many times, then the caller is told."""
    bench = Bench(max_connections=1, max_requeues=3)
    bench.send(b"1")
    bench.open().die()
    for attempts, pause in [(2, 1.0), (3, 2.0)]:
        assert bench.attempts == attempts
        assert not bench.outcomes
        bench.open().die()
        bench.clock.advance(pause - 0.1)
        assert bench.attempts == attempts
        assert bench.pool.figures().pause == pytest.approx(0.1)
        bench.clock.advance(0.1)
    bench.open().die()
    assert isinstance(bench.outcomes[b"1"], ConnectionLostError)
    assert bench.attempts == 4


def test_a_source_that_can_be_read_once_is_not_sent_again() -> None:
    """Half of it may have been read already."""
    bench = Bench(max_connections=1)
    outcomes: list[Any] = []
    bench.pool.send(ENVELOPE, iter([b"x"])).addBoth(outcomes.append)
    bench.open().die()
    assert isinstance(outcomes[0].value, ConnectionLostError)


def test_a_dead_idle_connection_costs_no_message() -> None:
    """It is forgotten when it dies; the next message finds another."""
    bench = Bench()
    bench.send(b"1")
    connection = bench.open()
    connection.answer()
    connection.gone()
    assert bench.pool.connections == 0
    bench.send(b"2")
    bench.open().answer()
    assert bench.outcomes[b"2"] is RESULT


def test_a_connection_is_replaced_after_so_many_messages() -> None:
    """``max_messages``; its last message is still awaited, and then it is quit."""
    bench = Bench(max_connections=1, max_messages=2, max_in_flight=4)
    bench.send(b"1", b"2", b"3")
    connection = bench.open()
    assert connection.messages == [b"1", b"2"]
    connection.answer()
    assert connection.quits == 0
    connection.answer()
    assert connection.quits == 1
    assert bench.attempts == 1
    connection.gone()
    assert bench.open().messages == [b"3"]


def test_mailmax_replaces_the_connection_and_costs_no_requeue() -> None:
    """The server's own limit (RFC 9422) shows as EMAXLIMIT before anything was sent."""
    bench = Bench(max_connections=1)
    bench.send(b"1")
    connection = bench.open()
    connection.answer(0, PoolError("MAILMAX"))
    assert connection.quits == 1
    connection.gone()
    bench.open().answer()
    assert bench.outcomes[b"1"] is RESULT


def test_whoever_waits_is_told_that_no_connection_can_be_had() -> None:
    """All who wait fail, each with an error of its own; nothing spins."""
    bench = Bench(max_connections=3)
    bench.send(b"1", b"2", b"3", b"4")
    assert bench.attempts == 3
    for _ in range(3):
        assert not bench.outcomes
        bench.refuse()
    assert len({id(each) for each in bench.outcomes.values()}) == 4
    assert all(isinstance(each, SocketError) for each in bench.outcomes.values())
    assert bench.attempts == 3
    bench.send(b"5")
    assert bench.attempts == 4


def test_a_refused_second_connection_is_done_without_and_not_asked_for_at_once() -> None:
    """The messages go over the first; another attempt is made after a pause."""
    bench = Bench(max_connections=2, max_in_flight=9)
    bench.send(b"1")
    first = bench.open()
    bench.send(b"2")
    bench.refuse()
    assert first.messages == [b"1", b"2"]
    bench.send(b"3")
    assert bench.attempts == 2
    bench.clock.advance(1.0)
    bench.send(b"4")
    assert bench.attempts == 3


def test_idle_connections_are_quit() -> None:
    """After ``idle_timeout`` without a message."""
    bench = Bench(idle_timeout=10)
    bench.send(b"1")
    connection = bench.open()
    bench.clock.advance(60)
    assert connection.quits == 0
    connection.answer()
    bench.clock.advance(9)
    bench.send(b"2")
    connection.answer()
    bench.clock.advance(9)
    assert connection.quits == 0
    bench.clock.advance(1)
    assert connection.quits == 1
    connection.gone()
    assert not bench.clock.getDelayedCalls()


def test_old_connections_are_replaced() -> None:
    """After ``max_age`` a busy connection takes no more, and is quit when it is done."""
    bench = Bench(max_age=100, idle_timeout=1000, max_connections=1)
    bench.send(b"1")
    connection = bench.open()
    bench.clock.advance(100)
    bench.send(b"2")
    assert connection.messages == [b"1"]
    connection.answer()
    assert connection.quits == 1
    connection.gone()
    assert bench.open().messages == [b"2"]


def test_cancelling_a_message_that_waits_or_is_under_way() -> None:
    """Nobody else notices."""
    bench = Bench(max_connections=1, max_in_flight=1)
    one, two, _ = bench.send(b"1", b"2", b"3")
    connection = bench.open()
    two.cancel()
    one.cancel()
    assert isinstance(bench.outcomes[b"1"], SendCancelled)
    assert isinstance(bench.outcomes[b"2"], SendCancelled)
    assert connection.messages == [b"1", b"3"]
    connection.answer()
    assert bench.outcomes[b"3"] is RESULT


def test_close_sends_what_there_is_and_then_quits() -> None:
    """Draining: queued messages go, new ones are refused, every connection is left."""
    bench = Bench(max_connections=1, max_in_flight=1)
    bench.send(b"1", b"2")
    connection = bench.open()
    closed: list[None] = []
    bench.pool.close().addCallback(closed.append)
    bench.send(b"3")
    assert isinstance(bench.outcomes[b"3"], PoolError)
    connection.answer()
    assert connection.quits == 0
    connection.answer()
    assert connection.quits == 1
    assert not closed
    connection.gone()
    assert closed == [None]
    assert not bench.clock.getDelayedCalls()


def test_close_has_a_deadline() -> None:
    """Then what waits fails, connections are dropped, and it is over."""
    bench = Bench(max_connections=1, max_in_flight=1)
    bench.send(b"1", b"2")
    bench.open()
    closed: list[None] = []
    bench.pool.close(5).addCallback(closed.append)
    bench.clock.advance(5)
    assert isinstance(bench.outcomes[b"1"], ConnectionLostError)
    assert isinstance(bench.outcomes[b"2"], PoolError)
    assert closed == [None]


def test_close_while_a_connection_is_opened_for_nobody() -> None:
    """The attempt is cancelled, and closing an empty pool is over at once."""
    bench = Bench()
    (sent,) = bench.send(b"1")
    sent.cancel()
    closed: list[None] = []
    bench.pool.close().addCallback(closed.append)
    assert closed == [None]
    Bench().pool.close().addCallback(closed.append)
    assert closed == [None, None]


def test_the_queue_has_a_limit() -> None:
    """``max_waiting`` messages may wait; one more is refused at once."""
    bench = Bench(max_waiting=1)
    bench.send(b"1", b"2")
    assert isinstance(bench.outcomes[b"2"], PoolError)
    bench.open().answer()
    assert bench.outcomes[b"1"] is RESULT


def test_a_queue_of_none_takes_what_need_not_wait() -> None:
    """``max_waiting`` of 0: a message goes at once, or not at all."""
    bench = Bench(max_waiting=0, max_connections=1)
    bench.send(b"1", b"2")
    assert isinstance(bench.outcomes[b"2"], PoolError)
    bench.open().answer()
    bench.send(b"3")
    assert bench.connections[0].messages == [b"1", b"3"]


def test_an_empty_message_is_refused_before_it_waits() -> None:
    """EMESSAGE, and no connection is opened for it."""
    bench = Bench()
    bench.send(b"")
    assert isinstance(bench.outcomes[b""], MessageError)
    assert bench.attempts == 0


def test_is_idle() -> None:
    """Whether a message would go out at once."""
    bench = Bench(max_connections=1)
    seen = [bench.pool.is_idle]
    bench.send(b"1")
    connection = bench.open()
    seen.append(bench.pool.is_idle)
    connection.answer()
    seen.append(bench.pool.is_idle)
    assert seen == [True, False, True]


def test_login_is_part_of_opening() -> None:
    """A connection on which the login fails is dropped, and its error is what waits get."""
    connection = FakeConnection()
    connect = lambda: succeed(cast(SMTPConnection, connection))  # noqa: E731
    opening = opened_by(connect, login=True)()
    outcomes: list[Any] = []
    opening.addBoth(outcomes.append)
    assert not outcomes
    connection.logins[0].callback(None)
    assert outcomes == [connection]
    refused = opened_by(connect, login=True)()
    refused.addBoth(outcomes.append)
    connection.logins[1].errback(AuthenticationError("no"))
    assert isinstance(outcomes[1].value, AuthenticationError)
    assert connection.dropped
    broken = opened_by(lambda: fail(SocketError("x")), login=True)()
    broken.addBoth(outcomes.append)
    assert isinstance(outcomes[2].value, SocketError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_connections": 0},
        {"max_messages": True},
        {"max_requeues": -1},
        {"idle_timeout": 0},
        {"max_age": float("nan")},
        {"max_waiting": "1"},
        {"max_in_flight": 1.5},
    ],
    ids=str,
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    """Each is refused by name."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PoolOptions(**wrong)


def test_no_window_sees_more_messages_than_the_rate_allows() -> None:
    """``rate_limit`` within any ``rate_delta`` seconds, and no connections for who must wait."""
    bench = Bench(max_connections=5, max_in_flight=9, rate_limit=2, rate_delta=1.0)
    bench.send(b"1", b"2", b"3", b"4", b"5")
    assert bench.attempts == 2
    one, two = bench.open(), bench.open()
    assert bench.pool.in_flight == 2
    bench.clock.advance(0.5)
    one.answer()
    bench.clock.advance(0.25)
    assert bench.pool.in_flight == 1
    bench.clock.advance(0.25)
    assert bench.pool.in_flight == 2
    assert bench.attempts == 3
    bench.open()
    assert bench.pool.in_flight == 3
    one.answer()
    two.answer()
    assert bench.pool.waiting == 1
    bench.clock.advance(1.0)
    assert bench.pool.waiting == 0


def test_a_connection_that_was_silent_shows_that_it_lives_first() -> None:
    """NOOP after ``probe_after`` seconds; the message goes when it is answered."""
    bench = Bench(max_connections=1, probe_after=5, idle_timeout=60)
    bench.send(b"1")
    connection = bench.open()
    connection.answer()
    bench.clock.advance(4.9)
    bench.send(b"2")
    connection.answer()
    assert connection.messages == [b"1", b"2"]
    bench.clock.advance(5)
    bench.send(b"3")
    assert connection.messages == [b"1", b"2"]
    connection.probes[0].callback(None)
    assert connection.messages == [b"1", b"2", b"3"]


@pytest.mark.parametrize("silent", [True, False])
def test_a_connection_that_shows_no_life_costs_no_message(silent: bool) -> None:
    """It is dropped, and another opened; a half-open one is not waited for."""
    bench = Bench(max_connections=1, probe_after=5, idle_timeout=60, max_requeues=0)
    bench.send(b"1")
    connection = bench.open()
    connection.answer()
    bench.clock.advance(5)
    bench.send(b"2")
    if silent:
        bench.clock.advance(5)
    else:
        connection.probes[0].errback(ConnectionLostError("lost"))
    assert connection.dropped
    bench.open().answer()
    assert bench.outcomes[b"2"] is RESULT


def test_who_refuses_noop_is_there_as_well() -> None:
    """A server without NOOP answers, and that was the question."""
    bench = Bench(max_connections=1, probe_after=5, idle_timeout=60)
    bench.send(b"1")
    connection = bench.open()
    connection.answer()
    bench.clock.advance(5)
    bench.send(b"2")
    connection.probes[0].errback(ProtocolError("no", reply=Reply.of(502, "what?")))
    assert connection.messages == [b"1", b"2"]


def test_the_connection_used_last_is_used_next() -> None:
    """The others fall asleep, so that few connections do the work of many."""
    bench = Bench(max_connections=2, max_in_flight=1)
    bench.send(b"1", b"2")
    one, two = bench.open(), bench.open()
    two.answer()
    bench.clock.advance(1)
    one.answer()
    for body in (b"3", b"4", b"5"):
        bench.clock.advance(1)
        bench.send(body)
        one.answer()
    assert one.messages == [b"1", b"3", b"4", b"5"]


def test_waiting_has_a_deadline() -> None:
    """ETIMEDOUT after ``queue_timeout``, and nothing was sent."""
    bench = Bench(max_connections=1, max_in_flight=1, queue_timeout=20)
    bench.send(b"1")
    bench.open()
    bench.clock.advance(10)
    bench.send(b"2")
    bench.clock.advance(19.9)
    assert b"2" not in bench.outcomes
    bench.clock.advance(0.1)
    error = bench.outcomes[b"2"]
    assert isinstance(error, DeadlineError)
    assert error.delivery is Delivery.NOT_SENT
    assert b"1" not in bench.outcomes


def test_a_connection_attempt_that_never_ends_holds_nobody_for_ever() -> None:
    """The queue's deadline holds there too."""
    bench = Bench(queue_timeout=20)
    bench.send(b"1")
    bench.clock.advance(20)
    assert isinstance(bench.outcomes[b"1"], DeadlineError)


def test_a_dead_host_trips_a_breaker() -> None:
    """From the second failure on, whoever asks during the pause is told at once what is wrong."""
    bench = Bench(max_connections=1)
    for body in (b"1", b"2"):
        bench.send(body)
        bench.refuse()
    assert bench.attempts == 2
    bench.send(b"3", b"4")
    assert bench.attempts == 2
    assert isinstance(bench.outcomes[b"4"], SocketError)
    assert bench.outcomes[b"4"] is not bench.outcomes[b"3"]
    bench.clock.advance(1.0)
    bench.send(b"5")
    assert bench.attempts == 3
    bench.open().answer()
    assert bench.outcomes[b"5"] is RESULT


def test_pauses_grow_and_have_an_end() -> None:
    """1, 2, 4 ... up to 60 seconds."""
    bench = Bench(max_connections=1)
    pauses = []
    for at in range(12):
        bench.clock.advance(bench.pool.figures().pause)
        bench.send(b"%d" % at)
        bench.refuse()
        pauses.append(bench.pool.figures().pause)
    assert pauses == pytest.approx([0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60])


def test_a_server_that_restarts_is_waited_for_if_it_had_worked() -> None:
    """Some failures in a row, with pauses; then whoever waits is told."""
    bench = Bench(max_connections=1, max_requeues=3)
    bench.send(b"1")
    connection = bench.open()
    connection.answer()
    connection.gone()
    bench.send(b"2")
    for pause in (0.0, 1.0, 2.0):
        bench.refuse()
        assert b"2" not in bench.outcomes
        bench.clock.advance(pause)
    bench.open().answer()
    assert bench.outcomes[b"2"] is RESULT
    bench.connections[-1].gone()
    bench.send(b"3")
    for pause in (0.0, 1.0, 2.0):
        bench.refuse()
        bench.clock.advance(pause)
    bench.refuse()
    assert isinstance(bench.outcomes[b"3"], SocketError)


def test_a_refused_login_is_not_waited_out() -> None:
    """A permanent error is told at once, whatever had worked before."""
    bench = Bench(max_connections=1)
    bench.send(b"1")
    connection = bench.open()
    connection.answer()
    connection.gone()
    bench.send(b"2")
    bench.refuse(AuthenticationError("no"))
    assert isinstance(bench.outcomes[b"2"], AuthenticationError)


def test_an_error_told_to_many_tells_nothing_of_another_message() -> None:
    """The reason is the server's; the recipients are each message's own."""
    bench = Bench(max_connections=1, max_requeues=0)
    bench.send(b"1")
    outcome = RecipientOutcome("r@y.test", None, Delivery.IN_DOUBT, ConnectionLostError("x"))
    error = ConnectionLostError("x", delivery=Delivery.IN_DOUBT, recipients=[outcome])
    bench.open().answer(0, error)
    assert bench.outcomes[b"1"] is error
    bench.connections[0].gone()
    bench.send(b"2")
    bench.open().die()
    bench.send(b"3")
    assert bench.outcomes[b"3"].delivery is Delivery.NOT_SENT
    assert bench.outcomes[b"3"].recipients == ()


def split_by(*limits: str) -> Extensions:
    """Return the extensions of a server with limits (RFC 9422)."""
    return Extensions({"LIMITS": limits})


def accepted(envelope: Envelope) -> SendResult:
    """Return a result that is good for everybody."""
    return SendResult(
        tuple(
            RecipientOutcome(recipient.address, Reply.of(250, "ok"), Delivery.ACCEPTED)
            for recipient in envelope.recipients
        ),
        reply=Reply.of(250, "ok"),
    )


def test_recipients_of_many_domains_are_spread_over_the_pool() -> None:
    """RCPTDOMAINMAX: a transaction for each group, one result with everybody in his place."""
    bench = Bench(max_connections=2, max_in_flight=1)
    bench.send(b"0")
    one = bench.open(split_by("RCPTDOMAINMAX=1"))
    one.answer()
    envelope = Envelope("s@x.test", ["a@y.test", "b@z.test", "c@Y.test"])
    outcomes: list[Any] = []
    bench.pool.send(envelope, b"1").addBoth(outcomes.append)
    assert [each.address for each in one.envelopes[-1].recipients] == ["a@y.test", "c@Y.test"]
    two = bench.open(split_by("RCPTDOMAINMAX=1"))
    assert [each.address for each in two.envelopes[-1].recipients] == ["b@z.test"]
    two.answer(0, EnvelopeError("no", reply=Reply.of(550, "no"), delivery=Delivery.REJECTED))
    assert not outcomes
    one.answer(0, accepted(one.envelopes[-1]))
    [result] = outcomes
    assert [each.address for each in result.recipients] == ["a@y.test", "b@z.test", "c@Y.test"]
    assert result.accepted == ["a@y.test", "c@Y.test"]
    assert result.rejected == ["b@z.test"]


def test_what_can_be_read_at_one_place_only_is_sent_one_part_after_the_other() -> None:
    """Two connections that read one file at a time would each get half of it."""
    bench = Bench(max_connections=2, max_in_flight=2)
    bench.send(b"0")
    one = bench.open(split_by("RCPTMAX=1"))
    one.answer()
    envelope = Envelope("s@x.test", ["a@y.test", "b@y.test"])
    outcomes: list[Any] = []
    bench.pool.send(envelope, [b"x"]).addBoth(outcomes.append)
    assert len(one.envelopes) == 2
    one.answer(0, accepted(one.envelopes[-1]))
    assert [each.address for each in one.envelopes[-1].recipients] == ["b@y.test"]
    one.answer(0, accepted(one.envelopes[-1]))
    assert outcomes[0].accepted == ["a@y.test", "b@y.test"]


def test_only_those_go_again_who_got_nothing() -> None:
    """A connection that died between two transactions of one message."""
    bench = Bench(max_connections=1)
    envelope = Envelope("s@x.test", ["a@y.test", "b@y.test", "c@y.test"])
    outcomes: list[Any] = []
    bench.pool.send(envelope, b"1").addBoth(outcomes.append)
    lost = ConnectionLostError("lost")
    first = bench.open()
    first.answer(
        0,
        SendResult(
            (
                RecipientOutcome("a@y.test", Reply.of(250, "ok"), Delivery.ACCEPTED),
                RecipientOutcome("b@y.test", None, Delivery.IN_DOUBT, lost),
                RecipientOutcome("c@y.test", None, Delivery.NOT_SENT, lost),
            )
        ),
    )
    first.gone()
    second = bench.open()
    assert [each.address for each in second.envelopes[-1].recipients] == ["c@y.test"]
    second.answer(0, accepted(second.envelopes[-1]))
    [result] = outcomes
    assert result.accepted == ["a@y.test", "c@y.test"]
    assert result.in_doubt == ["b@y.test"]


def test_observers_are_told_when_there_is_room_and_when_all_is_done() -> None:
    """Each call has a Deferred of its own; it fires at once where it is so already."""
    bench = Bench(max_connections=1, max_in_flight=1)
    told: list[str] = []
    for _ in range(2):
        bench.pool.when_idle().addCallback(lambda _: told.append("idle"))
        bench.pool.when_clear().addCallback(lambda _: told.append("clear"))
    assert told == ["idle", "clear"] * 2
    bench.send(b"1", b"2")
    told.clear()
    bench.pool.when_idle().addCallback(lambda _: told.append("idle"))
    bench.pool.when_clear().addCallback(lambda _: told.append("clear"))
    connection = bench.open()
    connection.answer()
    assert told == []
    connection.answer()
    assert sorted(told) == ["clear", "idle"]


def test_figures_tell_what_there_is_and_what_was() -> None:
    """Gauges and counters, for whoever draws curves."""
    bench = Bench(max_connections=2, max_in_flight=1)
    bench.send(b"1", b"2", b"3", b"4")
    connection = bench.open()
    connection.answer()
    bench.refuse()
    connection.answer(0, EnvelopeError("no", reply=Reply.of(550, "no")))
    figures = bench.pool.figures()
    assert (figures.sent, figures.failed, figures.opened, figures.not_opened) == (1, 1, 1, 1)
    assert (figures.connections, figures.opening, figures.idle) == (1, 0, 0)
    assert (figures.in_flight, figures.waiting) == (1, 1)
    connection.die()
    figures = bench.pool.figures()
    assert (figures.requeued, figures.died, figures.connections) == (1, 1, 0)


def test_a_fault_of_somebodys_code_is_doubt_and_no_silence(logged_failures: list[object]) -> None:
    """Nobody knows how far the message had come."""
    bench = Bench()
    bench.send(b"1")
    connection = bench.open()
    wrong: Any = ZeroDivisionError()
    connection.answer(0, wrong)
    assert type(bench.outcomes[b"1"]) is SMTPError
    assert bench.outcomes[b"1"].delivery is Delivery.IN_DOUBT


def test_a_message_in_parts_that_nobody_takes_fails_as_one() -> None:
    """One error with everybody in his place; its delivery is what the sender must heed first."""
    bench = Bench(max_connections=1, max_in_flight=2)
    bench.send(b"0")
    connection = bench.open(split_by("RCPTMAX=1"))
    connection.answer()
    envelope = Envelope("s@x.test", ["a@y.test", "b@y.test"])
    outcomes: list[Any] = []
    bench.pool.send(envelope, b"1").addErrback(lambda failure: outcomes.append(failure.value))
    refusal = EnvelopeError("no", reply=Reply.of(550, "no"), delivery=Delivery.REJECTED)
    connection.answer(0, refusal)
    connection.answer(0, ConnectionLostError("lost", delivery=Delivery.IN_DOUBT))
    [error] = outcomes
    assert isinstance(error, ConnectionLostError)
    assert error.delivery is Delivery.IN_DOUBT
    assert error.rejected == ["a@y.test"]
    assert [each.delivery for each in error.recipients] == [Delivery.REJECTED, Delivery.IN_DOUBT]
    assert bench.pool.figures().failed == 1


@pytest.mark.parametrize("message", [b"1", [b"1"]], ids=["memory", "stream"])
def test_a_message_in_parts_is_cancelled_as_one(message: Any) -> None:
    """Those under way, those that wait and those that have not begun; what was accepted stays."""
    bench = Bench(max_connections=1, max_in_flight=1)
    bench.send(b"0")
    connection = bench.open(split_by("RCPTMAX=1"))
    connection.answer()
    envelope = Envelope("s@x.test", ["a@y.test", "b@y.test", "c@y.test"])
    outcomes: list[Any] = []
    sending = bench.pool.send(envelope, message)
    sending.addErrback(lambda failure: outcomes.append(failure.value))
    connection.answer(0, accepted(connection.envelopes[-1]))
    sending.cancel()
    [error] = outcomes
    assert isinstance(error, SendCancelled)
    assert error.accepted == ["a@y.test"]
    assert [each.delivery for each in error.recipients[1:]] == [Delivery.NOT_SENT] * 2
    assert bench.pool.is_clear
    bench.send(b"2")
    assert connection.messages[-1] == b"2"


def test_a_server_that_tells_its_limit_is_not_asked_for_more() -> None:
    """MAILMAX (RFC 9422): the connection is replaced in time, and no message is turned away."""
    bench = Bench(max_connections=1, max_in_flight=4)
    bench.send(b"1", b"2", b"3")
    connection = bench.open(split_by("MAILMAX=2"))
    assert connection.messages == [b"1", b"2"]
    connection.answer()
    connection.answer()
    assert connection.quits == 1
    connection.gone()
    bench.open().answer()
    assert bench.outcomes[b"3"] is RESULT
    assert bench.pool.figures().requeued == 0


def test_whatever_keeps_a_connection_from_being_opened_is_an_error_of_ours() -> None:
    """The caller of `send` catches SMTPError, and finds the reason as its cause."""
    bench = Bench()
    bench.send(b"1")
    wrong: Any = ZeroDivisionError()
    bench.refuse(wrong)
    error = bench.outcomes[b"1"]
    assert isinstance(error, SocketError)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert "ZeroDivisionError" in str(error)


def test_a_connection_that_comes_when_it_is_given_up_is_dropped() -> None:
    """An opener that is cancelled too late leaves nothing behind."""
    connection = FakeConnection()
    came = cast(SMTPConnection, connection)
    pool = Pool(
        lambda: Deferred(lambda opening: opening.callback(came)), PoolOptions(), cast(Any, Clock())
    )
    sent = pool.send(ENVELOPE, b"1")
    sent.addErrback(lambda failure: failure.trap(SendCancelled))
    sent.cancel()
    closed: list[None] = []
    pool.close().addCallback(closed.append)
    assert connection.dropped
    assert closed == [None]
