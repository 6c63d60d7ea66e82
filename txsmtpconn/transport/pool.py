"""A pool: messages in, connections found for them.

Messages wait in one queue, in the order of the calls. A message goes to a connection that has
nothing to do; else a connection is opened for it; else, where no more may be, it is pipelined
behind others on the one that has the fewest.

What a connection's death costs is decided by what is known of each message: one that reached
nobody for certain goes back to its place in the queue, a few times; one in doubt is never sent
again by the pool.

There is one timer for all that has its time: the rate, the pause before the next attempt to
connect, messages that have waited too long, connections that are old or idle.
"""

from __future__ import annotations

import random
from bisect import insort
from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txsmtpconn.client.calls import restated
from txsmtpconn.client.waiters import Waiters
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import DeadlineError, PoolError, SMTPError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.deadline import Deadline
from txsmtpconn.outcome import SendResult
from txsmtpconn.transport.breaker import Breaker
from txsmtpconn.transport.closing import give_up_after
from txsmtpconn.transport.figures import Counts, PoolFigures
from txsmtpconn.transport.job import OF_THE_CONNECTION, Message, Part, error_of
from txsmtpconn.transport.member import Member
from txsmtpconn.transport.opening import Open
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.prepared import source_of
from txsmtpconn.transport.rate import Rate
from txsmtpconn.transport.roster import Roster


class Pool:
    """Sends messages over as many connections as it may keep.

    Args:
        open_connection: Returns a connection that is ready for mail, logged in where it should be.
        options: The limits.
        clock: The reactor.
        chance: Gives numbers of 0 up to 1, for pauses that are not all alike.
    """

    def __init__(
        self,
        open_connection: Open,
        options: PoolOptions,
        clock: IReactorTime,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._options = options
        self._clock = clock
        self._counts = Counts()
        self._breaker = Breaker(options.max_requeues, chance)
        self._rate = Rate(options.rate_limit, options.rate_delta)
        self._roster = Roster(
            open_connection,
            options,
            clock,
            self._breaker,
            self._counts,
            changed=self._dispatch,
            refused=self._tell_if_hopeless,
        )
        # In the order of their messages' arrival; one that comes back takes its old place.
        self._waiting: deque[Part] = deque()
        self._timer = Deadline(clock, self._dispatch)
        self._serial = 0
        self._dispatching = self._look_again = False
        self._closing = self._given_up = False
        # Whether anybody has ever asked to be told.
        self._observed = False
        self._idle: Waiters[None] = Waiters()
        self._clear: Waiters[None] = Waiters()
        self._closed: Waiters[None] = Waiters()

    # -- facts

    @property
    def connections(self) -> int:
        """Connections that are open or being opened."""
        return len(self._roster.members)

    @property
    def waiting(self) -> int:
        """Messages, or parts of such, that no connection has taken yet."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Messages, or parts of such, that a connection has taken and not answered."""
        return self._roster.in_flight

    @property
    def is_idle(self) -> bool:
        """Whether a message would find a connection without waiting for another message."""
        return not self._waiting and self._roster.has_room

    @property
    def is_clear(self) -> bool:
        """Whether every message has been answered."""
        return not self._waiting and not self._roster.in_flight

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred of your own that fires when `is_idle`: the time to bring more mail."""
        waiting = self._idle.wait()
        self._observed = True
        self._tell_observers()
        return waiting

    def when_clear(self) -> Deferred[None]:
        """Return a Deferred of your own that fires when `is_clear`."""
        waiting = self._clear.wait()
        self._observed = True
        self._tell_observers()
        return waiting

    def figures(self) -> PoolFigures:
        """Return all of it in numbers, and what has happened so far."""
        counts, members = self._counts, self._roster.members
        return PoolFigures(
            counts.sent,
            counts.failed,
            counts.requeued,
            counts.opened,
            counts.not_opened,
            counts.died,
            connections=len(members),
            opening=sum(member.connection is None for member in members),
            idle=sum(member.is_idle for member in members),
            waiting=self.waiting,
            in_flight=self.in_flight,
            pause=max(0.0, self._breaker.ready_at - self._clock.seconds()),
        )

    # -- calls

    def send(self, envelope: Envelope, message: object) -> Deferred[SendResult]:
        """Send a message over some connection; the result is that of `SMTPConnection.send`.

        Errbacks:
            PoolError: The pool is closed, or more messages wait than may.
            DeadlineError: It found no connection in time.
            SMTPError: No connection could be opened, or what `SMTPConnection.send` says.
        """
        refusal = self._refusal()
        if refusal is not None:
            return fail(refusal)
        try:
            source = source_of(message)
        except SMTPError as error:
            return fail(error)
        self._serial += 1
        now = self._clock.seconds()
        job = Message(self._serial, envelope, source, now, self._cancel, self._counts)
        deferred = job.deferred
        assert deferred is not None
        self._waiting.extend(job.parts)
        self._dispatch()
        return deferred

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Take no more messages, send those there are, and quit all connections.

        Args:
            timeout: Seconds after which what is left is given up and connections are dropped.

        Returns:
            A Deferred that fires when the last connection is gone. It never errbacks.
        """
        self._closing = self._observed = True
        give_up_after(self._clock, timeout, self._drop_all, self._closed.wait())
        done = self._closed.wait()
        self._dispatch()
        return done

    def _refusal(self) -> SMTPError | None:
        """Return why a message need not wait, or None."""
        most = self._options.max_waiting
        if self._closing:
            return _closed()
        if most is not None and len(self._waiting) >= most and not self.is_idle:
            text = f"{len(self._waiting)} messages are waiting already"
            return PoolError(text, command="API")
        breaker = self._breaker
        if breaker.ready_at > self._clock.seconds() and self._is_hopeless():
            return restated(breaker.known_reason)
        return None

    def _is_hopeless(self) -> bool:
        """Whether there is no connection, and it is no use to wait for one."""
        return not self._roster.members and self._breaker.tripped

    def _cancel(self, message: Message) -> None:
        message.cancelled = True
        # Those that wait come first: a part that ends makes room, which is for others.
        for part in [part for part in message.parts if part.sending is None]:
            self._waiting.remove(part)
            self._settle(part, SendCancelled("the send was cancelled", command="API"))
        for part in list(message.parts):
            if part.sending is not None:
                part.sending.cancel()
        self._dispatch()

    def _drop_all(self) -> None:
        self._given_up = True
        waiting, self._waiting = self._waiting, deque()
        for part in waiting:
            self._settle(part, _closed())
        for member in list(self._roster.members):
            self._roster.drop(member)
        self._dispatch()

    # -- one look at everything

    def _dispatch(self) -> None:
        """Do all that can be done now. What is done may call for another look."""
        self._look_again = True
        if self._dispatching:
            return
        self._dispatching = True
        try:
            while self._look_again:
                self._look_again = False
                self._look()
        finally:
            self._dispatching = False
        self._arm()
        if self._observed:
            self._tell_observers()

    def _look(self) -> None:
        now = self._clock.seconds()
        roster = self._roster
        roster.expire(now)
        self._answer_late(now)
        while self._waiting and self._rate.room(now) > 0:
            member = roster.choose(now)
            if member is None:
                break
            self._give(member, self._waiting.popleft(), now)
        if self._waiting:
            # Nothing is opened for what the rate holds back.
            roster.provide(min(len(self._waiting), self._rate.room(now)), now)
        roster.leave(closing=self._closing and not self._waiting)

    def _tell_if_hopeless(self) -> None:
        """Answer all who wait, if the connection that they wait for will not come."""
        if self._is_hopeless():
            waiting, self._waiting = self._waiting, deque()
            for part in waiting:
                self._settle(part, restated(self._breaker.known_reason))

    def _answer_late(self, now: float) -> None:
        """Answer those who have waited too long."""
        limit = self._options.queue_timeout
        while limit is not None and self._waiting:
            if self._waiting[0].message.arrived_at + limit > now:
                break
            error = DeadlineError(f"no connection was free within {limit:g} s", command="API")
            self._settle(self._waiting.popleft(), error)

    def _arm(self) -> None:
        """Set the timer for whatever comes first."""
        now = self._clock.seconds()
        soonest = self._roster.expiry()
        if self._waiting:
            limit = self._options.queue_timeout
            if limit is not None:
                soonest = min(soonest, self._waiting[0].message.arrived_at + limit)
            if self._rate.room(now) <= 0:
                soonest = min(soonest, self._rate.ready_at())
            if self._breaker.ready_at > now:
                soonest = min(soonest, self._breaker.ready_at)
        if soonest < float("inf"):
            self._timer.set(soonest)
        else:
            self._timer.cancel()

    def _tell_observers(self) -> None:
        if self.is_idle:
            idle, self._idle = self._idle, Waiters()
            idle.fire(None)
        if self.is_clear:
            clear, self._clear = self._clear, Waiters()
            clear.fire(None)
        if self._closing and not self._roster.members and not self._waiting:
            self._timer.cancel()
            self._closed.fire(None)

    # -- sending

    def _give(self, member: Member, part: Part, now: float) -> None:
        connection = member.connection
        assert connection is not None
        offered = connection.extensions
        if offered.rcptmax is not None or offered.rcptdomainmax is not None:
            groups = part.groups(offered.rcptmax, offered.rcptdomainmax)
            if len(groups) > 1:
                _, *more = part.message.divide(part, groups)
                self._waiting.extendleft(reversed(more))
        self._rate.take(now)
        member.take(part)
        sending = part.send_over(connection)
        sending.addBoth(self._ended, member, part).addErrback(self._roster.blame)

    def _ended(self, result: SendResult | Failure, member: Member, part: Part) -> None:
        member.parts.remove(part)
        part.sending = None
        now = member.idle_since = self._clock.seconds()
        outcome = result if isinstance(result, SendResult) else error_of(result)
        troubled = part.tells_of_connection(outcome)
        if troubled:
            member.retiring = True
        if isinstance(outcome, OF_THE_CONNECTION):
            # A limit that the server has told of (MAILMAX) is no failure.
            member.failed = not isinstance(outcome, PoolError)
            if member.failed and not member.proven:
                alone = self._roster.has_none_but(member)
                self._breaker.failed(member.failures, now, outcome, alone=alone)
        elif _was_answered(outcome):
            member.spoke_at = now
            if not member.proven:
                member.proven = True
                self._breaker.succeeded()
        # 421 to the first message of a connection may well be about that message: given to another
        # connection, it would take that down, too, and all that waits behind it would wait on.
        judged = member.begun == 1 and isinstance(outcome, SMTPError) and outcome.reply is not None
        if judged or not (troubled and self._requeue(part, outcome)):
            self._settle(part, outcome)
        self._dispatch()

    def _requeue(self, part: Part, outcome: SendResult | SMTPError) -> bool:
        """Let those recipients go again whom the message can not have reached, if there are."""
        message = part.message
        if (
            message.cancelled
            or self._given_up
            or not message.source.replayable
            or part.requeues >= self._options.max_requeues
        ):
            return False
        unsent = part.unsent(outcome)
        if not unsent:
            return False
        if len(unsent) < len(part.all_places):
            message.record(part, outcome, but=unsent)
            part.narrow(unsent)
        part.requeues += not isinstance(outcome, PoolError)
        self._counts.requeued += 1
        self._enqueue(part)
        return True

    def _enqueue(self, part: Part) -> None:
        insort(self._waiting, part, key=lambda each: each.message.serial)

    def _settle(self, part: Part, outcome: SendResult | SMTPError) -> None:
        """Let a part have its outcome, and its message with it if it was the last."""
        message = part.message
        following = message.settle(part, outcome)
        while following is not None and self._given_up:
            following = message.settle(following, _closed())
        if following is not None:
            self._enqueue(following)


def _closed() -> SMTPError:
    return PoolError("the pool is closed", command="API")


def _was_answered(outcome: SendResult | SMTPError) -> bool:
    """Tell whether the server has said something about the message."""
    return isinstance(outcome, SendResult) or outcome.reply is not None
