"""What `Credentials.token_provider` gives, whatever kind of object it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txsmtpconn.client.credentials import Credentials, TokenProvider, is_bearer_token
from txsmtpconn.errors import OAuth2Error, SMTPError


async def token_from(provider: object, *, renew: bool) -> str:
    """Ask a provider, or a function in its place, for a token.

    Args:
        provider: What `Credentials` took for one.
        renew: Whether the last one was refused.

    Raises:
        OAuth2Error: There is none; or what came is none, and is not shown.
    """
    try:
        if isinstance(provider, TokenProvider):
            given: Any = provider.get_token(renew=renew)
        else:
            assert callable(provider)
            given = provider(renew)
        token = await awaited(given)
    except (SMTPError, CancelledError):
        raise
    except Exception as reason:
        text = f"the token provider failed: {type(reason).__name__}"
        raise OAuth2Error(text, command="API") from reason
    if not isinstance(token, str) or not is_bearer_token(token):
        raise OAuth2Error("what the token provider gave is no token", command="API")
    return token


async def awaited(given: Any) -> Any:
    """Return what a function of the caller's returned, which may be a promise of it."""
    if isinstance(given, Deferred) or hasattr(given, "__await__"):
        return await given
    return given


def with_token(credentials: Credentials, token: str) -> Credentials:
    """Return credentials that hold this token in place of their provider."""
    user = credentials.user or getattr(credentials.token_provider, "user", None)
    return replace(credentials, user=user, access_token=token, expires=None, token_provider=None)
