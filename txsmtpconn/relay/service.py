"""The relay as a Twisted service: what it is made of, and the order of its start and its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.counters import Counters
from txsmtpconn.relay.delivery import Courier, Dispatcher
from txsmtpconn.relay.failpoint import VARIABLE, with_failpoint
from txsmtpconn.relay.front import FrontDoor
from txsmtpconn.relay.spool import ISpool, Recovery
from txsmtpconn.relay.sqlite import SQLiteSpool
from txsmtpconn.relay.upkeep import Upkeep
from txsmtpconn.relay.upstream import make_courier
from txsmtpconn.relay.users import Users
from txsmtpconn.server import ServerOptions, SMTPServerFactory
from txsmtpconn.server.listening import ListeningService

#: Seconds beyond its time after which a step of the relay's end is not waited for any more.
_OVERDUE = 5.0


def make_relay(
    reactor: Any, options: RelayOptions, *, give_up: Callable[[], None] | None = None
) -> RelayService:
    """Return a relay with an SQLite spool and one next hop; the arguments are `RelayService`'s.

    Raises:
        ConfigError: An option is wrong.
    """
    spool: ISpool = SQLiteSpool(options.spool, reactor, reserve=options.reserve)
    failpoint = os.environ.get(VARIABLE)
    if failpoint:
        spool = with_failpoint(spool, failpoint)
    courier = make_courier(reactor, options)
    return RelayService(reactor, options, spool, courier, give_up=give_up)


class RelayService(MultiService):
    """Takes mail, keeps it, delivers it.

    It listens as soon as it may, and greets once the spool has started. It stops from the front to
    the back: no new clients, sessions (421), deliveries, connections, spool; so that whatever was
    acknowledged is delivered or still in the spool, and what is under way can come to its end.

    Args:
        reactor: The reactor.
        options: The relay's.
        spool: Not started.
        courier: Carries messages to the next hop.
        give_up: Called where the start fails when the process is up already; by default it stops
            the reactor.

    Attributes:
        counters: What it has done.
        dispatcher: The delivering half.

    Raises:
        ConfigError: An option is wrong, or a file that it names cannot be read.
    """

    log = Logger(namespace="txsmtpconn.relay")

    def __init__(
        self,
        reactor: Any,
        options: RelayOptions,
        spool: ISpool,
        courier: Courier,
        *,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counters = Counters()
        self._reactor = reactor
        self._options = options
        self._spool = spool
        self._courier = courier
        self._give_up: Callable[[], None] = reactor.stop if give_up is None else give_up
        self._started = False
        self._greetings: list[Deferred[None]] = []
        self.dispatcher = Dispatcher(spool, courier, options, reactor, self.counters)
        self._upkeep = Upkeep(spool, self.dispatcher, options, reactor, self.counters)
        self._listeners = [
            self._listener(lmtp, endpoints)
            for lmtp, endpoints in ((False, options.listen), (True, options.listen_lmtp))
            if endpoints
        ]

    def _listener(self, lmtp: bool, endpoints: tuple[str, ...]) -> ListeningService:
        options = self._options
        users = options.auth_users
        server = ServerOptions(
            name=options.name,
            lmtp=lmtp,
            max_size=options.max_size,
            max_recipients=options.max_recipients,
            max_clients=options.max_clients,
            # One host must not keep all others out, where there are others.
            max_clients_per_address=max(1, options.max_clients // (2 if options.public else 1)),
            tls_cert_file=options.certificate,
            tls_key_file=options.private_key,
            # Without a certificate we listen on this host only: RelayOptions has seen to it.
            allow_insecure_auth=options.certificate is None,
            promises=("REQUIRETLS",),
            proxy_networks=options.proxy_networks,
            xclient_networks=options.xclient_networks,
        )
        door = FrontDoor(
            self._spool,
            options,
            server.name,
            self._reactor,
            self.counters,
            ready=self._ready,
            accepted=self.dispatcher.wake,
            on_auth=None if users is None else Users.read(users, self._reactor),
        )
        listener = ListeningService(
            self._reactor,
            SMTPServerFactory(self._reactor, door, server),
            endpoints,
            farewell=options.drain,
            reloads=True,
        )
        listener.setServiceParent(self)  # type: ignore[no-untyped-call]
        return listener

    @property
    def spool(self) -> ISpool:
        """The spool, for inspection."""
        return self._spool

    @property
    def listeners(self) -> list[ListeningService]:
        """What it listens with."""
        return self._listeners

    def _ready(self) -> Deferred[None] | None:
        if self._started:
            return None
        waiting: Deferred[None] = Deferred()
        self._greetings.append(waiting)
        return waiting

    def startService(self) -> None:
        """Start the spool, and with it all else.

        Raises:
            SpoolError: The spool is held by another process, or is none of ours.
        """
        failures: list[Failure] = []
        at_once = True

        def failed(failure: Failure) -> None:
            if at_once:
                failures.append(failure)
            else:
                self._cannot_begin(failure)

        self._spool.start(self._options.in_doubt).addCallback(self._begin).addErrback(failed)
        at_once = False
        if failures:
            failures[0].raiseException()
        super().startService()  # type: ignore[no-untyped-call]

    def _begin(self, recovery: Recovery) -> None:
        self._started = True
        self._upkeep.recovered(recovery)
        self.dispatcher.start()
        self._upkeep.start()
        greetings, self._greetings = self._greetings, []
        for waiting in greetings:
            if not waiting.called:
                waiting.callback(None)

    def _cannot_begin(self, failure: Failure) -> None:
        self.log.critical("the relay cannot start: {reason}", reason=failure.getErrorMessage())
        self._give_up()

    def stopService(self) -> Deferred[None]:
        """Stop from the front to the back."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        drain = self._options.drain
        self._upkeep.stop()
        for each in [self._finished(listener.stopService, drain) for listener in self._listeners]:
            await each
        await self._finished(self.dispatcher.stop, drain, drain)
        farewell = min(drain, 5.0)
        await self._finished(self._courier.close, farewell, farewell)
        await self._spool.stop()
        self.log.info("the relay has stopped: {counters}", counters=self.counters.snapshot())

    def _finished(
        self, step: Callable[..., Deferred[Any]], seconds: float, *arguments: Any
    ) -> Deferred[Any]:
        """Take a step of the end; fires when it is done, has failed, or is overdue.

        What is still under way then is in the spool, and comes up again at the next start. So a
        fault of ours in one part costs no more than that, where it could keep a relay from ending.
        """

        def failed(failure: Failure) -> None:
            self.log.failure("at the end of the relay", failure=failure)

        ended = maybeDeferred(step, *arguments)
        return ended.addTimeout(seconds + _OVERDUE, self._reactor).addErrback(failed)
