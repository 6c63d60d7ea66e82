"""What the outcomes of an attempt mean for each recipient."""

from __future__ import annotations

import pytest
from twisted.python.failure import Failure

from txsmtpconn.errors import (
    AuthenticationError,
    ConnectionLostError,
    DeadlineError,
    EnvelopeError,
    MessageError,
    RequireTLSError,
    SMTPError,
    SocketError,
    TLSError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult
from txsmtpconn.relay.schedule import Schedule
from txsmtpconn.relay.spool import Claim, ClaimedRecipient, Doubt, Event, State, Verdict
from txsmtpconn.relay.verdicts import Judge, attempt_of
from txsmtpconn.wire.reply import Reply

OK, LATER, NO = Reply.of(250, "2.0.0 Ok"), Reply.of(450, "4.2.0 Later"), Reply.of(550, "5.1.1 No")
JUDGE = Judge(Schedule((100.0, 200.0), lifetime=1000.0, jitter=0.0), Doubt.RETRY)
HOLDING = Judge(Schedule((100.0, 200.0), lifetime=1000.0, jitter=0.0), Doubt.HOLD)


def claim_of(count: int = 1, *, age: float = 0.0, attempts: int = 0) -> Claim:
    """A claim for 0@example, 1@example ..."""
    recipients = tuple(
        ClaimedRecipient(number, 7, f"{number}@example", b"", attempts) for number in range(count)
    )
    return Claim("ID", "a@example", b"", recipients, "", age, 1, b"x", False)


def refused(reply: Reply, command: str = "RCPT TO") -> RecipientOutcome:
    """A recipient that was refused."""
    error = EnvelopeError("refused", reply=reply, command=command, delivery=Delivery.REJECTED)
    return RecipientOutcome("0@example", reply, Delivery.REJECTED, error)


def judged(
    result: SendResult | SMTPError,
    *,
    judge: Judge = JUDGE,
    age: float = 0.0,
    attempts: int = 0,
    may_expire: bool = True,
) -> Verdict:
    """The verdict for one recipient."""
    claim = claim_of(age=age, attempts=attempts)
    attempt = attempt_of(claim, result if isinstance(result, SendResult) else Failure(result))
    (verdict,) = judge.verdicts(claim, attempt, host_wait=5.0, may_expire=may_expire)
    return verdict


def test_mixed_outcomes_are_judged_one_by_one() -> None:
    """250, 450 and 550 to three recipients: delivered, tried again, given up."""
    claim = claim_of(3)
    outcomes = tuple(
        RecipientOutcome(one.address, outcome.reply, outcome.delivery, outcome.error)
        for one, outcome in zip(
            claim.recipients,
            (RecipientOutcome("", OK, Delivery.ACCEPTED), refused(LATER), refused(NO)),
            strict=True,
        )
    )
    attempt = attempt_of(claim, SendResult(outcomes, reply=OK))
    verdicts = JUDGE.verdicts(claim, attempt)
    assert [(each.state, each.event, each.delay) for each in verdicts] == [
        (State.DELIVERED, Event.DELIVERED, 0.0),
        (State.READY, Event.DEFERRED, 100.0),
        (State.FAILED, Event.FAILED, 0.0),
    ]
    assert [each.detail for each in verdicts] == [str(OK), str(LATER), str(NO)]
    assert attempt.host_answered
    assert not attempt.host_failed


def test_waits_follow_the_schedule() -> None:
    """The second refusal waits for longer than the first, and counts."""
    verdict = judged(SendResult((refused(LATER),)), attempts=1)
    assert (verdict.delay, verdict.burnt) == (200.0, True)


def test_too_many_recipients_is_no_refusal_of_one() -> None:
    """552 to RCPT says "not so many at once" (RFC 5321 section 4.5.3.1.10): try again."""
    assert judged(SendResult((refused(Reply.of(552, "Too many recipients")),))).state is State.READY


@pytest.mark.parametrize(
    "error",
    [
        SocketError("refused", command="CONN"),
        TLSError("bad certificate"),
        AuthenticationError("no", reply=Reply.of(535, "5.7.8 No"), command="AUTH PLAIN"),
        DeadlineError("no greeting"),
        ConnectionLostError("421", reply=Reply.of(421, "4.3.2 Shutting down")),
    ],
)
def test_host_fault_burns_no_attempt(error: SMTPError) -> None:
    """A host that is down, or does not let us in, is left alone; the message is not to blame."""
    verdict = judged(error)
    assert (verdict.state, verdict.delay, verdict.burnt) == (State.READY, 5.0, False)
    assert attempt_of(claim_of(), Failure(error)).host_failed


@pytest.mark.parametrize("reply", [None, Reply.of(421, "4.7.0 Too much from that sender")])
def test_message_over_which_the_host_fails_waits_its_turn(reply: Reply | None) -> None:
    """The host is left alone, and then others are tried first: one message cannot stop them all."""
    error = ConnectionLostError("lost", reply=reply, command="MAIL FROM")
    alone = ConnectionLostError(
        "lost",
        reply=reply,
        command="MAIL FROM",
        recipients=[RecipientOutcome("0@example", reply, Delivery.NOT_SENT, error)],
    )
    verdict = judged(alone, attempts=1)
    assert (verdict.state, verdict.delay, verdict.burnt) == (State.READY, 200.0, True)
    assert attempt_of(claim_of(), Failure(alone)).host_failed
    # Those that were only waiting for the same connection pay nothing.
    verdict = judged(error, attempts=1)
    assert (verdict.state, verdict.delay, verdict.burnt) == (State.READY, 5.0, False)


@pytest.mark.parametrize("code", [530, 535])
def test_wanted_credentials_never_bounce_mail(code: int) -> None:
    """530 to MAIL means that we are not logged in: the queue waits for the operator."""
    outcome = refused(Reply.of(code, "5.7.0 Authentication required"), "MAIL FROM")
    assert judged(SendResult((outcome,))).state is State.READY


def test_connection_lost_in_mid_message_counts() -> None:
    """A message on which the host hangs up again and again grows old like any other."""
    error = ConnectionLostError(
        "lost",
        recipients=[
            RecipientOutcome("0@example", OK, Delivery.NOT_SENT, ConnectionLostError("lost"))
        ],
    )
    verdict = judged(error)
    assert (verdict.state, verdict.delay, verdict.burnt) == (State.READY, 100.0, True)
    assert not attempt_of(claim_of(), Failure(error)).host_failed


@pytest.mark.parametrize(
    "error",
    [
        EnvelopeError("SMTPUTF8 is not offered"),
        MessageError("too large"),
        RequireTLSError("REQUIRETLS is not offered"),
    ],
)
def test_what_cannot_be_sent_there_is_given_up(error: SMTPError) -> None:
    """What the next hop cannot take, it cannot take tomorrow."""
    verdict = judged(error)
    assert verdict.state is State.FAILED
    assert str(error) in verdict.detail


def test_doubt_is_retried_or_held() -> None:
    """The policy decides; the history says in doubt in both cases."""
    error = ConnectionLostError("lost behind the dot", delivery=Delivery.IN_DOUBT)
    retried, held = judged(error), judged(error, judge=HOLDING)
    assert (retried.state, retried.event, retried.delay) == (State.READY, Event.IN_DOUBT, 100.0)
    assert (held.state, held.event) == (State.HELD, Event.IN_DOUBT)


def test_unknown_exception_is_doubt() -> None:
    """Where nobody knows how far the message came, nobody says that it did not arrive."""
    claim = claim_of()
    attempt = attempt_of(claim, Failure(ZeroDivisionError("a fault of ours")))
    (verdict,) = HOLDING.verdicts(claim, attempt)
    assert verdict.state is State.HELD


def test_outcomes_of_another_envelope_prove_nothing() -> None:
    """A result whose recipients are not ours is doubt, not success."""
    foreign = RecipientOutcome("x@example", OK, Delivery.ACCEPTED)
    assert judged(SendResult((foreign,), reply=OK)).event is Event.IN_DOUBT
    assert judged(SendResult((), reply=OK)).event is Event.IN_DOUBT


def test_age_expires_only_after_a_failed_attempt() -> None:
    """Old mail that is delivered is delivered; old mail that is not is given up."""
    assert judged(SendResult((refused(LATER),)), age=1000.0).state is State.EXPIRED
    assert judged(SendResult((refused(LATER),)), age=999.0).state is State.READY
    assert judged(SocketError("down"), age=1000.0).state is State.EXPIRED
    accepted = SendResult((RecipientOutcome("0@example", OK, Delivery.ACCEPTED),), reply=OK)
    assert judged(accepted, age=1000.0).state is State.DELIVERED


def test_nothing_expires_on_a_clock_that_is_not_trusted() -> None:
    """A clock that jumped by ten years costs an attempt, not the mail."""
    verdict = judged(SendResult((refused(LATER),)), age=10.0**9, may_expire=False)
    assert verdict.state is State.READY


def test_cancelled_before_the_mark_is_due_again_at_once() -> None:
    """What we stopped ourselves costs nothing; what we stopped too late is in doubt."""
    verdict = judged(SendCancelled("stopping"))
    assert (verdict.state, verdict.delay, verdict.burnt) == (State.READY, 0.0, False)
    late = judged(SendCancelled("stopping", delivery=Delivery.IN_DOUBT))
    assert late.event is Event.IN_DOUBT
