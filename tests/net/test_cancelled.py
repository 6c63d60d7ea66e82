"""The error of a cancelled call."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from txsmtpconn import Delivery, SendCancelled, SMTPError
from txsmtpconn.testing import failure_result_of


def test_it_is_ours_and_twisteds() -> None:
    """So both an SMTP-minded and a Deferred-minded caller recognise it."""
    error = SendCancelled("stopped", delivery=Delivery.IN_DOUBT)
    assert isinstance(error, SMTPError)
    assert isinstance(error, CancelledError)
    assert error.code == "ECANCELLED"
    assert error.delivery is Delivery.IN_DOUBT
    assert str(error) == "stopped"


def test_add_timeout_recognises_it() -> None:
    """Twisted turns it into its own TimeoutError, as for any cancelled Deferred."""
    clock = Clock()
    deferred: Deferred[None] = Deferred(lambda d: d.errback(SendCancelled("stopped")))
    deferred.addTimeout(1, clock)
    clock.advance(1)
    assert type(failure_result_of(deferred)).__name__ == "TimeoutError"
