"""Which addresses were tried, and what became of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IConnector
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from txsmtpconn.client import SMTPConnection
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
        ready: Called with each session that becomes ready at an address that was connected to.

    Attributes:
        attempts: What was connected to, in order.
    """

    def __init__(
        self, reactor: Any, ready: Callable[[SMTPConnection], object] | None = None
    ) -> None:
        self._reactor = reactor
        self._ready = ready
        self.attempts: list[Attempt] = []
        directlyProvides(self, providedBy(reactor))

    def connectTCP(  # noqa: N802
        self, host: str, port: int, factory: Any, *arguments: Any, **options: Any
    ) -> IConnector:
        """Connect, and take note of it."""
        attempt = Attempt(host, port)
        self.attempts.append(attempt)
        watched = _Watched(factory, attempt, self._ready)
        connector: IConnector = self._reactor.connectTCP(host, port, watched, *arguments, **options)
        return connector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class _Watched:
    """A client factory whose attempt is written down."""

    def __init__(
        self,
        factory: Any,
        attempt: Attempt,
        ready: Callable[[SMTPConnection], object] | None,
    ) -> None:
        self._factory = factory
        self._attempt = attempt
        self._ready = ready

    def buildProtocol(self, addr: Any) -> Any:
        self._attempt.outcome = CONNECTED
        protocol = self._factory.buildProtocol(addr)
        if self._ready is not None and isinstance(protocol, SMTPConnection):
            # Where it fails, somebody else waits, and hears why.
            protocol.when_ready().addCallbacks(self._ready, lambda _: None)
        return protocol

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        # Whoever loses the race against another address is told to stop.
        stopped = isinstance(reason.value, (error.UserError, error.ConnectingCancelledError))
        self._attempt.outcome = GIVEN_UP if stopped else failure_words(reason.value)
        self._factory.clientConnectionFailed(connector, reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)
