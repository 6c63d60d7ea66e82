"""What the relay does from time to time: leases, old age, and a clock that was set.

A message's age is read off the wall clock, and that can be wrong by years for a while. So nothing
expires in the first time after a start, nor after the wall clock has run away from the one that
nobody can set: a wrong clock then costs an attempt, never the mail. Nor is anything removed then
that is kept for the operator.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.counters import Counters
from txsmtpconn.relay.delivery import Dispatcher
from txsmtpconn.relay.spool import ISpool, Recovery

INTERVAL = 60.0
_PRUNE_EVERY = 3600.0
_CLOCK_SET = 600.0
"""Seconds of difference between two clocks that say that one was set."""


class Upkeep:
    """Looks after the spool while the relay runs.

    Args:
        spool: Started.
        dispatcher: Told whether ages may be trusted, and of what falls due.
        options: The relay's.
        clock: The reactor.
        counters: Where to count.
        now: Seconds since 1970.
        monotonic: Seconds that nobody can set.
    """

    log = Logger(namespace="txsmtpconn.relay.upkeep")

    def __init__(
        self,
        spool: ISpool,
        dispatcher: Dispatcher,
        options: RelayOptions,
        clock: IReactorTime,
        counters: Counters,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._dispatcher = dispatcher
        self._options = options
        self._counters = counters
        self._now = now
        self._monotonic = monotonic
        self._grace = min(3600.0, options.schedule.lifetime / 20)
        self._trusted_from = monotonic() + self._grace
        self._difference = now() - monotonic()
        self._prune_at = monotonic()
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin."""
        self._dispatcher.may_expire = False
        self._loop.start(INTERVAL).addErrback(self._failed)

    def stop(self) -> None:
        """End."""
        if self._loop.running:
            self._loop.stop()

    def recovered(self, recovery: Recovery) -> None:
        """Count and tell what became of attempts that were cut off."""
        if recovery.released:
            self.log.info("{number} recipients are due again", number=recovery.released)
        self._counters.in_doubt += len(recovery.in_doubt)
        for message, address in recovery.in_doubt:
            self.log.warn(
                "{message}: in doubt: an attempt to <{recipient}> was cut off, and may have been"
                " taken: {policy}",
                message=message,
                recipient=address,
                policy=self._options.in_doubt.value,
            )

    def _look(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._look_after()).addErrback(self._failed)

    async def _look_after(self) -> None:
        moment = self._monotonic()
        set_forward = self._compare_clocks(moment)
        schedule = self._options.schedule
        horizon = 2 * schedule.longest + _CLOCK_SET
        self.recovered(
            await self._spool.recover(
                self._options.in_doubt, set_back=max(0.0, -set_forward), horizon=horizon
            )
        )
        if self._dispatcher.may_expire:
            expired = await self._spool.expire(schedule.lifetime, "not delivered in time")
            self._counters.expired += expired
            if expired:
                self.log.warn("{number} recipients were too old", number=expired)
        if self._dispatcher.may_expire and moment >= self._prune_at:
            self._prune_at = moment + _PRUNE_EVERY
            await self._spool.prune(self._options.kept, self._options.history)
        self._dispatcher.wake()

    def _compare_clocks(self, moment: float) -> float:
        """Return by how many seconds the clock was set since the last look, 0 if it was not."""
        difference = self._now() - moment
        set_forward = difference - self._difference
        self._difference = difference
        if abs(set_forward) <= _CLOCK_SET:
            set_forward = 0.0
        else:
            self.log.warn(
                "the clock was set by {seconds:.0f} seconds: nothing expires for a while",
                seconds=set_forward,
            )
            self._trusted_from = moment + self._grace
        self._dispatcher.may_expire = moment >= self._trusted_from
        return set_forward

    def _failed(self, failure: Failure) -> None:
        self.log.error("upkeep: {reason}", reason=failure.getErrorMessage())
