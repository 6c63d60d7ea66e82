"""SASL dialogues in which the application has its say late, otherwise, or never."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from twisted.internet.defer import Deferred

from tests.server.hand import Meeting, codes
from txsmtpconn.sasl import CramMD5Client, Finished
from txsmtpconn.server import ServerTimeouts, SMTPRejection

HELLO = b"EHLO me.test\r\n"
TOKEN = b64encode(b"user=tim\x01auth=Bearer tok\x01\x01")


def line(octets: bytes) -> bytes:
    """A line of base64."""
    return b64encode(octets) + b"\r\n"


class Door:
    """Answers with what a test gives it, or raises it."""

    def __init__(self, answer: Any = None, secret: Any = None) -> None:
        self.answer = answer
        self.secret = secret
        self.claims: list[Finished] = []

    def on_auth(self, session: Any, claim: Finished) -> Any:
        self.claims.append(claim)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def on_auth_secret(self, session: Any, user: str, mechanism: str) -> Any:
        return self.secret

    def on_mail_from(self, session: Any, address: str, parameters: Any) -> Any:
        raise SMTPRejection(535, "5.7.8", "not you")


def meeting(door: Door, *mechanisms: str, **options: Any) -> tuple[Any, Meeting]:
    """A client behind its EHLO, and a server that takes AUTH in clear."""
    met = Meeting(door, allow_insecure_auth=True, auth_mechanisms=mechanisms, **options)
    hand = met.hand()
    met.says(hand, HELLO)
    return hand, met


def test_a_refused_token_is_explained_before_the_reply() -> None:
    """The JSON, the client's acknowledgement, 535; then the next dialogue, or another command."""
    hand, met = meeting(Door(False), "XOAUTH2")
    for _ in range(2):
        assert codes(met.says(hand, b"AUTH XOAUTH2 " + TOKEN + b"\r\n")) == [334]
        assert met.says(hand, b"\r\n") == b"535 5.7.8 Authentication credentials invalid\r\n"
    assert codes(met.says(hand, b"MAIL FROM:<a@b.test>\r\n")) == [535]
    met.ends()


def test_an_acknowledgement_may_be_a_cancellation() -> None:
    """``*`` instead of it: 501, and the refusal is not said later."""
    hand, met = meeting(Door(False), "XOAUTH2")
    assert codes(met.says(hand, b"AUTH XOAUTH2 " + TOKEN + b"\r\n")) == [334]
    assert codes(met.says(hand, b"*\r\n")) == [501]
    assert codes(met.says(hand, b"NOOP\r\n")) == [250]
    met.ends()


def test_what_is_no_refusal_of_the_token_is_said_at_once() -> None:
    """454 is about us; explaining the token would be a lie."""
    busy = SMTPRejection(454, "4.7.0", "The directory is down")
    hand, met = meeting(Door(busy), "XOAUTH2")
    heard = met.says(hand, b"AUTH XOAUTH2 " + TOKEN + b"\r\n")
    assert heard == b"454 4.7.0 The directory is down\r\n"
    met.ends()


def test_guesses_at_tokens_are_counted() -> None:
    """Each explained refusal is a failed authentication like any other."""
    hand, met = meeting(Door(False), "XOAUTH2", max_auth_failures=2)
    for expected in ([535], [421]):
        met.says(hand, b"AUTH XOAUTH2 " + TOKEN + b"\r\n")
        assert codes(met.says(hand, b"\r\n")) == expected
    met.network.settle()
    assert hand.lost is not None


def test_a_hook_that_never_answers_leaves_nothing_behind(logged_failures: list[object]) -> None:
    """451 in time; what another hook says later is not about the token of then."""
    never: Deferred[Any] = Deferred()
    hand, met = meeting(Door(never), "XOAUTH2", timeouts=ServerTimeouts(answer=5))
    assert met.says(hand, b"AUTH XOAUTH2 " + TOKEN + b"\r\n") == b""
    met.network.advance(6)
    assert codes(hand.heard)[-1] == 451
    assert codes(met.says(hand, b"MAIL FROM:<a@b.test>\r\n")) == [535]
    met.ends()


def test_a_secret_may_come_later() -> None:
    """Commands behind the dialogue wait; the client may be gone by then."""
    for leaves in (False, True):
        secret: Deferred[Any] = Deferred()
        door = Door(True, secret)
        hand, met = meeting(door, "CRAM-MD5")
        challenge = met.says(hand, b"AUTH CRAM-MD5\r\n")
        answer = CramMD5Client("tim", "secret").step(b64decode(challenge[4:]))
        assert met.says(hand, line(answer)) == b""
        if leaves:
            hand.transport.abortConnection()
            met.network.settle()
            assert hand.lost is not None
            continue
        secret.callback("secret")
        met.network.settle()
        assert codes(hand.heard)[-1] == 235
        assert door.claims == [Finished("tim", mechanism="CRAM-MD5", verified=True)]
        met.ends()


def test_a_hook_may_refuse_to_tell_a_secret() -> None:
    """Its rejection is the reply."""

    class Locked(Door):
        def on_auth_secret(self, session: Any, user: str, mechanism: str) -> Any:
            raise SMTPRejection(454, "4.7.0", "Try later")

    hand, met = meeting(Locked(), "SCRAM-SHA-256")
    heard = met.says(hand, b"AUTH SCRAM-SHA-256 " + line(b"n,,n=tim,r=abc"))
    assert heard == b"454 4.7.0 Try later\r\n"
    met.ends()


def test_a_proof_is_not_the_last_word() -> None:
    """`on_auth` sees whom the mechanism has verified, and may say no all the same."""
    door = Door(False, "secret")
    hand, met = meeting(door, "CRAM-MD5")
    challenge = met.says(hand, b"AUTH CRAM-MD5\r\n")
    answer = CramMD5Client("tim", "secret").step(b64decode(challenge[4:]))
    assert codes(met.says(hand, line(answer))) == [535]
    assert door.claims[0].verified
    met.ends()


def test_a_mechanism_in_which_the_server_speaks_first_has_no_initial_response() -> None:
    """RFC 4954 section 4: 501 5.7.0, and nobody is asked."""
    door = Door(secret="tanstaaftanstaaf")
    hand, met = meeting(door, "CRAM-MD5")
    heard = met.says(hand, b"AUTH CRAM-MD5 " + line(b"tim 0123"))
    assert heard == b"501 5.7.0 That mechanism has no initial response\r\n"
    assert codes(met.says(hand, b"AUTH CRAM-MD5\r\n")) == [334]
    assert not door.claims
    met.ends()


def test_a_mechanism_that_needs_tls_is_unknown_without() -> None:
    """RFC 4954 section 4: 504 5.5.4, though the server has it under TLS."""
    door = Door("u")
    hand, met = meeting(door, "EXTERNAL", "PLAIN")
    assert b"AUTH PLAIN\r\n" in hand.heard
    assert met.says(hand, b"AUTH EXTERNAL =\r\n").startswith(b"504 5.5.4 ")
    assert not door.claims
    met.ends()
