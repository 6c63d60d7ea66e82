"""What a client proves itself with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from txsmtpconn.errors import ConfigError

#: Mechanisms that need nothing: TLS has said who we are, or we are nobody.
SECRETLESS = ("EXTERNAL", "ANONYMOUS")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name with a password or an access token; `repr` shows neither.

    Attributes:
        user: The authentication identity. With EXTERNAL it is whom to act as, with ANONYMOUS a
            word for the server's log.
        password: Its password.
        access_token: An OAuth 2.0 bearer token; it wins over a password.
        expires: When the token expires, in seconds since the epoch, for the caller's own use: a
            token that nobody can renew is used as it is.
        token_provider: Where fresh tokens come from.  Not available yet.
        mechanism: The SASL mechanism to use; by default the strongest one that fits.
        authzid: The identity to act as, where it is not `user` (RFC 4422 section 3.4.1).
        domain: For NTLM.  Not available yet.
        workstation: For NTLM.  Not available yet.

    Raises:
        ConfigError: A value is of the wrong type, holds NUL, or belongs to what is not available.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False, kw_only=True)
    expires: float | None = field(default=None, kw_only=True)
    token_provider: Any = field(default=None, repr=False, kw_only=True)
    mechanism: str | None = field(default=None, kw_only=True)
    authzid: str = field(default="", kw_only=True)
    domain: str | None = field(default=None, kw_only=True)
    workstation: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("user", "password", "access_token", "mechanism", "authzid"):
            value = getattr(self, name)
            if value is None:
                continue
            # Never the value itself: it may be the secret, put into the wrong place.
            if not isinstance(value, str):
                raise ConfigError(f"credentials: {name} is text, not {type(value).__name__}")
            if "\0" in value:
                raise ConfigError(f"credentials: {name} holds a NUL")
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise ConfigError(f"credentials: {name} cannot be written in UTF-8") from None
        for name in ("token_provider", "domain", "workstation"):
            if getattr(self, name) is not None:
                raise ConfigError(f"credentials: {name} is not available yet")
        if self.access_token is not None and not _is_bearer_token(self.access_token):
            raise ConfigError("credentials: access_token holds a character that no token has")
        if self.mechanism is not None:
            object.__setattr__(self, "mechanism", self.mechanism.strip().upper())

    @property
    def complete(self) -> bool:
        """Whether there is a user and something to prove it with, or no need for either."""
        if self.mechanism in SECRETLESS:
            return True
        return bool(self.user) and (self.password is not None or self.access_token is not None)


def _is_bearer_token(token: str) -> bool:
    """RFC 6750 section 2.1 allows a subset of printable ASCII; ^A would end the token early."""
    return token.isascii() and token.isprintable() and " " not in token and token != ""
