"""The pool: which connection a message takes, and what a connection's end costs."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.defer import fail, succeed

from tests.transport.bench import ENVELOPE, RESULT, Bench, FakeConnection
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    EnvelopeError,
    MessageError,
    PoolError,
    SocketError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery
from txsmtpconn.transport import PoolOptions, opened_by


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
