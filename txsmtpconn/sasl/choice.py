"""Which mechanism a client uses, and when it tries another.

The ranking is strongest first: what gives an eavesdropper least. A mechanism that binds to the TLS
connection under it leads: it also finds out somebody who sits in between with a certificate that
was believed. Under TLS, the only place where credentials go unless a caller insists, all others
serve alike, and PLAIN asks least of the server, which may then keep digests instead of passwords.
So a server that offers CRAM-MD5 beside PLAIN without knowing the passwords in clear refuses good
ones; `preferred` is for that.

One rule is about safety. Another mechanism is tried only where the server refused the *mechanism*:
504, not implemented, or 534, too weak (RFC 4954 section 6). After any other refusal it is the
credentials that failed; offering them once more, in a weaker wrapping, would tell them to more
ears, and count as a second wrong password where three lock an account. And who refuses channel
binding after offering it gets nothing else at all: that is how somebody in between would begin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from txsmtpconn.sasl.anonymous import AnonymousClient
from txsmtpconn.sasl.cram_md5 import CramMD5Client
from txsmtpconn.sasl.digest_md5 import DigestMD5Client
from txsmtpconn.sasl.external import ExternalClient
from txsmtpconn.sasl.login import LoginClient
from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, ClientMechanism
from txsmtpconn.sasl.oauthbearer import OAuthBearerClient
from txsmtpconn.sasl.plain import PlainClient
from txsmtpconn.sasl.scram import SHA_1, SHA_256, Hash
from txsmtpconn.sasl.scram_client import ScramClient
from txsmtpconn.sasl.xoauth2 import XOAuth2Client
from txsmtpconn.wire.errors import LocalProtocolError

_MECHANISM_REFUSED = frozenset({504, 534})


class Secret(Enum):
    """What a mechanism authenticates with."""

    PASSWORD = auto()
    TOKEN = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a stepper may be made of."""

    user: str
    secret: str = field(repr=False)
    authzid: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism that a client can use.

    Attributes:
        name: Its registered name, upper case.
        needs: The kind of secret it takes; one that takes none fits any credentials.
        reveals_secret: True if whoever reads the exchange has the secret: fit for TLS only.
        has_initial: True if a response goes with the AUTH command (RFC 4954 section 4).
        conveys_authzid: True if it can ask to act as somebody else.
        binds: True if it binds to the channel.
        by_name_only: True if it is used only where the caller names it.
    """

    name: str
    needs: Secret
    make: Callable[[_Claim], ClientMechanism] = field(repr=False)
    reveals_secret: bool = False
    has_initial: bool = True
    conveys_authzid: bool = False
    binds: bool = False
    by_name_only: bool = False

    def start(
        self, user: str, secret: str, authzid: str = "", channel: Channel = IN_CLEAR
    ) -> ClientMechanism:
        """Make a stepper for one exchange.

        Raises:
            LocalProtocolError: The mechanism cannot carry these credentials.
        """
        if authzid and not self.conveys_authzid:
            raise LocalProtocolError(f"{self.name} cannot convey an authorization identity")
        return self.make(_Claim(user, secret, authzid, channel))


def _scram(kind: Hash, *, plus: bool) -> Mechanism:
    return Mechanism(
        kind.mechanism + ("-PLUS" if plus else ""),
        Secret.PASSWORD,
        lambda my: ScramClient(kind, my.user, my.secret, my.authzid, my.channel, plus=plus),
        conveys_authzid=True,
        binds=plus,
    )


# Strongest first.
_RANKED = (
    Mechanism(
        "OAUTHBEARER",
        Secret.TOKEN,
        lambda my: OAuthBearerClient(my.user, my.secret, my.authzid, my.channel),
        reveals_secret=True,
        conveys_authzid=True,
    ),
    Mechanism(
        "XOAUTH2",
        Secret.TOKEN,
        lambda my: XOAuth2Client(my.user, my.secret),
        reveals_secret=True,
    ),
    _scram(SHA_256, plus=True),
    _scram(SHA_1, plus=True),
    _scram(SHA_256, plus=False),
    _scram(SHA_1, plus=False),
    Mechanism(
        "CRAM-MD5",
        Secret.PASSWORD,
        lambda my: CramMD5Client(my.user, my.secret),
        has_initial=False,
    ),
    Mechanism(
        "PLAIN",
        Secret.PASSWORD,
        lambda my: PlainClient(my.user, my.secret, my.authzid),
        reveals_secret=True,
        conveys_authzid=True,
    ),
    Mechanism(
        "LOGIN",
        Secret.PASSWORD,
        lambda my: LoginClient(my.user, my.secret),
        reveals_secret=True,
        has_initial=False,
    ),
    Mechanism(
        "DIGEST-MD5",
        Secret.PASSWORD,
        lambda my: DigestMD5Client(my.user, my.secret, my.authzid, my.channel),
        has_initial=False,
        conveys_authzid=True,
        by_name_only=True,
    ),
    Mechanism(
        "EXTERNAL",
        Secret.NONE,
        lambda my: ExternalClient(my.user, my.authzid),
        conveys_authzid=True,
    ),
    Mechanism("ANONYMOUS", Secret.NONE, lambda my: AnonymousClient(my.user), by_name_only=True),
)
MECHANISMS = {mechanism.name: mechanism for mechanism in _RANKED}

# Where the server takes AUTH without saying which.
_UNANNOUNCED = {
    Secret.TOKEN: MECHANISMS["XOAUTH2"],
    Secret.PASSWORD: MECHANISMS["PLAIN"],
    Secret.NONE: MECHANISMS["EXTERNAL"],
}


def choose(
    offered: Iterable[str],
    secret: Secret,
    *,
    preferred: str | None = None,
    authzid: bool = False,
    refused: Collection[str] = (),
    channel: Channel = IN_CLEAR,
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
        channel: What there is to bind to, and whether the client has a certificate.

    Returns:
        None if there is nothing (left) to try.

    Raises:
        LocalProtocolError: `preferred` is unknown or does not fit the credentials or the channel.
    """
    if preferred is not None:
        mechanism = _preferred(preferred, secret, channel, authzid=authzid)
        return None if mechanism.name in refused else mechanism
    names = frozenset(offered)
    if any(MECHANISMS[name].binds for name in names.intersection(refused, MECHANISMS)):
        return None
    candidates = _RANKED if names else (_UNANNOUNCED[secret],)
    for mechanism in candidates:
        if (
            mechanism.needs is secret
            and (mechanism.name in names or not names)
            and (mechanism.conveys_authzid or not authzid)
            and (channel.bindings or not mechanism.binds)
            and (channel.certificate or mechanism.needs is not Secret.NONE)
            and not mechanism.by_name_only
            and mechanism.name not in refused
        ):
            return mechanism
    return None


def _preferred(name: str, secret: Secret, channel: Channel, *, authzid: bool) -> Mechanism:
    mechanism = MECHANISMS.get(name.strip().upper())
    if mechanism is None:
        raise LocalProtocolError(f"unknown authentication mechanism {name!r}")
    if mechanism.needs not in (secret, Secret.NONE):
        raise LocalProtocolError(
            f"{mechanism.name} needs a {mechanism.needs.name.lower()},"
            f" and the credentials hold {_HELD[secret]}"
        )
    if authzid and not mechanism.conveys_authzid:
        raise LocalProtocolError(f"{mechanism.name} cannot convey an authorization identity")
    if mechanism.binds and not channel.bindings:
        raise LocalProtocolError(f"{mechanism.name} needs a TLS connection to bind to")
    return mechanism


_HELD = {
    Secret.PASSWORD: "a password",
    Secret.TOKEN: "a token",
    Secret.NONE: "neither password nor token",
}


def offers_binding(offered: Iterable[str]) -> bool:
    """Tell whether a server offers a mechanism that binds to the channel, ours or not."""
    return any(name.endswith("-PLUS") for name in offered)


def may_try_another(code: int) -> bool:
    """Tell whether the reply to AUTH refused the mechanism and not the credentials."""
    return code in _MECHANISM_REFUSED
