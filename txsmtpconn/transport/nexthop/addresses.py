"""From a host to its addresses, in the order in which to try them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from twisted.internet.defer import DeferredList

from txsmtpconn.errors import DNSError, SMTPError
from txsmtpconn.net.tls import is_address
from txsmtpconn.transport.nexthop.networks import Reach
from txsmtpconn.transport.nexthop.records import Answer, RecordType, Resolver

#: Addresses of one host that are tried.
ADDRESSES = 8


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a host is.

    Attributes:
        name: Its name at the end of the CNAMEs.
        found: Its addresses, those of the two families in turn.
        secure: Whether validated DNS says so.
    """

    name: str
    found: tuple[str, ...]
    secure: bool


class OwnAddressError(DNSError):
    """A host is ourselves."""


class AddressBook:
    """Finds addresses.

    Args:
        resolver: Where to ask.
        reach: Decides which may be used.
        chance: Decides among equals.
    """

    def __init__(
        self,
        resolver: Resolver,
        reach: Reach,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._resolver = resolver
        self._reach = reach
        self._chance = chance

    async def find(self, host: str) -> Addresses:
        """Return the addresses of a host; there is at least one.

        Raises:
            OwnAddressError: One of them is ours.
            DNSError: It has none that may be used: for now, or for good.
        """
        if is_address(host):
            return Addresses(host, self._admitted(host, [host]), secure=True)
        asked: Any = [
            self._resolver.lookup(host, RecordType.AAAA),
            self._resolver.lookup(host, RecordType.A),
        ]
        outcomes = await DeferredList(asked, consumeErrors=True)
        answers = [cast(Answer, result) for good, result in outcomes if good]
        found = _in_turn(
            [sorted(cast(Any, answer.records), key=self._by_chance) for answer in answers]
        )
        if found:
            name = next(answer.name for answer in answers if answer.records)
            # RFC 7672 section 2.2.2: one that is not validated is enough. One that nobody answered
            # is not, or whoever can suppress it could do without a certificate.
            secure = all(answer.secure for answer in answers)
            return Addresses(name, self._admitted(host, found), secure)
        for good, result in outcomes:
            if not good:
                reason = cast(Any, result).value
                if isinstance(reason, SMTPError):
                    raise reason
                raise DNSError(f"{host}: {type(reason).__name__}", command="CONN", status="4.4.3")
        raise DNSError(f"{host} has no address", command="CONN", status="5.4.4")

    def _by_chance(self, _: object) -> float:
        return self._chance()

    def _admitted(self, host: str, addresses: list[str]) -> tuple[str, ...]:
        if any(map(self._reach.is_own, addresses)):
            text = f"{host} is this host"
            raise OwnAddressError(text, command="CONN", status="5.4.6")
        admitted = tuple(filter(self._reach.admits, addresses))
        if not admitted:
            text = f"{host} has no address that may be connected to, only {addresses[0]}"
            raise DNSError(text, command="CONN", status="5.4.4")
        return admitted[:ADDRESSES]


def _in_turn(families: list[list[str]]) -> list[str]:
    """RFC 8305 section 4: a family that leads nowhere must not come first with all of its own."""
    longest = max(map(len, families), default=0)
    return [family[at] for at in range(longest) for family in families if at < len(family)]
