"""Calls of one command: order, cancellation, errors of their own."""

from __future__ import annotations

from tests.client.dial import Dial, greeted
from txsmtpconn import ConnectionLostError, SendCancelled
from txsmtpconn.client.calls import restated
from txsmtpconn.testing import failure_result_of
from txsmtpconn.testing.script import close, expect, expect_silence, pause, send


def test_a_call_that_waits_is_cancelled_unsaid() -> None:
    """Its command never leaves."""
    dial = Dial(*greeted(), expect("NOOP"), send("250 one"), expect_silence(1))
    connection = dial.ready
    first, second = connection.noop(), connection.noop()
    second.cancel()
    assert isinstance(failure_result_of(second), SendCancelled)
    assert dial.result_of(first).text == "one"
    dial.network.advance(1)
    connection.close()


def test_a_call_that_was_said_is_cancelled_and_its_reply_dropped() -> None:
    """The next reply belongs to the next command."""
    dial = Dial(
        *greeted(), expect("NOOP"), pause(1), send("250 one"), expect("NOOP"), send("250 two")
    )
    connection = dial.ready
    first = connection.noop()
    dial.network.settle()
    first.cancel()
    assert isinstance(failure_result_of(first), SendCancelled)
    assert dial.result_of(connection.noop(), within=2).text == "two"
    connection.close()


def test_a_call_before_readiness_can_be_cancelled() -> None:
    """It is taken out of the order."""
    dial = Dial(*greeted(), expect("QUIT"), send("221 bye"), latency=0.5)
    dial.network.advance(1)
    connection = dial.network.links[0].client.protocol
    reset, quitted = connection.reset(), connection.quit()
    reset.cancel()
    assert isinstance(failure_result_of(reset), SendCancelled)
    dial.result_of(quitted, within=10)
    dial.network.advance(2)
    assert dial.ready is connection
    assert dial.is_over()


def test_all_calls_fail_when_the_session_never_becomes_ready() -> None:
    """Each with an exception of its own, for the same reason."""
    dial = Dial(send("220 mx"), pause(1), close(), interrupted=True)
    dial.network.advance(0.5)
    connection = dial.network.links[0].client.protocol
    calls = [connection.noop(), connection.reset(), connection.login()]
    dial.network.advance(1)
    errors = [failure_result_of(call) for call in calls]
    assert all(isinstance(error, ConnectionLostError) for error in errors)
    assert len(set(map(id, errors))) == 3
    assert isinstance(dial.refusal, ConnectionLostError)
    assert dial.is_over()


def test_an_error_restated_is_equal_but_not_the_same() -> None:
    """Its class, words and cause."""
    error = ConnectionLostError("gone", command="DATA", response="421 bye")
    error.__cause__ = OSError("why")
    twin = restated(error)
    assert twin is not error
    assert (str(twin), twin.command, twin.response) == (str(error), "DATA", "421 bye")
    assert twin.__cause__ is error.__cause__
    twin.delivery = twin.delivery.IN_DOUBT
    assert error.delivery is not twin.delivery
