"""From the connection to a ready session."""

from __future__ import annotations

from typing import Any

import pytest

from tests.session.talk import EHLO, PIPELINING_OFFER, PLAIN_OFFER, Talk, mail
from txsmtpconn.errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    SMTPError,
    TLSError,
)
from txsmtpconn.session.client.events import Ready, TLSAgreed
from txsmtpconn.session.client.policy import Security
from txsmtpconn.session.client.tables import State
from txsmtpconn.session.dialect import LMTP
from txsmtpconn.wire.errors import LocalProtocolError

TLS_OFFER = b"250-peer.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"


def cause(talk: Talk) -> SMTPError:
    """Return why the session ended."""
    assert talk.end.cause is not None
    return talk.end.cause


def test_nothing_leaves_before_the_greeting() -> None:
    """The client waits for 220 (RFC 5321 section 4.3.1), then says EHLO."""
    talk = Talk()
    assert talk.hears() == b""
    assert talk.says(b"220-welcome\r\n").hears() == b""
    assert not talk.awaits  # no reply is here that an ACK could be for
    assert talk.says(b"220 peer\r\n").hears() == EHLO
    assert talk.awaits


@pytest.mark.parametrize(
    "greeting", [b"554 no\r\n", b"421 later\r\n", b"221 x\r\n", b"250 ok\r\n", b"354 x\r\n"]
)
def test_only_220_is_a_greeting(greeting: bytes) -> None:
    """Any other first reply ends the session, without a word from us."""
    talk = Talk().says(greeting)
    error = cause(talk)
    assert isinstance(error, ProtocolError)
    assert error.response_code == int(greeting[:3])
    assert error.command == "CONN"
    assert talk.hears() == b""


def test_a_greeting_that_is_no_reply() -> None:
    """Garbage is a remote error that shows what was read."""
    talk = Talk().says(b"FOO bar\r\n")
    assert isinstance(cause(talk), ProtocolError)
    assert "FOO" in (cause(talk).response or "")


def test_ready_tells_the_extensions() -> None:
    """The reply to EHLO makes the session ready, once."""
    talk = Talk(security=Security.OFFERED).says(b"220 x\r\n").says(PIPELINING_OFFER)
    (ready,) = talk.got(Ready)
    assert ready.extensions.pipelining
    assert ready.extensions.size == 10_000_000
    assert talk.session.extensions is ready.extensions
    assert not talk.session.secure


@pytest.mark.parametrize("code", [500, 501, 502, 504, 550])
def test_helo_where_ehlo_is_unknown(code: int) -> None:
    """RFC 5321 section 3.2: an old server gets HELO, and offers nothing."""
    talk = Talk().says(b"220 x\r\n").says(b"%d what\r\n" % code)
    assert talk.hears() == EHLO + b"HELO me.test\r\n"
    talk.says(b"250-x\r\n250 PIPELINING\r\n")
    assert list(talk.session.extensions) == []
    assert talk.session.state is State.READY


@pytest.mark.parametrize("code", [421, 450, 454, 530, 535, 552, 554])
def test_no_helo_after_another_refusal(code: int) -> None:
    """A server that knows EHLO and refuses it is not asked again."""
    talk = Talk().says(b"220 x\r\n").says(b"%d no\r\n" % code)
    assert talk.hears() == EHLO
    kind = ConnectionLostError if code == 421 else ProtocolError
    assert isinstance(cause(talk), kind)
    assert cause(talk).command == "EHLO"


def test_helo_refused_ends_the_session() -> None:
    """There is nothing behind HELO."""
    talk = Talk().says(b"220 x\r\n").says(b"502 what\r\n").says(b"502 what\r\n")
    assert cause(talk).command == "HELO"


@pytest.mark.parametrize(
    "options", [{"security": Security.REQUIRED}, {"auth_required": True}], ids=str
)
def test_no_helo_where_tls_or_auth_is_required(options: dict[str, Any]) -> None:
    """HELO has neither, so an attacker could strip both by refusing EHLO."""
    talk = Talk(**options).says(b"220 x\r\n").says(b"502 what\r\n")
    assert talk.hears() == EHLO
    assert isinstance(cause(talk), ConnectionLostError)
    assert cause(talk).command == "EHLO"


def test_lmtp_says_lhlo_and_never_helo() -> None:
    """RFC 2033 section 4.1: LHLO replaces both."""
    talk = Talk(dialect=LMTP).says(b"220 x\r\n").says(b"500 what\r\n")
    assert talk.hears() == b"LHLO me.test\r\n"
    assert isinstance(cause(talk), ProtocolError)
    assert cause(talk).command == "LHLO"


@pytest.mark.parametrize("name", [b"", b"a b", b"a\r\nMAIL FROM:<x@y>", b"a\0b", "hö".encode()])
def test_a_name_that_is_no_name_never_leaves(name: bytes) -> None:
    """The name cannot carry a second command (GHSA-vvjj-xcjg-gr5g's kind)."""
    with pytest.raises(LocalProtocolError):
        Talk(name=name).says(b"220 x\r\n")


# -- STARTTLS ------------------------------------------------------------------------------


def starttls(security: Security = Security.OFFERED) -> Talk:
    """Return a talk in which STARTTLS has just left."""
    talk = Talk(security=security).says(b"220 x\r\n").says(TLS_OFFER)
    assert talk.hears() == EHLO + b"STARTTLS\r\n"
    return talk


def test_starttls_where_it_is_offered_and_all_is_forgotten_after_it() -> None:
    """RFC 3207 section 4.2: EHLO again, and only what it brings counts."""
    talk = starttls().says(b"220 go\r\n")
    assert talk.got(TLSAgreed)
    assert talk.trusted == (False, False)
    assert talk.hears() == b""
    talk.acts(talk.session.tls_established(0.0, verified=True))
    assert talk.trusted == (True, False)
    assert list(talk.session.extensions) == []
    assert talk.hears() == EHLO
    talk.says(b"250-peer\r\n250 STARTTLS\r\n")
    assert talk.hears() == b""
    assert talk.session.state is State.READY
    assert talk.session.extensions.auth == ()


@pytest.mark.parametrize(
    "behind", [b"2", b"\r\n", b"250-x\r\n250 AUTH LOGIN\r\n", b"250-SMTPUTF8 "], ids=repr
)
def test_anything_behind_the_220_is_an_attack(behind: bytes) -> None:
    """What came in clear behind the agreement may be anybody's (CVE-2021-22947's kind)."""
    talk = starttls().says(b"220 go\r\n" + behind)
    assert isinstance(cause(talk), ProtocolError)
    assert not talk.got(TLSAgreed)


def test_octets_during_the_handshake_are_an_error() -> None:
    """Between the agreement and the handshake's end nothing is for us."""
    talk = starttls().says(b"220 go\r\n").says(b"250 x\r\n")
    assert isinstance(cause(talk), ProtocolError)


@pytest.mark.parametrize("security", [Security.OFFERED, Security.REQUIRED])
@pytest.mark.parametrize("code", [221, 250, 354, 454, 501, 502, 554])
def test_only_220_starts_tls(security: Security, code: int) -> None:
    """Any other reply is a failure, and nothing more leaves in clear."""
    talk = starttls(security).says(b"%d no\r\n" % code)
    assert isinstance(cause(talk), TLSError)
    assert cause(talk).command == "STARTTLS"
    assert talk.hears() == b""


@pytest.mark.parametrize("code", [250, 354, 454, 502])
def test_opportunistic_goes_on_in_clear_and_keeps_what_ehlo_said(code: int) -> None:
    """After a refusal the session is as it was: the extensions are still known."""
    talk = starttls(Security.OPPORTUNISTIC).says(b"%d no\r\n" % code)
    assert talk.session.state is State.READY
    assert talk.session.extensions.auth == ("PLAIN",)


def test_421_to_starttls_ends_even_an_opportunistic_session() -> None:
    """The server said that it goes."""
    talk = starttls(Security.OPPORTUNISTIC).says(b"421 bye\r\n")
    assert isinstance(cause(talk), ConnectionLostError)


def test_required_asks_even_where_it_is_not_offered() -> None:
    """A stripped offer does not turn TLS off."""
    talk = Talk(security=Security.REQUIRED).says(b"220 x\r\n").says(PLAIN_OFFER)
    assert talk.hears() == EHLO + b"STARTTLS\r\n"
    assert isinstance(cause(talk.says(b"502 no\r\n")), TLSError)


def test_ignored_never_asks() -> None:
    """The caller wanted no TLS."""
    talk = Talk(security=Security.IGNORED).says(b"220 x\r\n").says(TLS_OFFER)
    assert talk.hears() == EHLO
    assert talk.session.state is State.READY


def test_implicit_tls_comes_before_the_greeting() -> None:
    """RFC 8314: the handshake is first, and a greeting in clear is an error."""
    talk = Talk(security=Security.IMPLICIT)
    assert talk.got(TLSAgreed)
    talk.acts(talk.session.tls_established(0.0, verified=True))
    assert talk.session.secure
    assert talk.says(b"220 x\r\n").hears() == EHLO
    assert isinstance(cause(Talk(security=Security.IMPLICIT).says(b"220 x\r\n")), ProtocolError)


def test_tls_that_nobody_agreed_on_is_a_local_error() -> None:
    """The caller may not declare a session secure that did not ask for it."""
    with pytest.raises(LocalProtocolError):
        Talk().session.tls_established(0.0, verified=True)


# -- time and loss -------------------------------------------------------------------------


def test_the_greeting_has_one_deadline_however_it_trickles() -> None:
    """Lines of an unfinished greeting renew nothing."""
    talk = Talk()
    assert talk.session.next_deadline() == 30.0
    talk.waits(20).says(b"220-a\r\n")
    assert talk.session.next_deadline() == 30.0
    talk.waits(9.9)
    assert talk.session.state is State.GREETING
    talk.waits(0.1)
    assert isinstance(cause(talk), DeadlineError)
    assert cause(talk).command == "CONN"


def test_the_handshake_has_its_own_deadline() -> None:
    """A peer that agrees to TLS and then says nothing is left."""
    talk = starttls()
    talk.now = 100.0
    talk.says(b"220 go\r\n")
    assert talk.session.next_deadline() == 130.0
    talk.waits(30)
    assert isinstance(cause(talk), DeadlineError)
    assert cause(talk).command == "STARTTLS"


def test_ehlo_has_a_deadline() -> None:
    """No reply to EHLO is a timeout that names it."""
    talk = Talk().says(b"220 x\r\n").waits(300)
    assert isinstance(cause(talk), DeadlineError)
    assert cause(talk).command == "EHLO"


def test_loss_before_ready_ends_what_was_waiting() -> None:
    """Mail submitted before the session was ready is NOT_SENT, and says why."""
    talk = Talk()
    early = mail()
    talk.does(early)
    talk.acts(talk.session.connection_lost(None, 0.0))
    assert isinstance(cause(talk), ConnectionLostError)
    assert talk.ended(early)
    assert early.outcomes()[0].delivery.name == "NOT_SENT"
    assert early.outcomes()[0].error is cause(talk)


def test_half_a_line_is_told_but_decides_nothing() -> None:
    """What the peer began to say when it died is in the error."""
    talk = Talk().says(b"421 4.3.2 shutting dow")
    talk.acts(talk.session.connection_lost(None, 0.0))
    assert cause(talk).response == "421 4.3.2 shutting dow"
    assert cause(talk).response_code == 421


def test_the_given_cause_is_kept() -> None:
    """The glue knows better why a connection is gone."""
    talk = Talk()
    reason = TLSError("bad certificate")
    talk.acts(talk.session.connection_lost(reason, 0.0))
    assert cause(talk) is reason


def test_nothing_happens_after_the_end() -> None:
    """A closed session hears nothing, says nothing and has no deadline."""
    talk = Talk().says(b"554 no\r\n")
    talk.says(b"220 x\r\n")
    talk.acts(talk.session.connection_lost(None, 1.0))
    assert isinstance(cause(talk), ProtocolError)
    assert talk.hears() == b""
    assert talk.session.next_deadline() is None
    late = mail()
    talk.does(late)
    assert late.outcomes()[0].delivery.name == "NOT_SENT"


@pytest.mark.parametrize(
    ("said", "security"),
    [
        (b"220 mx\r\n250 early\r\n", Security.OFFERED),
        (b"220 mx\r\n25", Security.OFFERED),
        (b"220 mx\r\n|250-mx\r\n250 STARTTLS\r\n220 early\r\n", Security.REQUIRED),
        (b"220 mx\r\n|502 what\r\n250 early\r\n", Security.OFFERED),
    ],
)
def test_a_reply_before_its_command_is_a_violation(said: bytes, security: Security) -> None:
    """It would answer what has not left yet, and all replies behind it the wrong command."""
    talk = Talk(security=security)
    for piece in said.split(b"|"):
        talk.hears()
        talk.says(piece)
    assert talk.session.state is State.CLOSED
    assert talk.hears() == b""
    assert isinstance(cause(talk), ProtocolError)


def test_an_empty_line_behind_the_greeting_is_no_reply() -> None:
    """A few servers emit one."""
    assert Talk().says(b"220 mx\r\n\r\n").hears() == EHLO
