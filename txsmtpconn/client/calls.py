"""Calls that are one command and its reply: RSET, NOOP, XCLIENT, QUIT."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

from txsmtpconn.client.line import Line
from txsmtpconn.errors import ConnectionLostError, ProtocolError, SMTPError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.session.client.transaction import Operation, Quit
from txsmtpconn.wire.reply import Reply

_T = TypeVar("_T")


class Call(Generic[_T]):
    """One operation of the session, and the Deferred of whoever asked for it.

    Args:
        line: Where it goes.
        operation: What is to be done.
        judge: Makes a result or an exception of a reply.
    """

    _started = False

    def __init__(
        self, line: Line, operation: Operation, judge: Callable[[Reply | None], _T | SMTPError]
    ) -> None:
        self._line = line
        self._operation = operation
        self._judge = judge
        self.deferred: Deferred[_T] = Deferred(self._cancel)

    def start(self) -> bool:
        """Submit the operation."""
        self._started = True
        self._operation.tag = self
        self._line.take(self._line.session.submit(self._operation))
        return True

    def fail(self, cause: SMTPError) -> None:
        """End the call without a reply."""
        self._fire(restated(cause))

    def operation_ended(self, reply: Reply | None, error: SMTPError | None) -> None:
        """Take what became of the operation."""
        self._fire(self._judge(reply) if error is None else restated(error))

    def _fire(self, outcome: _T | SMTPError) -> None:
        deferred = self.deferred
        # The canceller of a Deferred that has fired would keep this call, and it the Deferred.
        del self.deferred
        if isinstance(outcome, SMTPError):
            deferred.errback(outcome)
        else:
            deferred.callback(outcome)

    def _cancel(self, _: Deferred[Any]) -> None:
        cause = SendCancelled("the call was cancelled", command="API")
        if not self._started:
            self._line.leave(self)
            self.fail(cause)
        elif not self._operation.ended:
            self._line.take(self._line.session.withdraw(self._operation, cause))
        else:
            # Its end is known and about to be acted on, further out.
            self._operation.tag = None
            self.fail(cause)


class Farewell:
    """QUIT in its turn, which nobody can take back.

    Args:
        line: Where it goes.
        over: Called when there is nothing more to wait for, for whatever reason.
    """

    def __init__(self, line: Line, over: Callable[[None], object]) -> None:
        self._line = line
        self._over = over

    def start(self) -> bool:
        """Submit the operation."""
        operation = Quit()
        operation.tag = self
        self._line.take(self._line.session.submit(operation))
        return True

    def fail(self, cause: SMTPError) -> None:
        """The session has ended in another way."""
        self._over(None)

    def operation_ended(self, reply: Reply | None, error: SMTPError | None) -> None:
        """Take what became of the operation, which is all the same."""
        self._over(None)


def expect_success(command: str) -> Callable[[Reply | None], Reply | SMTPError]:
    """Return the judge of a command that only a positive reply lets succeed."""

    def judge(reply: Reply | None) -> Reply | SMTPError:
        if reply is None:
            return ConnectionLostError("there was no reply", command=command)
        if reply.is_positive:
            return reply
        return ProtocolError(f"{command} was refused", reply=reply, command=command)

    return judge


def restated(error: SMTPError) -> SMTPError:
    """Return an error of its own for one more Deferred: several may fail for the same reason."""
    twin = copy(error)
    twin.__cause__ = error.__cause__
    return twin
