"""Which mechanism to use, and when to try another.

The ranking is strongest first: what gives an eavesdropper least. Under TLS, the only place where
credentials go unless a caller insists, all of them serve alike, and PLAIN asks least of the
server, which may then keep digests instead of passwords. So a server that offers CRAM-MD5 beside
PLAIN without knowing the passwords in clear refuses good ones; `preferred` is for that.

One rule is about safety. Another mechanism is tried only where the server refused the *mechanism*:
504, not implemented, or 534, too weak (RFC 4954 section 6). After any other refusal it is the
credentials that failed; offering them once more, in a weaker wrapping, would tell them to more
ears, and count as a second wrong password where three lock an account.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto

from txsmtpconn.sasl.cram_md5 import CramMD5Client
from txsmtpconn.sasl.login import LoginClient, LoginServer
from txsmtpconn.sasl.mechanism import ClientMechanism, ServerMechanism
from txsmtpconn.sasl.plain import PlainClient, PlainServer
from txsmtpconn.sasl.xoauth2 import XOAuth2Client
from txsmtpconn.wire.errors import LocalProtocolError

_MECHANISM_REFUSED = frozenset({504, 534})


class Secret(Enum):
    """What a mechanism authenticates with."""

    PASSWORD = auto()
    TOKEN = auto()


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism that a client can use.

    Attributes:
        name: Its registered name, upper case.
        needs: The kind of secret it takes.
        reveals_secret: True if whoever reads the exchange has the secret: fit for TLS only.
        has_initial: True if a response goes with the AUTH command (RFC 4954 section 4).
        conveys_authzid: True if it can ask to act as somebody else.
        start: Makes a stepper from user name, secret and authorization identity.
    """

    name: str
    needs: Secret
    reveals_secret: bool
    has_initial: bool
    conveys_authzid: bool
    start: Callable[[str, str, str], ClientMechanism]


def _without_authzid(
    stepper: Callable[[str, str], ClientMechanism],
) -> Callable[[str, str, str], ClientMechanism]:
    def start(user: str, secret: str, authzid: str = "") -> ClientMechanism:
        if authzid:
            raise LocalProtocolError("the mechanism cannot convey an authorization identity")
        return stepper(user, secret)

    return start


# Strongest first.
_RANKED = (
    Mechanism("XOAUTH2", Secret.TOKEN, True, True, False, _without_authzid(XOAuth2Client)),
    Mechanism("CRAM-MD5", Secret.PASSWORD, False, False, False, _without_authzid(CramMD5Client)),
    Mechanism("PLAIN", Secret.PASSWORD, True, True, True, PlainClient),
    Mechanism("LOGIN", Secret.PASSWORD, True, False, False, _without_authzid(LoginClient)),
)
MECHANISMS = {mechanism.name: mechanism for mechanism in _RANKED}

SERVER_MECHANISMS: dict[str, Callable[[], ServerMechanism]] = {
    "PLAIN": PlainServer,
    "LOGIN": LoginServer,
}

# Where the server takes AUTH without saying which.
_UNANNOUNCED = {Secret.TOKEN: MECHANISMS["XOAUTH2"], Secret.PASSWORD: MECHANISMS["PLAIN"]}


def choose(
    offered: Iterable[str],
    secret: Secret,
    *,
    preferred: str | None = None,
    authzid: bool = False,
    refused: Collection[str] = (),
) -> Mechanism | None:
    """Choose the strongest mechanism that server and credentials have in common.

    Args:
        offered: The server's mechanisms, upper case. None at all, from a server that is made to
            authenticate all the same, stands for the commonest one.
        secret: What the credentials hold.
        preferred: The caller's choice, in any case: used whatever the server offers, and nothing
            else is.
        authzid: True if an authorization identity must be conveyed.
        refused: Names that the server refused already in this session.

    Returns:
        None if there is nothing (left) to try.

    Raises:
        LocalProtocolError: `preferred` is unknown or does not fit the credentials.
    """
    if preferred is not None:
        mechanism = _preferred(preferred, secret, authzid=authzid)
        return None if mechanism.name in refused else mechanism
    names = frozenset(offered)
    candidates = _RANKED if names else (_UNANNOUNCED[secret],)
    for mechanism in candidates:
        if (
            mechanism.needs is secret
            and (mechanism.name in names or not names)
            and (mechanism.conveys_authzid or not authzid)
            and mechanism.name not in refused
        ):
            return mechanism
    return None


def _preferred(name: str, secret: Secret, *, authzid: bool) -> Mechanism:
    mechanism = MECHANISMS.get(name.strip().upper())
    if mechanism is None:
        raise LocalProtocolError(f"unknown authentication mechanism {name!r}")
    if mechanism.needs is not secret:
        raise LocalProtocolError(
            f"{mechanism.name} needs a {mechanism.needs.name.lower()},"
            f" and the credentials hold a {secret.name.lower()}"
        )
    if authzid and not mechanism.conveys_authzid:
        raise LocalProtocolError(f"{mechanism.name} cannot convey an authorization identity")
    return mechanism


def may_try_another(code: int) -> bool:
    """Tell whether the reply to AUTH refused the mechanism and not the credentials."""
    return code in _MECHANISM_REFUSED
