"""Replies to a flight that are known as a whole: they do what each of them does."""

from __future__ import annotations

from itertools import accumulate, pairwise
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.session.talk import CHUNKING_OFFER, Talk, deliveries, mail
from txsmtpconn.session.client import flights
from txsmtpconn.session.client.policy import Chunking, Window
from txsmtpconn.session.client.tables import Expected, Verb
from txsmtpconn.wire.reply import Reply, ReplyParser

USUAL = [b"250 ok\r\n", b"250 2.1.0 Ok\r\n", b"250 2.1.5 Ok\r\n"]
ANSWERS = [
    b"250 ok\r\n",
    b"250 sure\n",
    b"250-of\r\n250 course\r\n",
    b"250 of\r\n",
    b"354 go\r\n",
    b"452 no\r\n",
]
ANSWERS += [
    b"550 no\r\n",
    b"503 what\r\n",
    b"421 bye\r\n",
    b"250 " + b"x" * 200 + b"\r\n",
    b"250\r\n",
]
MESSAGES = 5


def told(chunking: Chunking, answers: list[bytes], cuts: list[int]) -> list[object]:
    """Return all that can be seen of a session whose server gives these answers, cut anywhere."""
    talk = Talk.ready(CHUNKING_OFFER, chunking=chunking, window=Window(3, 120))
    transactions = [mail() for _ in range(MESSAGES)]
    talk.does(*transactions)
    said = b"".join(answers)
    places = [0, *accumulate(cuts), len(said)]
    moments = []
    for start, end in pairwise(places):
        talk.waits(1).says(said[start:end])
        session = talk.session
        moments.append((session.last_reply, session.next_deadline(), session.awaiting_replies))
    numbers = {id(transaction): number for number, transaction in enumerate(transactions)}
    shown = [
        (type(event).__name__, numbers.get(id(getattr(event, "transaction", None))))
        for event in talk.events
    ]
    outcomes = [
        (deliveries(each), [str(outcome.error) for outcome in each.outcomes()], each.last_reply)
        for each in transactions
    ]
    return [talk.log, talk.heard, shown, outcomes, moments]


@given(
    st.sampled_from([Chunking.ALWAYS, Chunking.OFF]),
    st.lists(
        st.one_of(
            st.sampled_from([[*USUAL, b"250 queued\r\n"], [*USUAL[1:], b"354 go\r\n", USUAL[0]]]),
            st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4),
        ),
        max_size=MESSAGES + 1,
    ),
    st.lists(st.integers(0, 60), max_size=8),
)
@example(Chunking.ALWAYS, [[*USUAL[1:], b"250 queued\r\n"], *[[*USUAL, b"250 q\r\n"]] * 4], [])
@example(
    Chunking.ALWAYS,
    [
        [ANSWERS[2]] * 2,
        USUAL[:1],
        [USUAL[0], *[ANSWERS[2]] * 2, USUAL[0]],
        [USUAL[0], b"250 of\r\n", b"250 of\r\n"],
    ],
    [48],
)
@example(Chunking.ALWAYS, [[*USUAL[1:], b"250 q\r\n"], *[[*USUAL, b"250 q\r\n"]] * 4], [35, 43, 36])
@example(Chunking.OFF, [[*USUAL[1:], b"354 go\r\n", b"250 queued\r\n"]] * 5, [36, 48, 48, 48])
def test_a_phrase_does_what_its_replies_do(
    chunking: Chunking, answers: list[list[bytes]], cuts: list[int]
) -> None:
    """Whether a session has learnt its server's words changes nothing that anybody can see."""
    said = [answer for several in answers for answer in several]
    with patch.object(flights, "_LESSONS", range(0)):
        plainly = told(chunking, said, cuts)
    assert told(chunking, said, cuts) == plainly


def test_a_session_that_ends_at_the_reset_leaves_what_follows_in_doubt() -> None:
    """421 answers RSET, not the message whose commands left with it."""
    one, two = mail(), mail()
    talk = Talk.ready(CHUNKING_OFFER, chunking=Chunking.ALWAYS).does(one, two)
    talk.says(b"".join(USUAL[1:]) + b"250 queued\r\n421 bye\r\n")
    assert deliveries(one) == ["ACCEPTED"]
    assert deliveries(two) == ["IN_DOUBT"]
    assert talk.end.cause is two.cause


@pytest.mark.parametrize("chunking", [Chunking.ALWAYS, Chunking.OFF])
def test_a_server_that_repeats_itself_is_understood_at_once(
    chunking: Chunking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has answered two flights; a refusal is read as any other.

    Of its first answers nothing is kept: many a connection carries one message.
    """
    passed: list[bytes] = []

    class Watched(ReplyParser):
        def skip(self, replies: bytes) -> bool:
            skips = super().skip(replies)
            passed.extend([replies] * skips)
            return skips

    monkeypatch.setattr("txsmtpconn.session.client.conversation.ReplyParser", Watched)
    talk = Talk.ready(CHUNKING_OFFER, chunking=chunking)
    common = b"".join(USUAL[1:]) + (b"354 go\r\n" if chunking is Chunking.OFF else b"")
    for number in range(4):
        transaction = mail()
        talk.does(transaction).says(common).says(b"250 queued as %d\r\n" % number)
        assert deliveries(transaction) == ["ACCEPTED"]
        assert str(transaction.last_reply) == f"250 queued as {number}"
    assert passed == [common] * 2
    refused = mail()
    talk.does(refused).says(b"250 2.1.0 Ok\r\n550 who?\r\n503 no\r\n")
    assert deliveries(refused) == ["REJECTED"]
    assert passed == [common] * 2


def test_a_server_that_never_repeats_itself_is_not_listened_to_for_long() -> None:
    """Nor is a refusal kept: whoever asks which of several one was may go by identity."""
    phrases = flights.Phrases()
    flight = flights.Flight((Verb.MAIL, Expected.MAIL))
    for reply in (Reply.of(250, "yes"), Reply.of(550, "no")):
        phrases.hear(flight.awaited, reply)
        assert phrases.known.get(flight.awaited) is None
    for number in range(1, flights._LESSONS.stop + 1):
        phrases.hear(flight.awaited, Reply.of(250, str(number)))
    phrase = phrases.known.get(flight.awaited)
    assert phrase is not None
    assert phrase[0] == b"250 %d\r\n" % (flights._LESSONS.stop - 3)
