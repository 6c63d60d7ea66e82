"""AUTH: who is believed, what they are told, and what nobody gets to see."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from tests.server.hand import Meeting, codes
from txsmtpconn.errors import ConfigError
from txsmtpconn.sasl import Finished
from txsmtpconn.server import PortalAuthentication, ServerOptions, SMTPRejection, SMTPServerFactory

HELLO = b"EHLO me.test\r\n"


def plain(user: str, password: str, authzid: str = "") -> bytes:
    """Return AUTH PLAIN with its initial response."""
    return b"AUTH PLAIN " + b64encode(f"{authzid}\0{user}\0{password}".encode()) + b"\r\n"


class Doorman:
    """Believes who says hunter2, and remembers whom it saw."""

    def __init__(self, answer: Any = None) -> None:
        self.seen: list[Finished] = []
        self.sessions: list[Any] = []
        self.answer = answer

    def on_auth(self, session: Any, credentials: Finished) -> Any:
        self.seen.append(credentials)
        self.sessions.append(session)
        if self.answer is not None:
            return self.answer
        return credentials.password == "hunter2"


def hand_and_meeting(hooks: Any, **options: Any) -> tuple[Any, Meeting]:
    """Return a client behind its EHLO, and the server, which takes AUTH in clear."""
    meeting = Meeting(hooks, allow_insecure_auth=True, **options)
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    return hand, meeting


def test_plain_and_login() -> None:
    """Both end in the same question, and in an identity."""
    for dialogue in (
        [plain("u", "hunter2")],
        [b"AUTH PLAIN\r\n", b64encode(b"\0u\0hunter2") + b"\r\n"],
        [b"AUTH LOGIN\r\n", b64encode(b"u") + b"\r\n", b64encode(b"hunter2") + b"\r\n"],
        [b"AUTH LOGIN " + b64encode(b"u") + b"\r\n", b64encode(b"hunter2") + b"\r\n"],
    ):
        doorman = Doorman()
        hand, meeting = hand_and_meeting(doorman)
        heard = b"".join(meeting.says(hand, line) for line in dialogue)
        assert codes(heard) == [334] * (len(dialogue) - 1) + [235]
        assert doorman.sessions[0].identity == "u"
        assert doorman.sessions[0].protocol == "ESMTPA"
        meeting.ends()


def test_a_wrong_password_and_an_unknown_user_get_the_same_reply() -> None:
    """S28."""
    hand, meeting = hand_and_meeting(Doorman())
    first, second = (meeting.says(hand, plain(user, "wrong")) for user in ("u", "nobody"))
    assert first == second == b"535 5.7.8 Authentication credentials invalid\r\n"
    meeting.ends()


def test_a_hook_may_answer_later_and_name_the_identity() -> None:
    """Commands behind AUTH wait for it."""
    answer: Deferred[str] = Deferred()
    doorman = Doorman(answer)
    hand, meeting = hand_and_meeting(doorman)
    assert meeting.says(hand, plain("u", "x") + b"NOOP\r\n") == b""
    answer.callback("u@realm")
    meeting.network.settle()
    assert codes(hand.heard)[-2:] == [235, 250]
    assert doorman.sessions[0].identity == "u@realm"
    meeting.ends()


def test_acting_as_somebody_else_needs_the_hooks_word() -> None:
    """A yes that names nobody is about the password only (RFC 4422 section 3.4.1)."""
    hand, meeting = hand_and_meeting(Doorman())
    assert codes(meeting.says(hand, plain("u", "hunter2", "root"))) == [535]
    assert codes(meeting.says(hand, plain("u", "hunter2", "u"))) == [235]
    meeting.ends()
    hand, meeting = hand_and_meeting(Doorman("root"))
    assert codes(meeting.says(hand, plain("u", "hunter2", "root"))) == [235]
    meeting.ends()


@pytest.mark.parametrize("response", [b"\0\0", b"a\0b", b"\0u\0", b"\0u\x01\0p", b"\xff\0u\0p"])
def test_a_malformed_response_is_asked_of_nobody(response: bytes) -> None:
    """501; control characters in a user name among them (header injection)."""
    doorman = Doorman()
    hand, meeting = hand_and_meeting(doorman)
    heard = meeting.says(hand, b"AUTH PLAIN " + b64encode(response) + b"\r\n")
    assert codes(heard) == [501]
    assert not doorman.seen
    meeting.ends()


def test_a_cancelled_dialogue_leaves_nothing_behind() -> None:
    """S26: ``*`` is 501, and another dialogue may begin."""
    hand, meeting = hand_and_meeting(Doorman())
    assert codes(meeting.says(hand, b"AUTH LOGIN\r\n")) == [334]
    assert codes(meeting.says(hand, b"*\r\n")) == [501]
    assert codes(meeting.says(hand, plain("u", "hunter2"))) == [235]
    meeting.ends()


def test_guessing_ends_the_session() -> None:
    """S26."""
    hand, meeting = hand_and_meeting(Doorman(), max_auth_failures=2)
    assert codes(meeting.says(hand, plain("u", "a") + plain("u", "b") * 5)) == [535, 421]


def test_a_hook_that_fails_believes_nobody(logged_failures: list[Any]) -> None:
    """It fails closed, and shows neither the client nor the log a password."""

    class Broken:
        def on_auth(self, session: Any, credentials: Finished) -> None:
            raise RuntimeError("database is down")

    hand, meeting = hand_and_meeting(Broken())
    assert codes(meeting.says(hand, plain("u", "hunter2"))) == [451]
    assert "hunter2" not in "".join(f.getTraceback() for f in logged_failures)
    logged_failures.clear()
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test> AUTH=<>\r\n")) == [250]
    meeting.ends()


def test_a_hook_may_reject_in_its_own_words() -> None:
    """454 for a moment without a database."""
    hand, meeting = hand_and_meeting(Doorman(Deferred()))
    meeting.ends()

    class Away:
        def on_auth(self, session: Any, credentials: Finished) -> None:
            raise SMTPRejection(454, "4.7.0", "Ask later")

    hand, meeting = hand_and_meeting(Away())
    assert meeting.says(hand, plain("u", "p")) == b"454 4.7.0 Ask later\r\n"
    meeting.ends()


def test_auth_is_offered_where_it_can_be_had() -> None:
    """Not in clear, unless the operator says so; not without a hook."""
    meeting = Meeting(Doorman())
    hand = meeting.hand()
    assert b"AUTH" not in meeting.says(hand, HELLO)
    assert codes(meeting.says(hand, plain("u", "hunter2"))) == [538]
    meeting.ends()
    hand, meeting = hand_and_meeting(None)
    assert b"AUTH" not in hand.heard
    meeting.ends()
    with pytest.raises(ConfigError, match="on_auth"):
        SMTPServerFactory(meeting.network.clock, None, ServerOptions(auth_required=True))


class IMailbox(Interface):
    """What a login gives."""


@implementer(IRealm)
class Realm:
    """Gives everybody a mailbox, and counts those who left."""

    def __init__(self) -> None:
        self.left: list[bytes] = []

    def requestAvatar(self, avatarId: bytes, mind: object, *interfaces: Any) -> Any:
        return IMailbox, f"mailbox of {avatarId!r}", lambda: self.left.append(avatarId)


def test_a_portal_of_twisted_cred_may_decide() -> None:
    """Its avatar is the session's, until the client has left."""
    realm = Realm()
    portal = Portal(realm, [InMemoryUsernamePasswordDatabaseDontUse(u=b"hunter2")])

    class Hooks:
        on_auth = PortalAuthentication(portal, IMailbox)

        def on_mail_from(self, session: Any, address: str, parameters: Any) -> None:
            avatars.append(session.data["avatar"])

    avatars: list[Any] = []
    hand, meeting = hand_and_meeting(Hooks(), auth_required=True, max_auth_failures=9)
    assert codes(meeting.says(hand, plain("u", "wrong"))) == [535]
    assert codes(meeting.says(hand, plain("v", "hunter2"))) == [535]
    assert codes(meeting.says(hand, plain("u", "hunter2", "root"))) == [535]
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test>\r\n")) == [530]
    assert codes(meeting.says(hand, plain("u", "hunter2"))) == [235]
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test>\r\n")) == [250]
    assert avatars == ["mailbox of b'u'"]
    assert not realm.left
    meeting.ends()
    assert realm.left == [b"u"]
