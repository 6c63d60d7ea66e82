"""What a client proves itself with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol, runtime_checkable

from twisted.internet.defer import Deferred

from txsmtpconn.errors import ConfigError
from txsmtpconn.sasl import MECHANISMS, Secret


@runtime_checkable
class TokenProvider(Protocol):
    """Where fresh tokens come from. One may serve many connections."""

    def get_token(self, renew: bool = False) -> Deferred[str]:
        """Return a token that is good now; with ``renew`` another one than before."""
        ...


#: A function instead of a provider: it is called with ``renew``.
TokenFunction = Callable[[bool], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name with a password, an access token or where to get one; `repr` shows no secret.

    Attributes:
        user: The authentication identity. With EXTERNAL it is whom to act as, with ANONYMOUS a
            word for the server's log, with GSSAPI whose ticket to use. A token provider that knows
            its user needs none.
        password: Its password.
        access_token: An OAuth 2.0 bearer token (for XOAUTH, the ready string); it wins over a
            password.
        expires: When the access token expires, in seconds since the epoch. From then on the token
            provider is asked; a token that nobody can renew is used as it is.
        token_provider: Where fresh tokens come from: an `OAuth2TokenProvider`, another object with
            its `get_token`, or a function that is called with ``renew`` and returns a token, also
            by a coroutine or a Deferred. It is asked for each login, but for one with an access
            token that is given and has not expired. It wins over a password.
        mechanism: The SASL mechanism to use; by default the strongest one that fits.
        authzid: The identity to act as, where it is not `user` (RFC 4422 section 3.4.1).
        domain: The user's Windows domain. It makes NTLM the mechanism.
        workstation: What NTLM calls this machine; by default nothing. It makes NTLM the mechanism.

    Raises:
        ConfigError: A value is of the wrong type, holds NUL, or contradicts another.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False, kw_only=True)
    expires: float | None = field(default=None, kw_only=True)
    token_provider: TokenProvider | TokenFunction | None = field(
        default=None, repr=False, kw_only=True
    )
    mechanism: str | None = field(default=None, kw_only=True)
    authzid: str = field(default="", kw_only=True)
    domain: str | None = field(default=None, kw_only=True)
    workstation: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("user", "password", "access_token", "mechanism", "domain", "workstation"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        _check_text("authzid", self.authzid)
        if self.access_token is not None and not is_bearer_token(self.access_token):
            raise ConfigError("credentials: access_token holds a character that no token has")
        self._check_provider()
        self._settle_mechanism()

    def _check_provider(self) -> None:
        expires = self.expires
        if expires is not None:
            numeric = isinstance(expires, (int, float)) and not isinstance(expires, bool)
            if not numeric or not 0 <= expires < inf:
                kind = type(expires).__name__
                raise ConfigError(f"credentials: expires is seconds since the epoch, not {kind}")
            if self.access_token is None:
                raise ConfigError("credentials: expires is of an access_token, and there is none")
        provider: object = self.token_provider
        if provider is None:
            return
        if not isinstance(provider, TokenProvider) and not callable(provider):
            kind = type(provider).__name__
            raise ConfigError(f"credentials: token_provider gives tokens, and {kind} does not")

    def _settle_mechanism(self) -> None:
        mechanism = self.mechanism
        if mechanism is not None:
            mechanism = mechanism.strip().upper()
            if not mechanism:
                raise ConfigError("credentials: mechanism is the name of a SASL mechanism")
        if self.domain is not None or self.workstation is not None:
            if mechanism not in (None, "NTLM"):
                text = f"credentials: domain and workstation are for NTLM, not for {mechanism}"
                raise ConfigError(text)
            mechanism = "NTLM"
        object.__setattr__(self, "mechanism", mechanism)

    @property
    def secret_kind(self) -> Secret:
        """What there is to prove the user with."""
        if self.access_token is not None or self.token_provider is not None:
            return Secret.TOKEN
        return Secret.NONE if self.password is None else Secret.PASSWORD

    @property
    def complete(self) -> bool:
        """Whether there is a user and something to prove it with, or no need for either."""
        kind = self.secret_kind
        mechanism = MECHANISMS.get(self.mechanism or "")
        if mechanism is not None and not mechanism.needs_user:
            return mechanism.needs in (kind, Secret.NONE)
        # A token may say whose it is, and a provider may know.
        return kind is Secret.TOKEN or (bool(self.user) and kind is Secret.PASSWORD)


def is_bearer_token(token: str) -> bool:
    """RFC 6750 section 2.1 allows a subset of printable ASCII; ^A would end the token early."""
    return token.isascii() and token.isprintable() and " " not in token and token != ""


def _check_text(name: str, value: object) -> None:
    # Never the value itself: it may be the secret, put into the wrong place.
    if not isinstance(value, str):
        raise ConfigError(f"credentials: {name} is text, not {type(value).__name__}")
    if "\0" in value:
        raise ConfigError(f"credentials: {name} holds a NUL")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        return
    # Raised out here, so that the reason, which quotes the value, is not even its context.
    raise ConfigError(f"credentials: {name} cannot be written in UTF-8")
