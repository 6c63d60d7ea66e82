"""Mail data: where it ends, how much of it is taken, and who answers for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.server_talk import ENVELOPE, LATER, OPENING, Client, codes
from tests.vectors.mail_data import PRETENDERS, SMUGGLED
from txsmtpconn.session.dialect import LMTP, SMTP, Dialect
from txsmtpconn.session.server import events
from txsmtpconn.session.server.rules import DEFAULT_EXTENSIONS, BareLineEnds
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.transparency import canonical, stuffed

NO = Reply.of(550, "5.7.1 No")
END = b"\r\n.\r\n"


def every_cut(octets: bytes) -> list[list[bytes]]:
    """Cut octets in two at every place, and into single octets."""
    cuts = [[octets[:at], octets[at:]] for at in range(1, len(octets))]
    return [*cuts, [octets[i : i + 1] for i in range(len(octets))]]


@pytest.mark.parametrize("policy", list(BareLineEnds))
@pytest.mark.parametrize("pretender", PRETENDERS, ids=ascii)
def test_only_crlf_dot_crlf_ends_mail_data(pretender: bytes, policy: BareLineEnds) -> None:
    """S1: whatever stands in for it, cut anywhere, there is one message or none."""
    data = b"body" + pretender + SMUGGLED
    bare = canonical(pretender + b"m") != pretender + b"m"
    for pieces in every_cut(data):
        client = Client(bare_line_ends=policy)
        client.says(OPENING)
        for piece in pieces:
            client.says(piece)
        assert [event.address for event in client.seen(events.MailReceived)] == ["s@x.test"]
        handed = b"".join(event.data for event in client.seen(events.DataReceived))
        if policy is BareLineEnds.REFUSE and bare:
            assert client.said == b"550 5.5.2 Mail data has a bare CR or LF; lines end in CRLF\r\n"
            assert client.session.closing
            assert not client.messages
        else:
            assert codes(client.said) == [250]
            assert len(client.messages) == 1
            assert b"mail FROM:<smug@x.test>" in handed
        if policy is not BareLineEnds.ALLOW:
            assert canonical(handed) == handed


def test_the_real_end_behind_a_bare_cr_is_the_end() -> None:
    """S1: CR CR LF . CR LF has the true mark in it; what follows is not obeyed."""
    client = Client()
    client.says(OPENING)
    assert codes(client.says(b"body\r\r\n.\r\n" + SMUGGLED)) == [550]
    assert client.session.closing
    client = Client(bare_line_ends=BareLineEnds.NORMALISE)
    client.says(OPENING)
    client.says(b"body\r\r\n.\r\n")
    assert client.messages == [b"body\r\n\r\n"]


def test_a_message_with_bare_line_ends_is_refused_when_they_are_seen() -> None:
    """Whoever takes it hears of it at once; the client at the end."""
    client = Client()
    client.says(OPENING)
    assert client.says(b"good line\r\nbad\nline\r\n") == b""
    assert [reply.code for reply in client.refused] == [550]
    assert client.says(b"more\r\n" * 1000) == b""
    assert codes(client.says(b".\r\n")) == [550]
    assert len(client.refused) == 1


@given(st.binary(max_size=200), st.integers(1, 50))
def test_what_a_client_stuffs_arrives_as_it_was(body: bytes, cut: int) -> None:
    """Whatever the message and wherever it is cut."""
    body = canonical(body)
    client = Client()
    client.says(OPENING)
    heard = client.says(stuffed(body), cut=cut)
    assert codes(heard) == [250]
    expected = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert client.messages == [expected]


# -- size


def test_a_message_beyond_the_limit_is_swallowed_and_refused() -> None:
    """S22: undeclared; 552 at its end, and the next one is taken."""
    client = Client(max_size=1000)
    client.says(OPENING)
    assert client.says(b"x" * 998 + b"\r\n") == b""
    assert client.says(b"x" * 100_000 + b"\r\n") == b""
    handed = sum(len(event.data) for event in client.seen(events.DataReceived))
    assert handed <= 1000
    assert [reply.code for reply in client.refused] == [552]
    assert client.says(b".\r\n").startswith(b"552 5.3.4 ")
    assert codes(client.says(OPENING[14:] + b"x\r\n.\r\n")) == [250, 250, 354, 250]
    assert client.messages == [b"x\r\n"]


def test_a_message_of_exactly_the_limit_is_taken() -> None:
    """The end mark and stuffed dots do not count (RFC 1870 section 3)."""
    client = Client(max_size=1000)
    client.says(OPENING)
    assert codes(client.says(b".." + b"x" * 997 + b"\r\n.\r\n")) == [250]
    assert len(client.messages[0]) == 1000


@pytest.mark.parametrize("cut", [0, 1, 64, 99, 100, 101, 102, 103])
def test_a_line_beyond_the_limit_is_refused_and_never_a_command(cut: int) -> None:
    """S21: it is read to the end of mail data like any other octets."""
    for length, code in ((100, 250), (101, 500), (102, 500), (205, 500)):
        client = Client(max_line=100)
        client.says(OPENING)
        lines = b"short\r\n" * 40 + b"x" * length + b"\r\n" + b"short\r\n" * 20
        assert codes(client.says(lines + b".\r\n", cut=cut)) == [code]
        assert codes(client.says(b"NOOP\r\n")) == [250]


def test_a_line_without_end_takes_no_memory() -> None:
    """S21: what has been handed on is gone."""
    client = Client(max_size=10_000)
    client.says(OPENING)
    for _ in range(100):
        client.says(b"x" * 65_536)
        assert client.session.waiting_octets == 0
    assert codes(client.says(END)) == [552]


# -- DATA


def test_a_refused_data_command_leaves_the_transaction_open() -> None:
    """No 354, no mail data."""
    client = Client(lambda event: NO if isinstance(event, events.DataStarted) else None)
    assert codes(client.says(OPENING + b"RCPT TO:<b@y.test>\r\n")) == [250, 250, 250, 550, 250]


def test_the_final_reply_is_the_applications() -> None:
    """Its refusal, its words, or ours."""
    for reply, heard in (
        (NO, b"550 5.7.1 No\r\n"),
        (Reply.of(250, "2.0.0 as 17"), b"250 2.0.0 as 17\r\n"),
        (None, b"250 2.0.0 Ok: message accepted\r\n"),
    ):
        client = Client(lambda e, r=reply: r if isinstance(e, events.DataEnded) else None)
        client.says(OPENING)
        assert client.says(b"x\r\n.\r\n") == heard
        assert codes(client.says(b"MAIL FROM:<a@x.test>\r\n")) == [250]


def test_a_message_that_the_application_gives_up_is_swallowed() -> None:
    """Its reply comes at the end of mail data; no `DataEnded` does."""
    client = Client()
    client.says(OPENING + b"x\r\n")
    client.session.refuse_data(NO)
    assert client.says(b"y\r\n" * 100) == b""
    assert codes(client.says(b".\r\n")) == [550]
    assert not client.seen(events.DataEnded)
    assert not client.refused


# -- BDAT


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_chunks_are_counted_and_never_looked_at(cut: int) -> None:
    """RFC 3030: an end mark or a command in a chunk is content."""
    client = Client()
    client.says(ENVELOPE)
    body = b"a\r\n.\r\nQUIT\r\nRSET\r\n"
    chunks = b"BDAT %d\r\n%bBDAT 0\r\nBDAT %d LAST\r\n%b" % (len(body), body, len(body), body)
    assert codes(client.says(chunks, cut=cut)) == [250, 250, 250]
    assert client.messages == [body + body]
    assert len(client.seen(events.DataStarted)) == 1


@pytest.mark.parametrize("command", [b"BDAT -1 LAST", b"BDAT abc", b"BDAT", b"BDAT 5 LAST x"])
def test_a_chunk_of_unknown_size_ends_the_session(command: bytes) -> None:
    """S23: its octets would be taken for commands."""
    client = Client()
    client.says(ENVELOPE)
    assert codes(client.says(command + b"\r\nMAIL FROM:<evil@x.test>\r\n")) == [501]
    assert client.session.closing


def test_a_huge_chunk_is_refused_without_waiting_for_memory() -> None:
    """S23: 2^64 octets; they are dropped as they come."""
    client = Client(max_size=1000)
    client.says(ENVELOPE)
    assert client.says(b"BDAT 18446744073709551616 LAST\r\n") == b""
    assert client.says(b"x" * 100_000) == b""
    assert client.session.waiting_octets == 0
    assert not client.seen(events.DataReceived)


def test_a_chunk_beyond_the_limit_fails_the_transaction() -> None:
    """552 behind exactly its octets; later chunks are out of place and swallowed."""
    client = Client(max_size=10)
    client.says(ENVELOPE)
    heard = client.says(b"BDAT 8\r\n12345678BDAT 8\r\nRSET\r\n\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert codes(heard) == [250, 552, 503, 250]
    assert not client.messages
    assert [reply.code for reply in client.refused] == [552]


@pytest.mark.parametrize("prefix", [b"", b"EHLO me.test\r\n", ENVELOPE[:36]])
def test_a_chunk_out_of_place_is_swallowed(prefix: bytes) -> None:
    """Its octets are no commands, whatever its reply is."""
    client = Client()
    client.says(prefix)
    assert codes(client.says(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == [503, 250]


def test_a_first_chunk_that_the_application_refuses_fails_the_transaction() -> None:
    """Else the second would be taken for a whole message."""
    client = Client(lambda event: NO if isinstance(event, events.DataStarted) else None)
    client.says(ENVELOPE)
    assert codes(client.says(b"BDAT 3\r\nabcBDAT 3 LAST\r\ndef")) == [550, 503]
    assert len(client.seen(events.DataStarted)) == 1


def test_a_refused_last_chunk_is_answered_for_each_recipient_in_lmtp() -> None:
    """RFC 2033 section 4.2: a client that hears one reply for two waits for the other for ever."""
    client = Client(
        lambda event: NO if isinstance(event, events.DataStarted) else None, dialect=LMTP
    )
    client.says(b"LHLO me.test\r\nMAIL FROM:<s@x.test>\r\nRCPT TO:<a@y.test>\r\n")
    client.says(b"RCPT TO:<b@y.test>\r\n")
    assert codes(client.says(b"BDAT 3 LAST\r\nabcNOOP\r\n")) == [550, 550, 250]
    assert codes(client.says(b"BDAT 3 LAST\r\nabcNOOP\r\n")) == [503, 250]


def test_a_last_chunk_for_nobody_has_no_reply_in_lmtp() -> None:
    """RFC 2033 section 4.3: none, as nobody was accepted; then the transaction is over."""
    client = Client(dialect=LMTP, max_errors=2)
    client.says(b"LHLO me.test\r\nMAIL FROM:<s@x.test>\r\n")
    assert codes(client.says(b"BDAT 3\r\nabcNOOP\r\n")) == [503, 250]
    client.says(b"MAIL FROM:<s@x.test>\r\n")
    assert client.says(b"BDAT 3 LAST\r\nabc") == b""
    assert codes(client.says(b"MAIL FROM:<s@x.test>\r\n")) == [250]
    assert codes(client.says(b"BDAT 0 LAST\r\n")) == [421]
    assert not client.messages


def test_a_chunk_waits_until_the_application_wants_it() -> None:
    """Its octets stay where they are meanwhile."""
    client = Client(lambda event: LATER if isinstance(event, events.DataStarted) else None)
    client.says(ENVELOPE)
    assert client.says(b"BDAT 3 LAST\r\nabcNOOP\r\n") == b""
    assert codes(client.answers(None)) == [250, 250]
    assert client.messages == [b"abc"]


def test_rset_between_chunks_drops_the_message() -> None:
    """Whoever was taking it hears of it; so does one whose client said EHLO or QUIT."""
    for command in (b"RSET", b"EHLO me.test", b"QUIT"):
        client = Client()
        client.says(ENVELOPE)
        client.says(b"BDAT 3\r\nabc")
        assert codes(client.says(command + b"\r\n"))[0] in (250, 221)
        assert len(client.refused) == 1
        assert not client.messages


def test_data_and_rcpt_between_chunks_are_out_of_place() -> None:
    """RFC 3030 section 2."""
    client = Client()
    client.says(ENVELOPE)
    client.says(b"BDAT 3\r\nabc")
    assert codes(client.says(b"DATA\r\nRCPT TO:<b@y.test>\r\nMAIL FROM:<>\r\n")) == [503, 503, 503]
    assert codes(client.says(b"BDAT 3 LAST\r\ndef")) == [250]
    assert client.messages == [b"abcdef"]


def test_binary_mail_data_needs_bdat() -> None:
    """RFC 3030 section 3; and it may have any octets, and lines of any length."""
    client = Client(extensions=DEFAULT_EXTENSIONS | {"BINARYMIME"}, max_line=10)
    client.says(b"EHLO me.test\r\nMAIL FROM:<s@x.test> BODY=BINARYMIME\r\nRCPT TO:<r@y.test>\r\n")
    assert codes(client.says(b"DATA\r\n")) == [503]
    octets = bytes(range(256))
    assert codes(client.says(b"BDAT 256 LAST\r\n" + octets)) == [250]
    assert client.messages == [octets]


@pytest.mark.parametrize("body", [b"a\nb", b"a\rb", b"a\r", b"\n", b"a\r\n\r"])
def test_bare_line_ends_in_chunks_follow_the_same_rule(body: bytes) -> None:
    """Refused by default, however they are cut; but a count cannot lose its place, so no end."""
    for cut in (0, 1):
        client = Client()
        client.says(ENVELOPE)
        heard = client.says(b"BDAT %d LAST\r\n%bNOOP\r\n" % (len(body), body), cut=cut)
        assert codes(heard) == [550, 250]
        handed = b"".join(event.data for event in client.seen(events.DataReceived))
        assert b"\n" not in handed.replace(b"\r\n", b"")
    client = Client(bare_line_ends=BareLineEnds.NORMALISE)
    client.says(ENVELOPE)
    client.says(b"BDAT %d LAST\r\n%b" % (len(body), body), cut=1)
    assert client.messages == [canonical(body)]


def test_a_crlf_over_two_chunks_is_whole() -> None:
    """A21: CR ends one chunk, LF begins the next."""
    client = Client()
    client.says(ENVELOPE)
    assert codes(client.says(b"BDAT 2\r\na\rBDAT 2 LAST\r\n\nb")) == [250, 250]
    assert client.messages == [b"a\r\nb"]


# -- LMTP

LMTP_ENVELOPE = (
    b"LHLO me.test\r\nMAIL FROM:<s@x.test>\r\n"
    b"RCPT TO:<a@y.test>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<a@y.test>\r\n"
)


@pytest.mark.parametrize("ending", [b"DATA\r\nx\r\n.\r\n", b"BDAT 2\r\nx\rBDAT 1 LAST\r\n\n"])
def test_lmtp_has_one_reply_for_each_accepted_recipient(ending: bytes) -> None:
    """RFC 2033 section 4.2, S37: in order, duplicates too."""
    replies = [None, NO, Reply.of(452, "4.2.2 Full")]
    client = Client(lambda e: replies if isinstance(e, events.DataEnded) else None, dialect=LMTP)
    client.says(LMTP_ENVELOPE)
    assert codes(client.says(ending))[1:] == [250, 550, 452]


def test_lmtp_repeats_one_answer_for_all() -> None:
    """A single reply of the application, or a refusal of ours."""
    client = Client(dialect=LMTP, max_size=5)
    client.says(LMTP_ENVELOPE)
    assert codes(client.says(b"DATA\r\nx\r\n.\r\n")) == [354, 250, 250, 250]
    client.says(LMTP_ENVELOPE[14:])
    assert codes(client.says(b"DATA\r\nxxxxxxxx\r\n.\r\n")) == [354, 552, 552, 552]


def test_lmtp_counts_only_accepted_recipients() -> None:
    """A refused RCPT has had its reply."""
    client = Client(
        lambda e: NO if isinstance(e, events.RcptReceived) and e.address == "b@y.test" else None,
        dialect=LMTP,
    )
    client.says(LMTP_ENVELOPE)
    assert codes(client.says(b"DATA\r\nx\r\n.\r\n")) == [354, 250, 250]


def test_lmtp_refuses_data_without_recipients() -> None:
    """S37: 503 (RFC 2033 section 4.2)."""
    client = Client(lambda e: NO if isinstance(e, events.RcptReceived) else None, dialect=LMTP)
    client.says(LMTP_ENVELOPE)
    assert codes(client.says(b"DATA\r\n")) == [503]


def test_a_farewell_waits_for_the_last_recipients_reply() -> None:
    """However many refusals were counted, replies and recipients stay in step."""
    client = Client(
        lambda e: [NO] * 3 if isinstance(e, events.DataEnded) else None, dialect=LMTP, max_errors=1
    )
    client.says(b"LHLO me.test\r\nDATA\r\n" + LMTP_ENVELOPE[14:])
    assert codes(client.says(b"DATA\r\nx\r\n.\r\n")) == [354, 550, 550, 550, 421]


def test_answers_must_be_as_many_as_recipients() -> None:
    """A wrong number is the application's mistake, and nothing is sent."""
    client = Client(lambda e: LATER if isinstance(e, events.DataEnded) else None, dialect=LMTP)
    client.says(LMTP_ENVELOPE + b"DATA\r\nx\r\n.\r\n")
    with pytest.raises(LocalProtocolError, match="2 answers for 3"):
        client.session.reply_each([None, None], 0.0)
    assert codes(client.answers(None)) == [250] * 3


@pytest.mark.parametrize("dialect", [SMTP, LMTP])
def test_421_for_a_message_ends_the_session(dialect: Dialect) -> None:
    """Whoever says it (RFC 5321 section 3.8); each recipient has its reply first."""
    farewell = Reply.of(421, "4.3.2 Down")
    opening = OPENING.replace(b"EHLO", dialect.hello)
    answer = [None, farewell] if dialect is LMTP else farewell
    client = Client(
        lambda event: answer if isinstance(event, events.DataEnded) else None, dialect=dialect
    )
    client.says(opening.replace(b"DATA", b"RCPT TO:<q@y.test>\r\nDATA"))
    heard = client.says(b"x\r\n.\r\nNOOP\r\n")
    assert codes(heard) == ([250, 421] if dialect is LMTP else [421])
    assert client.session.closing
