"""An authentication in the caller's own words: what may be said, and what is kept secret."""

from __future__ import annotations

import pytest

from tests.session.talk import Talk
from txsmtpconn.errors import ConnectionLostError, DeadlineError, ProtocolError, StreamError
from txsmtpconn.session.client.dialogue import own_words
from txsmtpconn.session.client.events import OperationEnded, WordsAnswered
from txsmtpconn.session.client.tables import State
from txsmtpconn.session.client.transaction import Noop, OwnWords
from txsmtpconn.session.trace import Direction
from txsmtpconn.wire.errors import LocalProtocolError

FIRST = b"AUTH X-KNOCK c2VjcmV0LXdvcmQ=\r\n"


def speaking(line: bytes = FIRST, *, secrets: tuple[bytes, ...] = ()) -> tuple[Talk, OwnWords]:
    """A session in which the first line was said."""
    words = OwnWords("X-KNOCK", line, secrets=secrets)
    talk = Talk.ready().does(words)
    assert talk.hears() == line
    return talk, words


def say(talk: Talk, words: OwnWords, line: bytes) -> None:
    """Say the next line."""
    talk.session.say(words, line)
    talk.acts(())


def concluded(talk: Talk, words: OwnWords, *, succeeded: bool) -> None:
    """Let the caller come to an end."""
    talk.acts(talk.session.conclude(words, succeeded=succeeded))


def end(talk: Talk) -> OperationEnded:
    """The one end."""
    (ended,) = talk.got(OperationEnded)
    return ended


def test_lines_and_replies_until_it_is_concluded() -> None:
    """Each reply is reported whatever it says; the last word is the caller's."""
    talk, words = speaking()
    talk.says(b"334 VGVsbCBtb3Jl\r\n")
    assert words.challenged
    say(talk, words, own_words(b"QUIT", responding=True))
    assert talk.hears() == b"QUIT\r\n"
    talk.says(b"250-almost\r\n250 there\r\n")
    say(talk, words, own_words(b"XKNOCK again"))
    assert talk.hears() == b"XKNOCK again\r\n"
    talk.says(b"235 welcome\r\n")
    assert [each.reply.code for each in talk.got(WordsAnswered)] == [334, 250, 235]
    assert not talk.session.authenticated
    assert talk.session.state is State.AUTHENTICATING
    concluded(talk, words, succeeded=True)
    reply = end(talk).reply
    assert reply is not None
    assert reply.code == 235
    assert talk.session.authenticated
    assert talk.session.state is State.READY
    assert talk.does(Noop()).hears() == b"NOOP\r\n"


def test_a_failure_leaves_the_connection() -> None:
    """Whatever the server said last."""
    for last in (b"535 no\r\n", b"235 welcome\r\n"):
        talk, words = speaking()
        talk.says(last)
        concluded(talk, words, succeeded=False)
        assert end(talk).error is None
        assert not talk.session.authenticated
        assert talk.session.state is State.READY


def test_an_open_challenge_is_given_up() -> None:
    """RFC 4954 section 4: with an asterisk, to which only a refusal makes sense."""
    talk, words = speaking()
    talk.says(b"334 \r\n")
    concluded(talk, words, succeeded=True)
    assert talk.hears() == b"*\r\n"
    assert not talk.got(OperationEnded)
    talk.says(b"501 cancelled\r\n")
    assert end(talk).reply is not None
    assert not talk.session.authenticated
    assert talk.session.state is State.READY


def test_nothing_is_said_out_of_turn() -> None:
    """Not before the reply, not after the end, and not for somebody else."""
    talk, words = speaking()
    say(talk, words, b"AGAIN\r\n")
    concluded(talk, words, succeeded=True)
    assert talk.hears() == b""
    talk.says(b"235 ok\r\n")
    say(talk, OwnWords("X", FIRST), b"AGAIN\r\n")
    concluded(talk, OwnWords("X", FIRST), succeeded=True)
    assert talk.hears() == b""
    concluded(talk, words, succeeded=False)
    say(talk, words, b"AGAIN\r\n")
    assert talk.hears() == b""
    assert talk.acts(talk.session.respond(b"x")).hears() == b""


def test_challenges_are_not_endless() -> None:
    """As many as a mechanism's; other replies are not counted."""
    talk, words = speaking()
    for _ in range(9):
        talk.says(b"250 go on\r\n")
        say(talk, words, b"XMORE\r\n")
    for _ in range(8):
        talk.says(b"334 \r\n")
        say(talk, words, b"YQ==\r\n")
    talk.says(b"334 \r\n")
    assert isinstance(talk.end.cause, ProtocolError)
    assert "challenges" in str(talk.end.cause)


def test_421_and_silence_and_withdrawal_end_it() -> None:
    """The session with it, each for its reason."""
    talk, words = speaking()
    talk.says(b"421 shutting down\r\n")
    assert isinstance(end(talk).error, ConnectionLostError)
    talk, words = speaking()
    talk.waits(10_000)
    assert isinstance(end(talk).error, DeadlineError)
    cause = StreamError("changed my mind")
    for said in (b"", b"250 ok\r\n"):
        talk, words = speaking()
        if said:
            talk.says(said)
        talk.acts(talk.session.withdraw(words, cause))
        assert end(talk).error is cause
        assert talk.session.state is State.CLOSED


@pytest.mark.parametrize(
    "line",
    [b"", b" ", b"MAIL FROM:<a@b>", b"rcpt TO:<a@b>", b"DATA", b"RSET", b"QUIT", b"EHLO me",
     b"STARTTLS", b"BDAT 5", b"AUTH X\r\nMAIL", b"AUTH X\n", b"AUTH \0", b"AUTH \xc3\xa4",
     b"AUTH " + b"x" * 12288],
)  # fmt: skip
def test_what_may_not_be_said(line: bytes) -> None:
    """What is no line, or what the session itself must know of."""
    with pytest.raises(LocalProtocolError):
        own_words(line)


def test_what_may_be_said() -> None:
    """Any other command; and to a challenge any base64, whatever command it looks like."""
    assert own_words(b"XKNOCK twice") == b"XKNOCK twice\r\n"
    assert own_words(b"", responding=True) == b"\r\n"
    assert own_words(b"DATA", responding=True) == b"DATA\r\n"


def test_no_secret_is_shown_or_quoted() -> None:
    """Of a command its name, of a response nothing; a server that repeats them is not repeated."""
    password = b"correct-horse-battery"
    talk, words = speaking(secrets=(password,))
    talk.says(b"334 c2VjcmV0LWNoYWxsZW5nZQ==\r\n")
    say(talk, words, b"cmVzcG9uc2Utc2VjcmV0\r\n")
    talk.hears()
    talk.says(b"250 you said cmVzcG9uc2Utc2VjcmV0 after c2VjcmV0LXdvcmQ=\r\n")
    say(talk, words, b"XKNOCK with-a-secret\r\n")
    talk.hears()
    talk.says(b"500 unknown: XKNOCK with-a-secret of " + password + b"\r\n")
    concluded(talk, words, succeeded=False)
    shown = [text for direction, text, _ in talk.log if direction is Direction.SENT][-3:]
    assert shown == [b"AUTH X-KNOCK", b"", b"XKNOCK"]
    # The challenge itself is for the caller.
    everything = repr([*talk.log, *talk.events[1:]])
    for secret in (b"c2Vjcm", b"cmVzcG", b"with-a-secret", password):
        assert secret.decode() not in everything
