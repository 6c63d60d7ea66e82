"""`OAuth2TokenProvider`: access tokens, fetched when they are needed and kept until they expire.

One provider serves as many connections as want tokens from it. They share what there is: one token,
and one request while it is fetched.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.client.calls import restated
from txsmtpconn.client.credentials import is_bearer_token
from txsmtpconn.client.grants import (
    AccessToken,
    chosen_grant,
    token_in,
)
from txsmtpconn.client.tokens import awaited
from txsmtpconn.errors import ConfigError, OAuth2Error, SMTPError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.clock import default_reactor
from txsmtpconn.net.https import HTTPS, https_url
from txsmtpconn.net.tls import TLSOptions

#: Google's, as smtp-connection has it.
GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address

#: Octets of a token server's whole answer: a token may have a few thousand.
ANSWER_OCTETS = 64 * 1024

#: Seconds for which an assertion may hold, by Google's rule.
_ASSERTION_SECONDS = 3600

#: RFC 9110 section 5.6.2.
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

#: Fields of the request that are not the caller's to set.
_HTTPS_OWN = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection"}
)

#: Fields of the form that an error may repeat.
_NO_SECRETS = frozenset({"grant_type", "client_id", "scope"})

#: Called with the user and with whether the last token was refused.
Provision = Callable[[str | None, bool], Any]

_log = Logger()


class OAuth2TokenProvider:
    """Fetches access tokens, keeps them until they expire, and renews them.

    There are four ways to get a token, of which one is chosen: a refresh token with a client's id
    and perhaps its secret; a client's id and secret with a scope (client credentials); a service
    account with its private key; or a function of your own. Without any of them the token that was
    given is all there is.

    Args:
        reactor: The reactor to use; None for the process's.
        user: Whose tokens these are; who logs in with them needs no other name.
        client_id: The application, as the token server knows it.
        client_secret: Its secret, where it has one.
        refresh_token: What gets access tokens for the user. A new one that the server sends in its
            place is used from then on, and told to `on_token`.
        service_client: A service account, which signs for itself or, with `user`, for a user.
        private_key: Its RSA key in PEM (RS256).
        private_key_id: Which of its keys that is.
        audience: Who is to believe what it signs; by default `token_url`.
        assertion_lifetime: Seconds for which that holds, 3600 at most.
        provision: Called with the user and with whether the last token was refused; returns a
            token, or a token and when it expires (seconds since the epoch), or an `AccessToken`,
            also by a coroutine or a Deferred.
        token_url: The token server; by default Google's.
        scope: What the tokens are for. A service account's is Google's for mail by default.
        headers: Further header fields of the request.
        params: Further fields of its form; one of ours can be replaced.
        access_token: A token that there is already.
        expires: When it expires, in seconds since the epoch; None if nobody knows.
        on_token: Called with each new `AccessToken`, so that it can be kept. What it raises is
            logged, and harms no login.
        skew: Seconds before its time at which a token counts as expired.
        timeout: Seconds for a request, or for `provision`.
        tls: What to trust instead of the platform's authorities (``TLSOptions(ca_file=...)``).
            The server's certificate is always verified.
        endpoint: Leads to the token server instead of a direct connection, as through a proxy;
            TLS goes over it.
        now: Tells the time, in seconds since the epoch.

    Raises:
        ConfigError: Something is missing, wrong or contradictory, or a library is not installed.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        user: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        refresh_token: str | None = None,
        service_client: str | None = None,
        private_key: str | bytes | None = None,
        private_key_id: str | None = None,
        audience: str | None = None,
        assertion_lifetime: float = 300.0,
        provision: Provision | None = None,
        token_url: str = GOOGLE_TOKEN_URL,
        scope: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        access_token: str | None = None,
        expires: float | None = None,
        on_token: Callable[[AccessToken], Any] | None = None,
        skew: float = 60.0,
        timeout: float = 30.0,
        tls: TLSOptions | None = None,
        endpoint: IStreamClientEndpoint | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        texts = {
            "user": user,
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": refresh_token,
            "service_client": service_client,
            "private_key_id": private_key_id,
            "audience": audience,
            "scope": scope,
        }
        for name, text in texts.items():
            if text is not None and (not isinstance(text, str) or not text):
                raise ConfigError(f"{name} is a text, and not empty")
        for name, function in (("provision", provision), ("on_token", on_token)):
            if function is not None and not callable(function):
                raise ConfigError(f"{name} is a function")
        self.user = user
        self._reactor = default_reactor() if reactor is None else reactor
        self._now = now
        self._skew = _seconds("skew", skew, least=0.0)
        self._timeout = _seconds("timeout", timeout, least=0.001)
        self._url = token_url
        self._host = https_url(token_url, "token_url").hostname
        self._headers = _fields("headers", headers, printable_only=True)
        self._params = _fields("params", params)
        self._token = _given_token(user, access_token, expires)
        self._on_token = on_token
        self._provision = provision
        self._grant = chosen_grant(
            user=user,
            client_id=client_id,
            client_secret=client_secret,
            refresh_token=refresh_token,
            service_client=service_client,
            private_key=private_key,
            private_key_id=private_key_id,
            audience=audience or token_url,
            lifetime=_seconds(
                "assertion_lifetime", assertion_lifetime, least=1.0, most=_ASSERTION_SECONDS
            ),
            scope=scope,
        )
        if tls is not None and not isinstance(tls, TLSOptions):
            raise ConfigError("tls is a TLSOptions")
        if endpoint is not None and not IStreamClientEndpoint.providedBy(endpoint):
            raise ConfigError("endpoint is no IStreamClientEndpoint")
        if self._grant is not None and provision is not None:
            raise ConfigError("provision is a way of its own to get tokens, and there is another")
        if self._cannot_renew and self._token is None:
            raise ConfigError("there is neither a token nor a way to get one")
        self._https = HTTPS(
            self._reactor,
            TLSOptions() if tls is None else tls,
            endpoint=endpoint,
            timeout=self._timeout,
            limit=ANSWER_OCTETS,
        )
        self._waiting: list[Deferred[str]] = []
        self._fetching = False

    def __repr__(self) -> str:
        return f"<OAuth2TokenProvider for {self.user!a} at {self._host}>"

    def get_token(self, renew: bool = False) -> Deferred[str]:
        """Return an access token that is good now.

        However many ask while one is fetched, there is one request. It goes on where they lose
        interest: its answer may hold the only refresh token that still works.

        Args:
            renew: Fetch another one, as the last was refused.

        Returns:
            A Deferred with the token. Cancelling it ends nobody's waiting but its own. A token
            that nobody can renew is given as it is, expired or not.

        Errbacks:
            OAuth2Error: There is none to be had; the text says what the token server says.
        """
        token = self._token
        if token is not None and (self._cannot_renew or (not renew and self._is_good(token))):
            return succeed(token.access_token)
        waiter: Deferred[str] = Deferred(self._forget)
        self._waiting.append(waiter)
        if not self._fetching:
            self._fetching = True
            fetching = Deferred.fromCoroutine(self._fetch(renew))
            fetching.addCallbacks(self._fetched, self._failed)
        return waiter

    @property
    def _cannot_renew(self) -> bool:
        return self._provision is None and self._grant is None

    def _is_good(self, token: AccessToken) -> bool:
        return token.expires is None or self._now() + self._skew < token.expires

    # -- fetching

    async def _fetch(self, renew: bool) -> AccessToken:
        if self._provision is not None:
            return await self._provisioned(self._provision, renew)
        assert self._grant is not None
        form = {**self._grant.form(self._now()), **self._params}
        answer = await self._https.fetch(
            "POST",
            self._url,
            headers={
                "Accept": "application/json",
                "User-Agent": "txsmtpconn",
                **self._headers,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            content=urlencode(form).encode("ascii"),
        )
        said = (value for name, value in form.items() if name not in _NO_SECRETS)
        secrets = (*said, *self._headers.values())
        return token_in(
            answer.status, answer.octets, user=self.user, now=self._now(), secrets=secrets
        )

    async def _provisioned(self, provision: Provision, renew: bool) -> AccessToken:
        async def ask() -> Any:
            return await awaited(provision(self.user, renew))

        asking = Deferred.fromCoroutine(ask())
        try:
            given = await asking.addTimeout(self._timeout, self._reactor)
        except (SMTPError, TookTooLong):
            raise
        except Exception as reason:
            text = f"provision failed: {type(reason).__name__}"
            raise OAuth2Error(text, command="API") from reason
        if isinstance(given, AccessToken):
            given = given.access_token, given.expires
        token, expires = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        try:
            found = _given_token(self.user, token, expires)
        except ConfigError:
            found = None
        if found is None:
            raise OAuth2Error("what provision gave is no token", command="API")
        return found

    def _fetched(self, token: AccessToken) -> None:
        self._token = token
        if self._grant is not None:
            self._grant = self._grant.renewed(token)
        self._fetching = False
        waiting, self._waiting = self._waiting, []
        self._tell(token)
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(token.access_token)

    def _failed(self, failure: Failure) -> None:
        self._fetching = False
        error = self._explained(failure)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:
                waiter.errback(restated(error))

    def _explained(self, failure: Failure) -> SMTPError:
        """Return what went wrong, without anything that was said to the token server."""
        reason = failure.value
        if isinstance(reason, OAuth2Error):
            return reason
        if isinstance(reason, SMTPError):
            text = reason.message
        elif isinstance(reason, TookTooLong):
            text = f"no answer within {self._timeout:g} s"
        else:
            text = f"the request failed: {_kind(reason)}"
        return OAuth2Error(f"no token from {self._host}: {text}", command="API")

    def _tell(self, token: AccessToken) -> None:
        """Let the caller keep a new token; what goes wrong there is the caller's affair."""
        if self._on_token is None:
            return
        on_token = self._on_token

        async def tell() -> None:
            await awaited(on_token(token))

        Deferred.fromCoroutine(tell()).addErrback(_note)

    def _forget(self, waiter: Deferred[str]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        waiter.errback(SendCancelled("the wait for a token was cancelled", command="API"))


def _note(failure: Failure) -> None:
    _log.error("on_token failed: {kind}", kind=_kind(failure.value))


def _kind(reason: BaseException | None) -> str:
    """Name an exception; one of HTTP's that wraps others, by the first of them."""
    wrapped = getattr(reason, "reasons", None)
    if isinstance(wrapped, list) and wrapped and isinstance(wrapped[0], Failure):
        return _kind(wrapped[0].value)
    return type(reason).__name__


def _given_token(user: str | None, token: object, expires: object) -> AccessToken | None:
    """Return a token that the caller has, if there is one."""
    if token is None:
        if expires is not None:
            raise ConfigError("expires is of an access_token, and there is none")
        return None
    if not isinstance(token, str) or not is_bearer_token(token):
        raise ConfigError("access_token is printable ASCII without spaces")
    return AccessToken(user, token, None if expires is None else _seconds("expires", expires))


def _seconds(name: str, value: object, *, least: float = 0.0, most: float = inf) -> float:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not numeric or not least <= value <= most or value == inf:  # type: ignore[operator]
        raise ConfigError(f"{name} is a number of seconds")
    return float(value)  # type: ignore[arg-type]


def _fields(name: str, given: object, *, printable_only: bool = False) -> dict[str, str]:
    """Return further fields of a request."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name} is a mapping from texts to texts")
    fields = dict(given)
    for key, value in fields.items():
        if not isinstance(key, str) or not isinstance(value, str) or not key:
            raise ConfigError(f"{name} is a mapping from texts to texts")
        if printable_only and (
            not _FIELD_NAME.fullmatch(key) or not value.isascii() or not value.isprintable()
        ):
            raise ConfigError(f"{name}: {key!a} is no header field")
        if printable_only and key.lower() in _HTTPS_OWN:
            raise ConfigError(f"{name}: {key} is not the caller's to set")
    return fields
