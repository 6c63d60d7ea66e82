"""A pool: messages in, connections found for them.

Messages wait in one queue, in the order of the calls. A message goes to a connection that has
nothing to do; else a connection is opened for it; else, where no more may be, it is pipelined
behind others on the one that has the fewest.

What a connection's death costs is decided by what is known of each message: one that reached
nobody for certain goes back to the head of the queue, a few times; one in doubt is never sent
again by the pool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.client.calls import restated
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import (
    ConnectionLostError,
    DeadlineError,
    PoolError,
    ProtocolError,
    SMTPError,
    SocketError,
    TLSError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.deadline import Deadline
from txsmtpconn.net.streams import MessageSource, message_source
from txsmtpconn.outcome import Delivery, SendResult
from txsmtpconn.transport.options import PoolOptions

#: Seconds without a new attempt after one failed while other connections stand: at first, at most.
_PAUSE = (1.0, 60.0)

#: Opens a connection and makes it ready for mail, login included.
Open = Callable[[], Deferred[SMTPConnection]]

#: What tells of the connection rather than of the message that was on it.
_OF_THE_CONNECTION = (
    ConnectionLostError,
    DeadlineError,
    PoolError,
    ProtocolError,
    SocketError,
    TLSError,
)


class _Job:
    """A message that waits, or is under way.

    Attributes:
        deferred: What the caller holds; None once it has fired.
        requeues: How often another connection was found for it.
        sending: The connection's Deferred while it is under way.
    """

    requeues = 0
    sending: Deferred[SendResult] | None = None

    def __init__(
        self, envelope: Envelope, source: MessageSource, cancel: Callable[[_Job], None]
    ) -> None:
        self.envelope = envelope
        self.source = source
        self.deferred: Deferred[SendResult] | None = Deferred(lambda _: cancel(self))

    def answer(self, result: SendResult | Failure | SMTPError) -> None:
        """Tell the caller, once."""
        deferred, self.deferred = self.deferred, None
        if deferred is None:
            return
        if isinstance(result, SendResult):
            deferred.callback(result)
        else:
            deferred.errback(result)


class _Member:
    """A connection of the pool.

    Attributes:
        connection: None until it is ready.
        opening: Fires when it is.
        jobs: The messages on it, in order.
        begun: How many it was given in all.
        retiring: It gets no more, and is quit when those that it has are done.
    """

    connection: SMTPConnection | None = None
    begun = 0
    retiring = False

    def __init__(self, opening: Deferred[SMTPConnection], now: float) -> None:
        self.opening = opening
        self.opened_at = now
        self.idle_since = now
        self.jobs: list[_Job] = []


class Pool:
    """Sends messages over as many connections as it may keep.

    Args:
        open_connection: Returns a connection that is ready for mail, logged in where it should be.
        options: The limits.
        clock: The reactor.
    """

    _log = Logger()
    _pause = 0.0
    _open_after = 0.0

    def __init__(self, open_connection: Open, options: PoolOptions, clock: IReactorTime) -> None:
        self._open = open_connection
        self._options = options
        self._clock = clock
        self._waiting: deque[_Job] = deque()
        self._members: list[_Member] = []
        self._timer = Deadline(clock, self._retire_the_old)
        self._closing = self._given_up = False
        self._closed: list[Deferred[None]] = []

    # -- facts

    @property
    def connections(self) -> int:
        """Connections that are open or being opened."""
        return len(self._members)

    @property
    def waiting(self) -> int:
        """Messages that no connection has taken yet."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Messages that a connection has taken and that are not answered."""
        return sum(len(member.jobs) for member in self._members)

    @property
    def is_idle(self) -> bool:
        """Whether a message would find a connection without waiting for another message."""
        return not self._waiting and (
            len(self._members) < self._options.max_connections
            or any(not member.jobs for member in self._members)
        )

    # -- calls

    def send(self, envelope: Envelope, message: object) -> Deferred[SendResult]:
        """Send a message over some connection; the result is that of `SMTPConnection.send`.

        Errbacks:
            PoolError: The pool is closed, or more messages wait than may.
            SMTPError: No connection could be opened, or what `SMTPConnection.send` says.
        """
        options = self._options
        if self._closing:
            return fail(PoolError("the pool is closed", command="API"))
        if options.max_waiting is not None and len(self._waiting) >= options.max_waiting:
            text = f"{len(self._waiting)} messages are waiting already"
            return fail(PoolError(text, command="API"))
        try:
            source = message_source(message)
        except SMTPError as error:
            return fail(error)
        job = _Job(envelope, source, self._cancel)
        deferred = job.deferred
        assert deferred is not None
        self._waiting.append(job)
        self._dispatch()
        return deferred

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Take no more messages, send those there are, and quit all connections.

        Args:
            timeout: Seconds after which what is left is given up and connections are dropped.

        Returns:
            A Deferred that fires when the last connection is gone. It never errbacks.
        """
        self._closing = True
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        if timeout is not None:
            call = self._clock.callLater(timeout, self._drop_all)

            def disarm(_: None) -> None:
                if call.active():
                    call.cancel()

            done.addCallback(disarm)
        for member in list(self._members):
            self._retire_if_free(member)
        self._tell_if_closed()
        return done

    # -- finding connections

    def _dispatch(self) -> None:
        """Give waiting messages to connections, as far as there are any."""
        while self._waiting:
            member = self._choose()
            if member is None:
                return
            self._give(member, self._waiting.popleft())

    def _choose(self) -> _Member | None:
        """Return the connection for the next message; open one where that is better."""
        free = [member for member in self._members if self._may_take(member)]
        best = min(free, key=lambda member: len(member.jobs), default=None)
        if best is not None and not best.jobs:
            return best
        opening = sum(member.connection is None for member in self._members)
        if len(self._members) >= self._options.max_connections:
            return best
        if self._members and self._clock.seconds() < self._open_after:
            return best
        if opening < len(self._waiting):
            self._open_another()
        return None

    def _may_take(self, member: _Member) -> bool:
        return (
            member.connection is not None
            and not member.retiring
            and len(member.jobs) < self._options.max_in_flight
        )

    def _open_another(self) -> None:
        opening = self._open()
        member = _Member(opening, self._clock.seconds())
        self._members.append(member)
        opening.addCallbacks(
            self._opened, self._not_opened, callbackArgs=(member,), errbackArgs=(member,)
        )
        opening.addErrback(self._blame)

    def _opened(self, connection: SMTPConnection, member: _Member) -> None:
        self._pause = 0.0
        member.connection = connection
        member.idle_since = self._clock.seconds()
        closed = connection.when_closed()
        closed.addErrback(lambda _: None)
        closed.addCallback(lambda _: self._gone(member))
        self._dispatch()
        self._retire_if_free(member)
        self._arm()

    def _blame(self, failure: Failure) -> None:
        """Report an error of ours: nobody else sees what happens in here."""
        self._log.failure("while a connection was opened", failure=failure)

    def _not_opened(self, failure: Failure, member: _Member) -> None:
        """Do without it, or answer whoever waits if there is no other.

        Another attempt at once would spin on a host that is down, or that takes no more.
        """
        self._members.remove(member)
        if self._members:
            self._pause = min(max(self._pause * 2, _PAUSE[0]), _PAUSE[1])
            self._open_after = self._clock.seconds() + self._pause
            self._dispatch()
        else:
            waiting, self._waiting = self._waiting, deque()
            for job in waiting:
                job.answer(_failure_of(failure.value))
        self._tell_if_closed()

    # -- sending

    def _give(self, member: _Member, job: _Job) -> None:
        connection = member.connection
        assert connection is not None
        member.begun += 1
        member.jobs.append(job)
        if member.begun >= self._options.max_messages:
            member.retiring = True
        job.sending = connection.send(job.envelope, job.source)
        job.sending.addBoth(self._ended, member, job)

    def _ended(self, result: SendResult | Failure, member: _Member, job: _Job) -> None:
        member.jobs.remove(job)
        job.sending = None
        member.idle_since = self._clock.seconds()
        if isinstance(result, Failure) and isinstance(result.value, _OF_THE_CONNECTION):
            member.retiring = True
        if isinstance(result, Failure) and self._goes_again(result.value, job):
            job.requeues += 1
            # The failures of a connection's messages come in their order; the queue keeps it.
            again = sum(each.requeues > 0 for each in self._waiting)
            self._waiting.insert(again, job)
        else:
            job.answer(result)
        self._retire_if_free(member)
        self._dispatch()
        self._arm()

    def _goes_again(self, reason: BaseException | None, job: _Job) -> bool:
        return (
            job.deferred is not None
            and not self._given_up
            and isinstance(reason, _OF_THE_CONNECTION)
            and reason.delivery is Delivery.NOT_SENT
            and job.source.replayable
            and job.requeues < self._options.max_requeues
        )

    def _cancel(self, job: _Job) -> None:
        job_sending = job.sending
        if job_sending is not None:
            job_sending.cancel()
            return
        if job in self._waiting:
            self._waiting.remove(job)
        job.answer(SendCancelled("the send was cancelled", command="API"))
        for member in list(self._members):
            self._retire_if_free(member)

    # -- parting with connections

    def _retire_if_free(self, member: _Member) -> None:
        """Quit a connection that has nothing to do and will get nothing more."""
        if member.jobs or not (member.retiring or (self._closing and not self._waiting)):
            return
        member.retiring = True
        if member.connection is None:
            member.opening.cancel()
        else:
            member.connection.quit()

    def _retire_the_old(self) -> None:
        """Quit connections that were idle for long, and let old ones take no more."""
        now = self._clock.seconds()
        for member in list(self._members):
            if self._expiry(member) <= now:
                member.retiring = True
                self._retire_if_free(member)
        self._arm()

    def _expiry(self, member: _Member) -> float:
        options = self._options
        if member.connection is None or (member.retiring and member.jobs):
            return float("inf")
        old = float("inf") if options.max_age is None else member.opened_at + options.max_age
        return old if member.jobs else min(old, member.idle_since + options.idle_timeout)

    def _arm(self) -> None:
        expiries = [self._expiry(member) for member in self._members if not member.retiring]
        soonest = min(expiries, default=float("inf"))
        self._timer.set(None if soonest == float("inf") else soonest)

    def _gone(self, member: _Member) -> None:
        """A connection has ended, by us, by the server or by chance."""
        if member in self._members:
            self._members.remove(member)
        self._dispatch()
        self._tell_if_closed()

    def _drop_all(self) -> None:
        self._given_up = True
        waiting, self._waiting = self._waiting, deque()
        for job in waiting:
            job.answer(PoolError("the pool was closed", command="API"))
        for member in list(self._members):
            member.retiring = True
            if member.connection is None:
                member.opening.cancel()
            else:
                member.connection.close()

    def _tell_if_closed(self) -> None:
        if not self._closing or self._members or self._waiting:
            return
        self._timer.cancel()
        closed, self._closed = self._closed, []
        for deferred in closed:
            deferred.callback(None)


def _failure_of(reason: Any) -> SMTPError:
    """Return an error of its own for one of several who fail for the same reason."""
    if isinstance(reason, SMTPError):
        return restated(reason)
    error = SocketError(f"no connection: {type(reason).__name__}", command="CONN")
    error.__cause__ = reason
    return error


def opened_by(connect: Callable[[], Deferred[SMTPConnection]], *, login: bool) -> Open:
    """Return what opens connections for a pool, and logs in on each where ``login`` says so."""

    def open_connection() -> Deferred[SMTPConnection]:
        return Deferred.fromCoroutine(_open(connect, login=login))

    return open_connection


async def _open(connect: Callable[[], Deferred[SMTPConnection]], *, login: bool) -> SMTPConnection:
    connection = await connect()
    if login:
        try:
            await connection.login()
        except BaseException:
            connection.close()
            raise
    return connection
