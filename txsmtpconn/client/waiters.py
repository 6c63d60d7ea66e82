"""Something that happens once, and a Deferred of its own for everybody who waits for it."""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from txsmtpconn.client.calls import restated
from txsmtpconn.errors import SMTPError
from txsmtpconn.net.cancelled import SendCancelled

_T = TypeVar("_T")


class Waiters(Generic[_T]):
    """Those who wait for one event.  Cancelling a wait ends nothing but that wait."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[_T]] = []
        self._outcome: tuple[_T] | SMTPError | None = None

    def wait(self) -> Deferred[_T]:
        """Return a new Deferred; it has fired if the event is past."""
        outcome = self._outcome
        if isinstance(outcome, SMTPError):
            return fail(restated(outcome))
        if outcome is not None:
            return succeed(outcome[0])
        deferred: Deferred[_T] = Deferred(self._cancel)
        self._waiting.append(deferred)
        return deferred

    def fire(self, result: _T) -> None:
        """The event has come, unless it came before."""
        if self._outcome is None:
            self._outcome = (result,)
            for deferred in self._drain():
                if not deferred.called:
                    deferred.callback(result)

    def fail(self, error: SMTPError) -> None:
        """The event will not come, unless it came before."""
        if self._outcome is None:
            self._outcome = error
            for deferred in self._drain():
                if not deferred.called:
                    deferred.errback(restated(error))

    def _drain(self) -> list[Deferred[_T]]:
        """Forget all who wait: one of them may cancel another when it hears the news."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _cancel(self, deferred: Deferred[_T]) -> None:
        if deferred in self._waiting:
            self._waiting.remove(deferred)
        deferred.errback(SendCancelled("the wait was cancelled", command="API"))
