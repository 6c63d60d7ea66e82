"""The relay's front door: who may come in, and a message's way into the spool.

The client hears 250 when the spool has said that the message is on stable storage, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import printable
from txsmtpconn.relay.access import Access
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.counters import Counters
from txsmtpconn.relay.envelopes import to_spool
from txsmtpconn.relay.spool import Incoming, ISpool, SpoolError, SpoolFullError
from txsmtpconn.relay.trace import HopCounter, Reception, received_field
from txsmtpconn.server import Session, SMTPRejection
from txsmtpconn.wire.parameters import MailParameters, RcptParameters
from txsmtpconn.wire.reply import Reply


def _no_space() -> SMTPRejection:
    return SMTPRejection(452, "4.3.1", "Insufficient system storage, try again later")


def _no_spool() -> SMTPRejection:
    return SMTPRejection(451, "4.3.0", "The message cannot be stored, try again later")


def _rejection_of(reason: BaseException | None) -> SMTPRejection:
    return _no_space() if isinstance(reason, SpoolFullError) else _no_spool()


class FrontDoor:
    """The hooks of the relay's servers.

    Args:
        spool: Where messages go.
        options: The relay's.
        name: Our own, for trace fields.
        clock: The reactor.
        counters: Where to count.
        ready: Gives a Deferred that fires when the spool has started: clients are greeted then.
        accepted: Called after each message that was taken.
        on_auth: Checks credentials; None offers no AUTH.
        now: Seconds since 1970, for trace fields.
    """

    log = Logger(namespace="txsmtpconn.relay.front")

    def __init__(
        self,
        spool: ISpool,
        options: RelayOptions,
        name: str,
        clock: IReactorTime,
        counters: Counters,
        *,
        ready: Callable[[], Deferred[None] | None],
        accepted: Callable[[], None],
        on_auth: Callable[..., Any] | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        self.spool = spool
        self.options = options
        self.clock = clock
        self.counters = counters
        self.accepted = accepted
        self.on_auth = on_auth
        self._name = name
        self._access = Access(options.parsed_networks)
        self._ready = ready
        self._now = now

    def on_connect(self, session: Session) -> Deferred[None] | None:
        """Greet nobody before there is a spool to put mail into."""
        del session
        return self._ready()

    def on_mail_from(self, session: Session, address: str, parameters: MailParameters) -> None:
        """Refuse what the disk has no room for, before it is sent.

        Raises:
            SMTPRejection: 452, or 451 where nobody can tell.
        """
        del session, address
        try:
            capacity = self.spool.capacity()
        except OSError as error:
            self.log.error("the spool cannot be looked at: {reason}", reason=str(error))
            raise _no_spool() from error
        if not capacity.admits(parameters.size or 0):
            self.log.warn("no room for mail: {free} octets are free", free=capacity.free)
            self.counters.refused += 1
            raise _no_space()

    def on_rcpt_to(self, session: Session, address: str, parameters: RcptParameters) -> None:
        """Refuse strangers.

        Raises:
            SMTPRejection: 550.
        """
        del parameters
        admitted = self._access.admits(
            session.remote_address,
            unix=isinstance(session.peer, UNIXAddress),
            authenticated=session.identity is not None,
        )
        if not admitted:
            self.counters.refused += 1
            self.log.warn(
                "{session}: {peer} may not relay to <{recipient}>",
                session=session.id,
                peer=session.remote_address,
                recipient=printable(address),
            )
            raise SMTPRejection(550, "5.7.1", "Relay access denied")

    def on_data(self, session: Session, envelope: Envelope) -> Spooling:
        """Begin to take a message."""
        unix = isinstance(session.peer, UNIXAddress)
        peer = "unix socket" if unix else session.remote_address
        client = peer if session.identity is None else f"{session.identity} at {peer}"
        incoming = self.spool.open(to_spool(envelope, client))
        only = envelope.recipients[0].address if len(envelope.recipients) == 1 else None
        reception = Reception(session.hello_name, peer, self._name, session.protocol)
        field = received_field(reception, incoming.id, self._now(), only)
        return Spooling(self, incoming, envelope, field, client)


class Spooling:
    """One message's way into the spool: a `server.MessageSink`.

    Args:
        door: The front door.
        incoming: The message in the spool.
        envelope: Its envelope.
        field: The trace field that goes in front.
        client: Who brings it, for the log.
    """

    def __init__(
        self, door: FrontDoor, incoming: Incoming, envelope: Envelope, field: bytes, client: str
    ) -> None:
        self._door = door
        self._incoming = incoming
        self._envelope = envelope
        self._client = client
        self._hops = HopCounter()
        self._producer: IPushProducer | None = None
        self._failure: BaseException | None = None
        incoming.write(field)

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Take note of whom to pause when the disk is slow."""
        assert streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self._producer = None

    def write(self, data: bytes) -> None:
        """Take a piece of mail data.

        Raises:
            SMTPRejection: The message is in a loop.
        """
        self._hops.feed(data)
        if self._hops.hops > self._door.options.hop_limit:
            self._door.counters.refused += 1
            raise SMTPRejection(554, "5.4.6", "Too many hops: the message is in a loop")
        waiting = self._incoming.write(data)
        if waiting is not None:
            if self._producer is not None and not waiting.called:
                self._producer.pauseProducing()
            waiting.addCallbacks(self._stored, self._not_stored)

    def _stored(self, _: None) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def _not_stored(self, failure: Failure) -> None:
        self._failure = failure.value
        if self._producer is not None:
            # The rest is swallowed; `finish` says why.
            self._producer.resumeProducing()

    def finish(self) -> Deferred[Reply]:
        """Commit the message; fires with the reply once it is on stable storage."""
        return Deferred.fromCoroutine(self._finish())

    async def _finish(self) -> Reply:
        door, incoming = self._door, self._incoming
        if self._failure is not None:
            incoming.abort()
            raise self._refused(self._failure)
        began = door.clock.seconds()
        try:
            queue_id = await incoming.commit()
        except SpoolError as error:
            raise self._refused(error) from error
        took = door.clock.seconds() - began
        if took > door.options.spooling_limit and await self._taken_back(queue_id, took):
            raise SMTPRejection(451, "4.3.0", "The message was stored too late, try again")
        door.counters.accepted += 1
        door.log.info(
            "{message}: from <{sender}> for {recipients} recipients, by {client}",
            message=queue_id,
            sender=printable(self._envelope.mail_from),
            recipients=len(self._envelope.recipients),
            client=printable(self._client),
        )
        door.accepted()
        return Reply.of(250, f"2.0.0 Ok: queued as {queue_id}")

    def _refused(self, reason: BaseException) -> SMTPRejection:
        self._door.counters.refused += 1
        self._door.log.error("a message cannot be stored: {reason}", reason=str(reason))
        return _rejection_of(reason)

    async def _taken_back(self, queue_id: str, took: float) -> bool:
        """Drop a message whose client has surely given up, unless it is on its way already.

        To deliver it now and again when the client comes back would be a duplicate.
        """
        detail = f"stored after {took:.0f} seconds, when its client had given up"
        try:
            removed = await self._door.spool.remove(queue_id, detail)
        except SpoolError:
            return False
        if removed < len(self._envelope.recipients):
            return False
        self._door.counters.overdue += 1
        self._door.log.warn("{message}: {detail}", message=queue_id, detail=detail)
        return True

    def abort(self, reason: Exception) -> None:
        """Forget the message."""
        self._door.counters.aborted += 1
        self._door.log.info("a message was given up: {reason}", reason=str(reason))
        self._incoming.abort()
