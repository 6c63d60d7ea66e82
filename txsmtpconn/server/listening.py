"""A Twisted service that listens with a server factory, and parts with its clients in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.logger import Logger

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.hangup import on_hangup
from txsmtpconn.net.listening import EndpointService
from txsmtpconn.server.factory import SMTPServerFactory


class ListeningService(EndpointService):
    """Serves mail on some endpoints while it runs; see `EndpointService`.

    Args:
        reactor: The reactor.
        factory: What serves the clients.
        endpoints: Twisted's descriptions, such as ``"tcp:2525:interface=127.0.0.1"``.
        farewell: Seconds that messages under way have to come to their end when it stops.
        reloads: Whether SIGHUP lets it read its certificates again.

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
        reloads: bool = False,
    ) -> None:
        super().__init__(reactor, factory, endpoints)
        self.factory = factory
        self._reactor = reactor
        self._reloads = reloads
        self._deaf: Callable[[], None] | None = None
        self._farewell = farewell

    def startService(self) -> None:
        """Listen, and hear SIGHUP."""
        super().startService()
        if self._reloads and self._deaf is None:
            self._deaf = on_hangup(self._reactor, self.reload)

    def reload(self) -> None:
        """Read the certificates again; what cannot be used is logged, and changes nothing."""
        if not self.factory.options.tls_cert_file:
            self.log.info("there is no certificate to read again")
            return
        try:
            self.factory.reload_certificates()
        except ConfigError as error:
            self.log.error("the certificates stay the old ones: {reason}", reason=str(error))
        else:
            self.log.info("the certificates were read again")

    async def part(self) -> None:
        """Let messages under way come to their end, and show everybody out."""
        if self._deaf is not None:
            self._deaf()
            self._deaf = None
        await self.factory.drain(self._farewell)
