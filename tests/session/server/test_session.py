"""The server's conversation: order, greeting, time and the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.server_talk import ENVELOPE, LATER, OPENING, Client, codes
from txsmtpconn.session.dialect import LMTP
from txsmtpconn.session.server import events, replies
from txsmtpconn.session.server.rules import ServerRules, ServerTimeouts
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.session.server.tables import Phase, Reading
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply

NO = Reply.of(550, "5.7.1 No")
WHOLE = (
    b"EHLO me.test\r\n"
    b"MAIL FROM:<s@x.test> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=e1\r\n"
    b"RCPT TO:<r@y.test> NOTIFY=NEVER\r\n"
    b"RCPT TO:<Postmaster>\r\n"
    b"DATA\r\n"
    b"Subject: x\r\n\r\n..\r\n...dots\r\nend\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<r@y.test>\r\n"
    b"BDAT 5\r\n.\r\n.\nBDAT 0\r\nBDAT 4 LAST\r\n\r\n.\r"
    b"RSET\r\nNOOP anything\r\nVRFY x\r\nHELP\r\nEXPN x\r\nQUIT\r\n"
)


@pytest.mark.parametrize("cut", [0, 1, 2, 7])
def test_a_whole_session_however_it_is_cut(cut: int) -> None:
    """Replies, messages and envelopes are the same whole and octet by octet."""
    from txsmtpconn.session.server.rules import BareLineEnds

    client = Client(bare_line_ends=BareLineEnds.ALLOW)
    heard = client.says(WHOLE, cut=cut)
    assert codes(heard) == [
        *(250, 250, 250, 250, 354, 250),
        *(250, 250, 250, 250, 250),
        *(250, 250, 252, 214, 502, 221),
    ]
    assert client.messages == [b"Subject: x\r\n\r\n.\r\n..dots\r\nend\r\n", b".\r\n.\n\r\n.\r"]
    first, second = (event.envelope for event in client.seen(events.DataStarted))
    assert first.mail_from == "s@x.test"
    assert [each.address for each in first.recipients] == ["r@y.test", "Postmaster@mx.test"]
    assert (first.size, first.body, first.dsn.ret, first.dsn.envid) == (
        10,
        "8BITMIME",
        "HDRS",
        "e1",
    )
    assert first.recipients[0].dsn.notify == ("NEVER",)
    assert second.mail_from == ""
    assert client.session.closing


def test_what_rcpt_asks_for_is_kept_where_mail_asks_for_nothing() -> None:
    """Each recipient has its own, and the others have none."""
    client = Client()
    client.says(ENVELOPE + b"RCPT TO:<n@y.test> NOTIFY=NEVER\r\nRCPT TO:<r@y.test>\r\nDATA\r\n")
    (started,) = client.seen(events.DataStarted)
    first, second, third = started.envelope.recipients
    assert (first.dsn, third.dsn) == (None, None)
    assert second.dsn.notify == ("NEVER",)
    assert not started.envelope.plain


def test_one_write_carries_all_replies_that_are_due() -> None:
    """Pipelined commands are answered in one piece (RFC 2920 section 3.2)."""
    client = Client()
    client.session.receive_data(ENVELOPE, 0.0)
    assert codes(client.hears()) == [250, 250, 250]


def test_no_command_is_looked_at_before_the_last_one_is_answered() -> None:
    """A hook that decides late decides alone; replies keep the order of the commands."""
    client = Client(lambda event: LATER if isinstance(event, events.RcptReceived) else None)
    pipelined = b"RCPT TO:<b@y.test>\r\nRSET\r\nMAIL FROM:<t@x.test>\r\nQUIT\r\n"
    assert codes(client.says(ENVELOPE + pipelined)) == [250, 250]
    assert [event.address for event in client.seen(events.RcptReceived)] == ["r@y.test"]
    assert len(client.seen(events.MailReceived)) == 1
    assert client.session.waiting_octets == len(pipelined)
    assert codes(client.answers(NO)) == [550]
    assert [event.address for event in client.seen(events.RcptReceived)] == ["r@y.test", "b@y.test"]
    assert codes(client.answers(None)) == [250, 250, 250, 221]


def test_a_question_that_nobody_wants_to_hear_is_consented_to() -> None:
    """The client hears the same; the application hears only what it has an opinion about."""
    asked, unasked = Client(), Client(consents=frozenset((events.MailReceived, events.Secured)))
    whole = OPENING + b"x\r\n.\r\nQUIT\r\n"
    assert unasked.says(whole) == asked.says(whole)
    assert unasked.events == [
        event for event in asked.events if not isinstance(event, events.MailReceived)
    ]
    assert len(unasked.seen(events.DataStarted)) == 1


def test_an_answer_without_a_question_is_the_callers_mistake() -> None:
    """Also the second answer to one question, and an answer of the wrong kind."""
    client = Client()
    with pytest.raises(LocalProtocolError):
        client.session.reply(None, 0.0)
    with pytest.raises(LocalProtocolError):
        client.session.challenge(b"", 0.0)
    with pytest.raises(LocalProtocolError):
        client.session.authenticated("u", 0.0)
    with pytest.raises(LocalProtocolError):
        client.session.reply_each([None], 0.0)
    with pytest.raises(LocalProtocolError):
        client.session.refuse_data(NO)


def test_the_greeting_names_the_server_and_its_protocol() -> None:
    """The name comes first (RFC 5321 section 4.2)."""
    assert Client(banner="at your service").said == b"220 mx.test ESMTP at your service\r\n"
    assert Client(dialect=LMTP).said == b"220 mx.test LMTP\r\n"


def test_a_refused_connection_is_told_so_and_ends() -> None:
    """The application's refusal takes the place of the greeting."""
    client = Client(lambda _: Reply.of(554, "5.7.1 Go away"))
    assert client.said == b"554 5.7.1 Go away\r\n"
    assert client.session.closing
    assert client.says(OPENING) == b""


def test_who_talks_before_the_greeting_is_shown_out() -> None:
    """S2: within the delay, and while the application still thinks about the connection."""
    early = Client(greet_delay=0.2)
    assert early.said == b""
    assert codes(early.says(b"EHLO me.test\r\n")) == [554]
    assert early.session.closing

    thinking = Client(lambda _: LATER)
    assert thinking.says(b"EHLO me.test\r\n") == b""
    assert codes(thinking.answers(None)) == [554]

    patient = Client(greet_delay=0.2)
    assert patient.waits(0.1) == b""
    assert codes(patient.waits(0.1)) == [220]
    assert codes(patient.says(b"EHLO me.test\r\n")) == [250]


def test_nothing_is_obeyed_behind_quit() -> None:
    """S38: 221, and what follows is dropped."""
    client = Client()
    assert codes(client.says(b"QUIT\r\n" + OPENING)) == [221]
    assert client.session.closing
    assert client.says(OPENING) == b""
    assert not client.seen(events.MailReceived)


def test_rset_forgets_the_transaction_and_keeps_the_rest() -> None:
    """The hello stays, and so does an authenticated identity."""
    client = Client()
    client.says(ENVELOPE)
    client.session.identity = "user"
    assert codes(client.says(b"RSET\r\nRCPT TO:<r@y.test>\r\nDATA\r\n")) == [250, 503, 503]
    assert client.session.phase is Phase.READY
    assert client.session.identity == "user"
    assert client.session.hello_name == "me.test"


def test_a_hello_within_a_transaction_ends_it() -> None:
    """EHLO is RSET too (RFC 5321 section 4.1.4)."""
    client = Client()
    assert codes(client.says(ENVELOPE + b"EHLO me.test\r\nDATA\r\n")) == [250, 250, 250, 250, 503]


def test_helo_lists_no_extensions() -> None:
    """One line, and mail comes by SMTP."""
    client = Client()
    assert client.says(b"HELO me.test\r\n") == b"250 mx.test\r\n"
    assert client.session.transmission_type == "SMTP"


@pytest.mark.parametrize(
    ("dialect", "utf8", "secure", "identity", "expected"),
    [
        ("smtp", False, False, None, "ESMTP"),
        ("smtp", False, True, None, "ESMTPS"),
        ("smtp", False, False, "u", "ESMTPA"),
        ("smtp", True, True, "u", "UTF8SMTPSA"),
        ("lmtp", False, True, None, "LMTPS"),
        ("lmtp", True, False, None, "UTF8LMTP"),
    ],
)
def test_the_transmission_type_says_how_mail_came(
    dialect: str, utf8: bool, secure: bool, identity: str | None, expected: str
) -> None:
    """RFC 3848 and RFC 6531 section 4.3."""
    client = Client(**({"dialect": LMTP} if dialect == "lmtp" else {}))
    hello = b"LHLO" if dialect == "lmtp" else b"EHLO"
    client.says(hello + b" me.test\r\n")
    client.session.secure, client.session.identity = secure, identity
    client.says(b"MAIL FROM:<s@x.test>" + (b" SMTPUTF8" if utf8 else b"") + b"\r\n")
    assert client.session.transmission_type == expected


# -- time


def test_a_client_that_says_nothing_is_told_421() -> None:
    """The deadline runs from our last reply (RFC 5321 section 4.5.3.2.7)."""
    client = Client(timeouts=ServerTimeouts(command=60))
    assert client.session.next_deadline() == 60
    assert client.waits(59) == b""
    assert codes(client.waits(1)) == [421]
    assert client.session.closing
    assert not client.session.aborting
    client.waits(client.session.rules.timeouts.close)
    assert client.session.aborting


def test_octets_do_not_renew_a_commands_deadline() -> None:
    """S29: an octet now and then is no command."""
    client = Client(timeouts=ServerTimeouts(command=60))
    for octet in b"NOOP x":
        client.waits(9)
        client.says(bytes((octet,)))
    assert client.session.next_deadline() == 60
    assert codes(client.waits(6)) == [421]


def test_a_complete_command_renews_the_deadline() -> None:
    """Each command has its time to itself."""
    client = Client(timeouts=ServerTimeouts(command=60))
    client.waits(50)
    client.says(b"NOOP\r\n")
    assert client.session.next_deadline() == 110


def test_silence_within_mail_data_ends_the_session() -> None:
    """And the message is refused to whoever was taking it."""
    client = Client(timeouts=ServerTimeouts(block=30))
    client.says(OPENING + b"Subject: x\r\n")
    assert codes(client.waits(30)) == [421]
    assert len(client.refused) == 1
    assert not client.messages


def test_a_trickle_of_mail_data_ends_the_session() -> None:
    """S29: fewer octets per second than the minimum, once the grace is over."""
    client = Client(timeouts=ServerTimeouts(block=30), minimum_rate=100.0)
    client.says(OPENING)
    heard = b""
    for _ in range(8):
        heard += client.waits(5) + client.says(b"x" * 10)
    assert codes(heard) == [421]
    steady = Client(timeouts=ServerTimeouts(block=30), minimum_rate=100.0)
    steady.says(OPENING)
    for _ in range(50):
        assert steady.waits(5) + steady.says(b"x" * 498 + b"\r\n") == b""


def test_time_in_which_the_server_does_not_read_is_not_the_clients() -> None:
    """A slow sink holds the clock of the mail data."""
    client = Client(timeouts=ServerTimeouts(block=30, mark=500), minimum_rate=100.0)
    client.says(OPENING + b"x\r\n")
    client.session.hold_data(client.now)
    assert client.waits(400) == b""
    client.session.take_data(client.now)
    assert client.session.next_deadline() == pytest.approx(430, abs=1)
    client.session.hold_data(client.now)
    assert client.waits(500) == b""
    assert client.seen(events.AnswerOverdue)


def test_an_application_that_does_not_answer_is_reported() -> None:
    """The session goes on once somebody answers instead."""
    client = Client(lambda event: LATER if isinstance(event, events.MailReceived) else None)
    client.says(ENVELOPE)
    assert client.waits(240) == b""
    assert client.seen(events.AnswerOverdue)
    assert codes(client.answers(Reply.of(451, "4.3.0 Later"))) == [451, 503]


def test_no_session_lasts_for_ever() -> None:
    """However busy the client is."""
    client = Client(timeouts=ServerTimeouts(command=60, session=100), max_idle_commands=1000)
    for _ in range(19):
        client.waits(5)
        assert codes(client.says(b"NOOP\r\n")) == [250]
    assert client.waits(5) == (
        b"421 4.4.2 The session has lasted long enough, closing the connection\r\n"
    )


def test_no_session_lasts_for_ever_within_mail_data() -> None:
    """However fast its mail data comes."""
    client = Client(timeouts=ServerTimeouts(block=60, session=100))
    client.says(OPENING)
    for _ in range(19):
        client.waits(5)
        assert client.says(b"x" * 9_998 + b"\r\n") == b""
    assert client.session.next_deadline() == 100
    assert codes(client.waits(5)) == [421]


def test_the_time_for_the_first_command_begins_with_the_greeting() -> None:
    """And not with the connection."""
    client = Client(greet_delay=5, timeouts=ServerTimeouts(command=60))
    assert codes(client.waits(5)) == [220]
    assert client.session.next_deadline() == 65


def test_a_client_that_never_reads_is_dropped() -> None:
    """Its replies have nowhere to go."""
    client = Client()
    client.session.output_blocked(client.now)
    assert client.waits(180) == b""
    assert client.session.aborting


def test_a_half_closed_client_gets_its_replies_first() -> None:
    """S29: what was said before the FIN is answered; then we close too."""
    client = Client(lambda event: LATER if isinstance(event, events.RcptReceived) else None)
    client.says(ENVELOPE + b"NOOP\r\n")
    client.session.input_ended()
    assert client.hears() == b""
    assert not client.session.closing
    assert codes(client.answers(None)) == [250, 250]
    assert client.session.closing


def test_a_half_closed_client_within_mail_data_has_sent_no_message() -> None:
    """The message is refused to its taker; nobody is told 250."""
    client = Client()
    client.says(OPENING + b"Subject: x\r\n")
    client.session.input_ended()
    assert client.hears() == b""
    assert client.session.closing
    assert len(client.refused) == 1


# -- shutting down


def test_an_idle_session_is_shut_down_at_once() -> None:
    """421, also within a transaction that has no mail data yet."""
    client = Client()
    client.says(ENVELOPE)
    client.session.shut_down(client.now)
    assert codes(client.hears()) == [421]
    assert client.session.closing


def test_a_message_under_way_is_finished_before_the_shutdown() -> None:
    """S39: its reply comes first, then 421."""
    client = Client()
    client.says(OPENING + b"x\r\n")
    client.session.shut_down(client.now)
    assert client.hears() == b""
    assert codes(client.says(b".\r\nNOOP\r\n")) == [250, 421]
    assert client.messages == [b"x\r\n"]
    assert client.session.closing


def test_a_message_that_is_being_taken_is_finished_before_the_shutdown() -> None:
    """The application has the last word on it."""
    client = Client(lambda event: LATER if isinstance(event, events.DataEnded) else None)
    client.says(OPENING + b"x\r\n.\r\n")
    client.session.shut_down(client.now)
    assert client.hears() == b""
    assert codes(client.answers(None)) == [250, 421]


def test_421_from_the_application_ends_the_session() -> None:
    """RFC 5321 section 3.8."""
    client = Client(
        lambda event: Reply.of(421, "4.3.0 x") if isinstance(event, events.MailReceived) else None
    )
    assert codes(client.says(OPENING)) == [250, 421]
    assert client.session.closing


@given(st.binary(max_size=300), st.integers(0, 40))
def test_any_octets_are_answered_or_waited_for(octets: bytes, cut: int) -> None:
    """Whatever a client sends, the session raises nothing and holds no more than came."""
    for prefix in (b"", b"EHLO a\r\n", OPENING, ENVELOPE + b"BDAT 7\r\n"):
        client = Client(auth_mechanisms=("PLAIN",), allow_insecure_auth=True)
        client.says(prefix)
        client.says(octets, cut=cut)
        assert client.session.waiting_octets <= len(octets)


def test_a_session_begins_by_waiting_for_the_handshake_of_implicit_tls() -> None:
    """RFC 8314: nothing is said before it, and the greeting comes behind it."""
    client = Client(tls=True)
    assert client.session.reading is Reading.HANDSHAKE
    assert client.said == b""
    client.session.tls_established(client.now)
    assert codes(client.hears()) == [220]
    assert client.session.secure
    assert [type(event) for event in client.events] == [events.Connected, events.Secured]


def test_a_handshake_has_its_own_deadline() -> None:
    """S5: a client that is silent behind 220 is dropped; there is no way back to clear."""
    session = ServerSession(ServerRules(name="mx.test"))
    session.connection_made(0.0, implicit_tls=True)
    assert session.next_deadline() == 30
    session.handle_timer(30.0)
    assert session.aborting


def test_a_greeting_that_fails_is_421() -> None:
    """RFC 5321 section 4.3.2: 451 is no greeting; what the application chose itself is left so."""
    for told, heard in ((replies.LOCAL_ERROR, b"421 4.3.0 "), (Reply.of(550, "No"), b"550 No")):
        session = ServerSession(ServerRules(name="mx.test"))
        session.connection_made(0.0)
        assert isinstance(session.next_event(0.0), events.Connected)
        session.reply(told, 0.0)
        assert session.next_event(0.0) is None
        assert session.data_to_send().startswith(heard)
        assert session.closing
