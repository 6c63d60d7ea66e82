"""Addresses that nobody's socket has told us: somebody whom we trust has, or we connect to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from zope.interface import implementer


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class UnknownAddress:
    """Where a client comes from of which nobody knows: it is in no network."""


def ip_address(host: str, port: int) -> IPv4Address | IPv6Address:
    """Return an address as Twisted's transports tell it."""
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


def address_endpoint(
    reactor: Any, address: str, port: int, *, timeout: float, local_address: str | None = None
) -> IStreamClientEndpoint:
    """Return the endpoint of an IP address: there is nothing to resolve, no family to race another.

    Args:
        reactor: The reactor to use.
        address: The address.
        port: Its port.
        timeout: Seconds to connect.
        local_address: The IP address to connect from.
    """
    kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
    bind_address = None if local_address is None else (local_address, 0)
    endpoint: IStreamClientEndpoint = kind(
        reactor, address, port, timeout=timeout, bindAddress=bind_address
    )
    return endpoint
