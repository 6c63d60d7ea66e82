"""The capture server in memory: what it keeps, how it misbehaves, and how it is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from tests.server.hand import Hand, codes
from txsmtpconn import Credentials, Envelope, TLSOptions, connect
from txsmtpconn.errors import ConfigError
from txsmtpconn.server import ServerTimeouts
from txsmtpconn.testing import (
    CaptureServer,
    MemoryNetwork,
    MissingMessages,
    failure_result_of,
    no_result_of,
    success_result_of,
)

MESSAGE = b"Subject: hello\r\n\r\n.dots\r\n"
MAIL, RCPT, DATA = b"MAIL FROM:<a@a.test>\r\n", b"RCPT TO:<b@b.test>\r\n", b"DATA\r\n"
WHOLE = MAIL + RCPT + DATA + b"Subject: hello\r\n\r\n..dots\r\n.\r\n"


class Stage:
    """A capture server in memory, and hands that talk to it."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.server: CaptureServer

    def begin(self, **options: Any) -> CaptureServer:
        """Start a server."""
        self.server = CaptureServer(network=self.network, **options)
        assert self.network.result_of(self.server.start()) is self.server
        return self.server

    def hand(self, hello: bytes = b"EHLO me.test\r\n") -> Hand:
        """Connect one more client, and say hello."""
        hand = self.network.result_of(self.network.connect(Factory.forProtocol(Hand)))
        self.network.settle()
        if hello:
            self.says(hand, hello)
        return hand

    def says(self, hand: Hand, octets: bytes) -> list[int]:
        """Let a client say something; return the codes that it hears then."""
        before = len(hand.heard)
        hand.transport.write(octets)
        self.network.settle()
        return codes(hand.heard[before:])

    def connect(self, **options: Any) -> Any:
        """Connect a client of ours."""
        endpoint = self.server.client_endpoint()
        return self.network.result_of(connect(self.network.clock, endpoint=endpoint, **options))


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A network whose server stops at the end, and leaves nothing to do."""
    stage = Stage(MemoryNetwork())
    yield stage
    stage.network.result_of(stage.server.stop())
    for link in stage.network.links:
        if not link.client.disconnected:
            link.reset()
    stage.network.settle()
    assert stage.network.clock.getDelayedCalls() == []


# -- what it keeps


def test_a_message_is_kept_with_all_that_is_known(stage: Stage) -> None:
    """Envelope, octets, and the session that brought it, as it was then."""
    server = stage.begin()
    hand = stage.hand()
    assert stage.says(hand, WHOLE + b"QUIT\r\n") == [250, 250, 354, 250, 221]
    (message,) = server.messages
    assert message.envelope == Envelope("a@a.test", ["b@b.test"])
    assert (message.raw, message.subject) == (MESSAGE, "hello")
    assert (message.session.hello_name, message.session.protocol) == ("me.test", "ESMTP")
    assert (message.session.user, message.session.tls) == (None, None)
    assert not message.session.closed
    (session,) = server.sessions
    assert session.closed
    assert session.transcript[:2] == ("S: 220 localhost ESMTP ready", "C: EHLO me.test")
    assert session.transcript[-4:] == (
        "C: [25 octets of mail data]",
        "S: 250 2.0.0 Ok: captured",
        "C: QUIT",
        "S: 221 2.0.0 Bye",
    )
    assert "C: QUIT" in server.transcript


def test_our_client_and_all_of_an_envelope(stage: Stage) -> None:
    """Parameters arrive as they were given."""
    server = stage.begin(promises=["MT-PRIORITY"])
    conn = stage.connect()
    envelope = Envelope("", ["b@b.test", "b@b.test"], mt_priority=3, body="8BITMIME")
    stage.network.result_of(conn.send(envelope, MESSAGE))
    stage.network.result_of(conn.quit())
    (message,) = server.messages
    assert (message.mail_from, message.rcpt_to) == ("", ("b@b.test", "b@b.test"))
    assert (message.envelope.mt_priority, message.envelope.body) == (3, "8BITMIME")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_from_a_throw_away_authority(stage: Stage, tls: str) -> None:
    """A client that trusts `ca_file`, and no other authority, is content."""
    server = stage.begin(tls=tls)
    assert server.ca_file is not None
    conn = stage.connect(
        host="localhost",
        tls=TLSOptions(ca_file=server.ca_file),
        secure=tls == "implicit",
        require_tls=tls == "starttls",
    )
    stage.network.result_of(conn.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE))
    stage.network.result_of(conn.quit())
    assert server.messages[0].session.tls == "TLSv1.3"
    assert server.messages[0].session.protocol == "ESMTPS"
    stage.network.result_of(server.stop())
    assert not server.ca_file.exists()


@pytest.mark.parametrize(
    "mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"]
)
def test_users_log_in_with_their_password_only(stage: Stage, mechanism: str) -> None:
    """By any mechanism, in clear too; the password is in no transcript."""
    server = stage.begin(users={"u": "hunter2"}, auth_mechanisms=[mechanism])
    secret = {"access_token" if "OAUTH" in mechanism else "password": "hunter2"}
    conn = stage.connect(allow_insecure_auth=True)
    stage.network.result_of(conn.login(Credentials("u", mechanism=mechanism, **secret)))
    stage.network.result_of(conn.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE))
    assert (server.messages[0].session.user, server.messages[0].session.protocol) == ("u", "ESMTPA")
    wrong = dict.fromkeys(secret, "wrong")
    for user in ("u", "nobody"):
        conn = stage.connect(allow_insecure_auth=True)
        login = conn.login(Credentials(user, mechanism=mechanism, **wrong))
        stage.network.settle()
        error: Any = failure_result_of(login)
        assert error.code == "EAUTH"
    assert "hunter2" not in server.transcript


def test_without_users_there_is_no_auth(stage: Stage) -> None:
    """A client that would log in finds nothing to log in with."""
    stage.begin()
    assert b"AUTH" not in stage.hand().heard


def test_lmtp_answers_for_each_recipient(stage: Stage) -> None:
    """One mailbox is full at the end, one is refused by its name; the others have the message."""
    server = stage.begin(lmtp=True)
    server.mailbox_full("full@b.test", verb="MESSAGE")
    server.reject("MESSAGE", rcpt="no@b.test", code=550)
    server.delay("MESSAGE", seconds=1)
    conn = stage.connect(lmtp=True)
    people = ["b@b.test", "full@b.test", "no@b.test", "b@b.test"]
    sending = conn.send(Envelope("a@a.test", people), MESSAGE)
    stage.network.settle()
    no_result_of(sending)
    result = stage.network.result_of(sending, within=1)
    assert result.accepted == ["b@b.test", "b@b.test"]
    assert [error.response_code for error in result.rejected_errors] == [452, 550]
    (message,) = server.messages
    assert message.rcpt_to == ("b@b.test", "b@b.test")
    assert [each.address for each in message.envelope.recipients] == people


def test_in_lmtp_all_may_be_refused(stage: Stage) -> None:
    """Then nothing was captured."""
    server = stage.begin(lmtp=True)
    server.mailbox_full("*", verb="MESSAGE")
    hand = stage.hand(b"LHLO me.test\r\n")
    assert stage.says(hand, WHOLE) == [250, 250, 354, 452]
    assert server.messages == []


# -- how it misbehaves


@pytest.mark.parametrize(
    ("verb", "said", "refused"),
    [
        ("MAIL", WHOLE, [550, 503, 503]),
        ("RCPT", MAIL + RCPT + DATA, [250, 550, 503]),
        ("DATA", MAIL + RCPT + DATA, [250, 250, 554]),
        ("DATA", MAIL + RCPT + b"BDAT 2 LAST\r\nxx", [250, 250, 554]),
        ("MESSAGE", WHOLE, [250, 250, 354, 554]),
        ("AUTH", b"AUTH PLAIN AHUAcA==\r\n", [535]),
        ("EHLO", b"EHLO again.test\r\nHELO again.test\r\n", [550, 250]),
        ("STARTTLS", b"STARTTLS\r\n", [454]),
        ("RSET", b"RSET\r\nRSET\r\n", [502, 250]),
        ("NOOP", b"NOOP\r\nNOOP\r\n", [502, 250]),
        ("VRFY", b"VRFY b@b.test\r\n", [502]),
        ("HELP", b"HELP\r\n", [502]),
        ("QUIT", b"QUIT\r\nQUIT\r\n", [502, 221]),
    ],
)
def test_every_verb_can_be_refused_once(
    stage: Stage, verb: str, said: bytes, refused: list[int]
) -> None:
    """And the session goes on as if the server had decided so itself."""
    server = stage.begin(tls="starttls", allow_insecure_auth=True, users={"u": "p"})
    hand = stage.hand()
    rule = server.reject(verb, times=1)
    heard = stage.says(hand, said)
    assert heard[: len(refused)] == refused
    assert server.hits(rule) == 1
    assert server.messages == []


def test_the_greeting_can_be_a_refusal(stage: Stage) -> None:
    """CONNECT is the verb before all others."""
    server = stage.begin()
    server.reject("CONNECT", code=421, text="Busy")
    hand = stage.hand(hello=b"")
    assert hand.heard == b"421 Busy\r\n"
    assert hand.lost is not None


def test_a_rule_for_one_recipient_leaves_the_others_alone(stage: Stage) -> None:
    """Our client hears who was refused and why; the message is for the rest."""
    server = stage.begin()
    server.mailbox_full("full@b.test")
    conn = stage.connect()
    sending = conn.send(Envelope("a@a.test", ["full@b.test", "b@b.test"]), MESSAGE)
    result = stage.network.result_of(sending)
    assert result.rejected == ["full@b.test"]
    assert result.rejected_errors[0].enhanced_code == "4.2.2"
    assert server.messages[0].rcpt_to == ("b@b.test",)


def test_rules_for_a_user_or_a_sender(stage: Stage) -> None:
    """What is known of the client narrows a rule down."""
    server = stage.begin(users={"u": "p"})
    server.reject("MAIL", user="u", code=452)
    server.reject("RCPT", mail_from="a@a.test", code=553)
    server.reject("MESSAGE", rcpt="*", mail_from="c@a.test", code=554)
    stranger = stage.hand()
    assert stage.says(stranger, MAIL + RCPT) == [250, 553]
    assert stage.says(stranger, b"RSET\r\n" + WHOLE.replace(b"a@a", b"c@a"))[-1] == 554
    known = stage.hand()
    assert stage.says(known, b"AUTH PLAIN AHUAcA==\r\n" + MAIL) == [235, 452]


@pytest.mark.parametrize(
    ("verb", "before", "said"),
    [
        ("AUTH", b"", b"AUTH PLAIN AHUAcA==\r\n"),
        ("EHLO", b"", b"EHLO again.test\r\n"),
        ("NOOP", b"", b"NOOP\r\n"),
        ("QUIT", b"", b"QUIT\r\n"),
        ("MAIL", b"", MAIL),
        ("RCPT", MAIL, RCPT),
        ("DATA", MAIL + RCPT, DATA),
        ("MESSAGE", MAIL + RCPT + DATA, b".\r\n"),
    ],
)
def test_every_verb_can_be_delayed(stage: Stage, verb: str, before: bytes, said: bytes) -> None:
    """The answer comes when its time has come, what is pipelined behind it after it."""
    server = stage.begin(users={"u": "p"})
    server.delay(verb, seconds=2)
    hand = stage.hand(hello=b"")
    stage.says(hand, b"HELO me.test\r\n" if verb != "EHLO" else b"")
    stage.says(hand, before)
    assert stage.says(hand, said + b"RSET\r\n" * (verb != "QUIT")) == []
    before_that = len(hand.heard)
    stage.network.advance(1.9)
    assert len(hand.heard) == before_that
    stage.network.advance(0.2)
    heard = codes(hand.heard[before_that:])
    assert heard[0] in (221, 235, 250, 354)
    assert len(heard) == (1 if verb in ("QUIT", "DATA") else 2)


@pytest.mark.parametrize("verb", ["NOOP", "MESSAGE"])
def test_a_delay_may_be_longer_than_any_time_out(stage: Stage, verb: str) -> None:
    """An answer that comes after an hour is the answer, and not an excuse."""
    server = stage.begin()
    server.delay(verb, seconds=3600)
    hand = stage.hand()
    stage.says(hand, b"NOOP\r\n" if verb == "NOOP" else WHOLE)
    stage.network.advance(3600)
    assert codes(hand.heard)[-1] == 250
    assert len(server.messages) == (verb == "MESSAGE")


@pytest.mark.parametrize("said", [b"NOOP\r\n", MAIL])
def test_a_time_out_that_was_asked_for_is_kept(stage: Stage, said: bytes) -> None:
    """Then no answer comes twice, and no idle client stays for ever."""
    server = stage.begin(timeouts=ServerTimeouts(answer=5, command=60))
    server.delay(said.decode().split()[0], seconds=10)
    hand = stage.hand()
    stage.says(hand, said)
    stage.network.advance(5)
    assert codes(hand.heard)[-1] == 451
    stage.network.advance(10)
    assert stage.says(hand, b"RSET\r\n") == [250]
    assert codes(hand.heard)[-2:] == [451, 250]


def test_a_client_that_was_delayed_may_not_idle(stage: Stage) -> None:
    """The time for its next command begins with the late answer."""
    server = stage.begin(timeouts=ServerTimeouts(command=60))
    server.delay("NOOP", seconds=100)
    hand = stage.hand()
    stage.says(hand, b"NOOP\r\n")
    stage.network.advance(159)
    assert codes(hand.heard)[-1] == 250
    stage.network.advance(2)
    assert codes(hand.heard)[-1] == 421


def test_a_delayed_refusal(stage: Stage) -> None:
    """A delay lets the next rule speak, at verbs with a hook and at those without."""
    server = stage.begin()
    for verb in ("NOOP", "MAIL"):
        server.delay(verb, seconds=1)
        server.reject(verb, code=451)
    hand = stage.hand()
    assert stage.says(hand, b"NOOP\r\n" + MAIL) == []
    stage.network.advance(2)
    assert codes(hand.heard)[-2:] == [451, 451]


@pytest.mark.parametrize("verb", ["EHLO", "NOOP", "STARTTLS", "QUIT", "MAIL", "MESSAGE"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_the_connection_can_be_dropped(stage: Stage, verb: str, late: bool, reset: bool) -> None:
    """Without a word, at once or after a while, in order or by a reset."""
    server = stage.begin(tls="starttls")
    hand = stage.hand()
    stage.says(hand, MAIL + RCPT + DATA if verb == "MESSAGE" else b"")
    if late:
        server.delay(verb, seconds=1)
    server.drop(verb, reset=reset)
    said = {"MESSAGE": b".\r\n", "MAIL": MAIL, "EHLO": b"EHLO x.test\r\n"}
    heard = stage.says(hand, said.get(verb, verb.encode() + b"\r\n"))
    stage.network.advance(1)
    assert heard == []
    assert hand.lost is not None
    assert hand.input_over is not reset
    assert server.messages == []
    assert server.sessions[0].closed


def test_a_connection_dropped_at_connect_says_nothing(stage: Stage) -> None:
    """Not even a greeting."""
    server = stage.begin()
    server.drop("CONNECT")
    hand = stage.hand(hello=b"")
    assert (hand.heard, hand.input_over) == (b"", True)


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_a_server_takes_the_message_and_dies(stage: Stage, lmtp: bool, late: bool) -> None:
    """What every sender must reckon with: it was taken, and nobody knows."""
    server = stage.begin(lmtp=lmtp)
    if late:
        server.delay("MESSAGE", seconds=1)
    server.drop("MESSAGE", taken=True)
    conn = stage.connect(lmtp=lmtp)
    sending = conn.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE)
    stage.network.settle()
    assert len(server.messages) == (not late)
    stage.network.advance(1)
    error: Any = failure_result_of(sending)
    assert (error.code, error.delivery.name) == ("ECONNECTION", "IN_DOUBT")
    assert len(server.messages) == 1


def test_in_lmtp_a_recipient_can_end_it_all(stage: Stage) -> None:
    """A drop for one of the recipients leaves all of them in doubt."""
    server = stage.begin(lmtp=True)
    server.drop("MESSAGE", rcpt="c@b.test")
    hand = stage.hand(b"LHLO me.test\r\n")
    said = MAIL + RCPT + RCPT.replace(b"b@b", b"c@b") + DATA + b".\r\n"
    assert stage.says(hand, said) == [250, 250, 250, 354]
    assert hand.input_over
    assert server.messages == []


def test_rules_can_be_forgotten(stage: Stage) -> None:
    """From then on the server behaves."""
    server = stage.begin()
    server.reject("MAIL")
    hand = stage.hand()
    assert stage.says(hand, MAIL) == [550]
    server.clear_rules()
    assert stage.says(hand, MAIL) == [250]


def test_a_client_that_does_not_wait_for_a_late_answer(stage: Stage) -> None:
    """Nothing waits for the rest of the delay but the message, which is complete."""
    server = stage.begin()
    server.delay("NOOP", seconds=60)
    server.delay("MESSAGE", seconds=60)
    impatient, sender = stage.hand(), stage.hand()
    stage.says(impatient, b"NOOP\r\n")
    stage.says(sender, WHOLE)
    for hand in (impatient, sender):
        hand.transport.abortConnection()
    stage.network.advance(61)
    assert len(server.messages) == 1
    assert [session.closed for session in server.sessions] == [True, True]


# -- how it is waited for


def test_waiting_ends_with_the_last_message_expected(stage: Stage) -> None:
    """No sooner, and at once where it was there already; more than expected is not told."""
    server = stage.begin()
    waiting = server.wait_for(2)
    hand = stage.hand()
    stage.says(hand, WHOLE)
    no_result_of(waiting)
    stage.says(hand, WHOLE + WHOLE)
    assert success_result_of(waiting) == server.messages[:2]
    assert len(success_result_of(server.wait_for(1))) == 1


def test_waiting_in_vain_tells_what_came(stage: Stage) -> None:
    """The deadline is kept; the failure has messages, transcripts and rules."""
    server = stage.begin()
    server.reject(rcpt="b@b.test", times=1)
    hand = stage.hand()
    stage.says(hand, MAIL + RCPT + RCPT + DATA + b"Subject: one\r\n\r\n.\r\n")
    waiting = server.wait_for(2, timeout=3)
    stage.network.advance(2.9)
    no_result_of(waiting)
    stage.network.advance(0.1)
    text = str(failure_result_of(waiting, MissingMessages))
    for part in (
        "2 messages expected, within 3 s; 1 came",
        "message from <a@a.test> to <b@b.test>, subject 'one', 16 octets",
        "hello 'me.test'",
        "  C: RCPT TO:<b@b.test>\n  S: 550 5.1.1 Refused by a rule",
        "at RCPT (rcpt='b@b.test'): reject with 550 5.1.1 Refused by a rule, 1 times (struck: 1)",
    ):
        assert part in text


def test_nobody_waits_for_a_server_that_does_not_run(stage: Stage) -> None:
    """What has come is there all the same; for more, the failure says at once what is missing."""
    server = stage.server = CaptureServer(network=stage.network)
    missing = failure_result_of(server.wait_for(1), MissingMessages)
    assert "1 message expected, and the server does not run; none came" in str(missing)
    stage.network.result_of(server.start())
    stage.says(stage.hand(), WHOLE)
    stage.network.result_of(server.stop())
    assert success_result_of(server.wait_for(1)) == server.messages
    failure_result_of(server.wait_for(2), MissingMessages)
    assert stage.network.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "arguments", [("1",), (None,), (-1,), (1.5,), (1, -1), (1, "2"), (1, None), (1, float("inf"))]
)
def test_waiting_for_what_is_no_number_fails(stage: Stage, arguments: Any) -> None:
    """By the Deferred, as all that can fail."""
    failure_result_of(stage.begin().wait_for(*arguments), ConfigError)


def test_who_waits_can_give_up(stage: Stage) -> None:
    """Cancelling harms nobody else who waits."""
    server = stage.begin()
    first, second = server.wait_for(1), server.wait_for(1)
    first.cancel()
    failure_result_of(first, CancelledError)
    stage.says(stage.hand(), WHOLE)
    assert len(success_result_of(second)) == 1


def test_clear_begins_anew(stage: Stage) -> None:
    """Messages and ended sessions are forgotten; one that goes on is not."""
    server = stage.begin()
    stage.says(stage.hand(), WHOLE + b"QUIT\r\n")
    going_on = stage.hand()
    server.clear()
    assert server.messages == []
    assert [session.closed for session in server.sessions] == [False]
    stage.says(going_on, WHOLE)
    assert len(server.messages) == 1


# -- its life


def test_stopping_drops_everybody(stage: Stage) -> None:
    """Clients, those who wait, and delays under way: nothing is left, and no more than once."""
    server = stage.begin()
    server.delay("NOOP", seconds=60)
    server.delay("MESSAGE", seconds=60)
    waiting = server.wait_for(1, timeout=60)
    idle, held, sender, gone = (stage.hand() for _ in range(4))
    stage.says(held, b"NOOP\r\n")
    stage.says(sender, WHOLE)
    stage.says(gone, WHOLE)
    gone.transport.abortConnection()
    stage.network.settle()
    stage.network.result_of(server.stop())
    stage.network.settle()
    assert "the server was stopped" in str(failure_result_of(waiting, MissingMessages))
    assert all(hand.lost is not None or hand.input_over for hand in (idle, held, sender))
    assert stage.network.result_of(server.stop()) is None


def test_as_a_context_manager(stage: Stage) -> None:
    """It listens inside, and no longer."""

    async def main() -> int:
        async with CaptureServer(network=stage.network) as server:
            stage.server = server
            conn = await connect(stage.network.clock, endpoint=server.client_endpoint())
            await conn.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE)
            await conn.quit()
            return len(await server.wait_for(1))

    assert stage.network.result_of(main()) == 1
    connecting = stage.network.connect(Factory.forProtocol(Hand))
    stage.network.settle()
    failure_result_of(connecting)


def test_a_start_that_fails_leaves_nothing_behind(stage: Stage) -> None:
    """No certificate, and the server can be started when there is room for it."""
    stage.begin()
    second = CaptureServer(network=stage.network, tls="starttls")
    failure_result_of(second.start(), CannotListenError)
    assert second.ca_file is not None
    assert not second.ca_file.parent.exists()
    stage.network.result_of(stage.server.stop())
    stage.network.result_of(second.start())
    assert second.ca_file.exists()
    stage.network.result_of(second.stop())


def test_it_can_be_started_again_but_not_twice(stage: Stage) -> None:
    """Messages stay until they are cleared."""
    server = stage.begin()
    stage.says(stage.hand(), WHOLE)
    failure_result_of(server.start(), ConfigError)
    stage.network.result_of(server.stop())
    stage.network.result_of(server.start())
    stage.says(stage.hand(), WHOLE)
    assert len(server.messages) == 2


@pytest.mark.parametrize("lmtp", [False, True], ids=["SMTP", "LMTP"])
@pytest.mark.parametrize("tls", [None, "starttls", "implicit"])
def test_a_client_is_told_all_that_it_needs(stage: Stage, tls: str | None, lmtp: bool) -> None:
    """`client_options` lead to the server, and its certificate is verified."""
    server = stage.begin(tls=tls, lmtp=lmtp, users={"u": "secret"})
    options = server.client_options(name="client.test", auth=Credentials("u", "secret"))
    connection = stage.network.result_of(connect(stage.network.clock, options))
    stage.network.result_of(connection.login())
    sending = connection.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE)
    stage.network.result_of(sending)
    (message,) = server.messages
    assert (message.raw, message.session.user) == (MESSAGE, "u")
    assert (message.session.tls is not None) is (tls is not None)
    assert options.require_tls is (tls == "starttls")


def test_a_client_is_told_nothing_before_the_server_knows(stage: Stage) -> None:
    """In memory the place is known before the start; a port or a certificate is not."""
    stage.begin()
    assert CaptureServer(network=stage.network).client_options().endpoint is not None
    for early in (CaptureServer(network=stage.network, tls="starttls"), CaptureServer(object())):
        with pytest.raises(ConfigError, match="does not run yet"):
            early.client_options()


def test_several_servers_share_a_network(stage: Stage) -> None:
    """Each at its own address, and a report names them all."""
    stage.begin()
    backup = CaptureServer(network=stage.network, address="backup.test:25")
    stage.network.result_of(backup.start())
    connecting = connect(stage.network.clock, backup.client_options())
    connection = stage.network.result_of(connecting)
    stage.network.result_of(connection.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE))
    assert len(backup.messages) == 1
    assert stage.server.messages == []
    report = stage.network.report()
    assert "a capture server listens on mx.test:25; none came" in report
    assert "a capture server listens on backup.test:25; 1 came" in report
    stage.network.result_of(backup.stop())
    assert "backup.test" not in stage.network.report()


def test_a_result_that_does_not_come_shows_the_conversation(stage: Stage) -> None:
    """As `wait_for` does, for whatever a test waits for on the same network."""
    server = stage.begin()
    server.delay("DATA", seconds=100)
    connection = stage.connect()
    sending = connection.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE)
    with pytest.raises(AssertionError, match=r"has not fired(?s:.*)it is 10 s(?s:.*)C: DATA"):
        stage.network.result_of(sending, within=10)
    stage.network.result_of(sending, within=90)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tls": "yes"}, "'starttls' or 'implicit'"),
        ({"transaction_log": True}, "transcripts"),
        ({"max_size": -1}, "max_size"),
        ({"path": "/tmp/x"}, "not in memory"),
        ({"network": None, "address": "mx.test:25"}, "in a network"),
        ({"users": "shop"}, "passwords by name"),
        ({"users": {"shop": 7}}, "both of them text"),
        ({"tls": "starttls", "tls_cert_file": "mine.pem"}, "leave it out"),
        ({"tls": "implicit", "implicit_tls": False}, "leave it out"),
    ],
)
def test_wrong_options_are_told_at_once(options: dict[str, Any], message: str) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigError, match=message):
        CaptureServer(**{"network": MemoryNetwork(), **options})


def test_a_deferred_is_what_it_returns(stage: Stage) -> None:
    """For trial and for those who chain callbacks."""
    server = stage.begin()
    assert isinstance(server.wait_for(0), Deferred)
    assert isinstance(server.stop(), Deferred)
