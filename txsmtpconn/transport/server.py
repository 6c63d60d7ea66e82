"""The carrier of a transport to one server: a pool, or a connection for each message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from txsmtpconn.client.connecting import connect_with
from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import NoCredentialsError
from txsmtpconn.outcome import SendResult
from txsmtpconn.transport.opening import Open, opened_by
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.pool import Pool
from txsmtpconn.transport.single import Singly


class ServerCarrier:
    """Carries mail to one server.

    Args:
        reactor: The reactor.
        options: What each connection is told.
        pool: What the pool is told; None for no pool.

    Attributes:
        options: What each connection is told.
        pool: The pool; None without one.
    """

    def __init__(self, reactor: Any, options: ConnectionOptions, pool: PoolOptions | None) -> None:
        self._reactor = reactor
        self.options = options
        self.pool: Pool | None = None
        if pool is not None:
            self.pool = Pool(self._opener(), pool, reactor)
        self._singly = Singly(reactor)

    def __str__(self) -> str:
        options = self.options
        if options.endpoint is not None:
            return "an endpoint"
        return options.path if options.path is not None else f"{options.host}:{options.port}"

    def send(
        self, envelope: Envelope, message: object, auth: Credentials | None
    ) -> Deferred[SendResult]:
        """Send over the pool; a message with its own credentials has its own connection."""
        if self.pool is not None and auth is None:
            return self.pool.send(envelope, message)
        return self._singly.send(self._opener(auth), envelope, message)

    async def verify(self) -> bool:
        """Try the way that messages go."""
        connection = await self._opener()()
        try:
            wanting = self.options.force_auth and self.options.auth is None
            if wanting and connection.allows_auth:
                text = "a login is wanted, and there are no credentials"
                raise NoCredentialsError(text, command="API")
        finally:
            await connection.quit()
        return True

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Send what there is, and leave."""
        parts = [self._singly.close(timeout)]
        if self.pool is not None:
            parts.append(self.pool.close(timeout))
        return gatherResults(parts).addCallback(lambda _: None)

    def _opener(self, auth: Credentials | None = None) -> Open:
        """Return what opens connections, the same for every purpose."""
        options = self.options if auth is None else replace(self.options, auth=auth)
        return opened_by(
            lambda: connect_with(self._reactor, options), login=options.auth is not None
        )
