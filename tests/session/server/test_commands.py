"""What each command is answered: the inputs of a hostile or clumsy client."""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.session.server_talk import ENVELOPE, OPENING, Client, codes
from txsmtpconn.session.dialect import LMTP
from txsmtpconn.session.server import events
from txsmtpconn.session.server.rules import DEFAULT_EXTENSIONS, PROMISES
from txsmtpconn.wire.limits import AUTHENTICATION_LINE, COMMAND_LINE
from txsmtpconn.wire.reply import Reply

HELLO = b"EHLO me.test\r\n"


def answer(command: bytes, prefix: bytes = HELLO, **rules: object) -> bytes:
    """Say one command, and return its reply."""
    client = Client(**rules)  # type: ignore[arg-type]
    client.says(prefix)
    return client.says(command + b"\r\n")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        # S34
        (b"EHLO", b"501 "),
        (b"EHLO \x01", b"501 "),
        (b"EHLO a b", b"501 "),
        (b"EHLO " + b"a" * 300, b"501 "),
        (b"EHLO [127.0.0.1]", b"250-"),
        # S35
        (b"VRFY x", b"252 2.1.5"),
        (b"EXPN x", b"502 5.5.1"),
        (b"HELP", b"214-2.0.0"),
        (b"NOOP x", b"250 2.0.0"),
        (b"RSET x", b"501 "),
        (b"QUIT x", b"501 "),
        (b"ETRN x", b"502 "),
        (b"TURN", b"502 "),
        (b"SEND FROM:<a@b>", b"502 "),
        (b"XYZZY", b"500 5.5.1"),
        (b"", b"500 "),
        # S8
        (b"NOOP \x00", b"501 "),
        (b"MAIL FROM:<a\rb@x.test>", b"501 "),
        (b"RCPT\x85TO:<a@b>", b"50"),
        (b"MAIL FROM:<a@b.test\xe2\x80\x8b>", b"553 "),
        # S11, S12, S36
        (b"MAIL FROM:<a@x.test> FOO=bar", b"555 5.5.4"),
        (b"MAIL FROM:<a@x.test> SIZE=1 SIZE=2", b"501 "),
        (b"MAIL FROM:<a@x.test> SIZE=", b"501 "),
        (b"MAIL FROM:<a@x.test> SIZE=99999999999999999999", b"552 "),
        (b"MAIL FROM:<a@x.test> SIZE=-1", b"501 "),
        (b"MAIL FROM:<a@x.test> SIZE=abc", b"501 "),
        (b"MAIL FROM:<a@x.test> SIZE=1001", b"552 5.3.4"),
        (b"MAIL FROM:<a@x.test> SIZE=1000", b"250 2.1.0"),
        (b"MAIL FROM:<a@x.test> BODY=BINARYMIME", b"555 "),
        (b"MAIL FROM:<a@x.test> BODY=8BITMIME", b"250 "),
        (b"MAIL FROM:<a@x.test> REQUIRETLS", b"555 "),
        (b"MAIL FROM:<a@x.test> AUTH=<>", b"555 "),
        (b"MAIL FROM:<a@x.test> ENVID=ab+0D+0Acd", b"501 "),
        (b"MAIL FROM:<a@x.test> RET=x", b"501 "),
        (b"MAIL FROM:<\xc3\xbc@x.test>", b"553 5.6.7"),
        (b"MAIL FROM:<\xc3\xbc@x.test> SMTPUTF8", b"250 "),
        (b"MAIL FROM:<>", b"250 "),
        (b"MAIL FROM:a@x.test", b"501 "),
        (b"MAIL FROM:<@a.test:b@x.test>", b"501 "),
        (b"mail from:<a@x.test>", b"250 "),
    ],
)
def test_a_command_and_its_reply(command: bytes, reply: bytes) -> None:
    """Rows of the table of bad inputs to a server."""
    assert answer(command, max_size=1000).startswith(reply)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"RCPT TO:<r@y.test> NOTIFY=NEVER,SUCCESS", b"501 "),
        (b"RCPT TO:<r@y.test> ORCPT=rfc822", b"501 "),
        (b"RCPT TO:<r@y.test> ORCPT=rfc822;a@b", b"250 "),
        (b"RCPT TO:<r@y.test> FOO", b"555 "),
        (b"RCPT TO:<>", b"501 "),
        (b"RCPT TO:<\xc3\xbc@x.test>", b"553 5.6.7"),
        (b"RCPT TO:<postmaster>", b"250 "),
        (b"RCPT TO:<r>", b"501 "),
        (b'RCPT TO:<""@x.test>', b"501 "),
        (b"MAIL FROM:<again@x.test>", b"503 5.5.1"),
        (b"STARTTLS", b"503 "),
        (b"AUTH PLAIN", b"503 "),
    ],
)
def test_a_command_within_a_transaction(command: bytes, reply: bytes) -> None:
    """S13, S26, S36: and the transaction stands as it stood."""
    client = Client(starttls=True, auth_mechanisms=("PLAIN",), allow_insecure_auth=True)
    client.says(ENVELOPE)
    assert client.says(command + b"\r\n").startswith(reply)
    assert codes(client.says(b"DATA\r\n")) == [354]


def test_commands_before_the_hello() -> None:
    """S13: only the harmless ones are obeyed."""
    for command in (b"MAIL FROM:<a@b.test>", b"RCPT TO:<a@b.test>", b"DATA"):
        assert answer(command, prefix=b"").startswith(b"503 5.5.1")
    for command in (b"NOOP", b"RSET", b"VRFY x", b"HELP"):
        assert answer(command, prefix=b"")[:1] == b"2"


def test_extensions_that_are_hidden_are_not_to_be_had() -> None:
    """A keyword that is not listed has no parameters, and no command."""
    client = Client(extensions=frozenset(("PIPELINING",)))
    assert client.says(HELLO) == b"250-mx.test\r\n250 PIPELINING\r\n"
    for parameter in (b"SIZE=1", b"BODY=7BIT", b"SMTPUTF8", b"RET=FULL", b"AUTH=<>"):
        assert client.says(b"MAIL FROM:<a@x.test> " + parameter + b"\r\n").startswith(b"555 ")
    client.says(ENVELOPE)
    assert codes(client.says(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == [502, 250]
    assert answer(b"EHLO me.test", disabled=frozenset(("EHLO",))).startswith(b"502 ")
    assert answer(b"NOOP", disabled=frozenset(("NOOP",))).startswith(b"502 ")


def test_all_that_is_offered_is_listed() -> None:
    """EHLO's reply is what the rules say, and nothing else."""
    client = Client(
        extensions=DEFAULT_EXTENSIONS | PROMISES,
        max_size=1000,
        max_recipients=100,
        starttls=True,
        auth_mechanisms=("PLAIN", "LOGIN"),
    )
    before = client.says(HELLO).decode().splitlines()
    assert "250-STARTTLS" in before
    assert "250-SIZE 1000" in before
    assert "250-BINARYMIME" in before
    assert before[-1] == "250 LIMITS RCPTMAX=100"
    assert not [line for line in before if "AUTH" in line or "REQUIRETLS" in line]
    client.says(b"STARTTLS\r\n")
    client.session.tls_established(client.now)
    client.hears()
    after = client.says(HELLO).decode().splitlines()
    assert "250-AUTH PLAIN LOGIN" in after
    assert "250-REQUIRETLS" in after
    assert "250-STARTTLS" not in after


# -- lines


def test_a_command_line_has_a_limit_and_one_beyond_is_no_other_command() -> None:
    """Its rest is dropped, and never taken for a line of its own."""
    client = Client()
    client.says(HELLO)
    longest = b"NOOP " + b"x" * (COMMAND_LINE - 7)
    assert codes(client.says(longest + b"\r\n")) == [250]
    assert client.says(longest + b"x\r\n").startswith(b"500 5.5.2")
    assert client.says(b"x" * 3 * AUTHENTICATION_LINE) == b""
    assert client.session.waiting_octets == 0
    assert client.says(b"NOOP\r\nNOOP\r\n") == b"500 5.5.2 Line too long\r\n250 2.0.0 Ok\r\n"


@pytest.mark.parametrize("cut", [0, 1])
def test_a_command_ends_in_crlf_and_in_nothing_else(cut: int) -> None:
    """S9: a bare LF is refused, and what follows it stands alone."""
    client = Client()
    client.says(HELLO)
    heard = client.says(b"NOOP\nNOOP\r\n\nQUIT\r\n", cut=cut)
    assert codes(heard) == [500, 250, 500, 221]
    assert heard.count(b"500 5.5.2 A line ends in CRLF") == 2


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_web_browser_is_shown_out(cut: int) -> None:
    """S20: nothing of what a misused browser posts is obeyed."""
    request = b"POST / HTTP/1.1\r\nHost: mx.test\r\n\r\n" + OPENING
    client = Client()
    assert codes(client.says(request, cut=cut)) == [554]
    assert client.session.closing
    assert not client.seen(events.MailReceived)


# -- caps


def test_errors_are_counted() -> None:
    """S18: one more than allowed is the last."""
    client = Client(max_errors=5)
    assert codes(client.says(b"DATA\r\n" * 7)) == [503] * 5 + [421]
    assert client.session.closing


def test_refused_recipients_are_counted() -> None:
    """S18: nobody may try a thousand addresses."""
    no = Reply.of(550, "5.1.1 No such user")
    client = Client(
        lambda event: no if isinstance(event, events.RcptReceived) else None, max_errors=20
    )
    client.says(HELLO + b"MAIL FROM:<a@x.test>\r\n")
    heard = codes(client.says(b"RCPT TO:<r@y.test>\r\n" * 1000))
    assert heard == [550] * 20 + [421]


def test_unknown_commands_are_counted() -> None:
    """S18: thirty verbs that nobody knows."""
    client = Client(max_unknown_commands=10)
    assert codes(client.says(b"XYZZY\r\n" * 30)) == [500] * 10 + [421]


def test_commands_that_bring_no_mail_are_counted() -> None:
    """S18: RSET for ever is no use of a mail server; a message forgives."""
    client = Client(max_idle_commands=10)
    client.says(HELLO)
    assert codes(client.says(b"RSET\r\n" * 9)) == [250] * 9
    assert codes(client.says(OPENING + b"x\r\n.\r\n"))[-1] == 421

    client = Client(max_idle_commands=10)
    client.says(HELLO + b"RSET\r\n" * 8 + OPENING[14:] + b"x\r\n.\r\n")
    assert codes(client.says(b"NOOP\r\n" * 11)) == [250] * 10 + [421]


def test_recipients_beyond_the_maximum_are_put_off() -> None:
    """S19: 452, however many, and those accepted stay so (RFC 5321 section 4.5.3.1.10)."""
    client = Client(max_recipients=100, max_errors=100)
    client.says(HELLO + b"MAIL FROM:<a@x.test>\r\n")
    heard = client.says(b"RCPT TO:<r@y.test>\r\n" * 10_000)
    assert codes(heard) == [250] * 100 + [452] * 9_900
    assert b"452 4.5.3 " in heard
    assert codes(client.says(b"DATA\r\nx\r\n.\r\n")) == [354, 250]
    (started,) = client.seen(events.DataStarted)
    assert len(started.envelope.recipients) == 100


# -- TLS


@pytest.mark.parametrize("behind", [b"RSET\r\n", b"INJECTED ", b"\r\n", b"E"])
def test_anything_behind_starttls_ends_the_session(behind: bytes) -> None:
    """S3: whole lines and pieces of one, in the same segment."""
    client = Client(starttls=True)
    client.says(HELLO)
    assert codes(client.says(b"STARTTLS\r\n" + behind)) == [554]
    assert client.session.closing
    assert not client.seen(events.TLSRequested)


@pytest.mark.parametrize("injected", [b"RSET\r\n", b"MAIL FROM:<evil@x.test>\r\nRC", b"EH"])
def test_octets_in_clear_that_reach_us_after_220_are_forgotten(injected: bytes) -> None:
    """S3: the race of two segments. They are not there when the handshake is done."""
    client = Client(starttls=True)
    client.says(HELLO)
    assert codes(client.says(b"STARTTLS\r\n")) == [220]
    assert client.says(injected) == b""
    client.session.tls_established(client.now)
    assert client.hears() == b""
    assert codes(client.says(b"LO me.test\r\nEHLO me.test\r\n")) == [500, 250]
    assert not client.seen(events.MailReceived)


def test_all_is_forgotten_behind_the_handshake() -> None:
    """RFC 3207 section 4.2: the hello and the identity, too."""
    client = Client(starttls=True, auth_mechanisms=("PLAIN",), allow_insecure_auth=True)
    client.says(HELLO)
    client.session.identity = "somebody"
    client.says(b"STARTTLS\r\n")
    client.session.tls_established(client.now)
    client.hears()
    assert client.session.secure
    assert client.session.identity is None
    assert client.session.hello_name == ""
    assert codes(client.says(b"MAIL FROM:<a@x.test>\r\n")) == [503]
    assert codes(client.says(HELLO + b"STARTTLS\r\n")) == [250, 503]


def test_starttls_with_an_argument_or_without_a_certificate() -> None:
    """S4."""
    assert answer(b"STARTTLS x", starttls=True).startswith(b"501 ")
    assert answer(b"STARTTLS").startswith(b"454 4.7.0")
    assert answer(b"STARTTLS", starttls=True, disabled=frozenset(("STARTTLS",)))[:4] == b"502 "


def test_without_tls_nothing_but_starttls_where_it_is_required() -> None:
    """530 before mail and 538 before AUTH; a disabled or absent AUTH stays hidden."""
    rules = {"starttls": True, "tls_required": True, "auth_mechanisms": ("PLAIN",)}
    assert answer(b"MAIL FROM:<a@x.test>", **rules).startswith(b"530 5.7.0")
    assert answer(b"AUTH PLAIN", **rules).startswith(b"538 5.7.11")
    assert answer(b"STARTTLS", **rules).startswith(b"220 ")


def test_a_refusal_behind_the_handshake_waits_for_the_next_command() -> None:
    """It is the client's turn then; nothing is said out of order."""
    no = Reply.of(550, "5.7.1 Not with that certificate")
    client = Client(lambda e: no if isinstance(e, events.Secured) else None, starttls=True)
    client.says(HELLO + b"STARTTLS\r\n")
    client.session.tls_established(client.now)
    assert client.hears() == b""
    assert client.says(HELLO) == b"550 5.7.1 Not with that certificate\r\n"
    assert client.session.closing


# -- AUTH


def auth_client(**rules: object) -> Client:
    """Return a client of a server that offers AUTH in clear, behind EHLO."""
    client = Client(auth_mechanisms=("PLAIN", "LOGIN"), allow_insecure_auth=True, **rules)  # type: ignore[arg-type]
    client.says(HELLO)
    return client


def test_a_sasl_dialogue() -> None:
    """Challenges and responses pass through base64; success ends it (RFC 4954 section 4)."""
    client = auth_client()
    assert client.says(b"AUTH login\r\n") == b""
    assert client.seen(events.AuthStarted) == [events.AuthStarted("LOGIN", None)]
    client.session.challenge(b"Username:", client.now)
    assert client.hears() == b"334 VXNlcm5hbWU6\r\n"
    assert client.says(b"dXNlcg==\r\nNOOP\r\n") == b""
    assert client.seen(events.AuthContinued) == [events.AuthContinued(b"user")]
    client.session.authenticated("user", client.now)
    assert codes(client.hears()) == [235, 250]
    assert client.session.identity == "user"
    assert codes(client.says(b"AUTH PLAIN\r\n")) == [503]


def test_an_empty_initial_response_is_told_from_none() -> None:
    """``=`` (RFC 4954 section 4)."""
    client = auth_client()
    client.says(b"AUTH PLAIN =\r\n")
    assert client.seen(events.AuthStarted) == [events.AuthStarted("PLAIN", b"")]


@pytest.mark.parametrize(
    ("response", "reply"),
    [
        (b"*", b"501 5.7.0"),
        (b"not base64", b"501 5.5.2"),
        (b"YQ=", b"501 5.5.2"),
        (b"A" * 12_288 + b"A", b"500 5.5.6"),
    ],
)
def test_a_dialogue_that_comes_to_nothing(response: bytes, reply: bytes) -> None:
    """S7, S26: cancelled, not base64, too long; the session goes on."""
    client = auth_client()
    client.says(b"AUTH PLAIN\r\n")
    client.session.challenge(b"", client.now)
    client.hears()
    assert client.says(response + b"\r\n").startswith(reply)
    assert client.seen(events.AuthAbandoned)
    assert codes(client.says(b"NOOP\r\n")) == [250]


def test_a_response_of_the_longest_kind_is_taken() -> None:
    """S7: 12,288 octets with the line end."""
    client = auth_client()
    client.says(b"AUTH PLAIN\r\n")
    client.session.challenge(b"", client.now)
    client.hears()
    client.says(b"A" * (12_288 - 4) + b"\r\n")
    assert client.seen(events.AuthContinued) == [events.AuthContinued(b"\0" * (12_284 // 4 * 3))]


def test_three_failures_are_the_end() -> None:
    """S26: the third is told 421."""
    client = auth_client(max_auth_failures=3)
    no = Reply.of(535, "5.7.8 No")
    heard = []
    for _ in range(3):
        client.says(b"AUTH PLAIN AGEAYg==\r\n")
        heard += codes(client.answers(no))
    assert heard == [535, 535, 421]
    assert client.session.closing


def test_a_mechanism_that_is_not_offered() -> None:
    """S26: 504, and nobody is asked."""
    client = auth_client()
    assert client.says(b"AUTH CRAM-MD5\r\n").startswith(b"504 ")
    assert not client.seen(events.AuthStarted)
    assert answer(b"AUTH PLAIN").startswith(b"502 ")


def test_mail_without_authentication_where_it_is_required() -> None:
    """530 (RFC 4954 section 6)."""
    client = auth_client(auth_required=True)
    assert client.says(b"MAIL FROM:<a@x.test>\r\n").startswith(b"530 5.7.0")
    client.session.identity = "user"
    assert codes(client.says(b"MAIL FROM:<a@x.test> AUTH=<>\r\n")) == [250]


def test_no_secret_reaches_the_trace_or_a_repr() -> None:
    """The initial response, every later one, and what is no base64."""
    secret = b"AHVzZXIAaHVudGVyMg=="
    client = auth_client(max_auth_failures=9)
    client.says(b"AUTH PLAIN " + secret + b"\r\n")
    client.answers(Reply.of(535, "5.7.8 No"))
    client.says(b"AUTH PLAIN\r\n")
    client.session.challenge(b"", client.now)
    client.hears()
    client.says(secret + b"\r\n")
    client.answers(Reply.of(535, "5.7.8 No"))
    client.says(b"auth plain " + secret + b"!\r\n")
    shown = repr(client.log) + repr(client.events) + repr(client.session)
    assert secret.decode() not in shown
    assert "hunter2" not in shown
    assert ("C", b"AUTH PLAIN", True) in client.log


@pytest.mark.parametrize(
    "line",
    [
        b"AUTH\tPLAIN\tAHUAaHVudGVyMg==",
        b"AUTH  PLAIN  AHUAaHVudGVyMg==",
        b"AUTH\0PLAIN\0AHUAaHVudGVyMg==",
        b"AUTH:PLAIN AHUAaHVudGVyMg==",
    ],
)
def test_malformed_authentication_is_not_traced_either(line: bytes) -> None:
    """A line that we refuse to understand may have a password in it all the same."""
    client = Client(auth_mechanisms=("PLAIN",), allow_insecure_auth=True)
    client.says(HELLO)
    client.says(line + b"\r\n")
    assert b"AHUA" not in b"".join(traced for _, traced, _ in client.log)
    assert (True, b"AUTH") in [(secret, traced[:4]) for _, traced, secret in client.log]


def test_what_goes_on_behind_a_refused_auth_is_not_traced() -> None:
    """A client that did not wait for our refusal has said its name and password; NOOP ends that."""
    client = Client()
    client.says(HELLO + b"FOO\r\nAUTH LOGIN\r\nYW5u\r\naHVudGVyMg==\r\nNOOP\r\nBAR\r\n")
    said = [(line, secret) for direction, line, secret in client.log if direction == "C"]
    assert said[1:] == [
        (b"FOO", False),
        (b"AUTH LOGIN", False),
        (b"", True),
        (b"", True),
        (b"NOOP", False),
        (b"BAR", False),
    ]


# -- LMTP


def test_lmtp_says_lhlo_and_smtp_does_not() -> None:
    """S37: 500 for the other's hello."""
    client = Client(dialect=LMTP)
    assert codes(client.says(b"EHLO me.test\r\nHELO me.test\r\nLHLO me.test\r\n")) == [
        500,
        500,
        250,
    ]
    assert answer(b"LHLO me.test").startswith(b"500 ")


# -- what an envelope can hold

MAIL_PARAMETERS = [
    b"SIZE=5",
    b"BODY=8BITMIME",
    b"SMTPUTF8",
    b"RET=HDRS",
    b"ENVID=a+2Bb",
    b"AUTH=<>",
    b"AUTH=a+40b.test",
    b"REQUIRETLS",
    b"BY=120;RT",
    b"BY=-120;N",
    b"MT-PRIORITY=-3",
    b"HOLDFOR=60",
    b"HOLDUNTIL=2030-01-01T00:00:00Z",
]
RCPT_PARAMETERS = [
    b"",
    b"NOTIFY=NEVER",
    b"NOTIFY=success,DELAY",
    b"ORCPT=rfc822;a+2Bb@x.test",
    b"NOTIFY=FAILURE ORCPT=utf-8;\\x{FC}@x.test",
]


@pytest.mark.parametrize("parameter", RCPT_PARAMETERS)
@pytest.mark.parametrize("pair", list(combinations(MAIL_PARAMETERS, 2)), ids=repr)
def test_what_mail_and_rcpt_accept_makes_an_envelope(
    pair: tuple[bytes, bytes], parameter: bytes
) -> None:
    """Whatever the parameters: refused where they stand, or in the envelope."""
    client = Client(
        extensions=DEFAULT_EXTENSIONS | PROMISES,
        auth_mechanisms=("PLAIN",),
        allow_insecure_auth=True,
    )
    client.session.secure = True
    said = client.says(HELLO + b"MAIL FROM:<s@x.test> " + b" ".join(pair) + b"\r\n")
    said = client.says(b"RCPT TO:<r@y.test> " + parameter + b"\r\nDATA\r\n")
    if codes(said) == [250, 354]:
        (started,) = client.seen(events.DataStarted)
        (received,) = client.seen(events.MailReceived)
        envelope, given = started.envelope, received.parameters
        for name in ("size", "body", "auth", "deliver_by", "mt_priority", "hold_for"):
            assert getattr(envelope, name) == getattr(given, name)
        assert envelope.hold_until == given.hold_until
        assert bool(envelope.smtputf8) == given.smtputf8
        (asked,) = client.seen(events.RcptReceived)
        assert envelope.rcpt_parameters(envelope.recipients[0]) == asked.parameters
    else:
        assert codes(said)[0] in (501, 503)
