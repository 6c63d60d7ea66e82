"""Mail transactions: what leaves when, and the delivery truth table row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.talk import CHUNKING_OFFER, PIPELINING_OFFER, PLAIN_OFFER, Talk, deliveries, mail
from txsmtpconn.envelope import DSN, Envelope, Recipient
from txsmtpconn.errors import (
    ConnectionLostError,
    DeadlineError,
    EnvelopeError,
    MessageError,
    PoolError,
    ProtocolError,
    RequireTLSError,
    SMTPError,
    StreamError,
)
from txsmtpconn.session.client.events import BodyUnwanted, BodyWanted, MarkDue
from txsmtpconn.session.client.policy import Chunking, Pipelining, Security, Window
from txsmtpconn.session.client.tables import State
from txsmtpconn.session.client.transaction import Quit, Reset, Transaction
from txsmtpconn.session.dialect import LMTP, SMTP, Dialect

MAIL, RCPT, DATA = b"MAIL FROM:<s@x.test>\r\n", b"RCPT TO:<r@y.test>\r\n", b"DATA\r\n"
MAIL8 = b"MAIL FROM:<s@x.test> SIZE=7\r\n"
FLIGHT = MAIL8 + RCPT + DATA
BODY = b"hello\r\n.\r\n"
GO = b"250 ok\r\n250 ok\r\n354 go\r\n"
CANCELLED = StreamError("cancelled")


def cause(talk: Talk) -> SMTPError:
    """Return why the session ended."""
    assert talk.end.cause is not None
    return talk.end.cause


# -- what leaves when ----------------------------------------------------------------------


def test_without_pipelining_one_command_one_reply() -> None:
    """Nothing leaves before the reply to the command before it."""
    one, two = mail(), mail()
    talk = Talk.ready(PLAIN_OFFER).does(one, two)
    for heard, reply in [
        (MAIL, b"250 ok\r\n"),
        (RCPT, b"250 ok\r\n"),
        (DATA, b"354 go\r\n"),
        (BODY, b"250 taken\r\n"),
        (MAIL, b"250 ok\r\n"),
    ]:
        assert talk.hears() == heard
        talk.says(reply)
    assert deliveries(one) == ["ACCEPTED"]
    assert talk.ended(one)
    assert not talk.ended(two)


def test_envelope_and_data_leave_in_one_flight_and_the_next_right_behind_the_dot() -> None:
    """Full pipelining: one write for a body, its mark and the next envelope (RFC 2920)."""
    one, two = mail(), mail()
    talk = Talk.ready().does(one, two)
    assert talk.hears() == FLIGHT
    assert talk.says(GO).hears() == BODY + FLIGHT
    assert talk.says(b"250 one\r\n" + GO).hears() == BODY
    talk.says(b"250 two\r\n")
    assert deliveries(one) == deliveries(two) == ["ACCEPTED"]
    assert talk.session.idle


def test_pipelining_within_transactions_only() -> None:
    """``transaction`` waits for the answer to the dot before the next MAIL."""
    one, two = mail(), mail()
    talk = Talk.ready(pipelining=Pipelining.TRANSACTION).does(one, two)
    assert talk.hears() == FLIGHT
    assert talk.says(GO).hears() == BODY
    assert talk.says(b"250 one\r\n").hears() == FLIGHT


def test_pipelining_off_though_it_is_offered() -> None:
    """``off`` is lockstep."""
    talk = Talk.ready(pipelining=Pipelining.OFF).does(mail())
    assert talk.hears() == MAIL8


def test_a_send_asked_for_in_answer_to_another_shares_its_write() -> None:
    """Rendering is late: what is submitted after the events leaves with the same octets."""
    one, two = mail(), mail()
    talk = Talk.ready().does(one)
    talk.says(b"250 ok\r\n250 ok\r\n")
    talk.hears()
    talk.session.submit(two)
    assert talk.says(b"354 go\r\n").hears() == BODY + FLIGHT


def test_chunks_do_not_wait_and_rset_leads_while_the_predecessor_is_undecided() -> None:
    """RFC 3030: whole transactions follow each other; an RSET keeps their senders apart."""
    one, two = mail(), mail()
    talk = Talk.ready(CHUNKING_OFFER, chunking=Chunking.ALWAYS).does(one, two)
    chunk = MAIL + RCPT + b"BDAT 7 LAST\r\nhello\r\n"
    assert talk.hears() == chunk + b"RSET\r\n" + chunk
    talk.says(b"250 m\r\n250 r\r\n250 one\r\n250 rset\r\n250 m\r\n250 r\r\n250 two\r\n")
    assert deliveries(one) == deliveries(two) == ["ACCEPTED"]
    three = mail()
    assert talk.does(three).hears() == chunk


def test_the_window_bounds_what_is_undecided() -> None:
    """Transactions and octets in flight are bounded, each by its own measure."""
    talk = Talk.ready(CHUNKING_OFFER, chunking=Chunking.ALWAYS, window=Window(2, 1 << 20))
    talk.does(mail(), mail(), mail())
    assert talk.hears().count(b"LAST") == 2
    talk = Talk.ready(CHUNKING_OFFER, chunking=Chunking.ALWAYS, window=Window(99, 50))
    talk.does(mail(), mail(), mail())
    assert talk.hears().count(b"LAST") == 1


def test_auto_takes_bdat_for_a_deep_queue_only() -> None:
    """A single message goes by DATA; twenty waiting go by BDAT to the last of them."""
    assert DATA in Talk.ready(CHUNKING_OFFER).does(mail()).hears()
    talk = Talk.ready(CHUNKING_OFFER)
    for each in [mail() for _ in range(12)]:
        talk.session.submit(each)
    heard = talk.acts(()).hears()
    assert heard.count(b"LAST") == 12
    assert DATA not in heard


def test_chunking_off_and_without_an_offer() -> None:
    """BDAT leaves only where it is offered and wanted."""
    assert b"BDAT" not in Talk.ready(CHUNKING_OFFER, chunking=Chunking.OFF).does(mail()).hears()
    assert b"BDAT" not in Talk.ready(chunking=Chunking.ALWAYS).does(mail()).hears()


def test_binarymime_goes_raw_and_only_by_bdat() -> None:
    """RFC 3030 section 3: octets as they are, line ends included."""
    offer = b"250-x\r\n250-CHUNKING\r\n250-8BITMIME\r\n250 BINARYMIME\r\n"
    envelope = Envelope("s@x.test", ["r@y.test"], body="BINARYMIME")
    talk = Talk.ready(offer, chunking=Chunking.OFF)
    talk.does(Transaction(envelope, b"a\nb\r\0.\n"))
    assert talk.hears() == b"MAIL FROM:<s@x.test> BODY=BINARYMIME\r\n"
    talk.says(b"250 ok\r\n").says(b"250 ok\r\n")
    assert talk.hears() == RCPT + b"BDAT 7 LAST\r\na\nb\r\0.\n"


def test_many_recipients_leave_as_the_replies_come() -> None:
    """Commands in flight are bounded, so neither side can fill the other's buffers."""
    names = [f"recipient-{n:06}@a-rather-long-domain-name-of-a-host.test" for n in range(3000)]
    one = mail(*names)
    talk = Talk.ready().does(one)
    first = talk.hears()
    assert 60_000 < len(first) < 70_000
    assert DATA not in first
    talk.says(b"250 ok\r\n" * 100)
    assert 90 < talk.hears().count(b"RCPT") < 110
    while talk.session.state is State.READY and not one.data_asked:
        talk.says(b"250 ok\r\n" * 100)
    assert talk.hears().endswith(DATA)
    talk.says(b"250 ok\r\n" * (3000 - len(one.rcpt_replies)))
    talk.says(b"354 go\r\n").says(b"250 ok\r\n")
    assert set(deliveries(one)) == {"ACCEPTED"}
    assert len(one.rcpt_replies) == 3000


_ANSWERS = (
    b"250 ok\r\n",
    b"250 2.1.5 ok\r\n",
    b"550 no\r\n",
    b"452 4.5.3 enough\r\n",
    b"250-a\r\n250 ok\r\n",
)


@given(
    st.lists(st.tuples(st.sampled_from(_ANSWERS), st.integers(1, 150)), min_size=1, max_size=6),
    st.lists(st.integers(0, 20_000), max_size=5),
    st.sampled_from([PIPELINING_OFFER, CHUNKING_OFFER]),
)
def test_answers_alike_do_what_each_would(
    runs: list[tuple[bytes, int]], places: list[int], offer: bytes
) -> None:
    """However they come: recipients, what is in flight, transcript and words are alike."""
    answers = [answer for answer, count in runs for _ in range(count)]
    octets = b"250 sender\r\n" + b"".join(answers)
    seen = []
    for cuts in (range(1, len(octets), 7), sorted(places)):
        one = mail(*[f"{n}@y.test" for n in range(len(answers))])
        talk = Talk.ready(offer, chunking=Chunking.ALWAYS).does(one)
        heard = talk.hears()
        for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            talk.says(octets[start:end])
        conversation = talk.session._conversation
        seen.append(
            (
                one.rcpt_replies,
                one.accepted,
                one.phase,
                conversation.unanswered,
                len(conversation.owed),
                talk.log,
                heard + talk.hears(),
            )
        )
    assert seen[0] == seen[1]
    assert len(seen[0][0]) >= min(len(answers), 100)


def test_short_recipients_are_counted_too() -> None:
    """A server that has had enough suffers a thousand more, and then closes."""
    one = mail(*[f"{n}@y.test" for n in range(3000)])
    talk = Talk.ready().does(one)
    assert talk.hears().count(b"RCPT") == 1000
    talk.says(b"250 ok\r\n" * 101)
    assert talk.hears().count(b"RCPT") == 100


@pytest.mark.parametrize("offer", [PLAIN_OFFER, PIPELINING_OFFER, CHUNKING_OFFER])
def test_no_more_recipients_are_asked_for_than_a_server_wants(offer: bytes) -> None:
    """RFC 5321 section 4.5.3.1.10: the rest is NOT_SENT, and those accepted have their mail."""
    one = mail(*[f"{n}@y.test" for n in range(3000)])
    talk = Talk.ready(offer, chunking=Chunking.ALWAYS).does(one).says(b"250 sender\r\n")
    asked = 0
    for _ in range(3000):
        asked = talk.hears().count(b"RCPT") + asked
        answered = len(one.rcpt_replies)
        if answered == asked:
            break
        talk.says(b"250 ok\r\n" if answered < 150 else b"452 4.5.3 too many\r\n")
    assert asked < 3000
    talk.says(b"250 took it\r\n" if offer is CHUNKING_OFFER else b"354 go\r\n")
    talk.says(b"250 took it\r\n" if offer is not CHUNKING_OFFER else b"")
    told = deliveries(one)
    assert told[:150] == ["ACCEPTED"] * 150
    assert told[150:asked] == ["REJECTED"] * (asked - 150)
    assert told[asked:] == ["NOT_SENT"] * (3000 - asked)
    last = one.outcomes()[-1]
    assert isinstance(last.error, EnvelopeError)
    assert last.error.is_transient
    assert last.error.command == "RCPT TO"


def test_too_few_recipients_for_too_many() -> None:
    """Every server takes a hundred: fewer were refused for reasons of their own."""
    one = mail("a@y.test", "b@y.test", "c@y.test")
    talk = Talk.ready(PLAIN_OFFER).does(one).says(b"250 m\r\n").says(b"250 a\r\n")
    assert talk.says(b"452 later\r\n").hears().endswith(b"RCPT TO:<c@y.test>\r\n")


def test_what_is_unanswered_is_counted_exactly() -> None:
    """When all is answered nothing is in flight, whichever way the mail data went."""
    for offer, body in [
        (PIPELINING_OFFER, b"x" * 60_000),
        (PIPELINING_OFFER, None),
        (CHUNKING_OFFER, None),
        (CHUNKING_OFFER, b"x"),
    ]:
        one, two = mail(body=body), mail()
        chunking = Chunking.ALWAYS if offer is CHUNKING_OFFER else Chunking.AUTO
        talk = Talk.ready(offer, chunking=chunking).does(one).says(b"250 m\r\n250 r\r\n")
        if offer is PIPELINING_OFFER:
            talk.says(b"354 go\r\n")
        if body is None:
            talk.acts(talk.session.send_body(one, b"y" * 60_000, 0.0))
            talk.acts(talk.session.end_body(one, 0.0))
            talk.says(b"250 c\r\n" if offer is CHUNKING_OFFER else b"")
        talk.hears()
        if offer is PIPELINING_OFFER:
            assert talk.does(two).hears() == FLIGHT  # a body is no command in flight
            talk.says(b"250 one\r\n" + GO).says(b"250 two\r\n")
        else:
            talk.says(b"250 one\r\n")
        assert deliveries(one) == ["ACCEPTED"]
        assert talk.session._conversation.unanswered == 0


def test_parameters_leave_only_where_they_are_offered() -> None:
    """DSN and 8BITMIME on the wire, in smtp-connection's order; nothing without an offer."""
    envelope = Envelope(
        "s@x.test",
        ["r@y.test", Recipient("q@y.test", dsn=DSN(notify="NEVER"))],
        body="8BITMIME",
        size=10,
        dsn=DSN(ret="HDRS", envid="a b+c=d", notify=["SUCCESS", "FAILURE"], orcpt="o+1@y.test"),
    )
    offer = b"250-x\r\n250-PIPELINING\r\n250-DSN\r\n250-SIZE\r\n250 8BITMIME\r\n"
    talk = Talk.ready(offer).does(Transaction(envelope, b"x"))
    assert talk.hears() == (
        b"MAIL FROM:<s@x.test> BODY=8BITMIME SIZE=10 RET=HDRS ENVID=a+20b+2Bc+3Dd\r\n"
        b"RCPT TO:<r@y.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o+2B1@y.test\r\n"
        b"RCPT TO:<q@y.test> NOTIFY=NEVER ORCPT=rfc822;o+2B1@y.test\r\n"
        b"DATA\r\n"
    )
    bare = Talk.ready(PLAIN_OFFER).does(Transaction(envelope, b"x"))
    assert bare.hears() == b"MAIL FROM:<s@x.test>\r\n"


def test_a_size_that_was_expected_too_small_is_put_right() -> None:
    """RFC 1870 section 6.1: the declared size is an estimate, but not below what is known."""
    offer = b"250-x\r\n250 SIZE 1000\r\n"
    for expected, declared in [(3, 7), (99, 99)]:
        envelope = Envelope("s@x.test", ["r@y.test"], size=expected)
        talk = Talk.ready(offer).does(Transaction(envelope, b"hello\r\n"))
        assert talk.hears() == b"MAIL FROM:<s@x.test> SIZE=%d\r\n" % declared


def test_eight_bit_data_in_hand_is_declared() -> None:
    """RFC 6152: octets above 127 are announced where the server knows how."""
    offer = b"250-x\r\n250 8BITMIME\r\n"
    talk = Talk.ready(offer).does(mail(body="grüße\r\n".encode()))
    assert talk.hears() == b"MAIL FROM:<s@x.test> BODY=8BITMIME\r\n"
    assert Talk.ready(offer).does(mail()).hears() == MAIL
    assert Talk.ready(PLAIN_OFFER).does(mail(body=b"\xff")).hears() == MAIL


def test_smtputf8_and_a_labels() -> None:
    """A UTF-8 local part needs the extension; a UTF-8 domain alone does not."""
    offer = b"250-x\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
    talk = Talk.ready(offer).does(mail("grüße@bücher.test"))
    assert talk.hears() == b"MAIL FROM:<s@x.test> SMTPUTF8\r\n"
    assert talk.says(b"250 ok\r\n").hears() == "RCPT TO:<grüße@bücher.test>\r\n".encode()
    talk = Talk.ready(PLAIN_OFFER).does(mail("r@bücher.test"))
    assert talk.says(b"250 ok\r\n").hears() == MAIL + b"RCPT TO:<r@xn--bcher-kva.test>\r\n"


@pytest.mark.parametrize("sender", ["s@x.test", ""])
@pytest.mark.parametrize("verified", [False, True])
def test_requiretls_is_said_to_a_verified_peer_only(verified: bool, sender: str) -> None:
    """RFC 8689 section 2: to others it would be an empty word. A report goes without it."""
    talk = Talk(security=Security.REQUIRED).says(b"220 x\r\n")
    talk.says(b"250-x\r\n250 STARTTLS\r\n").says(b"220 go\r\n")
    talk.acts(talk.session.tls_established(0.0, verified=verified))
    talk.says(b"250-x\r\n250 REQUIRETLS\r\n").hears()
    one = Transaction(Envelope(sender, ["r@y.test"], requiretls=True), b"hello\r\n")
    heard = talk.does(one).hears()
    if verified:
        assert heard == b"MAIL FROM:<%b> REQUIRETLS\r\n" % sender.encode()
    elif not sender:
        assert heard == b"MAIL FROM:<>\r\n"
    else:
        assert heard == b""
        (outcome,) = one.outcomes()
        assert isinstance(outcome.error, RequireTLSError)
        assert outcome.error.enhanced_code == "5.7.10"


HOLDING = b"250-x\r\n250 FUTURERELEASE 60 2030-01-01T00:00:00Z\r\n"
IN_TIME = b"250-x\r\n250 DELIVERBY 240\r\n"


@pytest.mark.parametrize(
    ("offer", "envelope", "kind"),
    [
        (b"250-x\r\n250 SIZE 4\r\n", Envelope("", ["r@y.test"]), MessageError),
        (b"250-x\r\n250 SIZE 99\r\n", Envelope("", ["r@y.test"], size=100), MessageError),
        (PLAIN_OFFER, Envelope("", ["grüße@y.test"]), EnvelopeError),
        (PLAIN_OFFER, Envelope("", ["r@y.test"], smtputf8=True), EnvelopeError),
        (b"250-x\r\n250 REQUIRETLS\r\n", Envelope("s@x.test", ["r@y.test"], requiretls=True), None),
        (PLAIN_OFFER, Envelope("", ["r@y.test"], body="BINARYMIME"), EnvelopeError),
        (b"250-x\r\n250 BINARYMIME\r\n", Envelope("", ["r@y.test"], body="BINARYMIME"), None),
        (PLAIN_OFFER, Envelope("s@x.test", ["r@y.test"], hold_for=60), EnvelopeError),
        (HOLDING, Envelope("s@x.test", ["r@y.test"], hold_for=61), EnvelopeError),
        (HOLDING, Envelope("s@x.test", ["r@y.test"], hold_until="2030-01-01T00:00:01Z"), None),
        (HOLDING, Envelope("", ["r@y.test"], hold_for=1), EnvelopeError),
        (PLAIN_OFFER, Envelope("", ["r@y.test"], deliver_by=(60, "R")), EnvelopeError),
        (IN_TIME, Envelope("", ["r@y.test"], deliver_by=(239, "R")), None),
    ],
)
def test_what_the_peer_cannot_take_is_refused_before_mail(
    offer: bytes, envelope: Envelope, kind: type[SMTPError] | None
) -> None:
    """Such a message is NOT_SENT, no octet leaves, and the connection lives."""
    one, two = Transaction(envelope, b"hello\r\n"), mail(body=b"x")
    talk = Talk.ready(offer).does(one)
    assert talk.hears() == b""
    assert talk.ended(one)
    (outcome,) = one.outcomes()
    assert outcome.delivery.name == "NOT_SENT"
    if kind is None:
        kind = RequireTLSError if envelope.requiretls else EnvelopeError
    assert isinstance(outcome.error, kind)
    assert outcome.error.command == "MAIL FROM"
    assert talk.does(two).hears().startswith(b"MAIL")


@pytest.mark.parametrize(
    ("offer", "envelope", "parameter"),
    [
        (IN_TIME, Envelope("", ["r@y.test"], deliver_by=(240, "R")), b" BY=240;R"),
        (IN_TIME, Envelope("", ["r@y.test"], deliver_by=(1, "N", True)), b" BY=1;NT"),
        (HOLDING, Envelope("s@x.test", ["r@y.test"], hold_for=60), b" HOLDFOR=60"),
        (
            HOLDING,
            Envelope("s@x.test", ["r@y.test"], hold_until="2030-01-01T00:00:00Z"),
            b" HOLDUNTIL=2030-01-01T00:00:00Z",
        ),
        (PLAIN_OFFER, Envelope("", ["r@y.test"], requiretls=True), b""),
    ],
)
def test_what_the_peer_can_take_is_asked_for(
    offer: bytes, envelope: Envelope, parameter: bytes
) -> None:
    """Up to the limits that it has told; and a report is not lost for want of REQUIRETLS."""
    talk = Talk.ready(offer).does(Transaction(envelope, b"hello\r\n"))
    sender = envelope.mail_from.encode()
    assert talk.hears() == b"MAIL FROM:<%b>%b\r\n" % (sender, parameter)


def test_time_that_is_too_short_is_a_time_that_is_over() -> None:
    """RFC 2852: the code of a report says so."""
    one = Transaction(Envelope("", ["r@y.test"], deliver_by=(239, "R")), b"hello\r\n")
    Talk.ready(IN_TIME).does(one)
    error = one.outcomes()[0].error
    assert error is not None
    assert error.enhanced_code == "5.4.7"


def test_what_waited_for_the_session_is_judged_when_it_is_ready() -> None:
    """A message submitted before EHLO meets the same rules, and those behind it go on."""
    big, small = mail(body=b"x" * 99), mail(body=b"x")
    talk = Talk().does(big, small)
    talk.says(b"220 x\r\n").says(b"250-x\r\n250 SIZE 9\r\n")
    assert deliveries(big) == ["NOT_SENT"]
    assert isinstance(big.outcomes()[0].error, MessageError)
    assert talk.hears().endswith(b"MAIL FROM:<s@x.test> SIZE=1\r\n")


def test_mailmax_is_obeyed() -> None:
    """RFC 9422: no transaction beyond the limit is begun; it is NOT_SENT."""
    talk = Talk.ready(b"250-x\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=2\r\n")
    one, two, three = mail(), mail(), mail()
    talk.does(one, two, three)
    assert isinstance(three.outcomes()[0].error, PoolError)
    assert talk.says(GO).hears().count(b"MAIL") == 2
    assert not talk.ended(two)


# -- the truth table -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        # rows 1 and 2: the reply to the mark
        (GO + b"250 taken\r\n", "ACCEPTED"),
        (GO + b"451 later\r\n", "REJECTED"),
        (GO + b"554 never\r\n", "REJECTED"),
        (GO + b"421 bye\r\n", "REJECTED"),
        # row 3: a refusal of MAIL, RCPT or DATA
        (b"550 no\r\n503 x\r\n503 x\r\n", "REJECTED"),
        (b"250 ok\r\n550 no\r\n554 none\r\n", "REJECTED"),
        (b"250 ok\r\n250 ok\r\n451 no\r\n", "REJECTED"),
        # row 4: 421 before the mark
        (b"421 bye\r\n", "NOT_SENT"),
        (b"250 ok\r\n421 bye\r\n", "NOT_SENT"),
        (b"250 ok\r\n250 ok\r\n421 bye\r\n", "NOT_SENT"),
        # row 11: MAIL refused, RCPT accepted, 354
        (b"550 no\r\n250 ok\r\n354 go\r\n", "NOT_SENT"),
        # row 13: 2xx before the mark
        (b"250 ok\r\n250 ok\r\n250 taken\r\n", "NOT_SENT"),
        (b"250 ok\r\n250 ok\r\n350 go\r\n", "NOT_SENT"),
    ],
)
def test_one_recipient_by_data(replies: bytes, expected: str) -> None:
    """Each row of the table that a server brings about by words, by lines and by octets."""
    for cut in (str(replies, "ascii").splitlines(keepends=True), str(replies, "ascii")):
        one = mail()
        talk = Talk.ready().does(one)
        for piece in cut:
            talk.says(piece.encode())
        assert deliveries(one) == [expected]
        assert talk.ended(one)
        assert (one.outcomes()[0].error is None) == (expected == "ACCEPTED")


@pytest.mark.parametrize("dialect", [SMTP, LMTP], ids=["SMTP", "LMTP"])
@pytest.mark.parametrize("code", [451, 550])
def test_a_refusal_of_mail_is_the_one_that_counts(code: int, dialect: Dialect) -> None:
    """RCPT and DATA, sent ahead of it, are refused for want of a MAIL: with 503, not 451."""
    one = mail("r@y.test", "q@y.test")
    talk = Talk.ready(dialect=dialect).does(one)
    talk.says(f"{code} 4.7.1 not you\r\n".encode() + b"503 MAIL comes first\r\n" * 3)
    assert talk.ended(one)
    for outcome in one.outcomes():
        assert outcome.delivery.name == "REJECTED"
        assert outcome.reply.code == code
        assert outcome.error.command == "MAIL FROM"
        assert outcome.error.is_transient is (code == 451)


def test_row_5_and_6_the_connection_dies_before_and_behind_the_mark() -> None:
    """NOT_SENT until the mark has left, IN_DOUBT from there on."""
    for replies, expected in [(b"", "NOT_SENT"), (b"250 ok\r\n" * 2, "NOT_SENT"), (GO, "IN_DOUBT")]:
        one = mail()
        talk = Talk.ready().does(one).says(replies)
        talk.acts(talk.session.connection_lost(None, 0.0))
        assert deliveries(one) == [expected]
        assert isinstance(one.outcomes()[0].error, ConnectionLostError)


def test_half_a_reply_to_the_mark_decides_nothing() -> None:
    """Only a complete reply is an answer, so truncated TLS is a lost connection."""
    for said in (b"250 ok", b"250 ok\r", b"250-ok\r\n", b"550 no"):
        one = mail()
        talk = Talk.ready().does(one).says(GO).says(said)
        talk.acts(talk.session.connection_lost(None, 0.0))
        assert deliveries(one) == ["IN_DOUBT"]


def test_row_7_lmtp_answers_each_accepted_recipient_by_position() -> None:
    """RFC 2033 section 4.2: duplicates have replies of their own; those missing are in doubt."""
    one = mail("a@y.test", "b@y.test", "c@y.test", "a@y.test", "d@y.test")
    talk = Talk.ready(dialect=LMTP).does(one)
    talk.says(b"250 ok\r\n250 a\r\n550 b\r\n250 c\r\n250 a\r\n250 d\r\n354 go\r\n")
    talk.says(b"250 a\r\n452 c\r\n250 a ag")
    assert not talk.ended(one)
    talk.acts(talk.session.connection_lost(None, 0.0))
    assert deliveries(one) == ["ACCEPTED", "REJECTED", "REJECTED", "IN_DOUBT", "IN_DOUBT"]


def test_lmtp_ends_with_the_last_reply_and_the_next_transaction_keeps_its_own() -> None:
    """Under pipelining each message's replies are counted."""
    one, two = mail("a@y.test", "b@y.test"), mail("c@y.test")
    talk = Talk.ready(dialect=LMTP).does(one, two)
    talk.says(b"250 m\r\n250 a\r\n250 b\r\n354 go\r\n").says(b"250 a\r\n")
    assert not talk.ended(one)
    talk.says(b"550 b\r\n250 m\r\n250 c\r\n354 go\r\n").says(b"250 c\r\n")
    assert deliveries(one) == ["ACCEPTED", "REJECTED"]
    assert deliveries(two) == ["ACCEPTED"]


def test_lmtp_by_bdat() -> None:
    """RFC 3030 with RFC 2033: the last chunk has a reply for each accepted recipient."""
    one, two = mail("a@y.test", "b@y.test", "c@y.test"), mail("d@y.test")
    talk = Talk.ready(CHUNKING_OFFER, dialect=LMTP, chunking=Chunking.ALWAYS).does(one, two)
    talk.says(b"250 m\r\n250 a\r\n550 b\r\n250 c\r\n").says(b"250 a\r\n451 c\r\n")
    assert deliveries(one) == ["ACCEPTED", "REJECTED", "REJECTED"]
    assert talk.session.idle is False
    talk.says(b"250 rset\r\n250 m\r\n550 d\r\n")
    assert deliveries(two) == ["REJECTED"]
    assert talk.session.idle


@pytest.mark.parametrize("rcpt_to", [("a@y.test",), ("a@y.test", "b@y.test")])
def test_lmtp_sends_no_chunk_for_nobody(rcpt_to: tuple[str, ...]) -> None:
    """RFC 2033 section 4.3: the last one would have no reply, or one, as the server sees it."""
    talk = Talk.ready(CHUNKING_OFFER, dialect=LMTP, chunking=Chunking.ALWAYS)
    one, two = mail(*rcpt_to), mail(*rcpt_to)
    assert b"BDAT" not in talk.does(one, two).hears()
    refused = b"250 m\r\n" + b"550 r\r\n" * len(rcpt_to)
    heard = talk.says(refused).hears()
    assert heard.startswith(b"RSET\r\nMAIL")
    assert b"BDAT" not in heard
    heard = talk.says(b"250 rset\r\n250 m\r\n" + b"250 r\r\n" * len(rcpt_to)).hears()
    assert heard.startswith(b"BDAT")
    talk.says(b"250 taken\r\n" * len(rcpt_to))
    assert deliveries(two) == ["ACCEPTED"] * len(rcpt_to)


def test_lmtp_wants_no_data_for_nobody() -> None:
    """RFC 2033 section 4.2: 354 where no recipient was accepted is the server's error."""
    one = mail()
    talk = Talk.ready(dialect=LMTP).does(one)
    talk.hears()
    talk.says(b"250 m\r\n550 r\r\n354 go\r\n")
    assert talk.hears() == b""
    assert isinstance(cause(talk), ProtocolError)
    assert deliveries(one) == ["REJECTED"]


def test_row_8_envelopes_that_have_left_are_not_sent() -> None:
    """The transaction pipelined behind the dot has no mark out when the peer dies."""
    one, two = mail(), mail()
    talk = Talk.ready().does(one, two).says(GO).says(b"250 one\r\n250 m\r\n")
    talk.acts(talk.session.connection_lost(None, 0.0))
    assert deliveries(one) == ["ACCEPTED"]
    assert deliveries(two) == ["NOT_SENT"]


def test_row_9_each_chunked_transaction_by_its_own_mark() -> None:
    """Whole transactions that have left are each in doubt; the rest never left."""
    three = [mail(), mail(), mail()]
    talk = Talk.ready(CHUNKING_OFFER, chunking=Chunking.ALWAYS, window=Window(2, 1 << 20))
    talk.does(*three).says(b"250 m\r\n")
    talk.acts(talk.session.connection_lost(None, 0.0))
    assert [deliveries(each)[0] for each in three] == ["IN_DOUBT", "IN_DOUBT", "NOT_SENT"]


def test_row_10_all_refused_then_354_gets_a_lone_dot() -> None:
    """RFC 2920 section 3.1; the dot's reply says nothing about anybody."""
    one, two = mail("a@y.test", "b@y.test"), mail()
    talk = Talk.ready().does(one, two)
    talk.hears()
    talk.says(b"250 m\r\n550 a\r\n551 b\r\n354 go\r\n")
    assert talk.hears() == b".\r\n" + FLIGHT
    talk.says(b"554 no valid recipients\r\n" + GO).says(b"250 ok\r\n")
    assert deliveries(one) == ["REJECTED", "REJECTED"]
    assert [each.reply and each.reply.code for each in one.outcomes()] == [550, 551]
    assert deliveries(two) == ["ACCEPTED"]


def test_row_10_all_refused_and_data_refused_is_followed_by_rset() -> None:
    """The transaction is still open for the server: without RSET the next MAIL is nested."""
    one, two = mail(), mail()
    talk = Talk.ready().does(one, two)
    talk.hears()
    talk.says(b"250 m\r\n550 r\r\n503 no\r\n")
    assert talk.hears() == b"RSET\r\n" + FLIGHT
    talk.says(b"250 rset\r\n" + GO).says(b"250 ok\r\n")
    assert deliveries(two) == ["ACCEPTED"]


def test_without_pipelining_no_data_is_asked_for_nobody() -> None:
    """Where every reply is known, DATA and the body are spared."""
    one, two = mail("a@y.test", "b@y.test"), mail()
    talk = Talk.ready(PLAIN_OFFER).does(one, two)
    talk.says(b"250 m\r\n").says(b"550 a\r\n").says(b"550 b\r\n")
    assert talk.ended(one)
    assert DATA not in talk.hears()
    refused = mail("a@y.test")
    talk = Talk.ready(PLAIN_OFFER).does(refused, two)
    talk.says(b"550 m\r\n")
    assert deliveries(refused) == ["REJECTED"]
    assert talk.hears() == MAIL + b"RSET\r\n"


def test_row_11_never_a_dot_where_mail_was_refused() -> None:
    """A dot after that 354 could deliver an empty message to the accepted recipient."""
    one = mail("a@y.test", "b@y.test")
    talk = Talk.ready().does(one)
    talk.hears()
    talk.says(b"550 m\r\n250 a\r\n550 b\r\n354 go\r\n")
    assert talk.hears() == b""
    assert isinstance(cause(talk), ProtocolError)
    assert deliveries(one) == ["NOT_SENT", "REJECTED"]


def test_row_12_mail_refused_yet_taken_is_in_doubt() -> None:
    """By BDAT the mark has left before the refusal came; a 2xx to it is not to be trusted."""
    one, two = mail(), mail()
    talk = Talk.ready(CHUNKING_OFFER, chunking=Chunking.ALWAYS).does(one, two)
    talk.says(b"550 m\r\n250 r\r\n250 taken\r\n")
    assert deliveries(one) == deliveries(two) == ["IN_DOUBT"]
    assert isinstance(cause(talk), ProtocolError)


def test_a_refused_rset_ends_the_session() -> None:
    """What follows it would join a transaction that is still open."""
    one, two = mail(), mail()
    talk = Talk.ready(CHUNKING_OFFER, chunking=Chunking.ALWAYS).does(one, two)
    talk.says(b"250 m\r\n250 r\r\n554 no\r\n500 what\r\n")
    assert deliveries(one) == ["REJECTED"]
    assert deliveries(two) == ["IN_DOUBT"]
    assert cause(talk).command == "RSET"


def test_a_reply_that_nobody_asked_for_ends_the_session() -> None:
    """RFC 5321 section 4.2: a stray reply would be taken for the next command's."""
    talk = Talk.ready().says(b"250 hello?\r\n")
    assert isinstance(cause(talk), ProtocolError)
    talk = Talk.ready().says(b"421 idle\r\n")
    assert isinstance(cause(talk), ConnectionLostError)
    assert cause(talk).response_code == 421


def test_the_first_real_error_is_kept_when_the_peer_dies() -> None:
    """A 552 sent early and then a reset: the refusal is what the caller learns."""
    one, two = mail(body=None), mail()
    talk = Talk.ready().does(one, two).says(GO)
    talk.acts(talk.session.send_body(one, b"x" * 1000, 0.0))
    talk.says(b"552 5.3.4 too big\r\n")
    assert talk.got(BodyUnwanted)
    talk.acts(talk.session.connection_lost(None, 0.0))
    (outcome,) = one.outcomes()
    assert outcome.delivery.name == "REJECTED"
    assert isinstance(outcome.error, MessageError)
    assert outcome.error.enhanced_code == "5.3.4"
    assert deliveries(two) == ["NOT_SENT"]


def test_an_answer_in_the_same_segment_as_354() -> None:
    """The refusal of a body that has not begun to leave is still that: no octet leaves."""
    one = mail()
    talk = Talk.ready().does(one)
    talk.hears()
    talk.says(GO + b"552 no\r\n")
    assert talk.hears() == b""
    assert deliveries(one) == ["REJECTED"]
    two = mail()
    talk = Talk.ready().does(two).says(GO + b"250 taken\r\n")
    assert deliveries(two) == ["NOT_SENT"]
    assert isinstance(cause(talk), ProtocolError)


def test_row_13_success_while_data_runs_is_an_error() -> None:
    """2xx before the end of data cannot be about the message."""
    one = mail(body=None)
    talk = Talk.ready().does(one).says(GO).says(b"250 taken\r\n")
    assert isinstance(cause(talk), ProtocolError)
    assert deliveries(one) == ["NOT_SENT"]


def test_errors_say_which_recipient_and_command() -> None:
    """Each refusal is an error with its reply, command, address and enhanced code."""
    one = mail("a@y.test", "b@y.test")
    talk = Talk.ready().does(one)
    talk.says(b"250 ok\r\n250 a\r\n550 5.1.1 b\r\n354 go\r\n").says(b"554 5.6.0 no\r\n")
    first, second = (outcome.error for outcome in one.outcomes())
    assert isinstance(first, MessageError)
    assert (first.command, first.recipient, first.enhanced_code) == ("DATA", "a@y.test", "5.6.0")
    assert isinstance(second, EnvelopeError)
    assert (second.command, second.recipient, second.enhanced_code) == (
        "RCPT TO",
        "b@y.test",
        "5.1.1",
    )


# -- streamed bodies -----------------------------------------------------------------------


def test_a_streamed_body_by_data() -> None:
    """Pulled after 354, stuffed across chunks, ended by a call of its own."""
    one, two = mail(body=None), mail()
    talk = Talk.ready(PLAIN_OFFER).does(one, two)
    talk.says(b"250 ok\r\n").says(b"250 ok\r\n")
    assert not talk.got(BodyWanted)
    talk.hears()
    talk.says(b"354 go\r\n")
    (wanted,) = talk.got(BodyWanted)
    assert wanted.transaction is one
    assert talk.session.wants_body(one)
    for chunk in (b"a\r", b"\n", b".", b"b\n.c"):
        talk.acts(talk.session.send_body(one, chunk, 0.0))
    talk.acts(talk.session.end_body(one, 0.0))
    assert talk.hears() == b"a\r\n..b\r\n..c\r\n.\r\n"
    assert not talk.session.wants_body(one)
    talk.says(b"250 ok\r\n")
    assert deliveries(one) == ["ACCEPTED"]
    assert one.octets == len(b"a\r\n..b\r\n..c\r\n.\r\n")
    assert not talk.got(BodyUnwanted)


def test_the_next_envelope_leaves_with_the_streamed_mark() -> None:
    """Pipelining works behind streams, too."""
    one, two = mail(body=None), mail()
    talk = Talk.ready().does(one, two).says(GO)
    talk.hears()
    talk.acts(talk.session.send_body(one, b"x\r\n", 0.0))
    assert talk.hears() == b"x\r\n"
    talk.acts(talk.session.end_body(one, 0.0))
    assert talk.hears() == b".\r\n" + FLIGHT


def test_a_streamed_body_by_bdat_waits_for_the_envelope_and_for_the_window() -> None:
    """Each chunk is announced when its octets are in hand; the source is not read for nobody."""
    one = mail("a@y.test", "b@y.test", body=None)
    talk = Talk.ready(CHUNKING_OFFER, window=Window(4, 100)).does(one)
    talk.hears()
    talk.says(b"250 m\r\n250 a\r\n")
    assert not talk.got(BodyWanted)
    talk.says(b"550 b\r\n")
    assert talk.got(BodyWanted)
    talk.acts(talk.session.send_body(one, b"a\n.\r", 0.0))
    assert talk.hears() == b"BDAT 4\r\na\r\n."
    talk.acts(talk.session.send_body(one, b"x" * 100, 0.0))
    assert talk.hears() == b"BDAT 102\r\n\r\n" + b"x" * 100
    assert not talk.session.wants_body(one)
    talk.says(b"250 c\r\n250 c\r\n")
    assert talk.session.wants_body(one)
    talk.acts(talk.session.end_body(one, 0.0))
    assert talk.hears() == b"BDAT 0 LAST\r\n"
    talk.says(b"250 ok\r\n")
    assert deliveries(one) == ["ACCEPTED", "REJECTED"]


def test_a_stream_is_not_read_where_all_are_refused() -> None:
    """A one-shot source keeps its octets for another try."""
    for offer in (PIPELINING_OFFER, CHUNKING_OFFER, PLAIN_OFFER):
        one = mail(body=None)
        talk = Talk.ready(offer).does(one).says(b"250 m\r\n").says(b"550 r\r\n")
        if offer is PIPELINING_OFFER:
            talk.says(b"503 no\r\n")
        assert deliveries(one) == ["REJECTED"]
        assert talk.ended(one)
        assert not talk.got(BodyWanted)


def test_a_refused_chunk_stops_the_stream_and_rset_leads() -> None:
    """The connection lives; the message is REJECTED by the chunk's reply."""
    one, two = mail(body=None), mail()
    talk = Talk.ready(CHUNKING_OFFER).does(one, two).says(b"250 m\r\n250 r\r\n")
    talk.acts(talk.session.send_body(one, b"abc", 0.0))
    talk.acts(talk.session.send_body(one, b"def", 0.0))
    talk.hears()
    talk.says(b"552 too big\r\n")
    assert talk.got(BodyUnwanted)
    assert talk.ended(one)
    assert talk.hears().startswith(b"RSET\r\nMAIL")
    talk.acts(talk.session.send_body(one, b"late", 0.0))
    talk.acts(talk.session.end_body(one, 0.0))
    assert talk.hears() == b""
    talk.says(b"503 c\r\n250 rset\r\n" + GO).says(b"250 two\r\n")
    assert deliveries(one) == ["REJECTED"]
    assert deliveries(two) == ["ACCEPTED"]


def test_a_chunk_refused_yet_the_message_taken_is_in_doubt() -> None:
    """A message with a hole in it was taken: nobody knows what was delivered."""
    one = mail(body=None)
    talk = Talk.ready(CHUNKING_OFFER).does(one).says(b"250 m\r\n250 r\r\n")
    talk.acts(talk.session.send_body(one, b"abc", 0.0))
    talk.acts(talk.session.end_body(one, 0.0))
    talk.says(b"451 c\r\n250 taken\r\n")
    assert deliveries(one) == ["IN_DOUBT"]
    assert isinstance(cause(talk), ProtocolError)


def test_a_source_that_fails_never_completes_its_message() -> None:
    """By DATA the connection is lost with it, by BDAT an RSET is enough; never a mark."""
    reason = StreamError("read error")
    one, two = mail(body=None), mail()
    talk = Talk.ready().does(one, two).says(GO)
    talk.acts(talk.session.send_body(one, b"half", 0.0))
    talk.hears()
    talk.acts(talk.session.abort_body(one, reason))
    assert talk.hears() == b""
    assert cause(talk).__cause__ is reason
    assert deliveries(one) == deliveries(two) == ["NOT_SENT"]
    assert one.outcomes()[0].error is reason

    one, two = mail(body=None), mail()
    talk = Talk.ready(CHUNKING_OFFER).does(one, two).says(b"250 m\r\n250 r\r\n")
    talk.acts(talk.session.send_body(one, b"half", 0.0))
    talk.hears()
    talk.acts(talk.session.abort_body(one, reason))
    assert talk.hears().startswith(b"RSET\r\nMAIL")
    talk.says(b"250 c\r\n250 rset\r\n" + GO).says(b"250 two\r\n")
    assert deliveries(one) == ["NOT_SENT"]
    assert deliveries(two) == ["ACCEPTED"]


def test_a_stream_that_outgrows_the_limit_is_aborted() -> None:
    """RFC 1870: no octet above the server's limit is sent, and never the mark."""
    one = mail(body=None)
    talk = Talk.ready(b"250-x\r\n250 SIZE 10\r\n").does(one)
    talk.says(b"250 m\r\n").says(b"250 r\r\n").says(b"354 go\r\n")
    talk.hears()
    talk.acts(talk.session.send_body(one, b"0123456789", 0.0))
    assert talk.session.state is State.READY
    talk.hears()
    talk.acts(talk.session.send_body(one, b"0", 0.0))
    assert talk.hears() == b""
    assert isinstance(one.outcomes()[0].error, MessageError)
    assert deliveries(one) == ["NOT_SENT"]


def test_a_held_mark_waits_for_its_release() -> None:
    """The relay's fence: all but the mark leaves; then it does, or never."""
    for offer in (PIPELINING_OFFER, PLAIN_OFFER):
        one = mail(hold=True)
        talk = Talk.ready(offer).does(one)
        for reply in GO.splitlines(keepends=True):
            talk.says(reply)
        assert talk.got(MarkDue)
        assert not talk.hears().endswith(b".\r\n")
        talk.session.release_mark(one)
        assert talk.acts(()).hears() == BODY
        talk.says(b"250 ok\r\n")
        assert deliveries(one) == ["ACCEPTED"]
    one = mail(body=None, hold=True)
    talk = Talk.ready(CHUNKING_OFFER).does(one).says(b"250 m\r\n250 r\r\n")
    talk.acts(talk.session.send_body(one, b"abc", 0.0))
    talk.acts(talk.session.end_body(one, 0.0))
    assert talk.got(MarkDue)
    assert talk.hears().endswith(b"BDAT 3\r\nabc")
    talk.session.release_mark(one)
    assert talk.acts(()).hears() == b"BDAT 0 LAST\r\n"


# -- cancellation --------------------------------------------------------------------------


def test_row_14_cancelled_while_queued() -> None:
    """It leaves the queue, and nobody else notices."""
    one, two, three = mail(), mail(), mail()
    talk = Talk.ready(PLAIN_OFFER).does(one, two, three)
    talk.acts(talk.session.withdraw(two, CANCELLED))
    assert deliveries(two) == ["NOT_SENT"]
    assert two.outcomes()[0].error is CANCELLED
    for reply in GO.splitlines(keepends=True):
        talk.says(reply)
    talk.says(b"250 ok\r\n")
    assert talk.hears().count(b"MAIL") == 2


def test_row_15_cancelled_before_data() -> None:
    """Its replies are read and dropped, RSET leads the next, the connection lives."""
    one, two = mail(), mail()
    talk = Talk.ready(PLAIN_OFFER).does(one, two).says(b"250 m\r\n")
    talk.hears()
    talk.acts(talk.session.withdraw(one, CANCELLED))
    assert deliveries(one) == ["NOT_SENT"]
    assert talk.hears() == b""
    assert talk.says(b"250 r\r\n").hears() == b"RSET\r\n"
    talk.says(b"250 rset\r\n")
    for reply in GO.splitlines(keepends=True):
        talk.says(reply)
    talk.says(b"250 two\r\n")
    assert deliveries(two) == ["ACCEPTED"]


def test_row_16_cancelled_with_data_out_awaits_earlier_replies_and_never_sends_a_dot() -> None:
    """The earlier transaction is told the truth; the later queue is NOT_SENT; no dot leaves."""
    one, two, three = mail(), mail(), mail()
    talk = Talk.ready().does(one, two, three).says(GO)
    talk.hears()
    talk.acts(talk.session.withdraw(two, CANCELLED))
    assert deliveries(two) == deliveries(three) == ["NOT_SENT"]
    assert talk.session.state is State.DRAINING
    talk.says(b"250 one\r\n" + GO)
    assert deliveries(one) == ["ACCEPTED"]
    assert cause(talk).__cause__ is CANCELLED
    assert talk.hears() == b""


def test_row_16_cancelled_while_the_body_runs() -> None:
    """With nothing earlier owed the session ends at once."""
    one = mail(body=None)
    talk = Talk.ready().does(one).says(GO)
    talk.acts(talk.session.send_body(one, b"half", 0.0))
    talk.hears()
    talk.acts(talk.session.withdraw(one, CANCELLED))
    assert talk.got(BodyUnwanted)
    assert cause(talk).__cause__ is CANCELLED
    assert talk.hears() == b""
    assert deliveries(one) == ["NOT_SENT"]


def test_row_17_cancelled_behind_the_mark_is_in_doubt_at_once() -> None:
    """Its reply is read and dropped; what is behind it is not harmed."""
    one, two = mail(), mail()
    talk = Talk.ready().does(one, two).says(GO)
    talk.acts(talk.session.withdraw(one, CANCELLED))
    assert deliveries(one) == ["IN_DOUBT"]
    talk.says(b"250 one\r\n" + GO).says(b"250 two\r\n")
    assert deliveries(two) == ["ACCEPTED"]
    assert talk.ended(one)
    assert talk.session.idle


def test_row_17_in_lmtp_all_its_replies_are_dropped() -> None:
    """A cancelled message's second reply is not the next message's first."""
    one, two = mail("a@y.test", "b@y.test"), mail()
    talk = Talk.ready(CHUNKING_OFFER, dialect=LMTP, chunking=Chunking.ALWAYS).does(one, two)
    talk.says(b"250 m\r\n250 a\r\n250 b\r\n")
    talk.acts(talk.session.withdraw(one, CANCELLED))
    talk.says(b"250 one\r\n550 one\r\n")
    talk.says(b"250 rset\r\n250 m\r\n250 r\r\n").says(b"451 two\r\n")
    assert deliveries(two) == ["REJECTED"]


def test_cancelling_twice_or_late_does_nothing() -> None:
    """A transaction ends once."""
    one = mail()
    talk = Talk.ready().does(one).says(GO).says(b"250 ok\r\n")
    talk.acts(talk.session.withdraw(one, CANCELLED))
    assert deliveries(one) == ["ACCEPTED"]
    assert talk.ended(one)


def test_row_18_a_delivered_message_stays_delivered() -> None:
    """Whatever becomes of QUIT."""
    one = mail()
    talk = Talk.ready().does(one, Quit()).says(GO).says(b"250 ok\r\n")
    assert talk.hears().endswith(b"QUIT\r\n")
    talk.acts(talk.session.connection_lost(None, 0.0))
    assert deliveries(one) == ["ACCEPTED"]
    assert talk.end.cause is None


# -- time ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "seconds", "command", "delivery"),
    [
        (0, 300, "MAIL FROM", "NOT_SENT"),
        (1, 300, "RCPT TO", "NOT_SENT"),
        (2, 120, "DATA", "NOT_SENT"),
        (3, 600, "DATA", "IN_DOUBT"),
    ],
)
def test_each_command_has_its_deadline(
    replies: int, seconds: float, command: str, delivery: str
) -> None:
    """RFC 5321 section 4.5.3.2: the error names the command; after the mark it is doubt."""
    one = mail()
    talk = Talk.ready().does(one)
    for reply in GO.splitlines(keepends=True)[:replies]:
        talk.waits(10).says(reply)
    assert talk.session.next_deadline() == talk.now + seconds
    talk.waits(seconds - 0.5)
    assert not talk.ended(one)
    talk.waits(0.5)
    assert deliveries(one) == [delivery]
    assert isinstance(cause(talk), DeadlineError)
    assert cause(talk).command == command


def test_octets_of_an_unfinished_reply_renew_nothing_but_inactivity() -> None:
    """A peer that trickles a reply is as late as one that is silent."""
    one = mail()
    talk = Talk.ready().does(one)
    for _ in range(29):
        talk.waits(10).says(b"250-x\r\n")
    assert not talk.ended(one)
    talk.waits(10)
    assert deliveries(one) == ["NOT_SENT"]


def test_the_marks_clock_starts_when_the_transport_is_drained() -> None:
    """What still waits in our own buffers is not the server's delay."""
    one = mail()
    talk = Talk.ready(drains=False).does(one).says(GO)
    assert talk.session.next_deadline() == 180.0
    talk.now = 170.0
    talk.session.drained(talk.now)
    assert talk.session.next_deadline() == 170.0 + 600.0


def test_mail_data_that_does_not_move() -> None:
    """A source or a transport that stands still for the block timeout ends the session."""
    one = mail(body=None)
    talk = Talk.ready().does(one).says(GO)
    for _ in range(5):
        talk.waits(179)
        talk.acts(talk.session.send_body(one, b"x", talk.now))
    talk.waits(180)
    assert isinstance(cause(talk), DeadlineError)
    assert deliveries(one) == ["NOT_SENT"]


def test_inactivity_ends_an_idle_session() -> None:
    """``socket_timeout``: no octet either way."""
    talk = Talk.ready()
    assert talk.session.next_deadline() == 600.0
    talk.waits(600)
    assert isinstance(cause(talk), DeadlineError)


def test_a_timer_that_comes_early_does_nothing() -> None:
    """The glue's one timer may fire before the deadline."""
    talk = Talk.ready().does(mail()).waits(1)
    assert not talk.events


def test_quick_acks_are_due_when_nothing_is_left_to_send() -> None:
    """Only then does a delayed acknowledgement stall the server's replies."""
    talk = Talk.ready()
    seen = [talk.awaits]
    talk.does(mail())
    seen.append(talk.awaits)  # its body waits for the 354
    talk.says(GO)
    seen.append(talk.awaits)
    talk.says(b"250 ok\r\n")
    seen.append(talk.awaits)
    assert seen == [False, False, True, False]


def test_reset_between_transactions_spares_the_sessions_own() -> None:
    """A caller's RSET has done what ours would."""
    one, two = mail(), mail()
    talk = Talk.ready().does(one).says(b"250 m\r\n550 r\r\n503 d\r\n").does(Reset())
    talk.says(b"250 rset\r\n")
    talk.hears()
    assert talk.does(two).hears() == FLIGHT
