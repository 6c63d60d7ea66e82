"""When a server that fails is tried again, and when those who wait for it are told."""

from __future__ import annotations

from collections.abc import Callable

from txsmtpconn.client.calls import restated
from txsmtpconn.errors import SMTPError
from txsmtpconn.outcome import Delivery

#: Seconds until the next attempt: after the second failure in a row, and at most.
_PAUSE = (1.0, 60.0)


class Breaker:
    """What is known of a server that is hard to reach.

    The first failure costs nothing, unless there are other connections to go on with: servers
    restart, and close connections that were idle. From the second on there is a pause before each
    attempt, twice as long each time, and one attempt at a time. A message that was answered over a
    new connection, were it by a refusal, ends all that.

    Args:
        patience: Failures in a row that a server which has worked may have before it is given up.
        chance: Gives a number of 0 up to 1; pauses vary by a tenth, lest many clients come back to
            a server in the same moment.

    Attributes:
        failures: In a row.
        reason: The last of them.
    """

    reason: SMTPError | None = None
    failures = 0
    _until = 0.0
    _has_worked = False

    def __init__(self, patience: int, chance: Callable[[], float]) -> None:
        self._patience = patience
        self._chance = chance

    @property
    def tripped(self) -> bool:
        """Whether it is no use to wait for the next attempt.

        A server that never worked is as likely a wrong name, and a refused password will not
        become right.
        """
        if self.reason is None:
            return False
        patience = self._patience if self._has_worked else 0
        return self.failures > patience or self.reason.is_permanent

    @property
    def known_reason(self) -> SMTPError:
        """Why it is tripped."""
        assert self.reason is not None
        return self.reason

    @property
    def ready_at(self) -> float:
        """When the next attempt may be made."""
        return self._until

    def failed(self, when_begun: int, now: float, reason: SMTPError, *, alone: bool) -> None:
        """Take note of a connection that could not be made, or died before it was of use.

        Args:
            when_begun: What `failures` was when the connection was begun: several that were begun
                together and fail together count once.
            now: The time.
            reason: Why it failed.
            alone: Whether there is no other connection.
        """
        # It may tell of a message, and those who are given it next have others.
        self.reason = restated(reason)
        self.reason.delivery, self.reason.recipients = Delivery.NOT_SENT, ()
        if when_begun != self.failures:
            return
        self.failures += 1
        if self.failures > 1 or not alone:
            pause = min(_PAUSE[0] * 2.0 ** min(max(self.failures - 2, 0), 30), _PAUSE[1])
            self._until = now + pause * (0.9 + 0.2 * self._chance())

    def succeeded(self) -> None:
        """Take note that the server has answered a message over a new connection."""
        self._has_worked = True
        self.failures = 0
        self.reason = None
        self._until = 0.0
