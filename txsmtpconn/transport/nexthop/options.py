"""What a transport to mail exchanges was told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import reference_name
from txsmtpconn.transport.nexthop.hop import NextHop, Road
from txsmtpconn.transport.nexthop.networks import Reach
from txsmtpconn.transport.nexthop.policy import PolicyTable, TLSPolicy, as_policy
from txsmtpconn.transport.nexthop.reporting import TLSReports
from txsmtpconn.transport.nexthop.table import DomainTable


@dataclass(frozen=True, kw_only=True)
class MXOptions:
    """How mail finds its way, and how sure of it we want to be.

    Attributes:
        policies: What TLS is wanted: a `TLSPolicy` or its text, for all; a mapping of domains to
            such, ``"*"`` for all others; or a `PolicyTable`. By default ``"may"``; for a service
            found by SRV, ``"secure"``.
        routes: Domains whose mail does not go to their exchanges -> where it goes, as `NextHop`
            or its text. ``".example.org"`` stands for all domains below it.
        resolver: Answers DNS questions, a `Resolver`; by default the servers of
            ``/etc/resolv.conf`` do. What it calls secure is taken for that.
        dnssec: The address of a validating DNS server on this machine, ``"127.0.0.1"`` or with a
            port ``"127.0.0.1:5353"``: it is asked instead, and its AD bit is believed.
        mta_sts: Where MTA-STS policies come from, `MTASTS`; by default one is made if a policy
            wants it, with the proxy of the connections. One that you bring has its own.
        tls_reports: Where sessions are counted for RFC 8460.
        own_names: Our own names, besides the `name` that we greet with: mail for domains of which
            we are an exchange goes to better exchanges only.
        own_addresses: Our own addresses; the same goes for them.
        allow_networks: Networks that may be connected to although `networks.REFUSED` has them.
        refuse_networks: Networks that must not be connected to, besides those.
        max_destinations: Destinations that are under way at the same time, and pools that are kept.
        max_hosts: Hosts that are tried for a message and destination.

    Raises:
        ConfigError: Something of that is wrong.
    """

    policies: PolicyTable | TLSPolicy | str | Mapping[str, TLSPolicy | str] | None = None
    routes: Mapping[str, NextHop | str] | None = None
    resolver: Any = None
    dnssec: str | None = None
    mta_sts: Any = None
    tls_reports: TLSReports | None = None
    own_names: Iterable[str] = ()
    own_addresses: Iterable[str] = ()
    allow_networks: Iterable[str] = ()
    refuse_networks: Iterable[str] = ()
    max_destinations: int = 100
    max_hosts: int = 5

    def __post_init__(self) -> None:
        for name in ("max_destinations", "max_hosts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"option {name} is a whole number of at least 1, not {value!r}")
        if self.resolver is not None and not callable(getattr(self.resolver, "lookup", None)):
            raise ConfigError("option resolver has no lookup")
        if self.resolver is not None and self.dnssec is not None:
            raise ConfigError("options resolver and dnssec exclude each other")
        if self.mta_sts is not None and not callable(getattr(self.mta_sts, "policy_of", None)):
            raise ConfigError("option mta_sts has no policy_of")
        if self.tls_reports is not None and not isinstance(self.tls_reports, TLSReports):
            raise ConfigError("option tls_reports is TLSReports")

    @property
    def dnssec_server(self) -> tuple[str, int] | None:
        """The address and port of `dnssec`.

        Raises:
            ConfigError: It is none, or is not on this machine.
        """
        if self.dnssec is None:
            return None
        text = str(self.dnssec)
        host, _, port = text.rpartition(":") if _has_port(text) else (text, "", "53")
        try:
            address = ip_address(host.strip("[]"))
            number = int(port)
        except ValueError:
            raise ConfigError(
                f"option dnssec is the IP address of a DNS server, not {text!a}"
            ) from None
        if not address.is_loopback:
            # Whoever is on the way could set the bit (RFC 7672 section 2.1.1).
            raise ConfigError(
                f"option dnssec: {address} is not on this machine; if nobody can tamper with the "
                "way to it, say so: resolver=StubResolver(reactor, address, trusted=True)"
            )
        return str(address), number

    def table(self, fixed: NextHop | None) -> PolicyTable:
        """Return the policies.

        Args:
            fixed: Where all mail goes, if it does.
        """
        given = self.policies
        if isinstance(given, PolicyTable):
            return given
        usual = "secure" if fixed is not None and fixed.road is Road.SRV else "may"
        if given is None:
            return PolicyTable(usual)
        if isinstance(given, Mapping):
            rows = dict(given)
            return PolicyTable(rows.pop("*", usual), rows)
        return PolicyTable(as_policy(given))

    def hops(self, fixed: NextHop | None, port: int) -> DomainTable[NextHop | None]:
        """Return where the mail of each domain goes; None where its own exchanges take it.

        Args:
            fixed: Where the mail of all others goes, if it does.
            port: Where hosts listen for which no port is written.
        """
        given = dict(self.routes or {})
        rows = {domain: _next_hop(hop, port) for domain, hop in given.items()}
        return DomainTable(fixed, rows)

    def reach(self) -> Reach:
        """Return what may be connected to."""
        return Reach(refuse=self.refuse_networks, allow=self.allow_networks, own=self.own_addresses)

    def names(self, name: str | None) -> set[str]:
        """Return our own names.

        Args:
            name: What we greet with.
        """
        given = [self.own_names] if isinstance(self.own_names, str) else list(self.own_names)
        own = {reference_name(each) for each in given}
        if name is not None and not name.startswith("["):
            own.add(reference_name(name))
        return own


def _has_port(text: str) -> bool:
    return "]:" in text or text.count(":") == 1


def _next_hop(given: NextHop | str, port: int) -> NextHop:
    return given if isinstance(given, NextHop) else NextHop.parse(given, port)
