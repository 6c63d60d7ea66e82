"""What is said to an OAuth 2.0 token server, and what its answer means (RFC 6749). No I/O here.

A grant is what we show to get an access token: a refresh token, the client's own secret, or an
assertion that a service account has signed (RFC 7523).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from txsmtpconn.client.credentials import is_bearer_token
from txsmtpconn.errors import ConfigError, OAuth2Error, printable
from txsmtpconn.session.secrets import concealed

#: What a service account asks for by default, as Nodemailer does.
GOOGLE_MAIL_SCOPE = "https://mail.google.com/"

#: Characters of what a server says of its refusal that an error shows.
_SHOWN = 200

#: RFC 6749 section 5.2.
_ERROR_CODE = re.compile(r"[ !#-\[\]-~]{1,64}")

#: RFC 7523 section 2.1.
_ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token as it came; `repr` shows none.

    Attributes:
        user: Whose it is, as far as the provider was told.
        access_token: What logs in.
        expires: When it does, in seconds since the epoch; None if that was not said.
        refresh_token: What gets the next one, where the server has replaced it.
    """

    user: str | None
    access_token: str = field(repr=False)
    expires: float | None = None
    refresh_token: str | None = field(default=None, repr=False)


class Grant(Protocol):
    """What gets an access token."""

    def form(self, now: float) -> dict[str, str]:
        """Return the fields of the request, at this time."""

    def renewed(self, token: AccessToken) -> Grant:
        """Return what gets the next token, after this one came."""


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    """A refresh token (RFC 6749 section 6)."""

    client_id: str
    client_secret: str | None = field(repr=False)
    refresh_token: str = field(repr=False)
    scope: str | None = None

    def form(self, now: float) -> dict[str, str]:
        """Return the fields of the request."""
        return {
            "grant_type": "refresh_token",
            "refresh_token": self.refresh_token,
            **_client(self.client_id, self.client_secret),
            **_scope(self.scope),
        }

    def renewed(self, token: AccessToken) -> RefreshGrant:
        """Use the refresh token that came in place of this one (section 6), if one did."""
        if token.refresh_token is None:
            return self
        return RefreshGrant(self.client_id, self.client_secret, token.refresh_token, self.scope)


@dataclass(frozen=True, slots=True)
class ClientGrant:
    """The client's own secret (RFC 6749 section 4.4)."""

    client_id: str
    client_secret: str = field(repr=False)
    scope: str

    def form(self, now: float) -> dict[str, str]:
        """Return the fields of the request."""
        client = _client(self.client_id, self.client_secret)
        return {"grant_type": "client_credentials", **client, **_scope(self.scope)}

    def renewed(self, token: AccessToken) -> ClientGrant:
        """Stay as it is."""
        return self


@dataclass(frozen=True, slots=True)
class ServiceGrant:
    """An assertion signed by a service account, RS256 (RFC 7523, RFC 7519).

    Attributes:
        issuer: The account.
        key: Its RSA key, from `rsa_key`.
        key_id: Which of its keys that is; None where it has one.
        subject: The user for whom it acts; None for itself.
        audience: Who is to believe it: as a rule the token server's URL.
        scope: What the token is for.
        lifetime: Seconds for which the assertion holds.
    """

    issuer: str
    key: RSAPrivateKey = field(repr=False)
    key_id: str | None
    subject: str | None
    audience: str
    scope: str
    lifetime: float

    def form(self, now: float) -> dict[str, str]:
        """Return the fields of the request, with a new assertion."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "scope": self.scope,
            "aud": self.audience,
            "iat": int(now),
            "exp": int(now + self.lifetime),
        }
        if self.subject is not None:
            claims["sub"] = self.subject
        headers = None if self.key_id is None else {"kid": self.key_id}
        signed = _jwt().encode(claims, self.key, algorithm="RS256", headers=headers)
        return {"grant_type": _ASSERTION, "assertion": signed}

    def renewed(self, token: AccessToken) -> ServiceGrant:
        """Stay as it is."""
        return self


def _client(client_id: str, client_secret: str | None) -> dict[str, str]:
    client = {"client_id": client_id}
    return client if client_secret is None else client | {"client_secret": client_secret}


def _scope(scope: str | None) -> dict[str, str]:
    return {} if scope is None else {"scope": scope}


def _jwt() -> Any:
    try:
        import jwt
    except ImportError:
        text = "a service account needs PyJWT: install txsmtpconn[oauth2]"
        raise ConfigError(text) from None
    return jwt


def chosen_grant(
    *,
    user: str | None,
    client_id: str | None,
    client_secret: str | None,
    refresh_token: str | None,
    service_client: str | None,
    private_key: object,
    private_key_id: str | None,
    audience: str,
    lifetime: float,
    scope: str | None,
) -> Grant | None:
    """Return what these options of a provider come to; None where they have nothing to show.

    Raises:
        ConfigError: One is missing, or they contradict each other.
    """
    if service_client is not None:
        if client_id or client_secret or refresh_token:
            raise ConfigError("a service_client is another way than client_id and refresh_token")
        key = rsa_key(private_key)
        scope = scope or GOOGLE_MAIL_SCOPE
        return ServiceGrant(service_client, key, private_key_id, user, audience, scope, lifetime)
    if private_key is not None or private_key_id is not None:
        raise ConfigError("private_key is of a service_client, and there is none")
    if client_id is None:
        if client_secret is not None or refresh_token is not None:
            raise ConfigError("client_secret and refresh_token need a client_id")
        return None
    if refresh_token is not None:
        return RefreshGrant(client_id, client_secret, refresh_token, scope)
    if client_secret is None or scope is None:
        raise ConfigError("a client_id needs a refresh_token, or a client_secret and a scope")
    return ClientGrant(client_id, client_secret, scope)


def rsa_key(pem: object) -> RSAPrivateKey:
    """Read a service account's private key.

    Raises:
        ConfigError: It is no RSA key in PEM, or is encrypted, or PyJWT is missing. Nothing of it
            is shown.
    """
    _jwt()
    octets = pem.encode() if isinstance(pem, str) else pem
    key: object = None
    try:
        if isinstance(octets, bytes):
            key = load_pem_private_key(octets, password=None)
    except (TypeError, ValueError):
        # Not chained: the reason may quote the key.
        pass
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("private_key is an RSA private key in PEM, not encrypted")
    return key


def token_in(
    status: int, octets: bytes, *, user: str | None, now: float, secrets: tuple[str, ...]
) -> AccessToken:
    """Read a token server's answer (RFC 6749 sections 5.1 and 5.2).

    Args:
        status: Its status code.
        octets: Its content.
        user: Whose token it will be.
        now: Seconds since the epoch.
        secrets: What was said to the server, and an error must not repeat.

    Raises:
        OAuth2Error: It holds no token. The text says what the server says, and nothing secret.
    """
    if 300 <= status < 400:
        text = f"the token server redirects ({status}), and a secret is not sent after it"
        raise _failed(text)
    told = _object(octets)
    if status != 200 or "error" in told:
        raise _failed(_refusal(status, told, secrets))
    token, kind = told.get("access_token"), told.get("token_type", "Bearer")
    if not isinstance(token, str) or not is_bearer_token(token):
        raise _failed("the token server's answer holds no access token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _failed("the token server's token is of a kind that logs nobody in")
    refresh = told.get("refresh_token")
    return AccessToken(
        user,
        token,
        _expiry(told.get("expires_in"), now),
        refresh if isinstance(refresh, str) and refresh else None,
    )


def _failed(text: str) -> OAuth2Error:
    return OAuth2Error(text, command="API")


def _object(octets: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(octets)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _refusal(status: int, told: Mapping[str, Any], secrets: tuple[str, ...]) -> str:
    text = f"the token server answered {status}"
    code, why = told.get("error"), told.get("error_description")
    if isinstance(code, str) and _ERROR_CODE.fullmatch(code):
        text += f", {_without(code, secrets)}"
        if isinstance(why, str) and why:
            text += f": {printable(_without(why, secrets)[:_SHOWN])}"
    return text


def _without(text: str, secrets: tuple[str, ...]) -> str:
    octets = concealed(text.encode("utf-8", "replace"), [each.encode() for each in secrets])
    return octets.decode("utf-8", "replace")


def _expiry(seconds: object, now: float) -> float | None:
    """Return when a token expires; RFC 6749 has a number, and some servers write it as a text."""
    try:
        lifetime = float(seconds) if isinstance(seconds, (int, float, str)) else 0.0
    except (ValueError, OverflowError):
        return None
    return now + lifetime if 0 < lifetime < inf else None
