"""XCLIENT and XFORWARD: a trusted client speaks for one of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.hand import OPENING, Meeting, Recording, codes
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.addresses import UnknownAddress
from txsmtpconn.server import ServerOptions, SMTPRejection

HELLO = b"EHLO me.test\r\n"
TRUSTED = {"xclient_networks": ["127.0.0.1"], "xforward_networks": ["127.0.0.1"]}
TOLD = b"XCLIENT NAME=c.test ADDR=192.0.2.7 PORT=4711 DESTADDR=198.51.100.1 DESTPORT=587\r\n"


def test_the_client_is_another_from_then_on() -> None:
    """The session begins anew with a greeting; hooks are asked about the client that was named."""
    hooks = Recording()
    meeting = Meeting(hooks, **TRUSTED)
    hand = meeting.hand()
    assert b"250-XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n" in meeting.says(
        hand, HELLO
    )
    assert codes(meeting.says(hand, TOLD)) == [220]
    assert hooks.names() == ["connect", "connect"]
    session = hooks.sessions[-1]
    assert (session.remote_address, session.peer.port) == ("192.0.2.7", 4711)
    assert (session.host.host, session.host.port) == ("198.51.100.1", 587)
    assert session.introduced["NAME"] == "c.test"
    assert session.hello_name == ""
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test>\r\n")) == [503]
    assert codes(meeting.says(hand, OPENING + b"x\r\n.\r\n")) == [250, 250, 250, 354, 250]
    meeting.ends()


@pytest.mark.parametrize("verb", [b"XCLIENT", b"XFORWARD"])
def test_nobody_else_may(verb: bytes) -> None:
    """It is neither offered nor obeyed, and counts as an error."""
    hooks = Recording()
    meeting = Meeting(
        hooks, xclient_networks=["10.0.0.0/8"], xforward_networks=["unix"], max_errors=2
    )
    hand = meeting.hand()
    assert verb not in meeting.says(hand, HELLO)
    line = verb + b" ADDR=192.0.2.7\r\n"
    assert meeting.says(hand, line).startswith(b"550 5.7.1")
    assert hooks.sessions[0].remote_address == "127.0.0.1"
    assert codes(meeting.says(hand, line + line)) == [550, 421]
    assert hand.lost is not None


@pytest.mark.parametrize(
    "line",
    [
        b"XCLIENT",
        b"XCLIENT ADDR=192.0.2.7+0D+0AMAIL+20FROM:<x@y.test>",
        b"XCLIENT NAME=a+0D+0A",
        b"XCLIENT ADDR=300.0.0.1",
        b"XCLIENT LOGIN=admin",
        b"XCLIENT IDENT=x",
        b"XFORWARD LOGIN=admin",
        b"XFORWARD HELO=a+0Ab",
    ],
)
def test_what_is_malformed_changes_nothing(line: bytes) -> None:
    """501; the client is who it was, and the session where it was."""
    hooks = Recording()
    meeting = Meeting(hooks, **TRUSTED)
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    assert codes(meeting.says(hand, line + b"\r\n")) == [501]
    (session,) = hooks.sessions
    assert session.remote_address == "127.0.0.1"
    assert not session.introduced
    assert not session.forwarded
    assert codes(meeting.says(hand, b"MAIL FROM:<a@x.test>\r\n")) == [250]
    meeting.ends()


@pytest.mark.parametrize("line", [TOLD, b"XFORWARD NAME=c.test\r\n"])
def test_not_within_a_transaction(line: bytes) -> None:
    """503, and the transaction goes on."""
    meeting = Meeting(None, **TRUSTED)
    hand = meeting.hand()
    meeting.says(hand, HELLO + b"MAIL FROM:<a@x.test>\r\n")
    assert codes(meeting.says(hand, line + b"RCPT TO:<b@y.test>\r\n")) == [503, 250]
    meeting.ends()


def test_trust_does_not_outlast_the_client() -> None:
    """Whoever is spoken for could say it too: a proxy passes on what its client says."""
    hooks = Recording()
    meeting = Meeting(hooks, **TRUSTED)
    hand = meeting.hand()
    meeting.says(hand, TOLD)
    heard = meeting.says(hand, HELLO)
    assert b"XCLIENT" not in heard
    assert b"XFORWARD" not in heard
    for line in (b"XCLIENT ADDR=127.0.0.1\r\n", b"XFORWARD ADDR=127.0.0.1\r\n"):
        assert codes(meeting.says(hand, line)) == [550]
    assert hooks.sessions[-1].remote_address == "192.0.2.7"
    meeting.ends()


def test_trust_lasts_while_the_address_does() -> None:
    """Attributes may come in several commands, and add up; the address comes last."""
    hooks = Recording()
    meeting = Meeting(hooks, **TRUSTED)
    hand = meeting.hand()
    assert codes(meeting.says(hand, b"XCLIENT NAME=c.test\r\n")) == [220]
    assert codes(meeting.says(hand, b"XCLIENT ADDR=192.0.2.7\r\n")) == [220]
    assert hooks.sessions[-1].introduced == {"NAME": "c.test", "ADDR": "192.0.2.7"}
    meeting.ends()


def test_an_address_that_is_not_known_is_in_no_network() -> None:
    """It is not the trusted client's own."""
    hooks = Recording()
    meeting = Meeting(hooks, **TRUSTED)
    hand = meeting.hand()
    meeting.says(hand, b"XCLIENT ADDR=[UNAVAILABLE]\r\n")
    session = hooks.sessions[-1]
    assert session.peer == UnknownAddress()
    assert session.remote_address == ""
    assert b"XCLIENT" not in meeting.says(hand, HELLO)
    meeting.ends()


@pytest.mark.parametrize("option", [False, True])
def test_a_login_is_believed_by_option_only(option: bool) -> None:
    """And is then an authentication, until the next XCLIENT."""
    hooks = Recording()
    meeting = Meeting(hooks, xclient_login=option, **TRUSTED)
    hand = meeting.hand()
    assert (b"LOGIN" in meeting.says(hand, HELLO)) is option
    heard = meeting.says(hand, b"XCLIENT LOGIN=me+40x.test\r\n")
    assert codes(heard) == [220 if option else 501]
    assert hooks.sessions[-1].identity == ("me@x.test" if option else None)
    if option:
        meeting.says(hand, HELLO)
        assert hooks.sessions[-1].protocol == "ESMTPA"
        meeting.says(hand, b"XCLIENT LOGIN=[UNAVAILABLE]\r\n")
        assert hooks.sessions[-1].identity is None
    meeting.ends()


def test_an_authentication_does_not_pass_to_another_client() -> None:
    """Who had logged in was the one that speaks."""

    class Trusting(Recording):
        def on_auth(self, session: Any, credentials: Any) -> bool:
            return True

    hooks = Trusting()
    meeting = Meeting(hooks, allow_insecure_auth=True, **TRUSTED)
    hand = meeting.hand()
    meeting.says(hand, HELLO + b"AUTH PLAIN AHUAcA==\r\n")
    assert hooks.sessions[-1].identity == "u"
    meeting.says(hand, TOLD)
    assert hooks.sessions[-1].identity is None
    meeting.ends()


def test_nothing_may_follow_xclient_in_its_packet() -> None:
    """A greeting comes next: what is there already was said too soon."""
    meeting = Meeting(None, **TRUSTED)
    hand = meeting.hand()
    assert codes(meeting.says(hand, TOLD + HELLO)) == [554]
    assert hand.lost is not None


def test_a_client_that_is_not_wanted_is_told_so() -> None:
    """The hook refuses the one that was named, in the place of its greeting."""
    answers = iter([None, SMTPRejection(554, "5.7.1", "Not that one")])

    class Choosy(Recording):
        def on_connect(self, session: Any) -> None:
            answer = next(answers)
            if answer is not None:
                raise answer

    meeting = Meeting(Choosy(), **TRUSTED)
    hand = meeting.hand()
    assert meeting.says(hand, TOLD) == b"554 5.7.1 Not that one\r\n"
    assert hand.lost is not None


def test_caps_hold_for_the_client_that_is_named() -> None:
    """It counts where it comes from, and the place of the one that speaks is free again."""
    meeting = Meeting(None, max_clients_per_address=1, **TRUSTED)
    first = meeting.hand()
    assert codes(meeting.says(first, TOLD)) == [220]
    second = meeting.hand()
    assert codes(second.heard) == [220]
    assert codes(meeting.says(second, TOLD)) == [421]
    third = meeting.hand()
    assert codes(third.heard) == [220]
    meeting.ends()
    assert not meeting.factory._per_address


def test_the_client_that_is_named_needs_no_place_of_its_own() -> None:
    """The one that speaks for it has the last."""
    meeting = Meeting(None, max_clients=1, **TRUSTED)
    hand = meeting.hand()
    assert codes(meeting.says(hand, TOLD)) == [220]
    assert codes(meeting.hand().heard) == [421]
    meeting.ends()


def test_xforward_tells_of_one_message() -> None:
    """It adds up, changes nobody's rights, and is forgotten with the message or by RSET."""
    seen: list[Any] = []

    class Looking(Recording):
        def on_mail_from(self, session: Any, address: str, parameters: Any) -> None:
            seen.append((session.remote_address, dict(session.forwarded)))

    meeting = Meeting(Looking(), **TRUSTED)
    hand = meeting.hand()
    meeting.says(hand, HELLO)
    lines = b"XFORWARD NAME=c.test ADDR=192.0.2.7\r\nXFORWARD SOURCE=REMOTE\r\n"
    assert codes(meeting.says(hand, lines)) == [250, 250]
    meeting.says(hand, OPENING.partition(b"\r\n")[2] + b"x\r\n.\r\n" + b"MAIL FROM:<>\r\n")
    meeting.says(hand, b"RSET\r\nXFORWARD ADDR=192.0.2.8\r\nRSET\r\nMAIL FROM:<>\r\n")
    told = {"NAME": "c.test", "ADDR": "192.0.2.7", "SOURCE": "REMOTE"}
    assert seen == [("127.0.0.1", told), ("127.0.0.1", {}), ("127.0.0.1", {})]
    meeting.ends()


@pytest.mark.parametrize(
    ("peer", "heard"), [("allow", [250, 250, 250, 354, 250]), (None, [250, 250, 250, 354, 550])]
)
def test_bare_line_ends_are_a_matter_of_networks(peer: str | None, heard: list[int]) -> None:
    """Named ones are excepted from what holds for everybody."""
    networks = ["127.0.0.0/8"] if peer else ["10.0.0.0/8"]
    hooks = Recording()
    meeting = Meeting(hooks, bare_line_ends_for={"normalise": [], "allow": networks})
    hand = meeting.hand()
    assert codes(meeting.says(hand, OPENING + b"a\nb\r\n.\r\n")) == heard
    if peer:
        assert hooks.sinks[0].content == b"a\nb\r\n"
    meeting.ends()


@pytest.mark.parametrize(
    "wrong",
    [
        {"xclient_networks": "127.0.0.1"},
        {"xforward_networks": ["192.0.2.1/24"]},
        {"bare_line_ends_for": ["127.0.0.1"]},
        {"bare_line_ends_for": {"keep": ["127.0.0.1"]}},
        {"bare_line_ends_for": {"allow": "127.0.0.1"}},
        {"max_messages": 0},
        {"max_recipient_domains": -1},
    ],
    ids=repr,
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    """A ConfigError, and never a server that trusts others than was meant."""
    with pytest.raises(ConfigError):
        ServerOptions(**wrong)


def test_mailmax() -> None:
    """Each MAIL counts, and one too many ends the session, so that the client comes again."""
    hooks = Recording()
    meeting = Meeting(hooks, max_messages=2)
    hand = meeting.hand()
    assert b"LIMITS MAILMAX=2 RCPTMAX=1000\r\n" in meeting.says(hand, HELLO)
    assert (
        codes(meeting.says(hand, b"MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nRSET\r\n")) == [250] * 4
    )
    assert codes(meeting.says(hand, b"MAIL FROM:<>\r\n")) == [421]
    assert hooks.sessions[0].transactions == 3
    assert hand.lost is not None


def test_limits_that_are_beyond_words() -> None:
    """RFC 9422 section 4: six digits. What would need more is enforced and not told."""
    meeting = Meeting(None, max_messages=10**6, max_recipients=999_999)
    assert b"LIMITS RCPTMAX=999999\r\n" in meeting.says(meeting.hand(), HELLO)
    meeting = Meeting(None, max_recipients=10**6)
    assert b"LIMITS" not in meeting.says(meeting.hand(), HELLO)


def test_rcptdomainmax() -> None:
    """The first domains of the session are those it may have, in any case of letters."""
    meeting = Meeting(None, max_recipient_domains=2)
    hand = meeting.hand()
    assert b"RCPTMAX=1000 RCPTDOMAINMAX=2\r\n" in meeting.says(hand, HELLO + b"MAIL FROM:<>\r\n")
    rcpts = b"".join(
        b"RCPT TO:<%s>\r\n" % name for name in (b"a@x.test", b"b@Y.test", b"c@z.test", b"d@X.TEST")
    )
    assert codes(meeting.says(hand, rcpts)) == [250, 250, 452, 250]
    assert codes(meeting.says(hand, b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@z.test>\r\n")) == [
        250,
        250,
        452,
    ]
    assert codes(meeting.says(hand, b"RCPT TO:<e@y.test>\r\n")) == [250]
    meeting.ends()
