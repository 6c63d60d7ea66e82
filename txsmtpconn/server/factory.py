"""The factory that endpoints listen with: it admits clients, counts them, and shows them out."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ServerFactory

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.server_tls import ServerTLS
from txsmtpconn.net.transcript import logger_for
from txsmtpconn.server.conversation import consents
from txsmtpconn.server.guessing import Guessing
from txsmtpconn.server.hooks import Hooks
from txsmtpconn.server.options import ServerOptions
from txsmtpconn.server.outlet import Outbox
from txsmtpconn.server.protocol import SMTPServerProtocol
from txsmtpconn.server.proxied import ProxyDoor
from txsmtpconn.server.room import Room, guarded
from txsmtpconn.session.server import replies
from txsmtpconn.wire.reply import Reply


class SMTPServerFactory(ServerFactory):
    """Serves SMTP, message submission or LMTP on any stream endpoint.

    For example::

        factory = SMTPServerFactory(reactor, MyHooks(), ServerOptions(max_size=10_000_000))
        await TCP4ServerEndpoint(reactor, 2525).listen(factory)

    Args:
        reactor: Where the time comes from.
        hooks: Any object with some of the methods that `server.hooks` lists; None has none.
        options: The defaults if None.

    Raises:
        ConfigError: `auth_required`, or a mechanism that was asked for, without a hook to judge.
    """

    noisy = False
    protocol = SMTPServerProtocol  # type: ignore[assignment]

    def __init__(
        self, reactor: IReactorTime, hooks: object = None, options: ServerOptions | None = None
    ) -> None:
        self.clock = reactor
        self.options = ServerOptions() if options is None else options
        self.hooks = Hooks.of(hooks)
        if self.options.room_in is not None:
            room = Room(self.options.room_in, self.options.room_reserve)
            self.hooks = guarded(self.hooks, room)
        self.consents = consents(self.hooks)
        rules = self.options.rules(
            can_authenticate=self.hooks.on_auth is not None,
            knows_secrets=self.hooks.on_auth_secret is not None,
        )
        self.rules = replace(rules, epoch=time.time() - reactor.seconds())
        self.policy = self.options.policy(self.rules)
        self.guessing = Guessing(
            self.clock,
            delay=self.options.auth_delay,
            longest=self.options.auth_delay_most,
            most=self.options.max_auth_failures_per_address,
            memory=self.options.auth_failures_kept,
        )
        self.logger = logger_for(self.options.logger)
        self.outbox = Outbox(reactor)
        self.draining = False
        self._protocols: set[SMTPServerProtocol] = set()
        self._doors: set[ProxyDoor] = set()
        self._served = 0  # of these; the others are being shown out
        self._per_address: Counter[str] = Counter()
        self._drained: list[Deferred[None]] = []
        self._hard_stop: IDelayedCall | None = None

    @property
    def connections(self) -> int:
        """How many clients are connected, those among them that have not said who they are."""
        return len(self._protocols) + len(self._doors)

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> SMTPServerProtocol | ProxyDoor | None:
        """Make the protocol of one connection: of a client, or of a load balancer's."""
        if addr in self.options.proxy_networks:
            return None if self.draining or self._overcrowded else ProxyDoor(self)
        return self.protocol_for(addr)

    def protocol_for(
        self, peer: IAddress | None, host: IAddress | None = None
    ) -> SMTPServerProtocol | None:
        """Make the protocol of one client, which may be one that shows it out.

        Args:
            peer: The client's address.
            host: The address that it came to, where that is not the connection's: then neither
                is the client's.

        Returns:
            None for a client that gets no answer at all.
        """
        refusal = self._refusal(peer)
        if refusal is not None and (self._overcrowded or self.options.implicit_tls):
            # To say so takes a connection for as long as the client does not close it; and there
            # is no way to say so before a handshake, which would cost more than serving.
            return None
        protocol = self.make_protocol(refusal)
        if host is not None:
            protocol.addresses = (peer, host)
        return protocol

    def make_protocol(self, turned_away: Reply | None) -> SMTPServerProtocol:
        """Make a protocol: one that serves, or one that only says why it does not."""
        return SMTPServerProtocol(self, turned_away)

    @property
    def _overcrowded(self) -> bool:
        most = self.options.max_clients
        return most is not None and self.connections >= 2 * most

    def _refusal(self, addr: IAddress | None) -> Reply | None:
        options = self.options
        if self.draining:
            return replies.SHUTTING_DOWN
        if options.max_clients is not None and self._served >= options.max_clients:
            return replies.TOO_MANY_CLIENTS
        return self._crowd(_host(addr))

    def _crowd(self, host: str) -> Reply | None:
        most = self.options.max_clients_per_address
        if most is not None and host and self._per_address[host] >= most:
            return replies.TOO_MANY_FROM_ADDRESS
        return None

    def client_introduced(self, before: IAddress, now: IAddress) -> Reply | None:
        """Count a client as another from now on: a trusted one speaks for it (XCLIENT).

        It has a place among all clients already.

        Returns:
            The reply that refuses it, if there are too many of it.
        """
        self._count(_host(before), -1)
        refusal = self._crowd(_host(now))
        self._count(_host(now), 1)
        return refusal

    def _count(self, host: str, clients: int) -> None:
        self._per_address[host] += clients
        if self._per_address[host] <= 0:
            del self._per_address[host]

    def connection_opened(self, protocol: SMTPServerProtocol) -> None:
        """Count a client in.

        One that is shown out takes no other's place, however slow it is to leave.
        """
        self._protocols.add(protocol)
        if protocol.is_served:
            self._served += 1
            self._count(_host(protocol.session.peer), 1)

    def connection_closed(self, protocol: SMTPServerProtocol) -> None:
        """Count a client out."""
        self._protocols.discard(protocol)
        if protocol.is_served:
            self._served -= 1
            self._count(_host(protocol.session.peer), -1)
        self._see_if_drained()

    def door_opened(self, door: ProxyDoor) -> None:
        """Count a connection in that has not said yet whose it is."""
        self._doors.add(door)

    def door_closed(self, door: ProxyDoor) -> None:
        """Count it out."""
        self._doors.discard(door)
        self._see_if_drained()

    def reload_certificates(self) -> None:
        """Read the files of the certificates again; connections that are up keep theirs.

        A change of the files is noticed without that, at the next handshake. This is for telling
        somebody that they cannot be used.

        Raises:
            ConfigError: One cannot be used; all stay what they were. Or the certificates are not
                from files of `ServerOptions`.
        """
        if not isinstance(self.options.tls, ServerTLS):
            raise ConfigError("there are no certificate files to read again")
        self.options.tls.reload()

    def drain(self, timeout: float = 30.0) -> Deferred[None]:
        """Stop serving: finish messages under way, tell everybody else 421, then close.

        Stop listening first. New clients are turned away from now on.

        Args:
            timeout: Seconds after which connections are aborted, with whatever they are doing.

        Returns:
            Fires when no client is left.
        """
        self.draining = True
        if not self.connections:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        if self._hard_stop is None:
            self._hard_stop = self.clock.callLater(timeout, self._abort_all)
        for door in list(self._doors):
            door.abort()
        for protocol in list(self._protocols):
            protocol.shut_down()
        return drained

    def _abort_all(self) -> None:
        self._hard_stop = None
        for protocol in list(self._protocols):
            protocol.abort()

    def _see_if_drained(self) -> None:
        if not self.draining or self.connections:
            return
        if self._hard_stop is not None:
            self._hard_stop.cancel()
            self._hard_stop = None
        waiting, self._drained = self._drained, []
        for drained in waiting:
            drained.callback(None)


def _host(address: Any) -> str:
    return str(getattr(address, "host", None) or "")
