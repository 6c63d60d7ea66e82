"""Asking the application, one question at a time; it may answer at once, later, or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.server.hooks import SMTPRejection, deferred_of
from txsmtpconn.session.server import replies
from txsmtpconn.wire.reply import Reply


class Consultation:
    """The question that one session has put to its application.

    Args:
        declined: Called with the reply if the application refuses or fails.
        go_on: Called after an answer that did not come at once.
        broken: Called if acting on such an answer failed: a fault of ours.
    """

    _log = Logger()

    __slots__ = ("_broken", "_declined", "_go_on", "_pending")

    def __init__(
        self,
        declined: Callable[[Reply], None],
        go_on: Callable[[], None],
        broken: Callable[[Failure], None],
    ) -> None:
        self._declined = declined
        self._go_on = go_on
        self._broken = broken
        self._pending: Deferred[Any] | None = None

    def ask(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        then: Callable[[Any], None],
        unwanted: Callable[[Any], None] | None = None,
    ) -> None:
        """Call a function of the application, and act on what it answers.

        Args:
            function: A hook, or a sink's `finish`.
            *arguments: What it is to decide about.
            then: Called with its answer.
            unwanted: Called with an answer that comes when nobody waits any more.
        """
        try:
            answer = function(*arguments)
            awaited = None if answer is None else deferred_of(answer)
        except Exception:  # noqa: BLE001 - the application's; the client is told 451
            self._declined(self.refusal_of(Failure()))
            return
        if awaited is None:
            then(answer)
            return
        self._pending = awaited
        awaited.addCallbacks(
            self._answered,
            self._failed,
            callbackArgs=(awaited, then, unwanted),
            errbackArgs=(awaited,),
        )
        awaited.addErrback(self._broken)

    def withdraw(self) -> None:
        """Wait no more, and let the application know by cancelling."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()

    def leave(self) -> None:
        """Wait no more, but let the application finish what it does."""
        self._pending = None

    def end(self) -> None:
        """Let go of whoever would have been told of answers: the connection is gone."""
        self._declined = self._go_on = self._broken = _nobody

    def refusal_of(self, failure: Failure) -> Reply:
        """Return what the client is told about a failure; log it if it was no decision."""
        if isinstance(failure.value, SMTPRejection):
            return failure.value.reply
        self._log.failure("a server hook failed", failure=failure)
        return replies.LOCAL_ERROR

    def _answered(
        self,
        answer: Any,
        asked: Deferred[Any],
        then: Callable[[Any], None],
        unwanted: Callable[[Any], None] | None,
    ) -> None:
        if self._pending is not asked:
            if unwanted is not None:
                unwanted(answer)
            return
        self._pending = None
        then(answer)
        self._go_on()

    def _failed(self, failure: Failure, asked: Deferred[Any]) -> None:
        if self._pending is asked:
            self._pending = None
            self._declined(self.refusal_of(failure))
            self._go_on()
        elif not failure.check(CancelledError, SMTPRejection):
            self._log.failure("a server hook failed after the client had left", failure=failure)


def _nobody(*_: object) -> None:
    """Hear of an answer that comes to nothing."""
