"""PRDR from the client's side: a reply for each recipient, and one for the message."""

from __future__ import annotations

import pytest

from tests.session.talk import Talk
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConnectionLostError, ProtocolError
from txsmtpconn.outcome import Delivery
from txsmtpconn.session.client.events import SessionEnded, TransactionEnded
from txsmtpconn.session.client.policy import Chunking
from txsmtpconn.session.client.transaction import Transaction
from txsmtpconn.session.dialect import LMTP

OFFER = b"250-peer.test\r\n250-PIPELINING\r\n250 PRDR\r\n"
ENVELOPE = b"250 ok\r\n250 a\r\n250 b\r\n354 go\r\n"
TWO = ["a@y.test", "b@y.test"]


def message(recipients: list[str] = TWO, *, prdr: bool = True) -> Transaction:
    """Return a message to some recipients."""
    return Transaction(Envelope("s@x.test", recipients, prdr=prdr), b"hello\r\n")


def deliveries(transaction: Transaction) -> list[str]:
    """Return what became of each recipient."""
    return [outcome.delivery.name for outcome in transaction.outcomes()]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ("353 each 250 250 | 250", ["ACCEPTED", "ACCEPTED"]),
        ("353 each 250 550 | 250", ["ACCEPTED", "REJECTED"]),
        ("353 each 450 550 | 550", ["REJECTED", "REJECTED"]),
        ("353 each 450 550 | 250", ["REJECTED", "REJECTED"]),
        ("353 each 250 550 | 451", ["REJECTED", "REJECTED"]),
        ("353 each 250 550 | 421", ["REJECTED", "REJECTED"]),
        ("250", ["ACCEPTED", "ACCEPTED"]),
        ("550", ["REJECTED", "REJECTED"]),
    ],
)
def test_each_recipient_has_its_answer_and_the_message_the_last_word(
    replies: str, expected: list[str]
) -> None:
    """A plain reply is for all of them; a refusal of the message takes back what was said."""
    talk = Talk.ready(OFFER)
    sent = message()
    talk.does(sent)
    assert talk.hears().startswith(b"MAIL FROM:<s@x.test> PRDR\r\n")
    talk.says(ENVELOPE)
    lines = [word for word in replies.split() if word.isdigit()]
    talk.says(b"".join(f"{code} {code}.0.0 said\r\n".encode() for code in lines))
    assert deliveries(sent) == expected
    assert sent.ended


def test_the_words_that_decide_are_the_recipients_own() -> None:
    """Its reply where it was taken or refused; the message's where that was refused."""
    talk = Talk.ready(OFFER)
    sent, refused = message(), message()
    talk.does(sent).says(ENVELOPE).says(b"353 -\r\n250 for a\r\n550 for b\r\n250 for all\r\n")
    assert [str(each.reply) for each in sent.outcomes()] == ["250 for a", "550 for b"]
    assert str(sent.last_reply) == "250 for all"
    talk.does(refused).says(ENVELOPE).says(b"353 -\r\n250 for a\r\n550 for b\r\n451 for all\r\n")
    assert [str(each.reply) for each in refused.outcomes()] == ["451 for all", "550 for b"]
    errors = [each.error for each in refused.outcomes()]
    assert all("message was refused" in str(error) for error in errors)


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        (b"353 -\r\n", ["IN_DOUBT", "IN_DOUBT"]),
        (b"353 -\r\n250 a\r\n", ["IN_DOUBT", "IN_DOUBT"]),
        (b"353 -\r\n550 a\r\n", ["REJECTED", "IN_DOUBT"]),
        (b"353 -\r\n250 a\r\n550 b\r\n", ["IN_DOUBT", "REJECTED"]),
        (b"353 -\r\n550 a\r\n250 b\r\n250 al", ["REJECTED", "IN_DOUBT"]),
    ],
)
def test_where_the_last_word_does_not_come_nobody_knows(
    replies: bytes, expected: list[str]
) -> None:
    """Who was refused was refused; a yes without the message's own is none."""
    talk = Talk.ready(OFFER)
    sent = message()
    talk.does(sent).says(ENVELOPE).says(replies)
    talk.acts(talk.session.connection_lost(None, talk.now))
    assert deliveries(sent) == expected


def test_421_among_the_answers_ends_the_session() -> None:
    """Who got it was refused, and what was not answered is in doubt."""
    talk = Talk.ready(OFFER)
    sent = message(["a@y.test", "b@y.test", "c@y.test"])
    talk.does(sent).says(b"250 ok\r\n250 a\r\n250 b\r\n250 c\r\n354 go\r\n")
    talk.says(b"353 -\r\n250 a\r\n421 going\r\n")
    assert deliveries(sent) == ["IN_DOUBT", "REJECTED", "IN_DOUBT"]
    (end,) = [event for event in talk.events if isinstance(event, SessionEnded)]
    assert isinstance(end.cause, ConnectionLostError)


def test_only_accepted_recipients_have_answers() -> None:
    """And those of the next message are its own, though it left before."""
    talk = Talk.ready(OFFER)
    first, second = message(["a@y.test", "b@y.test", "c@y.test"]), message()
    talk.does(first, second)
    talk.says(b"250 ok\r\n250 a\r\n550 b\r\n250 c\r\n354 go\r\n")
    talk.says(b"353 -\r\n550 a\r\n250 c\r\n250 all\r\n")
    assert deliveries(first) == ["REJECTED", "REJECTED", "ACCEPTED"]
    talk.says(ENVELOPE).says(b"353 -\r\n250 a\r\n250 b\r\n250 all\r\n")
    assert deliveries(second) == ["ACCEPTED", "ACCEPTED"]


def test_a_cancelled_message_leaves_no_reply_over() -> None:
    """All that is owed is read, and the next message's replies are its own."""
    talk = Talk.ready(OFFER)
    first, second = message(), message()
    talk.does(first, second)
    talk.says(ENVELOPE)
    talk.acts(talk.session.withdraw(first, ConnectionLostError("cancelled")))
    assert deliveries(first) == ["IN_DOUBT", "IN_DOUBT"]
    talk.says(b"353 -\r\n250 a\r\n550 b\r\n250 all\r\n" + ENVELOPE).says(b"550 no\r\n")
    assert deliveries(second) == ["REJECTED", "REJECTED"]
    assert len([event for event in talk.events if isinstance(event, TransactionEnded)]) == 2


@pytest.mark.parametrize(
    ("offer", "sent"),
    [
        (OFFER, message(prdr=False)),
        (OFFER, message(["a@y.test"])),
        (b"250-peer.test\r\n250 PIPELINING\r\n", message()),
    ],
)
def test_it_is_not_asked_for_in_vain(offer: bytes, sent: Transaction) -> None:
    """Not without an envelope that says so, an offer, and recipients to tell apart."""
    talk = Talk.ready(offer)
    talk.does(sent)
    assert b"PRDR" not in talk.hears()
    talk.says(b"250 ok\r\n" + b"250 r\r\n" * len(sent.envelope.addresses) + b"354 go\r\n")
    talk.says(b"353 -\r\n")
    outcome, *_ = sent.outcomes()
    assert outcome.delivery is Delivery.IN_DOUBT
    assert isinstance(outcome.error, ProtocolError)


def test_lmtp_has_it_without() -> None:
    """Each recipient has its reply there, and nothing is asked for."""
    talk = Talk.ready(OFFER, dialect=LMTP)
    sent = message()
    talk.does(sent)
    assert b"PRDR" not in talk.hears()
    talk.says(ENVELOPE).says(b"250 a\r\n550 b\r\n")
    assert deliveries(sent) == ["ACCEPTED", "REJECTED"]


def test_a_third_kind_of_reply_among_the_answers_is_a_violation() -> None:
    """354 is no verdict."""
    talk = Talk.ready(OFFER)
    sent = message()
    talk.does(sent).says(ENVELOPE).says(b"353 -\r\n250 a\r\n354 what\r\n")
    assert deliveries(sent) == ["IN_DOUBT", "IN_DOUBT"]
    assert isinstance(sent.cause, ProtocolError)


@pytest.mark.parametrize(("verdicts", "reset"), [((450, 550), True), ((250, 550), False)])
def test_a_friendly_last_word_about_nobody_may_leave_the_transaction_open(
    verdicts: tuple[int, int], reset: bool
) -> None:
    """After chunks that were of use to no recipient the next message comes behind an RSET."""
    offer = b"250-peer.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 PRDR\r\n"
    talk = Talk.ready(offer, chunking=Chunking.ALWAYS)
    sent = message()
    talk.does(sent)
    talk.hears()
    talk.says(b"250 ok\r\n250 a\r\n250 b\r\n353 each\r\n")
    talk.says(b"".join(b"%d said\r\n" % code for code in (*verdicts, 250)))
    assert sent.ended
    talk.does(message())
    assert talk.hears().startswith(b"RSET\r\n") is reset
