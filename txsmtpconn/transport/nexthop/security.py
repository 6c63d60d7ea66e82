"""From the policy of a destination to what is demanded of one of its hosts.

A demand is all that a connection needs to know, and connections with equal demands may be shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol, cast

from twisted.internet.defer import Deferred

from txsmtpconn.errors import DNSError, RequireTLSError, SMTPError, TLSError
from txsmtpconn.net.identity import FAILED, Fingerprint, NamedByAuthority, refusal
from txsmtpconn.net.tls import PeerCheck, is_address
from txsmtpconn.transport.nexthop.addresses import Addresses
from txsmtpconn.transport.nexthop.dane import Dane, usable
from txsmtpconn.transport.nexthop.exchanges import Exchange
from txsmtpconn.transport.nexthop.hop import NextHop, Road
from txsmtpconn.transport.nexthop.policy import Level, TLSPolicy
from txsmtpconn.transport.nexthop.records import TLSA, RecordType, Resolver
from txsmtpconn.transport.nexthop.reporting import (
    BY_NO_POLICY,
    Failed,
    Measure,
    PolicyApplied,
    PolicyType,
)
from txsmtpconn.transport.nexthop.sts import Mode, STSPolicy


class Encryption(Enum):
    """Whether a connection turns to TLS."""

    NEVER = "never"
    #: Where it is offered; in clear where it is not, or where it fails.
    OPPORTUNISTIC = "opportunistic"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a connection to one host must be.

    Attributes:
        encryption: Whether under TLS.
        check: Who the host must be; None for anybody.
        base_name: The name whose TLSA records count, which the host is told by SNI; None where that
            is its own.
        observed: Who it should be: that it is not is told, and does no more.
        refusal: Why the host is ruled out, without a connection; None where it is not.
        measures: The policies that the destination has published, for the reports of RFC 8460.
            Demands do not differ by them.
    """

    encryption: Encryption
    check: PeerCheck | None = None
    base_name: str | None = None
    observed: PeerCheck | None = None
    refusal: SMTPError | None = None
    measures: tuple[Measure, ...] = field(default=BY_NO_POLICY, compare=False)

    @property
    def is_decided(self) -> bool:
        """Whether it is settled who the host must be, or that it will not do."""
        return self.check is not None or self.refusal is not None


_CLEAR = Demand(Encryption.NEVER)
_MAY = Demand(Encryption.OPPORTUNISTIC)
_ENCRYPT = Demand(Encryption.ALWAYS)


class PolicySource(Protocol):
    """Knows the MTA-STS policies of domains."""

    def policy_of(self, domain: str) -> Deferred[STSPolicy | None]:
        """Return what a domain has published, None if nothing; it never errbacks."""


class Judge:
    """Makes demands of policies.

    Args:
        resolver: Where TLSA records are asked for: one whose AD bit is believed, or no record
            counts.
        mta_sts: Where MTA-STS policies come from; None where no policy uses them.
    """

    def __init__(self, resolver: Resolver, mta_sts: PolicySource | None) -> None:
        self._resolver = resolver
        self._mta_sts = mta_sts

    async def demand(
        self, policy: TLSPolicy, hop: NextHop, exchange: Exchange, addresses: Addresses
    ) -> Demand:
        """Return what is demanded of a host.

        Args:
            policy: That of the destination.
            hop: The destination.
            exchange: The host.
            addresses: Its.
        """
        level = policy.level
        if level is Level.NONE:
            return _CLEAR
        if level is Level.ENCRYPT:
            return _ENCRYPT
        if level is Level.FINGERPRINT:
            return Demand(Encryption.ALWAYS, Fingerprint(*policy.match))
        if level in (Level.VERIFY, Level.SECURE):
            names = policy.names(host=exchange.host, domain=hop.name)
            if hop.road is Road.SRV and exchange.secure:
                # RFC 6186 section 6, RFC 7673 section 3: validated DNS vouches for the host.
                names = (*names, exchange.host)
            return Demand(Encryption.ALWAYS, NamedByAuthority(*names))
        found: Demand | None = None
        if level.uses_dane:
            found = await self._dane(hop, exchange, addresses)
            if level is Level.DANE_ONLY and (found is None or not found.is_decided):
                text = f"{exchange.host} has no TLSA record that can be used"
                none = Demand(Encryption.ALWAYS) if found is None else found
                return replace(none, refusal=refusal(text, "dane-required"))
        if level.uses_mta_sts and not (found and found.is_decided):
            published = await self._sts(hop, exchange)
            if found is None or published is None:
                found = found or published
            else:
                # RFC 8461 section 2: no policy overrides DANE. Records that cannot be used say
                # only that there must be TLS (RFC 7672 section 2.2); the policy says with whom.
                measures = found.measures + published.measures
                found = replace(published, encryption=Encryption.ALWAYS, measures=measures)
        return found or _MAY

    async def _dane(self, hop: NextHop, exchange: Exchange, addresses: Addresses) -> Demand | None:
        """Return what TLSA records demand; None where there are none, or none that is certain."""
        if is_address(exchange.host) or not exchange.secure:
            return None
        try:
            for name in await self._base_names(exchange, addresses):
                place = f"_{exchange.port}._tcp.{name}"
                answer = await self._resolver.lookup(place, RecordType.TLSA)
                if answer.records and answer.secure:
                    records = cast(Sequence[TLSA], answer.records)
                    return _of_records(records, name, hop, exchange)
        except DNSError as error:
            # RFC 7672 section 2.1.2: a host whose records cannot be had gets no mail now, or
            # whoever can suppress an answer could do without a certificate.
            return Demand(Encryption.ALWAYS, refusal=error)
        return None

    async def _base_names(self, exchange: Exchange, addresses: Addresses) -> Iterable[str]:
        """Return the names that may have TLSA records, best first (RFC 7672 section 2.2.2).

        Raises:
            DNSError: Nobody can tell whether a name is certain.
        """
        if addresses.secure:
            return dict.fromkeys((addresses.name, exchange.host))
        if addresses.name == exchange.host:
            return ()
        # A name in a signed zone may be an alias of one that is not.
        alias = await self._resolver.lookup(exchange.host, RecordType.CNAME)
        return (exchange.host,) if alias.secure else ()

    async def _sts(self, hop: NextHop, exchange: Exchange) -> Demand | None:
        """Return what the MTA-STS policy demands; None where there is none."""
        published = await self._published(hop)
        if published is None or published.mode is Mode.NONE:
            return None
        applied = PolicyApplied(PolicyType.STS, hop.name, tuple(published.lines()), published.mx)
        check = NamedByAuthority(exchange.host)
        if published.admits(exchange.host):
            measures = (Measure(applied),)
            if published.mode is Mode.ENFORCE:
                return Demand(Encryption.ALWAYS, check, measures=measures)
            return Demand(Encryption.OPPORTUNISTIC, observed=check, measures=measures)
        text = f"{exchange.host} is not in the MTA-STS policy of {hop.name}"
        measures = (Measure(applied, Failed(FAILED, exchange.host, reason=text)),)
        if published.mode is Mode.ENFORCE:
            ruled_out = refusal(text, FAILED)
            return Demand(Encryption.ALWAYS, check, refusal=ruled_out, measures=measures)
        return Demand(Encryption.OPPORTUNISTIC, measures=measures)

    async def _published(self, hop: NextHop) -> STSPolicy | None:
        if self._mta_sts is None or is_address(hop.name):
            return None
        return await self._mta_sts.policy_of(hop.name)

    async def strengthened(self, demand: Demand, hop: NextHop, exchange: Exchange) -> Demand:
        """Return the demand of a message with REQUIRETLS (RFC 8689 section 4.2.1).

        The host must be authenticated, and so must be that it is the host.

        Raises:
            RequireTLSError: It cannot be.
        """
        if demand.check is not None:
            certain = not _rests_on_dns(demand.check, exchange) or exchange.secure
            if certain or await self._is_published(hop, exchange):
                return demand
        elif exchange.secure or await self._is_published(hop, exchange):
            check = NamedByAuthority(exchange.host)
            return Demand(Encryption.ALWAYS, check, measures=demand.measures)
        text = f"that {exchange.host} is a host of {hop.name} is not certain"
        raise RequireTLSError(text, command="CONN", status="5.7.10")

    async def _is_published(self, hop: NextHop, exchange: Exchange) -> bool:
        published = await self._published(hop)
        return (
            published is not None
            and published.mode is not Mode.NONE
            and published.admits(exchange.host)
        )


def _rests_on_dns(check: PeerCheck, exchange: Exchange) -> bool:
    """Tell whether a check is only as good as the answer that led to the host."""
    return isinstance(check, NamedByAuthority) and exchange.host in check.names


def _of_records(records: Sequence[TLSA], name: str, hop: NextHop, exchange: Exchange) -> Demand:
    """Return what validated TLSA records demand."""
    shown = tuple(sorted(map(_shown, records)))
    applied = PolicyApplied(PolicyType.TLSA, hop.name, shown, (exchange.host,))
    good = usable(records)
    # RFC 7672 section 8.1: a server may have a certificate for each of its names.
    base_name = name if name != exchange.host else None
    if not good:
        # RFC 7672 section 2.2: TLS was meant to be used, and no more can be made of it.
        text = f"no TLSA record of {name} can be used"
        measure = Measure(applied, Failed("tlsa-invalid", exchange.host, reason=text))
        return Demand(Encryption.ALWAYS, base_name=base_name, measures=(measure,))
    # Names matter to records of usage 2 only (RFC 7672 section 3.2); without such, connections are
    # shared more widely.
    anchored = any(each.usage == 2 for each in good)
    named = (name, exchange.host, hop.name, exchange.domain) if anchored else ()
    check = Dane(good, tuple(dict.fromkeys(filter(None, named))))
    return Demand(Encryption.ALWAYS, check, base_name, measures=(Measure(applied),))


def _shown(record: TLSA) -> str:
    """RFC 8460 section 4.4: the record as a zone has it."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"


def fault_of(error: SMTPError) -> str:
    """Return what a failure to connect is called in reports (RFC 8460 section 4.3)."""
    if isinstance(error, DNSError):
        return "dnssec-invalid"
    if isinstance(error, TLSError) and error.fault is not None:
        return error.fault
    if error.command == "STARTTLS" and error.reply is not None:
        return "starttls-not-supported"
    return FAILED
