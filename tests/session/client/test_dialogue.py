"""AUTH, and the operations that are no mail."""

from __future__ import annotations

import pytest

from tests.session.talk import Talk, mail
from txsmtpconn.errors import ConnectionLostError, DeadlineError, ProtocolError, StreamError
from txsmtpconn.session.client.events import ChallengeReceived, OperationEnded
from txsmtpconn.session.client.tables import State
from txsmtpconn.session.client.transaction import (
    Authenticate,
    Noop,
    Operation,
    Quit,
    Reset,
)
from txsmtpconn.session.trace import Direction

SECRET = b"correct horse"


def ended(talk: Talk, operation: Operation) -> OperationEnded:
    """Return the one end of an operation."""
    (end,) = [each for each in talk.got(OperationEnded) if each.operation is operation]
    return end


def test_an_initial_response() -> None:
    """RFC 4954 section 4: base64 behind the mechanism; 235 is success."""
    auth = Authenticate("PLAIN", b"\0u\0p")
    talk = Talk.ready().does(auth)
    assert talk.hears() == b"AUTH PLAIN AHUAcA==\r\n"
    assert talk.trusted == (False, False)
    talk.says(b"235 2.7.0 welcome\r\n")
    end = ended(talk, auth)
    assert end.reply is not None
    assert end.reply.code == 235
    assert end.error is None
    assert talk.session.authenticated
    assert talk.session.state is State.READY


def test_an_empty_initial_response_is_an_equals_sign() -> None:
    """No octets are not the same as no initial response."""
    assert Talk.ready().does(Authenticate("EXTERNAL", b"")).hears() == b"AUTH EXTERNAL =\r\n"
    assert Talk.ready().does(Authenticate("LOGIN")).hears() == b"AUTH LOGIN\r\n"


def test_challenges_and_responses() -> None:
    """Decoded in, encoded out, at once or later."""
    auth = Authenticate("LOGIN")
    talk = Talk.ready().does(auth).says(b"334 VXNlcm5hbWU6\r\n")
    (challenge,) = talk.got(ChallengeReceived)
    assert challenge.data == b"Username:"
    talk.hears()
    assert talk.acts(talk.session.respond(b"u")).hears() == b"dQ==\r\n"
    assert talk.acts(talk.session.respond(b"twice")).hears() == b""
    talk.says(b"334\r\n")
    assert talk.got(ChallengeReceived)[1].data == b""
    assert talk.acts(talk.session.respond(b"")).hears() == b"\r\n"
    talk.says(b"235 ok\r\n")
    assert ended(talk, auth).error is None


def test_refusal_keeps_the_connection() -> None:
    """535 ends the dialogue; another may be tried."""
    auth = Authenticate("PLAIN", b"x")
    talk = Talk.ready().does(auth).says(b"535 5.7.8 no\r\n")
    end = ended(talk, auth)
    assert end.reply is not None
    assert end.reply.code == 535
    assert not talk.session.authenticated
    assert talk.does(Noop()).hears().endswith(b"NOOP\r\n")


def test_giving_up_with_an_asterisk() -> None:
    """RFC 4954 section 4: `*` cancels; then only a refusal makes sense."""
    auth = Authenticate("LOGIN")
    talk = Talk.ready().does(auth).says(b"334 \r\n")
    talk.hears()
    assert talk.acts(talk.session.respond(None)).hears() == b"*\r\n"
    talk.says(b"501 cancelled\r\n")
    assert ended(talk, auth).reply is not None
    auth = Authenticate("LOGIN")
    talk = Talk.ready().does(auth).says(b"334 \r\n")
    talk.acts(talk.session.respond(None)).says(b"235 welcome\r\n")
    assert isinstance(talk.end.cause, ProtocolError)
    assert not talk.session.authenticated


@pytest.mark.parametrize("reply", [b"250 ok\r\n", b"200 x\r\n", b"354 go\r\n", b"335 x\r\n"])
def test_only_235_and_334_make_sense(reply: bytes) -> None:
    """Success by another name is none."""
    auth = Authenticate("PLAIN", SECRET)
    talk = Talk.ready().does(auth).says(reply)
    assert isinstance(talk.end.cause, ProtocolError)
    assert ended(talk, auth).error is talk.end.cause
    assert not talk.session.authenticated


def test_a_challenge_that_is_not_base64_is_answered_by_giving_up() -> None:
    """Garbage is not fed to the mechanism."""
    auth = Authenticate("CRAM-MD5")
    talk = Talk.ready().does(auth)
    talk.hears()
    talk.says(b"334 !!!\r\n")
    assert talk.hears() == b"*\r\n"
    assert not talk.got(ChallengeReceived)
    talk.says(b"501 ok\r\n")
    assert isinstance(ended(talk, auth).error, ProtocolError)
    assert talk.session.state is State.READY


def test_challenges_are_not_endless() -> None:
    """A server that never has enough is left after eight rounds."""
    auth = Authenticate("LOGIN")
    talk = Talk.ready().does(auth)
    for _ in range(8):
        talk.says(b"334 eA==\r\n")
        assert talk.session.state is State.AUTHENTICATING
        talk.acts(talk.session.respond(b"x"))
    talk.says(b"334 eA==\r\n")
    assert isinstance(talk.end.cause, ProtocolError)


def test_no_mail_leaves_during_a_dialogue() -> None:
    """What is submitted meanwhile waits, and leaves in order."""
    one = mail()
    talk = Talk.ready().does(Authenticate("LOGIN"), one)
    assert talk.hears() == b"AUTH LOGIN\r\n"
    assert talk.says(b"334 \r\n").hears() == b""
    talk.acts(talk.session.respond(b"x")).hears()
    assert talk.says(b"235 ok\r\n").hears().startswith(b"MAIL")


def test_the_trace_never_sees_a_secret() -> None:
    """Initial responses and responses are cut out where they are made, by state."""
    talk = Talk.ready()
    talk.log.clear()
    talk.does(Authenticate("PLAIN", SECRET), Authenticate("LOGIN"))
    talk.says(b"504 no\r\n").says(b"334 VXNlcm5hbWU6\r\n")
    talk.acts(talk.session.respond(SECRET)).says(b"235 ok\r\n")
    assert talk.log == [
        (Direction.SENT, b"AUTH PLAIN", True),
        (Direction.RECEIVED, b"504 no", False),
        (Direction.SENT, b"AUTH LOGIN", False),
        (Direction.RECEIVED, b"334", True),
        (Direction.SENT, b"", True),
        (Direction.RECEIVED, b"235 ok", False),
    ]


def test_leaving_a_dialogue_ends_the_session() -> None:
    """Its state on the other side is unknown, so nothing may follow."""
    auth = Authenticate("LOGIN")
    reason = StreamError("cancelled")
    talk = Talk.ready().does(auth)
    talk.acts(talk.session.withdraw(auth, reason))
    assert ended(talk, auth).error is reason
    assert talk.end.cause is reason


def test_auth_has_a_deadline() -> None:
    """A dialogue that stops is a timeout of AUTH."""
    auth = Authenticate("LOGIN")
    talk = Talk.ready().does(auth).waits(300)
    assert isinstance(ended(talk, auth).error, DeadlineError)


def test_operations_wait_for_all_before_them_and_hold_all_behind_them() -> None:
    """RSET, NOOP and the rest are barriers in the one queue."""
    one, two, noop = mail(), mail(), Noop()
    talk = Talk.ready().does(one, noop, two)
    assert b"NOOP" not in talk.hears()
    assert b"NOOP" not in talk.says(b"250 m\r\n250 r\r\n354 go\r\n").hears()
    assert talk.says(b"250 one\r\n").hears() == b"NOOP\r\n"
    talk.says(b"250 noop\r\n")
    assert ended(talk, noop).reply is not None
    assert talk.hears().startswith(b"MAIL")


def test_any_reply_ends_an_operation_and_421_the_session() -> None:
    """What a refusal of RSET means is the caller's to say."""
    reset = Reset()
    talk = Talk.ready().does(reset).says(b"502 what\r\n")
    reply = ended(talk, reset).reply
    assert reply is not None
    assert reply.code == 502
    noop = Noop()
    talk.does(noop).says(b"421 bye\r\n")
    assert isinstance(ended(talk, noop).error, ConnectionLostError)
    assert talk.end.cause is ended(talk, noop).error


def test_withdrawn_operations() -> None:
    """Queued: gone. Under way: ended at once, its reply read and dropped."""
    first, second = Noop(), Noop()
    reason = StreamError("cancelled")
    talk = Talk.ready().does(first, second)
    talk.acts(talk.session.withdraw(second, reason))
    talk.acts(talk.session.withdraw(first, reason))
    talk.acts(talk.session.withdraw(first, reason))
    assert ended(talk, first).error is reason
    assert ended(talk, second).error is reason
    assert talk.hears() == b"NOOP\r\n"
    talk.says(b"250 ok\r\n")
    assert talk.session.idle


@pytest.mark.parametrize("reply", [b"221 bye\r\n", b"250 ok\r\n", b"421 x\r\n", b"500 what\r\n"])
def test_quit_ends_cleanly_with_any_reply(reply: bytes) -> None:
    """RFC 5321 section 4.1.1.10; the answer changes nothing."""
    quit_, late = Quit(), Noop()
    talk = Talk.ready().does(quit_)
    assert talk.hears() == b"QUIT\r\n"
    talk.does(late)
    assert isinstance(ended(talk, late).error, ConnectionLostError)
    talk.says(reply + b"250 and another\r\n" * 50)
    assert ended(talk, quit_).reply is not None
    assert talk.end.cause is None


def test_quit_is_bounded_in_time() -> None:
    """A server that never answers QUIT holds nobody."""
    quit_ = Quit()
    talk = Talk.ready().does(quit_).waits(5)
    assert talk.end.cause is None
    assert ended(talk, quit_).reply is None


def test_quit_waits_for_the_mail_before_it_and_turns_away_what_is_behind_it() -> None:
    """In the order of the calls."""
    one, two = mail(), mail()
    talk = Talk.ready().does(one, Quit(), two).says(b"250 m\r\n250 r\r\n354 go\r\n")
    assert b"QUIT" not in talk.hears()
    talk.says(b"250 one\r\n")
    assert talk.hears() == b"QUIT\r\n"
    talk.says(b"221 bye\r\n")
    assert one.outcomes()[0].delivery.name == "ACCEPTED"
    assert two.outcomes()[0].delivery.name == "NOT_SENT"
    assert isinstance(two.outcomes()[0].error, ConnectionLostError)
