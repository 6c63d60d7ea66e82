"""The connections of a pool: which there are, which to use, when to open and when to leave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.errors import ProtocolError, SMTPError, SocketError
from txsmtpconn.transport.breaker import Breaker
from txsmtpconn.transport.figures import Counts
from txsmtpconn.transport.member import Member
from txsmtpconn.transport.opening import Open
from txsmtpconn.transport.options import PoolOptions

#: Seconds that a connection has to give a sign of life.
_PROBE_TIMEOUT = 5.0


class Roster:
    """Keeps the connections.

    Args:
        open_connection: Opens another.
        options: The pool's.
        clock: The reactor.
        breaker: What is known of the server.
        counts: Where to count.
        changed: Called when a connection has become ready, or has gone.
        refused: Called before that when one could not be opened.

    Attributes:
        members: The connections, oldest first.
    """

    log = Logger(namespace="txsmtpconn.transport")

    def __init__(
        self,
        open_connection: Open,
        options: PoolOptions,
        clock: IReactorTime,
        breaker: Breaker,
        counts: Counts,
        changed: Callable[[], None],
        refused: Callable[[], None],
    ) -> None:
        self.members: list[Member] = []
        self._open = open_connection
        self._options = options
        self._clock = clock
        self._breaker = breaker
        self._counts = counts
        self._changed = changed
        self._refused = refused

    # -- which there are

    @property
    def in_flight(self) -> int:
        """Messages that they have."""
        return sum(len(member.parts) for member in self.members)

    @property
    def has_room(self) -> bool:
        """Whether a message would find a connection with nothing to do, or have one opened."""
        return len(self.members) < self._options.max_connections or any(
            not member.parts for member in self.members
        )

    def has_none_but(self, member: Member) -> bool:
        """Whether no other connection is open."""
        return all(each is member or each.connection is None for each in self.members)

    def choose(self, now: float) -> Member | None:
        """Return the connection for the next message, if there is one now.

        Of those with nothing to do, the one that was used last: the others may fall asleep.
        """
        best: Member | None = None
        for member in self.members:
            if not member.may_take or member.needs_probe(now):
                continue
            if best is None or (len(member.parts), -member.spoke_at) < (
                len(best.parts),
                -best.spoke_at,
            ):
                best = member
        if best is not None and best.parts and self._may_grow(now):
            # A connection of its own is coming, or will be opened.
            return None
        return best

    # -- opening, and waking

    def provide(self, wanted: float, now: float) -> None:
        """See to it that so many connections become free, as far as that is possible."""
        coming = sum(not member.is_ready for member in self.members)
        for member in self.members:
            if coming < wanted and member.is_idle and member.needs_probe(now):
                self._probe(member)
                coming += 1
        while coming < wanted and self._may_open(now):
            self._open_another(now)
            coming += 1

    def _may_grow(self, now: float) -> bool:
        return self._may_open(now) or any(
            member.is_idle and member.needs_probe(now) for member in self.members
        )

    def _may_open(self, now: float) -> bool:
        breaker = self._breaker
        return (
            len(self.members) < self._options.max_connections
            and breaker.ready_at <= now
            and (not breaker.failures or all(member.connection for member in self.members))
        )

    def _open_another(self, now: float) -> None:
        opening = self._open()
        member = Member(opening, now, self._options, self._breaker.failures)
        self.members.append(member)
        opening.addCallbacks(
            self._opened, self._not_opened, callbackArgs=(member,), errbackArgs=(member,)
        )
        opening.addErrback(self.blame)

    def _opened(self, connection: SMTPConnection, member: Member) -> None:
        self._counts.opened += 1
        member.open(connection, self._clock.seconds())
        closed = connection.when_closed()
        closed.addErrback(lambda _: None)
        closed.addCallback(lambda _: self._gone(member)).addErrback(self.blame)
        if member.leaving:
            # It came although we had given it up.
            connection.close()
        self._changed()

    def _not_opened(self, failure: Failure, member: Member) -> None:
        self.members.remove(member)
        if not member.leaving:
            self._counts.not_opened += 1
            reason = _failure_to_open(failure.value)
            now = self._clock.seconds()
            self._breaker.failed(member.failures, now, reason, alone=self.has_none_but(member))
            self._refused()
        self._changed()

    def _gone(self, member: Member) -> None:
        """A connection has ended, by us, by the server or by chance."""
        self.members.remove(member)
        self._counts.died += member.failed or not member.leaving
        self._changed()

    def blame(self, failure: Failure) -> None:
        """Report an error of ours: nobody else sees what happens in here."""
        self.log.failure("in the pool", failure=failure)

    # -- signs of life

    def _probe(self, member: Member) -> None:
        """Ask a connection that was silent for long whether it is still there."""
        connection = member.connection
        assert connection is not None
        member.probing = True
        probe: Deferred[Any] = connection.noop()
        probe.addTimeout(_PROBE_TIMEOUT, self._clock)
        probe.addBoth(self._probed, member).addErrback(self.blame)

    def _probed(self, answer: object, member: Member) -> None:
        reason = answer.value if isinstance(answer, Failure) else None
        # Who refuses NOOP is there as well.
        if reason is None or (isinstance(reason, ProtocolError) and reason.reply is not None):
            member.probing = False
            member.spoke_at = self._clock.seconds()
        elif member in self.members:
            self.drop(member)
        self._changed()

    # -- parting

    def expire(self, now: float) -> None:
        """Let connections that are old or idle get nothing more."""
        for member in self.members:
            if member.expiry() <= now:
                member.retiring = True

    def expiry(self) -> float:
        """Return when the next of them is old or idle."""
        return min((member.expiry() for member in self.members), default=float("inf"))

    def leave(self, *, closing: bool) -> None:
        """Quit connections that have nothing to do and get nothing more.

        Args:
            closing: Whether that is true of all which have nothing to do.
        """
        free = [
            member
            for member in self.members
            if not member.parts and not member.leaving and (member.retiring or closing)
        ]
        for member in free:
            member.retiring = member.leaving = True
            if member.connection is None:
                member.opening.cancel()
            else:
                member.connection.quit()

    def drop(self, member: Member) -> None:
        """Part with a connection now; what it has fails."""
        member.retiring = member.leaving = True
        if member.connection is None:
            member.opening.cancel()
        else:
            member.connection.close()


def _failure_to_open(reason: BaseException | None) -> SMTPError:
    """Return an error of ours for whatever kept a connection from being opened."""
    if isinstance(reason, SMTPError):
        return reason
    error = SocketError(f"no connection: {type(reason).__name__}", command="CONN")
    error.__cause__ = reason
    return error
