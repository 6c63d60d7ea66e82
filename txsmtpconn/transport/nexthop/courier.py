"""Mail to any domain: recipients by destination, destinations to hosts, hosts in turn.

Each destination of a message is a part of it, with an outcome of its own. A part goes to the best
host first. Those recipients whom nothing has reached there, and those whom the host put off (4yz),
are tried with the next one, as RFC 5321 section 5.1 has it; whoever was accepted, refused for good,
or is in doubt, is not.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail
from twisted.python.failure import Failure

from txsmtpconn.client.calls import restated
from txsmtpconn.client.waiters import Waiters
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import (
    ConfigError,
    DNSError,
    EnvelopeError,
    PoolError,
    RequireTLSError,
    SMTPError,
    StreamError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult, overall
from txsmtpconn.transport.closing import give_up_after
from txsmtpconn.transport.figures import Counts
from txsmtpconn.transport.job import OF_THE_CONNECTION, Message, Part, error_of
from txsmtpconn.transport.nexthop.hop import NextHop
from txsmtpconn.transport.nexthop.routing import Route, Routing
from txsmtpconn.transport.nexthop.sources import Once
from txsmtpconn.transport.prepared import PreparedMessage, source_of

#: What one host may fail with, and another not.
_OF_THE_HOST = (*OF_THE_CONNECTION, DNSError, RequireTLSError)


class Courier:
    """Sends messages to whom they are for.

    Args:
        routing: Knows the hosts, and what carries mail to each.
        clock: The reactor.
        parallel: Destinations that are under way at the same time.
        hosts: Hosts that are tried for a destination, at most.
    """

    def __init__(self, routing: Routing, clock: Any, *, parallel: int, hosts: int) -> None:
        self._routing = routing
        self._clock = clock
        self._hosts = hosts
        self._turns = DeferredSemaphore(parallel)
        self._counts = Counts()
        self._serial = 0
        self._messages: set[Message] = set()
        self._closing = False
        self._done: Waiters[None] = Waiters()

    def send(self, envelope: Envelope, message: object) -> Deferred[SendResult]:
        """Send a message; it fires when every destination has had its answer."""
        if self._closing:
            return fail(PoolError("the transport is closed", command="API"))
        try:
            source = source_of(message)
            groups = self._by_destination(envelope)
        except SMTPError as error:
            return fail(error)
        if not isinstance(source, PreparedMessage) and not source.replayable:
            source = Once(source)
        self._serial += 1
        now = self._clock.seconds()
        job = Message(self._serial, envelope, source, now, self._cancel, self._counts)
        deferred = job.deferred
        assert deferred is not None
        self._messages.add(job)
        parts = job.parts if len(groups) == 1 else job.divide(job.parts[0], groups)
        for part in list(parts):
            self._begin(part)
        return deferred

    async def verify(self, hop: NextHop) -> bool:
        """Open a connection to a destination, as a message would, and leave.

        Raises:
            SMTPError: No host of it will do.
        """
        route = await self._routing.route(hop)
        failure: SMTPError | None = None
        for exchange in route.exchanges[: self._hosts]:
            try:
                connection = await self._routing.open(route, exchange)
            except SMTPError as error:
                if isinstance(error, CancelledError):
                    raise
                failure = failure or error
            else:
                await connection.quit()
                return True
        assert failure is not None
        raise failure

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Take no more messages, send those there are, and leave; see `Pool.close`."""
        self._closing = True
        give_up_after(self._clock, timeout, self._give_up, self._done.wait())
        done = self._done.wait()
        self._tell_if_done()
        left = None if timeout is None else 0.0
        return done.addCallback(lambda _: self._routing.close(left))

    def _by_destination(self, envelope: Envelope) -> list[list[int]]:
        """Return the places of the recipients, by where they go."""
        groups: dict[NextHop, list[int]] = {}
        for place, recipient in enumerate(envelope.recipients):
            hop = self._hop_of(recipient.mailbox.domain, recipient.address)
            groups.setdefault(hop, []).append(place)
        return list(groups.values())

    def _hop_of(self, domain: str, address: str) -> NextHop:
        try:
            return self._routing.next_hop(domain)
        except ConfigError as reason:
            text = f"recipient: {reason}"
            raise EnvelopeError(text, command="API", recipient=address, status="5.1.3") from None

    # -- a part of a message

    def _begin(self, part: Part) -> None:
        part.sending = Deferred.fromCoroutine(self._in_turn(part))
        part.sending.addBoth(self._ended, part).addErrback(self._routing.blame)

    async def _in_turn(self, part: Part) -> SendResult:
        await self._turns.acquire()
        try:
            return await self._deliver(part)
        finally:
            self._turns.release()

    def _ended(self, result: SendResult | Failure, part: Part) -> None:
        part.sending = None
        message = part.message
        following = message.settle(part, _outcome(result))
        while following is not None and _is_spent(message.source):
            error = StreamError("the message could be read once only", command="API")
            following = message.settle(following, error)
        if following is not None:
            self._begin(following)
        elif not message.parts:
            self._messages.discard(message)
            self._tell_if_done()

    async def _deliver(self, part: Part) -> SendResult:
        """Try the hosts of a part's destination."""
        message = part.message
        recipient = part.envelope.recipients[0]
        hop = self._hop_of(recipient.mailbox.domain, recipient.address)
        route = await self._routing.route_for(hop, part.envelope, message.source)
        heard = _Heard()
        waiting: SMTPError | None = None
        tried = 0
        for exchange in route.exchanges:
            outcome = await self._try(route, exchange, part)
            # Names that lead nowhere cost little, and do not count.
            tried += not isinstance(outcome, DNSError)
            last = tried == self._hosts or exchange is route.exchanges[-1]
            if _ends_here(outcome) or _is_spent(message.source):
                # We are this host, and it is for the better ones to take the mail; or it is gone.
                last = True
            left = [] if message.cancelled else _worth_another_host(part, outcome)
            if not left or last:
                if waiting is not None and len(left) == len(part.all_places):
                    outcome = _for_now(outcome, waiting)
                return _settled(heard.best(part, outcome))
            if waiting is None and isinstance(outcome, SMTPError) and outcome.is_transient:
                # For those who are left; it may tell of others besides.
                waiting = restated(outcome)
                waiting.delivery, waiting.recipients = Delivery.NOT_SENT, ()
            heard.listen(part, outcome)
            if len(left) < len(part.all_places):
                message.record(part, outcome, but=left)
                part.narrow(left)
        raise AssertionError("a route without a host")

    async def _try(self, route: Route, exchange: Any, part: Part) -> SendResult | SMTPError:
        try:
            return await self._routing.send(route, exchange, part.envelope, part.message.source)
        except SMTPError as error:
            return error

    # -- the end

    def _cancel(self, message: Message) -> None:
        message.cancelled = True
        for part in list(message.parts):
            if part.sending is not None:
                part.sending.cancel()

    def _give_up(self) -> None:
        for message in list(self._messages):
            self._cancel(message)

    def _tell_if_done(self) -> None:
        if self._closing and not self._messages:
            self._done.fire(None)


class _Heard:
    """What servers have said of recipients who were then tried elsewhere.

    If that leads nowhere, their own words tell more than that nobody else was there.
    """

    def __init__(self) -> None:
        self._said: dict[int, RecipientOutcome] = {}

    def listen(self, part: Part, outcome: SendResult | SMTPError) -> None:
        """Remember what was said."""
        for place, each in zip(part.all_places, part.outcomes(outcome), strict=True):
            if each.delivery is Delivery.REJECTED:
                self._said[place] = each

    def best(self, part: Part, outcome: SendResult | SMTPError) -> SendResult | SMTPError:
        """Return an outcome with what was said in place of what was not."""
        own = part.outcomes(outcome)
        told = [
            self._said.get(place, each) if each.delivery is Delivery.NOT_SENT else each
            for place, each in zip(part.all_places, own, strict=True)
        ]
        if isinstance(outcome, SendResult) or told == list(own):
            return outcome
        delivery = overall(told)
        error = next((each.error for each in told if each.delivery is delivery), None) or outcome
        error = restated(error)
        error.delivery, error.recipients = delivery, tuple(told)
        return error


def _outcome(result: SendResult | Failure) -> SendResult | SMTPError:
    if isinstance(result, SendResult):
        return result
    reason = result.value
    if isinstance(reason, CancelledError) and not isinstance(reason, SMTPError):
        return SendCancelled("the send was cancelled", command="API")
    return error_of(result)


def _settled(outcome: SendResult | SMTPError) -> SendResult:
    if isinstance(outcome, SMTPError):
        raise outcome
    return outcome


def _for_now(outcome: SendResult | SMTPError, waiting: SMTPError) -> SendResult | SMTPError:
    """Return the last outcome, unless it is for good and another host's was not."""
    if isinstance(outcome, SMTPError) and outcome.reply is None and outcome.is_permanent:
        return waiting
    return outcome


def _is_spent(source: object) -> bool:
    return isinstance(source, Once) and source.opened


def _ends_here(outcome: SendResult | SMTPError) -> bool:
    return isinstance(outcome, DNSError) and outcome.enhanced_code == "5.4.6"


def _worth_another_host(part: Part, outcome: SendResult | SMTPError) -> list[int]:
    """Return the places of those whom another host may take."""
    return [
        place
        for place, each in zip(part.all_places, part.outcomes(outcome), strict=True)
        if _may_differ(each)
    ]


def _may_differ(outcome: RecipientOutcome) -> bool:
    error = outcome.error
    if outcome.delivery is Delivery.REJECTED:
        return error is not None and error.is_transient
    return outcome.delivery is Delivery.NOT_SENT and isinstance(error, _OF_THE_HOST)
