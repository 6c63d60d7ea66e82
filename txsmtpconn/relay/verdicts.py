"""What an attempt means for each recipient: from outcomes to verdicts, without I/O.

Three questions are kept apart. Is the *recipient* settled: delivered, or refused for good? If not,
was it the *message* that failed (then its schedule counts an attempt), or the *host*, which failed
before it looked at any message (then no message pays for it, and the host is left alone for a
while)? Where it fails over a message, nobody can tell: the host is left alone, and the message
pays. And may the message have arrived all the same?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.python.failure import Failure

from txsmtpconn.errors import SMTPError
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult
from txsmtpconn.relay.schedule import Schedule
from txsmtpconn.relay.spool import Claim, ClaimedRecipient, Doubt, Event, State, Verdict

#: The road to the host, or our standing with it: whatever the message, it would fail alike.
_HOST_ERRORS = frozenset(
    {
        "ESOCKET",
        "EDNS",
        "ETLS",
        "EAUTH",
        "ENOAUTH",
        "EOAUTH2",
        "EPROXY",
        "ECONFIG",
        "EMAXLIMIT",
    }
)
#: Those too, unless the host had begun to answer for this message.
_SESSION_ERRORS = frozenset({"ECONNECTION", "ETIMEDOUT", "EPROTOCOL"})

#: The host shuts down (421), or wants other credentials (RFC 4954 section 6): not the message.
_HOST_REPLIES = frozenset({421, 530, 534, 535, 538})

#: Replies show that the host is alive.
_ANSWERED = frozenset({Delivery.ACCEPTED, Delivery.REJECTED})


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of sending one claim.

    Attributes:
        outcomes: One for each recipient of the claim, in its order.
        cancelled: We stopped it ourselves.
        begun: Whether the message itself was put to the host, and did not fail with another or
            while there was no session.
    """

    outcomes: tuple[RecipientOutcome, ...]
    cancelled: bool = False
    begun: bool = True

    @property
    def host_failed(self) -> bool:
        """Whether the host failed, and not this message."""
        return not self.cancelled and any(
            outcome.delivery is not Delivery.ACCEPTED and is_host_fault(outcome, self.outcomes)
            for outcome in self.outcomes
        )

    @property
    def host_answered(self) -> bool:
        """Whether the host dealt with the message, one way or another."""
        return any(outcome.delivery in _ANSWERED for outcome in self.outcomes)


def attempt_of(claim: Claim, result: SendResult | Failure) -> Attempt:
    """Read the result of sending a claim."""
    addresses = [one.address for one in claim.recipients]
    if isinstance(result, SendResult):
        return Attempt(_matched(addresses, result.recipients, None))
    error = result.value
    if not isinstance(error, SMTPError):
        # Nobody knows how far it came.
        unknown = SMTPError(f"{type(error).__name__} while sending", delivery=Delivery.IN_DOUBT)
        return Attempt(_matched(addresses, (), unknown))
    return Attempt(
        _matched(addresses, error.recipients, error),
        cancelled=error.code == "ECANCELLED",
        begun=bool(error.recipients),
    )


def _matched(
    addresses: Sequence[str], outcomes: Sequence[RecipientOutcome], error: SMTPError | None
) -> tuple[RecipientOutcome, ...]:
    """Pair recipients with outcomes, which come in the order of the envelope."""
    if [outcome.address for outcome in outcomes] == list(addresses):
        return tuple(outcomes)
    if outcomes or error is None:
        # An answer that does not fit the question proves nothing.
        error = SMTPError("the outcomes are not those of the envelope", delivery=Delivery.IN_DOUBT)
    return tuple(
        RecipientOutcome(address, error.reply, error.delivery, error) for address in addresses
    )


def is_host_fault(outcome: RecipientOutcome, outcomes: Sequence[RecipientOutcome]) -> bool:
    """Tell whether it was the host that failed and not the message."""
    if outcome.delivery is Delivery.IN_DOUBT:
        return False
    if outcome.reply is not None and outcome.reply.code in _HOST_REPLIES:
        return True
    if outcome.delivery is not Delivery.NOT_SENT or outcome.error is None:
        return False
    if outcome.error.code in _HOST_ERRORS:
        return True
    return outcome.error.code in _SESSION_ERRORS and all(one.reply is None for one in outcomes)


@dataclass(frozen=True, slots=True)
class Judge:
    """The relay's policy for what was not delivered.

    Attributes:
        schedule: When to try again.
        doubt: What becomes of recipients in doubt.
    """

    schedule: Schedule
    doubt: Doubt

    def verdicts(
        self,
        claim: Claim,
        attempt: Attempt,
        *,
        chance: float = 0.5,
        host_wait: float = 0.0,
        may_expire: bool = True,
    ) -> list[Verdict]:
        """Decide for each recipient of a claim.

        Args:
            claim: What was sent.
            attempt: What came of it.
            chance: A number of 0 up to 1 for the jitter, one for all, so that what belongs together
                stays together.
            host_wait: Seconds for which the host is left alone.
            may_expire: Whether age may be trusted; it may not when the clock was set.
        """
        expired = may_expire and self.schedule.is_over(claim.age)
        return [
            self._verdict(one, outcome, attempt, chance, host_wait, expired)
            for one, outcome in zip(claim.recipients, attempt.outcomes, strict=True)
        ]

    def _verdict(
        self,
        one: ClaimedRecipient,
        outcome: RecipientOutcome,
        attempt: Attempt,
        chance: float,
        host_wait: float,
        expired: bool,
    ) -> Verdict:
        detail = describe(outcome)

        def end(state: State, event: Event) -> Verdict:
            return Verdict(one.id, one.token, state, event, detail)

        def again(delay: float, event: Event = Event.DEFERRED, *, burnt: bool = True) -> Verdict:
            if expired:
                return end(State.EXPIRED, Event.EXPIRED)
            return Verdict(one.id, one.token, State.READY, event, detail, delay, burnt)

        wait = self.schedule.wait(one.attempts + 1, lambda: chance)
        delivery = outcome.delivery
        if delivery is Delivery.ACCEPTED:
            return end(State.DELIVERED, Event.DELIVERED)
        if delivery is Delivery.IN_DOUBT:
            if self.doubt is Doubt.HOLD:
                return end(State.HELD, Event.IN_DOUBT)
            return again(wait, Event.IN_DOUBT)
        if attempt.cancelled and delivery is Delivery.NOT_SENT:
            return Verdict(one.id, one.token, State.READY, Event.DEFERRED, detail, 0.0, False)
        if is_host_fault(outcome, attempt.outcomes):
            if attempt.begun:
                # It may be this message all the same (421 to its sender, a crash over it), and if
                # it were the next probe again, it would hold up all mail for as long as it lives.
                return again(max(wait, host_wait))
            return again(host_wait, burnt=False)
        if is_permanent(outcome):
            return end(State.FAILED, Event.FAILED)
        return again(wait)


def is_permanent(outcome: RecipientOutcome) -> bool:
    """Tell whether the same attempt would fail again."""
    if outcome.error is not None:
        return outcome.error.is_permanent
    return outcome.reply is not None and outcome.reply.is_permanent


def describe(outcome: RecipientOutcome) -> str:
    """Say for the operator what decided."""
    if outcome.delivery in _ANSWERED and outcome.reply is not None:
        return str(outcome.reply)
    return str(outcome.error) if outcome.error is not None else outcome.delivery.value
