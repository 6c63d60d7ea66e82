"""What the client session says of each recipient is true, whatever server and network do.

The model server of `tests.session.model_server` knows what it took. A session that is mutilated on
purpose shows that the model notices: each mutant is a mistake that a real client made or could.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.session.model_run import play
from tests.session.model_setting import ROWS
from txsmtpconn.errors import SMTPError
from txsmtpconn.outcome import Delivery, RecipientOutcome
from txsmtpconn.session.client.events import TransactionEnded
from txsmtpconn.session.client.mailing import Mailing
from txsmtpconn.session.client.transaction import Transaction


@settings(max_examples=400)
@given(row=st.sampled_from(sorted(ROWS)), seed=st.integers(0, 2**32))
def test_no_claim_of_the_session_is_false(row: str, seed: int) -> None:
    """Never NOT_SENT or REJECTED of mail that was taken, never ACCEPTED of mail that was not.

    Nor is mail taken under another sender or with another content; every operation ends once, the
    session ends once and last, and never waits where nothing is owed.
    """
    assert play(row, seed) == []


def denies_doubt(patch: pytest.MonkeyPatch) -> None:
    """A reply that never came is taken for mail that never left."""
    truth = Transaction.outcomes

    def outcomes(self: Transaction) -> list[RecipientOutcome]:
        return [
            replace(each, delivery=Delivery.NOT_SENT)
            if each.delivery is Delivery.IN_DOUBT
            else each
            for each in truth(self)
        ]

    patch.setattr(Transaction, "outcomes", outcomes)


def forgets_reset(patch: pytest.MonkeyPatch) -> None:
    """A transaction follows one that may still be open, without RSET."""
    begin = Mailing.begin

    def begin_anyhow(self: Mailing, transaction: Transaction, now: float, waiting: int) -> None:
        self.reset()
        begin(self, transaction, now, waiting)

    patch.setattr(Mailing, "begin", begin_anyhow)


def confuses_recipients(patch: pytest.MonkeyPatch) -> None:
    """The first final reply of LMTP is taken for everybody's."""
    truth = Transaction.outcomes

    def outcomes(self: Transaction) -> list[RecipientOutcome]:
        self.reply_per_recipient = False
        return truth(self)

    patch.setattr(Transaction, "outcomes", outcomes)


def talks_on_after_withdrawal(patch: pytest.MonkeyPatch) -> None:
    """The session goes on although the peer waits for mail data that will not come."""

    def break_off(self: Mailing, transaction: Transaction, cause: SMTPError) -> None:
        self.end(transaction, cause)

    patch.setattr(Mailing, "break_off", break_off)


def ends_twice(patch: pytest.MonkeyPatch) -> None:
    """A transaction that failed is reported again."""
    end = Mailing.end

    def end_twice(self: Mailing, transaction: Transaction, cause: SMTPError | None = None) -> None:
        end(self, transaction, cause)
        if cause is not None:
            self._conversation.events.append(TransactionEnded(transaction))

    patch.setattr(Mailing, "end", end_twice)


@pytest.mark.parametrize(
    ("mutilate", "row"),
    [
        (denies_doubt, "smtp-data-full"),
        (denies_doubt, "lmtp-bdat-full"),
        (forgets_reset, "smtp-data-full"),
        (forgets_reset, "smtp-bdat-full"),
        (confuses_recipients, "lmtp-data-off"),
        (talks_on_after_withdrawal, "smtp-data-full"),
        (ends_twice, "smtp-data-transaction"),
    ],
)
def test_the_model_notices_a_session_that_is_wrong(
    mutilate: Callable[[pytest.MonkeyPatch], None], row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mutilation is a mistake that a client could make, and is found within some runs."""
    mutilate(monkeypatch)
    assert any(play(row, seed) for seed in range(300))
