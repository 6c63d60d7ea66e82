"""Authentication by `twisted.cred`: each mechanism's claim as credentials that checkers know.

=====================  =========================================================================
mechanism              what a checker is given
=====================  =========================================================================
PLAIN, LOGIN           `IUsernamePassword` (and `IUsernameHashedPassword`, which it is too)
CRAM-MD5               `IUsernameHashedPassword`: ``checkPassword`` computes the digest
OAUTHBEARER, XOAUTH2   `IBearerToken`
EXTERNAL               `IClientCertificate`
ANONYMOUS              `IAnonymous`
SCRAM-...              `IProvedUser`: the `on_auth_secret` hook has been satisfied before
=====================  =========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.cred.credentials import (
    IAnonymous,
    ICredentials,
    IUsernameHashedPassword,
    UsernamePassword,
)
from twisted.cred.error import LoginFailed, Unauthorized, UnhandledCredentials
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import Attribute, implementer

from txsmtpconn.net.certificates import CertificateNames
from txsmtpconn.sasl import Finished
from txsmtpconn.server.authentication import NotBelieved
from txsmtpconn.server.session import Session


class IBearerToken(ICredentials):
    """A token of OAuth 2."""

    token = Attribute("The token, a text.")
    username = Attribute("Whom the client calls itself, as octets; a claim, or empty.")


class IClientCertificate(ICredentials):
    """A certificate that one of our authorities has signed."""

    names = Attribute("Whom it names, a `CertificateNames`.")


class IProvedUser(ICredentials):
    """A user whose password the mechanism has found the client to know."""

    username = Attribute("The user, as octets.")


@implementer(IBearerToken)
@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token."""

    token: str = field(repr=False)
    username: bytes = b""


@implementer(IClientCertificate)
@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate."""

    names: CertificateNames


@implementer(IProvedUser)
@dataclass(frozen=True, slots=True)
class ProvedUser:
    """A user."""

    username: bytes


@implementer(IAnonymous)
class _Anonymous:
    """Nobody."""


@implementer(IUsernameHashedPassword)
class _Digest:
    """A user name, and a digest made with its password."""

    def __init__(self, claim: Finished) -> None:
        self.username = claim.authcid.encode("utf-8")
        self._claim = claim

    def checkPassword(self, password: Any) -> bool:
        """Tell whether the digest was made with this password."""
        text = password.decode("utf-8") if isinstance(password, bytes) else password
        return self._claim.proves(text)


@implementer(IRealm)
class _NotingRealm:
    """A realm that tells us whom the checkers have found: `Portal.login` does not."""

    def __init__(self, realm: Any, session: Session) -> None:
        self._realm = realm
        self._session = session
        self.avatar_id: Any = None

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        self.avatar_id = avatarId
        return self._realm.requestAvatar(avatarId, self._session, *interfaces)


class PortalAuthentication:
    """An `on_auth` hook that asks a portal.

    The client's identity is the avatar's ID that a checker gives; the mind is the `Session`.
    Whoever wants to act as somebody else (RFC 4422 section 3.4.1) is refused.

    Args:
        portal: With checkers for what the offered mechanisms bring (see the table above).
        interface: The avatar's interface. The avatar is kept in ``session.data["avatar"]`` while
            the authentication counts, and then logged out: when the client is gone, or is another
            (STARTTLS, XCLIENT).
    """

    def __init__(self, portal: Portal, interface: Any) -> None:
        self._portal = portal
        self._interface = interface

    def __call__(self, session: Session, credentials: Finished) -> Deferred[str]:
        """Log the client in."""
        return Deferred.fromCoroutine(self._login(session, credentials))

    async def _login(self, session: Session, credentials: Finished) -> str:
        claim = _claim(session, credentials)
        realm = _NotingRealm(self._portal.realm, session)
        noting = Portal(realm)
        # The same ones, those that are registered later among them.
        noting.checkers = self._portal.checkers
        try:
            _, avatar, logout = await maybeDeferred(noting.login, claim, session, self._interface)
        except (LoginFailed, Unauthorized, UnhandledCredentials):
            raise NotBelieved from None
        try:
            identity = _identity(realm.avatar_id, credentials)
            if credentials.authzid not in ("", credentials.authcid, identity):
                raise NotBelieved
        except NotBelieved:
            logout()
            raise
        session.data["avatar"] = avatar
        session.add_logout(partial(_log_out, session, logout))
        return identity


def _log_out(session: Session, logout: Callable[[], object]) -> object:
    session.data.pop("avatar", None)
    return logout()


def _claim(session: Session, credentials: Finished) -> Any:
    """Return a claim as credentials of `twisted.cred`.

    Raises:
        NotBelieved: It is for somebody else than whose credentials they are.
    """
    user, acting_as = credentials.authcid, credentials.authzid
    if user and acting_as not in ("", user):
        raise NotBelieved
    if credentials.password is not None:
        return UsernamePassword(user.encode("utf-8"), credentials.password.encode("utf-8"))
    if credentials.token is not None:
        return BearerToken(credentials.token, acting_as.encode("utf-8"))
    if credentials.verified:
        return ProvedUser(user.encode("utf-8"))
    if user:
        return _Digest(credentials)
    names = None if session.tls is None else session.tls.names
    if credentials.mechanism == "EXTERNAL" and names is not None:
        return ClientCertificate(names)
    return _Anonymous()


def _identity(avatar_id: Any, credentials: Finished) -> str:
    """Return an avatar's ID as a text; `twisted.cred` calls anonymous clients by an empty one."""
    if isinstance(avatar_id, bytes):
        avatar_id = avatar_id.decode("utf-8", "backslashreplace")
    if avatar_id and isinstance(avatar_id, str):
        return avatar_id
    if credentials.mechanism == "ANONYMOUS":
        return "anonymous"
    raise NotBelieved
