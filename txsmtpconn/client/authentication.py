"""`login()`: which credentials and which mechanism, and what is tried after a refusal.

Credentials are guarded twice.  They never leave over a connection that is not under TLS, unless the
caller insists, the loopback included: who listens on a port of this machine is anybody's guess.
And they are offered once: another mechanism is tried only where the server refused the mechanism
itself (504, 534), before the dialogue has begun.  A token that is refused may just be old: where
there is a provider, it is asked for another one, once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsmtpconn.client.calls import restated
from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.custom import CustomAuth, CustomExchange
from txsmtpconn.client.exchange import Exchange, MechanismExchange, MechanismRefused
from txsmtpconn.client.line import Line
from txsmtpconn.client.tokens import token_from, with_token
from txsmtpconn.errors import (
    AuthenticationError,
    ConnectionLostError,
    NoCredentialsError,
    SMTPError,
    printable,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.channel import channel_bindings, has_own_certificate
from txsmtpconn.sasl import Channel, Claim, Mechanism, Secret, choose, offers_binding
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply


class Login:
    """One call of `login()`.

    Args:
        line: The connection.
        credentials: What to log in with, if anything.
        preferred: The mechanism that the caller wants.
        force: Log in even if the server offers no AUTH.
        allow_insecure: Log in even in clear.
        custom: The caller's own mechanisms.
        host: The server's name, and its port: some mechanisms tell whom they talk to.
        port: 0 where there is none.
        reactor: Has the threads for mechanisms that may block.
        now: Tells the time, in seconds since the epoch.

    Attributes:
        deferred: Fires with the reply, 235.
    """

    deferred: Deferred[Reply] | None
    _work: Deferred[Any] | None = None
    _exchange: Exchange | None = None

    def __init__(
        self,
        line: Line,
        credentials: Credentials | None,
        *,
        preferred: str | None,
        force: bool,
        allow_insecure: bool,
        custom: CustomAuth | None = None,
        host: str = "",
        port: int = 0,
        reactor: Any = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._line = line
        self._credentials = credentials
        self._preferred = preferred
        self._force = force
        self._allow_insecure = allow_insecure
        self._custom = {} if custom is None else custom
        self._host = host
        self._port = port
        self._reactor = reactor
        self._now = now
        self.deferred = Deferred(self._cancel)

    # -- its turn

    def start(self) -> bool:
        """Begin the dialogue; what was called after `login()` waits for its end."""
        objection = self._objection()
        if objection is not None:
            self.fail(objection)
            return True
        assert self._credentials is not None
        self._work = Deferred.fromCoroutine(self._log_in(self._credentials))
        self._work.addCallbacks(self._succeeded, self._failed)
        return self.deferred is None

    def fail(self, cause: SMTPError) -> None:
        """End the call without success."""
        deferred, self.deferred = self.deferred, None
        if self._work is not None:
            self._work.cancel()
        if deferred is not None:
            deferred.errback(restated(cause))

    def _objection(self) -> SMTPError | None:
        credentials, session = self._credentials, self._line.session
        if credentials is None:
            return NoCredentialsError("there are no credentials to log in with", command="API")
        if not self._is_complete(credentials):
            return AuthenticationError("the credentials are not complete", command="API")
        if self._line.over:
            return ConnectionLostError("the connection is closed", command="API")
        if session.authenticated:
            return AuthenticationError("this connection is authenticated already", command="API")
        if not session.secure and not self._allow_insecure:
            return AuthenticationError(
                "credentials are not sent over a connection without TLS"
                " (the option allow_insecure_auth allows it)",
                command="API",
            )
        if not session.extensions.auth and not self._force:
            return AuthenticationError("the server does not offer authentication", command="API")
        return None

    def _is_complete(self, credentials: Credentials) -> bool:
        """Tell whether there is all that a mechanism may need, be it only a TLS certificate."""
        named = self._named(credentials)
        if self._custom if named is None else named in self._custom:
            # What a mechanism of the caller's needs is the caller's affair.
            return True
        if credentials.complete or credentials.secret_kind is not Secret.NONE:
            return credentials.complete
        if named is not None:
            return replace(credentials, mechanism=named).complete
        return self._line.session.secure and has_own_certificate(self._line.transport)

    def _named(self, credentials: Credentials) -> str | None:
        return credentials.mechanism or self._preferred

    def _channel(self) -> Channel:
        session, transport = self._line.session, self._line.transport
        return Channel(
            self._host,
            self._port,
            channel_bindings(transport, server=False) if session.secure else {},
            plus_offered=offers_binding(session.extensions.auth),
            certificate=session.secure and has_own_certificate(transport),
        )

    # -- what is tried

    async def _log_in(self, credentials: Credentials) -> Reply:
        provider = credentials.token_provider
        if provider is None:
            return await self._try_mechanisms(credentials)
        expires = credentials.expires
        token = credentials.access_token
        if token is None or (expires is not None and self._now() >= expires):
            token = await token_from(provider, renew=False)
        try:
            return await self._try_mechanisms(with_token(credentials, token))
        except AuthenticationError:
            if self._exchange is None or not self._exchange.refused:
                raise
            renewed = await self._renewed(provider, token)
            if renewed == token:
                # Nobody can renew it, and it was refused already.
                raise
        return await self._try_mechanisms(with_token(credentials, renewed))

    async def _renewed(self, provider: object, refused: str) -> str:
        """Return another token: one that came meanwhile for another connection, or a new one."""
        token = await token_from(provider, renew=False)
        return token if token != refused else await token_from(provider, renew=True)

    async def _try_mechanisms(self, credentials: Credentials) -> Reply:
        """Authenticate by the best mechanism that the server does not refuse as such."""
        refused: dict[str, Reply] = {}
        while True:
            exchange = self._exchange = self._next_exchange(credentials, refused)
            try:
                return await exchange.run()
            except MechanismRefused as refusal:
                refused[exchange.name] = refusal.reply

    def _next_exchange(self, credentials: Credentials, refused: dict[str, Reply]) -> Exchange:
        offered = self._line.session.extensions.auth
        named = self._named(credentials)
        held = (credentials.password, credentials.access_token)
        secrets = tuple(secret.encode() for secret in held if secret)
        for name, handler in self._custom.items():
            wanted = name == named if named is not None else name in offered
            if wanted and not isinstance(handler, Mechanism):
                return CustomExchange(self._line, name, handler, credentials, secrets)
        channel = self._channel()
        try:
            mechanism = choose(
                offered,
                credentials.secret_kind,
                preferred=named,
                user=bool(credentials.user),
                authzid=bool(credentials.authzid),
                refused=refused,
                channel=channel,
                custom={
                    name: each for name, each in self._custom.items() if isinstance(each, Mechanism)
                },
            )
        except LocalProtocolError as reason:
            raise AuthenticationError(str(reason), command="API") from None
        if mechanism is None:
            raise _nothing_fits(offered, refused)
        claim = Claim(
            credentials.user or "",
            credentials.access_token or credentials.password or "",
            credentials.authzid,
            channel,
            credentials.domain or "",
            credentials.workstation or "",
        )
        return MechanismExchange(
            self._line, mechanism, claim, secrets=secrets, reactor=self._reactor
        )

    # -- its end

    def _succeeded(self, reply: Reply) -> None:
        deferred, self.deferred = self.deferred, None
        self._line.leave(self)
        if deferred is not None:
            deferred.callback(reply)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, SMTPError):
            error = AuthenticationError("the login came to no end", command="API")
            error.__cause__ = failure.value
        if self._exchange is not None and self._exchange.deceived:
            self._line.end(error)
        self.fail(error)
        self._line.leave(self)

    def _cancel(self, _: Deferred[Any]) -> None:
        self.fail(SendCancelled("the login was cancelled", command="API"))
        self._line.leave(self)


def _nothing_fits(offered: tuple[str, ...], refused: dict[str, Reply]) -> SMTPError:
    if refused:
        *_, reply = refused.values()
        text = "the server refused the authentication mechanism"
        return AuthenticationError(text, reply=reply, command="AUTH")
    names = printable(", ".join(offered)[:200])
    return AuthenticationError(
        f"none of the server's mechanisms fits the credentials: {names}", command="API"
    )
