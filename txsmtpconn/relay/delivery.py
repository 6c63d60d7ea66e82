"""Takes due recipients out of the spool, sends them, and writes down what came of it.

One claim is one transaction. So many are under way at once, and no more are claimed: what waits,
waits in the spool. Nothing here polls; the spool is asked when a message was accepted, when a
delivery has made room, and when the next recipient falls due.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import EnvelopeError, SMTPError, printable
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.deadline import Deadline
from txsmtpconn.net.streams import MessageSource
from txsmtpconn.outcome import SendResult
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.counters import Counters
from txsmtpconn.relay.envelopes import from_spool
from txsmtpconn.relay.schedule import Breaker
from txsmtpconn.relay.source import SpooledSource
from txsmtpconn.relay.spool import (
    Batch,
    Claim,
    Doubt,
    Event,
    ISpool,
    State,
    Verdict,
)
from txsmtpconn.relay.verdicts import Attempt, Judge, attempt_of
from txsmtpconn.wire.parameters import ParameterError

#: Seconds before the spool is asked again after it failed: first, and at most.
_SPOOL_PAUSE = (1.0, 30.0)


class Courier(Protocol):
    """Carries messages to the next hop."""

    def send(self, envelope: Envelope, source: MessageSource) -> Deferred[SendResult]:
        """Send a message; errbacks with `SMTPError`, which tells of each recipient.

        Cancelling gives up what has not reached the end of its mail data.
        """

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Close the connections, those under way within so many seconds."""


class _Sending:
    """A claim under way: until `answer` fires, and then until `verdicts` are written."""

    __slots__ = ("answer", "claim", "pause", "retry", "source", "verdicts")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.source: SpooledSource | None = None
        self.answer: Deferred[Any] | None = None
        self.verdicts: Sequence[Verdict] = ()
        self.retry: IDelayedCall | None = None
        self.pause = _SPOOL_PAUSE[0]


class Dispatcher:
    """The delivering half of a relay.

    Args:
        spool: Started.
        courier: Carries messages.
        options: The relay's.
        clock: The reactor.
        counters: Where to count.
        chance: Gives numbers of 0 up to 1.

    Attributes:
        may_expire: Whether the age of a message may be trusted; housekeeping says so.
    """

    log = Logger(namespace="txsmtpconn.relay.delivery")

    def __init__(
        self,
        spool: ISpool,
        courier: Courier,
        options: RelayOptions,
        clock: IReactorTime,
        counters: Counters,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._courier = courier
        self._options = options
        self._clock = clock
        self._counters = counters
        self._chance = chance
        self._judge = Judge(options.schedule, options.in_doubt)
        self._breaker = Breaker(chance=chance)
        self._under_way: set[_Sending] = set()
        self._timer = Deadline(clock, self.wake)
        self._heartbeat = LoopingCall(self._renew)
        self._heartbeat.clock = clock
        self._renewed_at = 0.0
        self._claiming = False
        self._ask_again = False
        self._stopping = False
        self._pause = _SPOOL_PAUSE[0]
        self._idle: list[Deferred[None]] = []
        self.may_expire = True

    @property
    def under_way(self) -> int:
        """Transactions that are being carried out."""
        return len(self._under_way)

    @property
    def host_wait(self) -> float:
        """Seconds for which the next hop is left alone, 0 where it is not."""
        return self._breaker.wait(self._clock.seconds())

    def start(self) -> None:
        """Begin to deliver."""
        self._renewed_at = self._clock.seconds()
        self._heartbeat.start(self._options.lease / 3, now=False).addErrback(self._unexpected)
        self.wake()

    def stop(self, timeout: float) -> Deferred[None]:
        """Claim no more; fires when what is under way has ended and is written down.

        Args:
            timeout: Seconds after which what has not reached the end of its mail data is given up.
        """
        self._stopping = True
        self._timer.cancel()
        if self._heartbeat.running:
            self._heartbeat.stop()
        for sending in list(self._under_way):
            if sending.retry is not None:
                sending.retry.cancel()
                self._record(sending)
        if not self._under_way and not self._claiming:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        call = self._clock.callLater(timeout, self._cancel_all)

        def disarm(_: None) -> None:
            if call.active():
                call.cancel()

        return idle.addCallback(disarm)

    def wake(self) -> None:
        """Look whether something can be delivered. Cheap; call it whenever something changed."""
        if self._claiming:
            self._ask_again = True
            return
        if self._stopping or self._lapsing:
            return
        limit = self._options.concurrency - len(self._under_way)
        if self._breaker.tripped:
            wait = self._breaker.wait(self._clock.seconds())
            if wait > 0:
                self._timer.set(self._clock.seconds() + wait)
                return
            # One probe, and nothing else before it has come back.
            limit = 0 if self._under_way else 1
        if limit <= 0:
            return
        self._claiming = True
        asked = self._spool.claim(
            limit,
            self._options.lease,
            recipients=self._options.transaction_recipients,
            # A mark that is written with the claim saves a commit for each message, and costs
            # more doubt after a crash: for small messages, where doubt means to try again, and
            # where they are about to leave, as the host is there.
            marked=self._options.in_doubt is Doubt.RETRY and self._breaker.answered,
        )
        asked.addCallbacks(self._claimed, self._spool_failed, callbackArgs=(limit,))
        asked.addErrback(self._unexpected)

    def _claimed(self, batch: Batch, limit: int) -> None:
        self._claiming = False
        self._pause = _SPOOL_PAUSE[0]
        for message in batch.quarantined:
            self._counters.quarantined += 1
            self.log.error("{message} is corrupt and has been set aside", message=message)
        for claim in batch.claims:
            self._deliver(claim)
        if self._ask_again or len(batch.claims) == limit:
            self._ask_again = False
            self.wake()
        elif batch.next_due is not None and not self._stopping:
            self._timer.set(self._clock.seconds() + batch.next_due)
        self._rest()

    def _spool_failed(self, failure: Failure) -> None:
        self._claiming = self._ask_again = False
        self.log.error("the spool cannot be asked: {reason}", reason=failure.getErrorMessage())
        if not self._stopping:
            self._timer.set(self._clock.seconds() + self._pause)
            self._pause = min(2 * self._pause, _SPOOL_PAUSE[1])
        self._rest()

    def _unexpected(self, failure: Failure) -> None:
        self.log.failure("delivery", failure=failure)

    # One claim

    def _deliver(self, claim: Claim) -> None:
        sending = _Sending(claim)
        self._under_way.add(sending)
        if self._stopping:
            stopped = SendCancelled("the relay stops")
            self._conclude(sending, attempt_of(claim, Failure(stopped)))
            return
        try:
            envelope = from_spool(claim.reverse_path, claim.parameters, claim.recipients)
        except (EnvelopeError, ParameterError) as error:
            self._quarantine(sending, f"its envelope cannot be read: {error}")
            return
        sending.source = SpooledSource(
            self._spool,
            claim,
            lambda: self._spool.mark(claim, self._options.lease),
            smtputf8=envelope.needs_smtputf8,
        )
        sending.answer = maybeDeferred(self._courier.send, envelope, sending.source)
        sending.answer.addBoth(self._sent, sending)
        sending.answer.addErrback(self._lost, sending)

    def _sent(self, result: SendResult | Failure, sending: _Sending) -> None:
        claim, source = sending.claim, sending.source
        if source is not None and source.fenced:
            self._counters.fenced += len(claim.recipients)
            self.log.warn("{message}: the lease was lost, nothing was sent", message=claim.message)
            self._end(sending)
        elif source is not None and source.corrupt:
            self._quarantine(sending, "its mail data does not match its checksum")
        else:
            if isinstance(result, Failure) and not result.check(SMTPError):
                self.log.failure("{message}: sending", failure=result, message=claim.message)
            self._conclude(sending, attempt_of(claim, result))

    def _conclude(self, sending: _Sending, attempt: Attempt) -> None:
        now = self._clock.seconds()
        if attempt.host_failed:
            self._counters.host_failures += 1
            self._breaker.failed(now)
        elif attempt.host_answered:
            self._breaker.succeeded()
        sending.verdicts = self._judge.verdicts(
            sending.claim,
            attempt,
            chance=self._chance(),
            host_wait=self._breaker.wait(now),
            may_expire=self.may_expire,
        )
        self._record(sending)

    def _quarantine(self, sending: _Sending, detail: str) -> None:
        claim = sending.claim
        self._counters.quarantined += 1
        self.log.error("{message} is set aside: {detail}", message=claim.message, detail=detail)
        sending.verdicts = [
            Verdict(one.id, one.token, State.QUARANTINED, Event.QUARANTINED, detail)
            for one in claim.recipients
        ]
        self._record(sending)

    def _record(self, sending: _Sending) -> None:
        sending.retry = None
        recorded = self._spool.record(sending.claim, sending.verdicts)
        recorded.addCallbacks(
            self._recorded, self._record_failed, callbackArgs=(sending,), errbackArgs=(sending,)
        )
        recorded.addErrback(self._lost, sending)

    def _recorded(self, fenced: int, sending: _Sending) -> None:
        claim = sending.claim
        if fenced:
            self._counters.fenced += fenced
            self.log.warn(
                "{message}: {fenced} results came after the lease was lost",
                message=claim.message,
                fenced=fenced,
            )
        for one, verdict in zip(claim.recipients, sending.verdicts, strict=True):
            self._tell(claim, one.address, verdict)
        self._end(sending)

    def _record_failed(self, failure: Failure, sending: _Sending) -> None:
        # The mail may be out; were its result forgotten, it would go out again.
        self.log.error(
            "{message}: the result cannot be written: {reason}",
            message=sending.claim.message,
            reason=failure.getErrorMessage(),
        )
        if self._stopping:
            self._end(sending)
            return
        sending.retry = self._clock.callLater(sending.pause, self._record, sending)
        sending.pause = min(2 * sending.pause, _SPOOL_PAUSE[1])

    def _lost(self, failure: Failure, sending: _Sending) -> None:
        # A fault of ours: the lease runs out, and the recipients are taken up again.
        self.log.failure("{message}", failure=failure, message=sending.claim.message)
        if sending in self._under_way:
            self._end(sending)

    def _tell(self, claim: Claim, address: str, verdict: Verdict) -> None:
        """Count and log one recipient's verdict."""
        counters = self._counters
        if verdict.event is Event.DELIVERED:
            counters.delivered += 1
        elif verdict.event is Event.DEFERRED:
            counters.deferred += 1
        elif verdict.event is Event.FAILED:
            counters.failed += 1
        elif verdict.event is Event.EXPIRED:
            counters.expired += 1
        elif verdict.event is Event.IN_DOUBT:
            counters.in_doubt += 1
            counters.held += verdict.state is State.HELD
        self.log.info(
            "{message}: {event} to <{recipient}>: {detail}",
            message=claim.message,
            event=verdict.event.value,
            recipient=printable(address),
            detail=printable(verdict.detail),
            delay=verdict.delay,
        )

    def _end(self, sending: _Sending) -> None:
        self._under_way.remove(sending)
        self.wake()
        self._rest()

    def _rest(self) -> None:
        if self._stopping and not self._under_way and not self._claiming:
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)

    # Leases

    @property
    def _lapsing(self) -> bool:
        """Whether the spool has not renewed our leases for so long that others may soon claim."""
        return self._clock.seconds() - self._renewed_at > 2 * self._options.lease / 3

    def _renew(self) -> Deferred[None]:
        if self._lapsing:
            # What has not reached the end of its mail data must not reach it.
            self._cancel_all()
        asked_at = self._clock.seconds()

        def renewed(_: int) -> None:
            self._renewed_at = asked_at
            self.wake()

        def failed(failure: Failure) -> None:
            self.log.error("leases not renewed: {reason}", reason=failure.getErrorMessage())

        return self._spool.renew(self._options.lease).addCallbacks(renewed, failed)

    def _cancel_all(self) -> None:
        for sending in list(self._under_way):
            if sending.answer is not None:
                sending.answer.cancel()
