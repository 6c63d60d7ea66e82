"""Sources of messages that fail as they are given back: nobody's Deferred may be lost with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from tests.client.dial import ENVELOPE, PIPELINING, Dial, greeted
from txsmtpconn import Delivery, SendCancelled, SMTPError
from txsmtpconn.testing import failure_result_of
from txsmtpconn.testing.script import Step, close, expect, pause, send, stop_reading

BIG = b"x" * 70_000


def generator_that_fails() -> Iterator[bytes]:
    """Its `finally` raises when it is closed."""
    try:
        while True:
            yield BIG
    finally:
        raise RuntimeError


class _Unclosable(BytesIO):
    _tried = False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError

    def close(self) -> None:
        # Once: its finaliser calls it again, when nobody can hear of that.
        if not self._tried:
            self._tried = True
            raise OSError
        super().close()


def opener_of_what_cannot_be_closed() -> Callable[[], BytesIO]:
    """Closing what it opened fails, as for a file on a disk that is full or gone."""
    return lambda: _Unclosable(BIG * 100)


@implementer(IBodyProducer)
class ProducerThatFails:
    """It raises when it is told to stop."""

    length = UNKNOWN_LENGTH

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(BIG)
        return Deferred()

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        raise RuntimeError


SOURCES = [generator_that_fails, opener_of_what_cannot_be_closed, ProducerThatFails]


def cancel(sent: Deferred[Any], _: Dial) -> None:
    """Cancel the message."""
    sent.cancel()


def close_connection(_: Deferred[Any], dial: Dial) -> None:
    """Close the connection."""
    dial.ready.close()


def wait(_: Deferred[Any], dial: Dial) -> None:
    """Do nothing for as long as the script or the deadline takes."""
    dial.network.advance(200)


ENDS: dict[str, tuple[tuple[Step, ...], Callable[[Deferred[Any], Dial], None], Delivery]] = {
    "the server goes": ((pause(1), close()), wait, Delivery.NOT_SENT),
    "the server refuses": ((pause(1), send("552 5.3.4 too big")), wait, Delivery.REJECTED),
    "time is up": ((), wait, Delivery.NOT_SENT),
    "cancelled": ((), cancel, Delivery.NOT_SENT),
    "closed": ((), close_connection, Delivery.NOT_SENT),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_fails_to_close_takes_nobody_with_it(
    source: Callable[[], Any], end: str
) -> None:
    """Its own message, the one behind it and `when_closed` all hear the truth, once."""
    steps, action, delivery = ENDS[end]
    dial = Dial(
        *greeted(*PIPELINING),
        expect("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA"),
        send("250 ok", "250 ok", "354 go"),
        stop_reading(),
        *steps,
        interrupted=True,
    )
    connection = dial.ready
    sent = connection.send(ENVELOPE, source())
    behind = connection.send(ENVELOPE, b"Subject: second\r\n\r\n")
    over = connection.when_closed().addErrback(lambda _: None)
    dial.network.settle()
    action(sent, dial)
    error = dial.failure_of(sent)
    assert isinstance(error, SMTPError)
    assert isinstance(error, SendCancelled) == (end == "cancelled")
    assert error.delivery is delivery
    assert failure_result_of(behind, SMTPError).delivery is Delivery.NOT_SENT
    assert over.called
    assert dial.is_over()
