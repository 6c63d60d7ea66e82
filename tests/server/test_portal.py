"""Authentication by `twisted.cred`: every mechanism's claim, as credentials that checkers know."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from typing import Any

import pytest
from twisted.cred.checkers import (
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import succeed
from twisted.internet.ssl import CertificateOptions
from zope.interface import Interface, implementer

from tests.server.hand import Meeting, codes
from txsmtpconn.net.certificates import CertificateNames
from txsmtpconn.sasl import Finished, ScramKeys
from txsmtpconn.server import (
    IBearerToken,
    IClientCertificate,
    IProvedUser,
    NotBelieved,
    PortalAuthentication,
    TLSFacts,
)
from txsmtpconn.testing import CertificateZoo

HELLO = b"EHLO me.test\r\n"


class IMailbox(Interface):
    """What clients log in for."""


@implementer(IRealm)
class Realm:
    """Gives everybody an avatar, and remembers whom and for which session."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        self.asked.append((avatarId, mind))
        return interfaces[0], f"mailbox of {avatarId!r}", lambda: None


@implementer(ICredentialsChecker)
class Tokens:
    """Knows whose a token is."""

    credentialInterfaces = (IBearerToken,)

    def requestAvatarId(self, credentials: Any) -> Any:
        if credentials.token != "t0ken":
            raise UnauthorizedLogin
        return succeed(b"alice@a.test")


@implementer(ICredentialsChecker)
class Certificates:
    """Believes what a certificate says of a mail address."""

    credentialInterfaces = (IClientCertificate,)

    def requestAvatarId(self, credentials: Any) -> str:
        return str(credentials.names.emails[0])


@implementer(ICredentialsChecker)
class Proved:
    """Takes a proof for what it is."""

    credentialInterfaces = (IProvedUser,)

    def requestAvatarId(self, credentials: Any) -> bytes:
        return bytes(credentials.username)


class Hooks:
    """A server whose users are a portal's."""

    def __init__(self, *checkers: Any) -> None:
        self.realm = Realm()
        self.sessions: list[Any] = []
        self.avatars: list[Any] = []
        self.on_auth = PortalAuthentication(Portal(self.realm, checkers), IMailbox)

    def on_connect(self, session: Any) -> None:
        self.sessions.append(session)

    def on_close(self, session: Any) -> None:
        self.avatars.append(session.data.get("avatar"))


def auth(hooks: Any, mechanism: bytes, response: bytes, **options: Any) -> list[int]:
    """Log in with an initial response; return the codes of the replies to AUTH and what follows."""
    meeting = Meeting(
        hooks, allow_insecure_auth=True, auth_mechanisms=[mechanism.decode()], **options
    )
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    heard = codes(meeting.says(hand, b"AUTH %s %s\r\n" % (mechanism, b64encode(response))))
    if heard == [334]:
        heard += codes(meeting.says(hand, b"\r\n"))
    meeting.ends()
    return heard


PASSWORDS = InMemoryUsernamePasswordDatabaseDontUse(u=b"hunter2")


def test_who_is_refused_has_no_avatar() -> None:
    """A good token, sent to act as somebody else: its owner is logged out again at once."""
    left: list[Any] = []

    class Leaving(Realm):
        def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
            return interfaces[0], "mailbox", lambda: left.append(avatarId)

    hooks = Hooks()
    hooks.on_auth = PortalAuthentication(Portal(Leaving(), [Tokens()]), IMailbox)
    meeting = Meeting(hooks, allow_insecure_auth=True, auth_mechanisms=["XOAUTH2"])
    hand = meeting.hand()
    claim = b64encode(b"user=victim@a.test\1auth=Bearer t0ken\1\1")
    heard = meeting.says(hand, HELLO + b"AUTH XOAUTH2 " + claim + b"\r\n")
    assert codes(heard + meeting.says(hand, b"\r\n"))[-1] == 535
    (session,) = hooks.sessions
    assert left == [b"alice@a.test"]
    assert "avatar" not in session.data
    meeting.ends()
    assert left == [b"alice@a.test"]


@pytest.mark.parametrize("word", [b"STARTTLS", b"XCLIENT ADDR=192.0.2.7"])
def test_an_avatar_goes_with_the_authentication(
    word: bytes, certificate_zoo: CertificateZoo
) -> None:
    """Whoever stands there now has not logged in."""
    left: list[Any] = []

    class Leaving(Realm):
        def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
            return interfaces[0], "mailbox", lambda: left.append(avatarId)

    hooks = Hooks()
    hooks.on_auth = PortalAuthentication(Portal(Leaving(), [PASSWORDS]), IMailbox)
    meeting = Meeting(
        hooks,
        allow_insecure_auth=True,
        tls=certificate_zoo.server_options(),
        xclient_networks=["127.0.0.1"],
    )
    hand = meeting.hand()
    claim = b64encode(b"\0u\0hunter2")
    assert codes(meeting.says(hand, HELLO + b"AUTH PLAIN " + claim + b"\r\n"))[-1] == 235
    session = hooks.sessions[0]
    assert session.data["avatar"] == "mailbox"
    assert codes(meeting.says(hand, word + b"\r\n")) == [220]
    if word == b"STARTTLS":
        hand.transport.startTLS(CertificateOptions())
        meeting.network.settle()
    assert session.identity is None
    assert "avatar" not in session.data
    assert left == [b"u"]
    meeting.ends()
    assert left == [b"u"]


@pytest.mark.parametrize(("digest_of", "code"), [("hunter2", 235), ("wrong", 535)])
@pytest.mark.parametrize(("user", "known"), [(b"u", True), (b"nobody", False)])
def test_cram_md5(digest_of: str, code: int, user: bytes, known: bool) -> None:
    """The checker judges the digest; the password does not leave it."""
    hooks = Hooks(PASSWORDS)
    meeting = Meeting(hooks, allow_insecure_auth=True, auth_mechanisms=["CRAM-MD5"])
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    challenge = b64decode(meeting.says(hand, b"AUTH CRAM-MD5\r\n")[4:])
    digest = hmac.new(digest_of.encode(), challenge, "md5").hexdigest().encode()
    heard = meeting.says(hand, b64encode(user + b" " + digest) + b"\r\n")
    assert codes(heard) == [code if known else 535]
    if code == 535 or not known:
        assert heard == b"535 5.7.8 Authentication credentials invalid\r\n"
    else:
        assert hooks.sessions[0].identity == "u"
    meeting.ends()


def test_the_identity_is_the_checkers() -> None:
    """A token's owner, whatever the client calls itself; the mind is the session."""
    hooks = Hooks(Tokens())
    assert auth(hooks, b"OAUTHBEARER", b"n,,\x01auth=Bearer t0ken\x01\x01") == [235]
    assert hooks.sessions[0].identity == "alice@a.test"
    assert hooks.avatars == ["mailbox of b'alice@a.test'"]
    assert hooks.realm.asked == [(b"alice@a.test", hooks.sessions[0])]


@pytest.mark.parametrize(
    ("user", "token", "heard"),
    [
        (b"alice@a.test", b"t0ken", [235]),
        (b"bob@a.test", b"t0ken", [535]),
        (b"alice@a.test", b"stolen", [334, 535]),
    ],
)
def test_a_token_is_for_its_owner_only(user: bytes, token: bytes, heard: list[int]) -> None:
    """Whoever claims to be another with a good token is refused."""
    hooks = Hooks(Tokens())
    response = b"user=%s\x01auth=Bearer %s\x01\x01" % (user, token)
    found = auth(hooks, b"XOAUTH2", response)
    assert found[-1] == heard[-1]
    assert (hooks.sessions[0].identity is None) is (heard[-1] == 535)


def test_a_proof_may_be_all_that_is_needed() -> None:
    """SCRAM has judged before; the realm still gives the avatar."""
    hooks = Hooks(Proved())
    claim = Finished("u", mechanism="SCRAM-SHA-256", verified=True)
    session = _Session()
    fired = hooks.on_auth(session, claim)
    assert fired.result == "u"
    assert session.data["avatar"] == "mailbox of b'u'"
    assert ScramKeys.derive("x")


class _Session:
    """What the adapter needs of a session."""

    def __init__(self, tls: Any = None) -> None:
        self.tls = tls
        self.data: dict[str, Any] = {}

    def add_logout(self, function: Any) -> None:
        """Forget it."""


def test_a_certificate() -> None:
    """Whom it names is for a checker to say."""
    names = CertificateNames(("alice@a.test",), (), (), "", "00")
    tls = TLSFacts("TLSv1.3", "x", object(), True, names)
    claim = Finished("", mechanism="EXTERNAL")
    assert Hooks(Certificates()).on_auth(_Session(tls), claim).result == "alice@a.test"
    other = Finished("", "bob@a.test", mechanism="EXTERNAL")
    refused = Hooks(Certificates()).on_auth(_Session(tls), other)
    assert refused.result.check(NotBelieved)
    refused.addErrback(lambda _: None)


def test_anonymous_clients() -> None:
    """Where a checker lets them in."""
    hooks = Hooks(AllowAnonymousAccess())
    assert auth(hooks, b"ANONYMOUS", b"me@x.test") == [235]
    assert hooks.sessions[0].identity == "anonymous"
    assert auth(Hooks(PASSWORDS), b"ANONYMOUS", b"me@x.test") == [535]


@pytest.mark.parametrize("found", [b"", "", None, ()])
def test_who_is_nobody_is_refused(found: Any) -> None:
    """A checker that finds no name has found nobody, but for anonymous clients."""

    @implementer(ICredentialsChecker)
    class Vague:
        credentialInterfaces = (IBearerToken,)

        def requestAvatarId(self, credentials: Any) -> Any:
            return found

    hooks = Hooks(Vague())
    assert auth(hooks, b"OAUTHBEARER", b"n,,\x01auth=Bearer t0ken\x01\x01")[-1] == 535
    assert hooks.sessions[0].identity is None
