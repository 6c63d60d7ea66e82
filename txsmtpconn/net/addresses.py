"""Addresses that nobody's socket has told us, but somebody whom we trust."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from zope.interface import implementer


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class UnknownAddress:
    """Where a client comes from of which nobody knows: it is in no network."""


def ip_address(host: str, port: int) -> IPv4Address | IPv6Address:
    """Return an address as Twisted's transports tell it."""
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)
