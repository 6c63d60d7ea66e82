"""What a caller reads off a result: the facts, in order, and nothing made up."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.errors import EnvelopeError
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult, overall
from txsmtpconn.wire.reply import Reply

OK = Reply.of(250, "2.0.0 Ok: queued")
NO = Reply.of(550, "5.1.1 Unknown")


def refused(address: str) -> RecipientOutcome:
    """A recipient whom the server refused."""
    error = EnvelopeError("refused", reply=NO, recipient=address, delivery=Delivery.REJECTED)
    return RecipientOutcome(address, NO, Delivery.REJECTED, error)


def accepted(address: str) -> RecipientOutcome:
    """A recipient whose mail the server took."""
    return RecipientOutcome(address, OK, Delivery.ACCEPTED)


MIXED = SendResult(
    (
        accepted("a@x"),
        refused("b@x"),
        accepted("a@x"),
        RecipientOutcome("c@x", None, Delivery.IN_DOUBT),
        RecipientOutcome("d@x", None, Delivery.NOT_SENT),
        refused("b@x"),
    ),
    reply=OK,
    ehlo=("SIZE 1000",),
    envelope_time=0.5,
    message_time=1.5,
    message_size=42,
)


def test_lists_keep_the_order_and_the_duplicates_of_the_envelope() -> None:
    """A recipient named twice is answered twice, and told of twice."""
    assert MIXED.accepted == ["a@x", "a@x"]
    assert MIXED.rejected == ["b@x", "b@x"]
    assert [error.recipient for error in MIXED.rejected_errors] == ["b@x", "b@x"]
    assert MIXED.response == "250 2.0.0 Ok: queued"


def test_only_a_refusal_counts_as_rejected() -> None:
    """Who is in doubt was not refused, and who was not sent neither: each has a list."""
    assert MIXED.in_doubt == ["c@x"]
    assert MIXED.not_sent == ["d@x"]


def test_a_result_without_a_reply_has_an_empty_response() -> None:
    """No reply is told as no words."""
    assert SendResult((accepted("a@x"),)).response == ""


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_result_survives_copying(duplicate: object) -> None:
    """A copy tells the same facts."""
    assert callable(duplicate)
    result = SendResult((accepted("a@x"),), reply=OK, message_size=3)
    assert duplicate(result) == result


def test_a_result_survives_a_pickle() -> None:
    """A result can go to another process, errors included."""
    back: SendResult = pickle.loads(pickle.dumps(MIXED))
    assert back.accepted == MIXED.accepted
    assert back.rejected_errors[0].reply == NO
    assert back.message_size == 42


def test_results_differ_where_a_fact_differs() -> None:
    """Equality is of facts, and of results only."""
    assert SendResult((accepted("a@x"),)) != SendResult((accepted("b@x"),))
    assert SendResult(()) != "250 Ok"


def test_a_result_shows_what_matters() -> None:
    """The repr has who got it, who did not, and the server's words; no empty lists."""
    assert repr(MIXED) == (
        "SendResult(accepted=['a@x', 'a@x'], rejected=['b@x', 'b@x'], in_doubt=['c@x'],"
        " not_sent=['d@x'], response='250 2.0.0 Ok: queued')"
    )
    assert "rejected" not in repr(SendResult((accepted("a@x"),)))


def test_an_outcome_cannot_be_changed() -> None:
    """A fact about the past stays as it is."""
    outcome = accepted("a@x")
    with pytest.raises(AttributeError):
        outcome.delivery = Delivery.NOT_SENT  # type: ignore[misc]
    assert repr(outcome.delivery) == "Delivery.ACCEPTED"


@pytest.mark.parametrize(
    ("deliveries", "expected"),
    [
        ("ACCEPTED IN_DOUBT NOT_SENT REJECTED", "ACCEPTED"),
        ("REJECTED NOT_SENT IN_DOUBT", "IN_DOUBT"),
        ("REJECTED NOT_SENT", "NOT_SENT"),
        ("REJECTED REJECTED", "REJECTED"),
        ("", "NOT_SENT"),
    ],
)
def test_the_overall_word_is_the_one_to_heed_first(deliveries: str, expected: str) -> None:
    """Success if anybody has it; else doubt, else what is safe to repeat, else refusal."""
    outcomes = [RecipientOutcome("a@x", None, Delivery[name]) for name in deliveries.split()]
    assert overall(outcomes) is Delivery[expected]


@given(st.lists(st.sampled_from(Delivery)))
def test_each_recipient_is_in_exactly_one_list(deliveries: list[Delivery]) -> None:
    """Nobody is lost between the lists, nobody told of twice."""
    result = SendResult(
        tuple(RecipientOutcome(f"{n}@x", None, each) for n, each in enumerate(deliveries))
    )
    told = result.accepted + result.rejected + result.in_doubt + result.not_sent
    assert sorted(told) == sorted(f"{n}@x" for n in range(len(deliveries)))
