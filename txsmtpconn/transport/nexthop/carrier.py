"""The carrier of a transport to mail exchanges, put together from what it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from twisted.internet.defer import Deferred, fail

from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.options import ConnectionOptions, make_options
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConfigError
from txsmtpconn.outcome import SendResult
from txsmtpconn.transport.nexthop.addresses import AddressBook
from txsmtpconn.transport.nexthop.cache import CachingResolver
from txsmtpconn.transport.nexthop.carriers import Carriers
from txsmtpconn.transport.nexthop.courier import Courier
from txsmtpconn.transport.nexthop.exchanges import Exchanges
from txsmtpconn.transport.nexthop.hop import SMTP_PORT, NextHop
from txsmtpconn.transport.nexthop.mtasts import MTASTS
from txsmtpconn.transport.nexthop.options import MXOptions
from txsmtpconn.transport.nexthop.routing import Books, Routing
from txsmtpconn.transport.nexthop.security import Judge
from txsmtpconn.transport.nexthop.stub import StubResolver
from txsmtpconn.transport.nexthop.system import SystemResolver
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.settings import pool_options

_OWN = frozenset(field.name for field in fields(MXOptions))

#: Options of a connection that the next hop and its policy decide.
_DECIDED = (
    "host",
    "secure",
    "ignore_tls",
    "require_tls",
    "opportunistic_tls",
    "servername",
    "lmtp",
    "path",
    "endpoint",
    "transport",
)

#: Seconds for one address: there are others.
_CONNECTION_TIMEOUT = 30.0

#: A host that does not answer has others beside it: what it was to have need not wait for it.
_POOL = PoolOptions(max_requeues=1)


def mx_carrier(
    reactor: Any,
    next_hop: NextHop | str | None,
    pool: PoolOptions | bool | None,
    options: Mapping[str, Any],
) -> MXCarrier:
    """Return the carrier.

    Args:
        reactor: The reactor.
        next_hop: Where all mail goes; None for the exchanges of the recipients' domains.
        pool: What each pool is told; True for the usual.
        options: Those of `MXOptions` and of `ConnectionOptions`, by name.

    Raises:
        ConfigError: Something of that is wrong.
    """
    own = MXOptions(**{name: value for name, value in options.items() if name in _OWN})
    others = {name: value for name, value in options.items() if name not in _OWN}
    for name in _DECIDED:
        if others.get(name) is not None:
            raise ConfigError(f"option {name}: the next hop and its TLS policy decide that")
    others.setdefault("port", SMTP_PORT)
    others.setdefault("connection_timeout", _CONNECTION_TIMEOUT)
    connection = make_options(None, others)
    hop = next_hop
    if isinstance(hop, str):
        hop = NextHop.parse(hop, connection.port or SMTP_PORT)
    if connection.auth is not None and hop is None:
        raise ConfigError("option auth: a password is for one destination; name it as the next hop")
    known = own.mta_sts
    if connection.proxy is not None and isinstance(known, MTASTS) and known.proxy is None:
        raise ConfigError("option mta_sts: it fetches policies past the proxy; give it the proxy")
    return MXCarrier(reactor, hop, pool_options(pool, _POOL), connection, own)


class MXCarrier:
    """Carries mail to the exchanges of domains.

    Args:
        reactor: The reactor.
        hop: Where all mail goes, if it does.
        pool: What each pool is told; None for no pools.
        connection: What each connection is told.
        options: The rest.

    Attributes:
        options: What each connection is told, but for host and TLS.
        pool: None: each host has its own, see `pools`.
    """

    pool = None

    def __init__(
        self,
        reactor: Any,
        hop: NextHop | None,
        pool: PoolOptions | None,
        connection: ConnectionOptions,
        options: MXOptions,
    ) -> None:
        self.options = connection
        self._hop = hop
        self._policies = policies = options.table(hop)
        self._resolver = CachingResolver(_resolver(reactor, options), reactor)
        self._carriers = Carriers(reactor, pool, options.max_destinations)
        reach = options.reach()
        levels = {policy.level for policy in policies.values()}
        if any(level.uses_dane for level in levels) and not _may_be_secure(options):
            raise ConfigError("DANE needs a validating DNS server: see option dnssec")
        self._mta_sts: MTASTS | None = None
        if options.mta_sts is None and any(level.uses_mta_sts for level in levels):
            self._mta_sts = MTASTS(
                reactor,
                resolver=self._resolver,
                tls_reports=options.tls_reports,
                allow_networks=options.allow_networks,
                refuse_networks=options.refuse_networks,
                proxy=connection.proxy,
            )
        seconds = connection.dns_timeout
        assert seconds is not None
        self._routing = Routing(
            reactor,
            connection,
            hops=options.hops(hop, connection.port or SMTP_PORT),
            policies=policies,
            exchanges=Exchanges(self._resolver, options.names(connection.name)),
            books=Books(
                by_dns=AddressBook(self._resolver, reach),
                by_system=AddressBook(SystemResolver(reactor, seconds), reach),
            ),
            judge=Judge(self._resolver, options.mta_sts or self._mta_sts),
            carriers=self._carriers,
            reports=options.tls_reports,
        )
        self._courier = Courier(
            self._routing, reactor, parallel=options.max_destinations, hosts=options.max_hosts
        )

    def __str__(self) -> str:
        return "mail exchanges" if self._hop is None else str(self._hop)

    def send(
        self, envelope: Envelope, message: object, auth: Credentials | None
    ) -> Deferred[SendResult]:
        """Send a message to the destinations of its recipients."""
        if auth is not None:
            text = "credentials of its own are for a message to one server"
            return fail(ConfigError(text, command="API"))
        return self._courier.send(envelope, message)

    async def verify(self) -> bool:
        """Try the way to the next hop, if there is one for all mail."""
        if self._hop is None:
            raise ConfigError("there is no one server to verify", command="API")
        return await self._courier.verify(self._hop)

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Send what there is, and leave."""
        return self._courier.close(timeout).addCallback(self._closed)

    def _closed(self, _: None) -> None:
        if self._mta_sts is not None:
            self._mta_sts.close()
        self._resolver.close()


def _resolver(reactor: Any, options: MXOptions) -> Any:
    if options.resolver is not None:
        return options.resolver
    server = options.dnssec_server
    if server is not None:
        return StubResolver(reactor, [server], trusted=True)
    return StubResolver(reactor)


def _may_be_secure(options: MXOptions) -> bool:
    """Tell whether any answer can be one that was validated."""
    return options.dnssec is not None or bool(getattr(options.resolver, "trusted", False))
