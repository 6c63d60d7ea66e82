"""One connection of a pool."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.transport.job import Part
from txsmtpconn.transport.options import PoolOptions

_NEVER = float("inf")


class Member:
    """A connection, from the attempt to open it to its end.

    Args:
        opening: Fires when it is ready.
        now: The time.
        options: The pool's.
        failures: What the breaker had counted when the attempt was made.

    Attributes:
        connection: None until it is ready.
        parts: What is on it, in order.
        begun: How much it was given in all.
        retiring: It gets no more, and is quit when what it has is done.
        leaving: It is being quit, or dropped.
        failed: It was of no use to a message.
        probing: It owes us a sign of life.
        proven: The server has answered a message over it.
        idle_since: When it began to carry nothing.
        spoke_at: When the server was last known to be there.
    """

    connection: SMTPConnection | None = None
    begun = 0
    retiring = False
    leaving = False
    failed = False
    probing = False
    proven = False

    def __init__(
        self,
        opening: Deferred[SMTPConnection],
        now: float,
        options: PoolOptions,
        failures: int,
    ) -> None:
        self.opening = opening
        self.failures = failures
        self.parts: list[Part] = []
        self.idle_since = self.spoke_at = now
        self._options = options
        self._opened_at = now
        self._budget = options.max_messages

    @property
    def is_ready(self) -> bool:
        """Whether it is open, and believed to be alive."""
        return self.connection is not None and not self.probing

    @property
    def is_idle(self) -> bool:
        """Whether a message would leave over it at once."""
        return self.may_take and not self.parts

    @property
    def may_take(self) -> bool:
        """Whether it may be given another message."""
        return self.is_ready and not self.retiring and len(self.parts) < self._options.max_in_flight

    def open(self, connection: SMTPConnection, now: float) -> None:
        """Be ready from now on."""
        self.connection = connection
        self.idle_since = self.spoke_at = now
        limit = connection.extensions.mailmax
        if limit is not None:
            self._budget = min(self._budget, limit)

    def take(self, part: Part) -> None:
        """Get something to carry."""
        self.begun += 1
        self.parts.append(part)
        if self.begun >= self._budget:
            self.retiring = True

    def needs_probe(self, now: float) -> bool:
        """Whether it was silent for so long that it may be dead."""
        after = self._options.probe_after
        return after is not None and not self.parts and self.spoke_at + after <= now

    def expiry(self) -> float:
        """Return when it is too old, or was idle for too long."""
        options = self._options
        if self.connection is None or self.retiring:
            return _NEVER
        old = _NEVER if options.max_age is None else self._opened_at + options.max_age
        return old if self.parts else min(old, self.idle_since + options.idle_timeout)
