"""What leads from a destination to a connection: hosts, addresses, policies, and carriers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import AuthenticationError
from txsmtpconn.net.streams import MessageSource
from txsmtpconn.outcome import SendResult
from txsmtpconn.transport.nexthop.addresses import AddressBook
from txsmtpconn.transport.nexthop.carriers import Carriers
from txsmtpconn.transport.nexthop.dialing import Dialer, Target
from txsmtpconn.transport.nexthop.exchanges import Exchange, Exchanges
from txsmtpconn.transport.nexthop.hop import NextHop, Road
from txsmtpconn.transport.nexthop.policy import MAY, PolicyTable, TLSPolicy
from txsmtpconn.transport.nexthop.reporting import Failed, Measure, TLSReports
from txsmtpconn.transport.nexthop.security import Judge, fault_of
from txsmtpconn.transport.nexthop.sources import waives_tls
from txsmtpconn.transport.nexthop.table import DomainTable
from txsmtpconn.transport.opening import Open, opened_by
from txsmtpconn.transport.prepared import PreparedMessage


@dataclass(frozen=True, slots=True)
class Route:
    """Where a part of a message goes.

    Attributes:
        hop: The destination.
        exchanges: Its hosts, best first; at least one.
        policy: What TLS is wanted there.
        requiretls: Whether the message demands more (RFC 8689).
    """

    hop: NextHop
    exchanges: Sequence[Exchange]
    policy: TLSPolicy
    requiretls: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    """Where addresses are looked up.

    Attributes:
        by_dns: For hosts that DNS has named, and wherever DNSSEC matters.
        by_system: For hosts that the configuration has named: ``/etc/hosts`` counts.
    """

    by_dns: AddressBook
    by_system: AddressBook


class Routing:
    """Knows the way.

    Args:
        reactor: The reactor.
        options: What each connection is told, but for the host and its TLS.
        hops: Where the mail of a domain goes; None where its own exchanges take it.
        policies: What TLS is wanted where.
        exchanges: Finds hosts.
        books: Find addresses.
        judge: Makes demands of policies.
        carriers: Carry.
        reports: Where TLS is counted; None where it is not.
    """

    log = Logger(namespace="txsmtpconn.transport")

    def __init__(
        self,
        reactor: Any,
        options: ConnectionOptions,
        *,
        hops: DomainTable[NextHop | None],
        policies: PolicyTable,
        exchanges: Exchanges,
        books: Books,
        judge: Judge,
        carriers: Carriers,
        reports: TLSReports | None,
    ) -> None:
        self._options = options
        self._hops = hops
        self._policies = policies
        self._exchanges = exchanges
        self._books = books
        self._judge = judge
        self._carriers = carriers
        self._reports = reports
        self._dialer = Dialer(reactor, options)

    def next_hop(self, domain: str) -> NextHop:
        """Return where a recipient's domain leads.

        Raises:
            ConfigError: It is an address literal of no kind that we know.
        """
        own = NextHop.of(domain, self._options.port or 0)
        return self._hops[own.name] or own

    async def route(self, hop: NextHop) -> Route:
        """Find the hosts of a destination, and what is demanded of them.

        Raises:
            SMTPError: There is no host.
        """
        return Route(hop, await self._exchanges.find(hop), self._policies[hop.name])

    async def route_for(
        self, hop: NextHop, envelope: Envelope, source: MessageSource | PreparedMessage
    ) -> Route:
        """Do the same for a message, which may demand more, or less (RFC 8689).

        Raises:
            SMTPError: There is no host.
        """
        route = await self.route(hop)
        if envelope.requiretls:
            # RFC 8689 sections 4.2.1 and 5: a report goes as it can, and is not waived either.
            return replace(route, requiretls=bool(envelope.mail_from))
        if route.policy.level.is_the_recipients and await waives_tls(source):
            return replace(route, policy=MAY)
        return route

    async def send(
        self,
        route: Route,
        exchange: Exchange,
        envelope: Envelope,
        source: MessageSource | PreparedMessage,
    ) -> SendResult:
        """Send a message to one host.

        Raises:
            SMTPError: There was no connection as is demanded, or nobody's mail was accepted.
        """
        target, opener = await self._way(route, exchange)
        return await self._carriers.send(target, opener, envelope, source)

    async def open(self, route: Route, exchange: Exchange) -> Any:
        """Open a connection to one host, as `send` would.

        Raises:
            SMTPError: There is none as is demanded.
        """
        _, opener = await self._way(route, exchange)
        return await opener()()

    async def _way(self, route: Route, exchange: Exchange) -> tuple[Target, Any]:
        hop, policy = route.hop, route.policy
        named = hop.road is Road.HOST and not policy.level.uses_dane
        book = self._books.by_system if named else self._books.by_dns
        addresses = await book.find(exchange.host)
        demand = await self._judge.demand(policy, hop, exchange, addresses)
        report = partial(self._report, hop.name)
        if demand.refusal is not None:
            error = demand.refusal
            report(demand.measures, Failed(fault_of(error), exchange.host, reason=error.message))
            raise error
        if route.requiretls:
            demand = await self._judge.strengthened(demand, hop, exchange)
        login = self._options.auth is not None
        if login and demand.check is None and not self._options.allow_insecure_auth:
            text = f"a password is not for {exchange.host}, which policy {policy} lets be anybody"
            raise AuthenticationError(text, command="API")
        target = Target(exchange, demand, "" if self._reports is None else hop.name)

        def opener() -> Open:
            connect = self._dialer.connector(target, book, report)
            return opened_by(connect, login=login)

        return target, opener

    def _report(self, domain: str, measures: Sequence[Measure], failure: Failed | None) -> None:
        if self._reports is None:
            return
        for measure in measures:
            wrong = measure.flaw or failure
            if wrong is None:
                self._reports.succeeded(domain, measure.policy)
            else:
                self._reports.failed(domain, measure.policy, wrong)

    def close(self, timeout: float | None) -> Deferred[None]:
        """Leave all connections."""
        return self._carriers.close(timeout)

    def blame(self, failure: Failure) -> None:
        """Report an error of ours: nobody else sees what happens in here."""
        self.log.failure("on the way to a next hop", failure=failure)
