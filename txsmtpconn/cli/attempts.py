"""Which addresses were tried, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IConnector
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from txsmtpconn.client.hosts import failure_words

#: What becomes of an attempt.
UNDER_WAY, CONNECTED, GIVEN_UP = "under way", "connected", "given up"


@dataclass(slots=True)
class Attempt:
    """One address that was connected to.

    Attributes:
        host: The address.
        port: Its port.
        outcome: What became of it.
    """

    host: str
    port: int
    outcome: str = UNDER_WAY


class WatchedReactor:
    """A reactor that keeps what was connected to by TCP; in all else the one that it stands for.

    Args:
        reactor: That one.

    Attributes:
        attempts: What was connected to, in order.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.attempts: list[Attempt] = []
        directlyProvides(self, providedBy(reactor))

    def connectTCP(  # noqa: N802
        self, host: str, port: int, factory: Any, *arguments: Any, **options: Any
    ) -> IConnector:
        """Connect, and take note of it."""
        attempt = Attempt(host, port)
        self.attempts.append(attempt)
        watched = _Watched(factory, attempt)
        connector: IConnector = self._reactor.connectTCP(host, port, watched, *arguments, **options)
        return connector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class _Watched:
    """A client factory whose attempt is written down."""

    def __init__(self, factory: Any, attempt: Attempt) -> None:
        self._factory = factory
        self._attempt = attempt

    def buildProtocol(self, addr: Any) -> Any:
        self._attempt.outcome = CONNECTED
        return self._factory.buildProtocol(addr)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        # Whoever loses the race against another address is told to stop.
        stopped = isinstance(reason.value, (error.UserError, error.ConnectingCancelledError))
        self._attempt.outcome = GIVEN_UP if stopped else failure_words(reason.value)
        self._factory.clientConnectionFailed(connector, reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)
