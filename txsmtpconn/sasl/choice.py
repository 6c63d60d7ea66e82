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

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from txsmtpconn.sasl.anonymous import AnonymousClient
from txsmtpconn.sasl.cram_md5 import CramMD5Client
from txsmtpconn.sasl.digest_md5 import DigestMD5Client
from txsmtpconn.sasl.external import ExternalClient
from txsmtpconn.sasl.gssapi import GSSAPIClient
from txsmtpconn.sasl.login import LoginClient
from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, ClientMechanism
from txsmtpconn.sasl.ntlm import NTLMClient
from txsmtpconn.sasl.oauthbearer import OAuthBearerClient
from txsmtpconn.sasl.plain import PlainClient
from txsmtpconn.sasl.scram import SHA_1, SHA_256, Hash
from txsmtpconn.sasl.scram_client import ScramClient
from txsmtpconn.sasl.xoauth import XOAuthClient
from txsmtpconn.sasl.xoauth2 import XOAuth2Client
from txsmtpconn.wire.errors import LocalProtocolError

_MECHANISM_REFUSED = frozenset({504, 534})


class Secret(Enum):
    """What a mechanism authenticates with."""

    PASSWORD = auto()
    TOKEN = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client's stepper is made of.

    Attributes:
        user: The user name; empty where there is none.
        secret: The password or the token; empty where there is neither.
        authzid: Whom to act as; empty for the user.
        channel: The connection under the dialogue.
        domain: The user's Windows domain; empty where there is none.
        workstation: What this machine is called; empty where it is not said.
    """

    user: str = ""
    secret: str = field(default="", repr=False)
    authzid: str = ""
    channel: Channel = IN_CLEAR
    domain: str = ""
    workstation: str = ""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism that a client can use.

    Attributes:
        name: Its registered name, upper case.
        needs: The kind of secret it takes; one that takes none fits any credentials.
        make: Makes a stepper for one exchange.
        reveals_secret: True if whoever reads the exchange has the secret: fit for TLS only.
        has_initial: True if a response goes with the AUTH command (RFC 4954 section 4).
        conveys_authzid: True if it can ask to act as somebody else.
        binds: True if it binds to the channel.
        by_name_only: True if it is used only where the caller names it.
        by_certificate: True if it rests on the certificate that TLS has shown.
        needs_user: True if it makes no sense without a user name.
        blocks: True if a step may wait for others than the server.
    """

    name: str
    needs: Secret
    make: Callable[[Claim], ClientMechanism] = field(repr=False)
    reveals_secret: bool = False
    has_initial: bool = True
    conveys_authzid: bool = False
    binds: bool = False
    by_name_only: bool = False
    by_certificate: bool = False
    needs_user: bool = True
    blocks: bool = False

    def start(self, claim: Claim) -> ClientMechanism:
        """Make a stepper for one exchange.

        Raises:
            LocalProtocolError: The mechanism cannot carry this claim.
        """
        if claim.authzid and not self.conveys_authzid:
            raise LocalProtocolError(f"{self.name} cannot convey an authorization identity")
        return self.make(claim)


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
        needs_user=False,
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
        by_certificate=True,
        needs_user=False,
    ),
    # It acts with what the process has, whoever asks; and it may take its time.
    Mechanism(
        "GSSAPI",
        Secret.NONE,
        lambda my: GSSAPIClient(my.user, my.authzid, my.channel),
        conveys_authzid=True,
        by_name_only=True,
        needs_user=False,
        blocks=True,
    ),
    # What it shows can be guessed at, and its names are of another world. `Credentials` with a
    # domain name it.
    Mechanism(
        "NTLM",
        Secret.PASSWORD,
        lambda my: NTLMClient(my.user, my.secret, my.domain, my.workstation, my.channel),
        by_name_only=True,
    ),
    Mechanism(
        "XOAUTH",
        Secret.TOKEN,
        lambda my: XOAuthClient(my.secret),
        reveals_secret=True,
        by_name_only=True,
        needs_user=False,
    ),
    Mechanism(
        "ANONYMOUS",
        Secret.NONE,
        lambda my: AnonymousClient(my.user),
        by_name_only=True,
        needs_user=False,
    ),
)
MECHANISMS = {mechanism.name: mechanism for mechanism in _RANKED}

# Where the server takes AUTH without saying which.
_UNANNOUNCED = {
    Secret.TOKEN: MECHANISMS["XOAUTH2"],
    Secret.PASSWORD: MECHANISMS["PLAIN"],
    Secret.NONE: MECHANISMS["EXTERNAL"],
}

_NO_OTHERS: Mapping[str, Mechanism] = {}


def choose(
    offered: Iterable[str],
    secret: Secret,
    *,
    preferred: str | None = None,
    user: bool = True,
    authzid: bool = False,
    refused: Collection[str] = (),
    channel: Channel = IN_CLEAR,
    custom: Mapping[str, Mechanism] = _NO_OTHERS,
) -> Mechanism | None:
    """Choose the strongest mechanism that server and credentials have in common.

    Args:
        offered: The server's mechanisms, upper case. None at all, from a server that is made to
            authenticate all the same, stands for the commonest one.
        secret: What the credentials hold.
        preferred: The caller's choice, in any case: used whatever the server offers, and nothing
            else is.
        user: False if nobody is named: not every mechanism needs to know who logs in.
        authzid: True if an authorization identity must be conveyed.
        refused: Names that the server refused already in this session.
        channel: What there is to bind to, and whether the client has a certificate.
        custom: Mechanisms of the caller's by their names; they come first, in their order, and
            take the place of one of ours that is called the same.

    Returns:
        None if there is nothing (left) to try.

    Raises:
        LocalProtocolError: `preferred` is unknown or does not fit the credentials or the channel.
    """
    known = {**MECHANISMS, **custom}
    if preferred is not None:
        mechanism = _preferred(known, preferred, secret, channel, authzid=authzid)
        return None if mechanism.name in refused else mechanism
    names = frozenset(offered)
    if any(known[name].binds for name in names.intersection(refused, known)):
        return None
    ranked = (*custom.values(), *(each for each in _RANKED if each.name not in custom))
    candidates = ranked if names else (_UNANNOUNCED[secret],)
    for mechanism in candidates:
        if (
            mechanism.needs is secret
            and (mechanism.name in names or not names)
            and (user or not mechanism.needs_user)
            and (mechanism.conveys_authzid or not authzid)
            and (channel.bindings or not mechanism.binds)
            and (channel.certificate or not mechanism.by_certificate)
            and not mechanism.by_name_only
            and mechanism.name not in refused
        ):
            return mechanism
    return None


def _preferred(
    known: Mapping[str, Mechanism], name: str, secret: Secret, channel: Channel, *, authzid: bool
) -> Mechanism:
    mechanism = known.get(name.strip().upper())
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
