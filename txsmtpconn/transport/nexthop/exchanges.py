"""From a next hop to the hosts that take its mail, in the order in which to try them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from txsmtpconn.client.options import SMTPS_PORT
from txsmtpconn.errors import DNSError, EnvelopeError, SMTPError
from txsmtpconn.transport.nexthop.hop import SMTP_PORT, NextHop, Road
from txsmtpconn.transport.nexthop.records import MX, NO_HOST, SRV, Answer, RecordType, Resolver

#: Hosts of one domain that are considered: the best ones. A domain may have a thousand.
HOSTS = 20

#: Gives numbers of 0 up to 1.
Chance = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A host that takes the mail of a next hop.

    Attributes:
        host: Its name, or an IP address.
        port: Where it listens.
        secure: Whether it is certain, by validated DNS or by configuration, that it is the host.
        implicit_tls: Whether TLS comes from the first octet.
        domain: Whose MX record names it: the next hop at the end of its CNAMEs; empty where it was
            found otherwise. Exchanges do not differ by it.
    """

    host: str
    port: int
    secure: bool = False
    implicit_tls: bool = False
    domain: str = field(default="", compare=False)


class Exchanges:
    """Finds hosts.

    Args:
        resolver: Where to ask.
        own_names: Our own names: a domain of which we are an exchange goes to better ones only.
        chance: Decides among equals.
    """

    def __init__(
        self,
        resolver: Resolver,
        own_names: Collection[str] = (),
        chance: Chance = random.random,
    ) -> None:
        self._resolver = resolver
        self._own_names = frozenset(own_names)
        self._chance = chance

    async def find(self, hop: NextHop) -> list[Exchange]:
        """Return the hosts, best first; there is at least one.

        Raises:
            EnvelopeError: The domain takes no mail (RFC 7505), or its mail would come to us.
            DNSError: Nothing leads there: for now, or for good, as `is_permanent` tells.
        """
        if hop.road is Road.HOST:
            return [Exchange(hop.name, hop.port or SMTP_PORT, secure=True)]
        if hop.road is Road.SRV:
            return await self._services(hop.name)
        return await self._mail_exchanges(hop.name, hop.port or SMTP_PORT)

    async def _mail_exchanges(self, domain: str, port: int) -> list[Exchange]:
        answer = await self._resolver.lookup(domain, RecordType.MX)
        if not answer.exists:
            raise _nowhere(f"there is no domain {domain}", "5.1.2")
        records = cast(Sequence[MX], answer.records)
        if not records:
            # RFC 5321 section 5.1: the domain is its own exchange.
            return [Exchange(domain, port, answer.secure)]
        if all(record.host == "." for record in records):
            text = f"{domain} takes no mail (null MX)"
            raise EnvelopeError(text, command="CONN", status="5.1.10")
        usable = [record for record in records if record.host not in (".", NO_HOST)]
        if not usable:
            raise _nowhere(f"no mail exchange of {domain} is a host", "5.4.4")
        best = [record for record in usable if record.host in self._own_names]
        if best:
            # RFC 5321 section 5.1: we are one of them, and no worse one knows better than we do.
            ours = min(record.preference for record in best)
            usable = [record for record in usable if record.preference < ours]
        if not usable:
            raise looping(domain)
        ordered = sorted(usable, key=lambda record: (record.preference, self._chance()))
        hosts = dict.fromkeys(record.host for record in ordered)
        return [
            Exchange(host, port, answer.secure, domain=answer.name) for host in list(hosts)[:HOSTS]
        ]

    async def _services(self, domain: str) -> list[Exchange]:
        found: list[Exchange] = []
        # RFC 8314 section 5.1: TLS from the first octet is to be preferred.
        for service, implicit in (("_submissions", True), ("_submission", False)):
            answer = await self._resolver.lookup(f"{service}._tcp.{domain}", RecordType.SRV)
            for record in self._in_order(answer):
                port = record.port or (SMTPS_PORT if implicit else SMTP_PORT)
                found.append(Exchange(record.host, port, answer.secure, implicit))
        if not found:
            raise _nowhere(f"{domain} tells of no submission service", "5.4.4")
        return found[:HOSTS]

    def _in_order(self, answer: Answer) -> Iterable[SRV]:
        """RFC 2782: by priority; among equals at random, in proportion to their weights."""
        records = [
            record
            for record in cast(Sequence[SRV], answer.records)
            if record.host not in (".", NO_HOST)
        ]
        while records:
            first = min(record.priority for record in records)
            equals = [record for record in records if record.priority == first]
            # One without weight has a small chance, but has one.
            drawn = self._chance() * sum(record.weight or 0.01 for record in equals)
            for record in equals:
                drawn -= record.weight or 0.01
                if drawn < 0:
                    break
            records.remove(record)
            yield record


def looping(domain: str) -> EnvelopeError:
    """Return the error of a domain whose mail would come back to us."""
    return EnvelopeError(f"mail for {domain} loops back to us", command="CONN", status="5.4.6")


def _nowhere(text: str, status: str) -> SMTPError:
    return DNSError(text, command="CONN", status=status)
