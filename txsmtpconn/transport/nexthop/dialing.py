"""Opening a connection to a host: its addresses in turn, and the TLS that is demanded of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txsmtpconn.client.connecting import connect_with
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.errors import DeadlineError, DNSError, SMTPError, TLSError
from txsmtpconn.net.identity import Observed
from txsmtpconn.transport.nexthop.addresses import AddressBook
from txsmtpconn.transport.nexthop.exchanges import Exchange
from txsmtpconn.transport.nexthop.reporting import Failed, Measure
from txsmtpconn.transport.nexthop.security import Demand, Encryption, fault_of
from txsmtpconn.transport.opening import Connect

#: Told of each session: what it is measured by, and what was wrong; None where nothing was.
Report = Callable[[Sequence[Measure], Failed | None], None]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a connection goes and what it must be: equal ones share their connections.

    Attributes:
        exchange: The host.
        demand: What is demanded of it.
        domain: For whose mail, where that is reported; else the mail of several may share them.
    """

    exchange: Exchange
    demand: Demand
    domain: str = ""


class Dialer:
    """Makes connections.

    Args:
        reactor: The reactor.
        options: What each connection is told, but for the host and its TLS.
    """

    def __init__(self, reactor: Any, options: ConnectionOptions) -> None:
        self._reactor = reactor
        self._options = options
        self._own_name = (options.name or "").lower()

    def connector(self, target: Target, book: AddressBook, report: Report) -> Connect:
        """Return what connects to a host, up to the point where a login is possible."""
        return lambda: Deferred.fromCoroutine(self._connect(target, book, report))

    async def _connect(self, target: Target, book: AddressBook, report: Report) -> SMTPConnection:
        """Try the host's addresses until one is good for mail."""
        last: SMTPError | None = None
        for address in (await book.find(target.exchange.host)).found:
            try:
                connection = await _Attempt(
                    self._reactor, self._options, target, address, report
                ).made()
            except CancelledError:
                raise
            except SMTPError as error:
                last = error
                continue
            greeted_by = connection.extensions.domain.lower()
            if "." not in greeted_by or greeted_by != self._own_name:
                return connection
            # We have come back to ourselves, by whatever name (RFC 5321 section 6.3).
            connection.close()
            text = f"{target.exchange.host} calls itself by our own name"
            last = DNSError(text, command="CONN", status="5.4.6")
        assert last is not None
        raise last


class _Attempt:
    """One address, and the sessions that are tried with it: under TLS, and perhaps in clear."""

    def __init__(
        self,
        reactor: Any,
        options: ConnectionOptions,
        target: Target,
        address: str,
        report: Report,
    ) -> None:
        self._reactor = reactor
        self._options = options
        self._target = target
        self._address = address
        self._report = report
        self._observed: TLSError | None = None

    async def made(self) -> SMTPConnection:
        """Return a connection that is as it must be."""
        demand = self._target.demand
        if demand.encryption is Encryption.NEVER:
            return await self._session(ignore_tls=True)
        try:
            if demand.encryption is Encryption.ALWAYS or self._target.exchange.implicit_tls:
                connection = await self._session(require_tls=True)
            else:
                connection = await self._session(opportunistic_tls=True)
        except CancelledError:
            raise
        except SMTPError as error:
            if _is_of_tls(error):
                self._tell(error)
                if demand.encryption is Encryption.OPPORTUNISTIC and self._may_go_in_clear:
                    return await self._session(ignore_tls=True)
            raise
        self._tell(self._observed, connection)
        return connection

    @property
    def _may_go_in_clear(self) -> bool:
        """Never with a password; and TLS from the first octet has no clear to fall back to."""
        return self._options.auth is None and not self._target.exchange.implicit_tls

    async def _session(self, **security: Any) -> SMTPConnection:
        exchange, demand = self._target.exchange, self._target.demand
        tls = self._options.tls
        assert tls is not None
        check: Any = demand.check or False
        if demand.observed is not None:
            self._observed = None
            check = Observed(demand.observed, self._note)
        if exchange.implicit_tls:
            security = {"secure": True}
        options = replace(
            self._options,
            host=self._address,
            port=exchange.port,
            servername=demand.base_name or exchange.host,
            tls=tls.checked_by(check),
            **security,
        )
        return await connect_with(self._reactor, options)

    def _note(self, error: TLSError) -> None:
        self._observed = error

    def _tell(self, error: SMTPError | None, connection: SMTPConnection | None = None) -> None:
        """Count the session (RFC 8460 section 4)."""
        measures = self._target.demand.measures
        kind = "" if error is None else fault_of(error)
        if connection is not None and not connection.secure:
            kind = "starttls-not-supported"
        if not kind:
            self._report(measures, None)
            return
        own_address, helo = "", ""
        if connection is not None:
            helo = connection.extensions.domain
            transport: Any = connection.transport
            own_address = str(getattr(transport.getHost(), "host", ""))
        failure = Failed(
            kind,
            self._target.exchange.host,
            self._address,
            own_address,
            helo,
            "" if error is None else error.message,
        )
        self._report(measures, failure)


def _is_of_tls(error: SMTPError) -> bool:
    """Tell whether TLS is what failed, and not the network or the server."""
    return isinstance(error, TLSError) or (
        isinstance(error, DeadlineError) and error.command == "STARTTLS"
    )
