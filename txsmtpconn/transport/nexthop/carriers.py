"""What carries mail to each target: a pool for each, or a connection for each message."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from txsmtpconn.envelope import Envelope
from txsmtpconn.net.streams import MessageSource
from txsmtpconn.outcome import SendResult
from txsmtpconn.transport.nexthop.dialing import Target
from txsmtpconn.transport.opening import Open
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.pool import Pool
from txsmtpconn.transport.prepared import PreparedMessage
from txsmtpconn.transport.single import Singly


class Carriers:
    """Keeps the pools.

    Args:
        clock: The reactor.
        options: What each pool is told; None for no pools.
        limit: Pools that are kept. More are made where all are busy, and go when they are not.
    """

    def __init__(self, clock: IReactorTime, options: PoolOptions | None, limit: int) -> None:
        self._clock = clock
        self._options = options
        self._limit = limit
        self._pools: OrderedDict[Target, Pool] = OrderedDict()
        self._leaving: set[Pool] = set()
        self._singly = Singly(clock)

    @property
    def pools(self) -> dict[Target, Pool]:
        """The pool of each target, those used last at the end."""
        return dict(self._pools)

    def send(
        self,
        target: Target,
        opener: Callable[[], Open],
        envelope: Envelope,
        source: MessageSource | PreparedMessage,
    ) -> Deferred[SendResult]:
        """Send a message to a target.

        Args:
            target: Where to.
            opener: Makes what opens connections to it, where none of its connections are known.
            envelope: For whom.
            source: What.
        """
        if self._options is None:
            return self._singly.send(opener(), envelope, source)
        pool = self._pools.get(target)
        if pool is None:
            self._make_room()
            pool = self._pools[target] = Pool(opener(), self._options, self._clock)
        self._pools.move_to_end(target)
        return pool.send(envelope, source)

    def _make_room(self) -> None:
        """Part with the pools that were idle for longest."""
        for target, pool in list(self._pools.items()):
            if len(self._pools) < self._limit:
                return
            if pool.is_clear:
                del self._pools[target]
                self._leaving.add(pool)
                pool.close().addCallback(self._left, pool)

    def _left(self, _: None, pool: Pool) -> None:
        self._leaving.discard(pool)

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Leave all connections; see `Pool.close`."""
        closing = [self._singly.close(timeout)]
        closing += [pool.close(timeout) for pool in (*self._pools.values(), *self._leaving)]
        return gatherResults(closing).addCallback(lambda _: None)
