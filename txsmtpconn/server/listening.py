"""A Twisted service that listens with a server factory, and parts with its clients in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.logger import Logger

from txsmtpconn.net.listening import EndpointService
from txsmtpconn.server.factory import SMTPServerFactory


class ListeningService(EndpointService):
    """Serves mail on some endpoints while it runs; see `EndpointService`.

    Args:
        reactor: The reactor.
        factory: What serves the clients.
        endpoints: Twisted's descriptions, such as ``"tcp:2525:interface=127.0.0.1"``.
        farewell: Seconds that messages under way have to come to their end when it stops.

    Raises:
        ConfigError: A description makes no sense.
    """

    log = Logger(namespace="txsmtpconn.server")

    def __init__(
        self,
        reactor: Any,
        factory: SMTPServerFactory,
        endpoints: Sequence[str],
        *,
        farewell: float = 30.0,
    ) -> None:
        super().__init__(reactor, factory, endpoints)
        self.factory = factory
        self._farewell = farewell

    async def part(self) -> None:
        """Let messages under way come to their end, and show everybody out."""
        await self.factory.drain(self._farewell)
