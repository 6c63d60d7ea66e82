"""Who may hand mail to the relay: nobody, but for listed networks and authenticated clients.

Trust is in where a connection comes from and who has logged in, never in what a command says: no
form of an address (RFC 5321 section 3.6.2) makes a stranger's mail ours to forward.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)

from txsmtpconn.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

#: A network of more addresses than that is not one somebody runs: the shortest prefix by version.
_SHORTEST_PREFIX = {4: 8, 6: 16}


def address_of(host: str | None) -> Address | None:
    """Return the IP address that a transport's peer has, None where it has none.

    An IPv4 client of an IPv6 socket (``::ffff:192.0.2.1``) is an IPv4 client; a zone is dropped.
    """
    try:
        address = ip_address((host or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as ``192.0.2.0/24``, ``2001:db8::/32`` or a single address.

    Raises:
        ConfigError: One is no network, has bits set beside its prefix, or together they are so
            large that the relay would be open to strangers.
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text.strip()))
        except ValueError as error:
            raise ConfigError(f"{text!a} is no network: {error}") from None
    fours = [each for each in networks if isinstance(each, IPv4Network)]
    sixes = [each for each in networks if isinstance(each, IPv6Network)]
    collapsed: list[Network] = [*collapse_addresses(fours), *collapse_addresses(sixes)]
    for merged in collapsed:
        if merged.prefixlen < _SHORTEST_PREFIX[merged.version]:
            raise ConfigError(
                f"to relay for {merged} would make an open relay: list your own networks"
            )
        if isinstance(merged, IPv6Network) and _maps_too_much(merged):
            raise ConfigError(f"{merged} stands for IPv4 addresses: list them as such")
    return tuple(networks)


def _maps_too_much(network: IPv6Network) -> bool:
    return network.overlaps(IPv6Network("::ffff:0:0/96"))


class Access:
    """The relay's door.

    Args:
        networks: Clients from there may relay.
        local: Whether clients without an IP address may: those of a unix socket, whose file's
            permissions are then the check.
    """

    def __init__(self, networks: Iterable[Network] = LOOPBACK, *, local: bool = True) -> None:
        self._networks = tuple(networks)
        self._local = local

    def admits(self, host: str | None, *, unix: bool = False, authenticated: bool = False) -> bool:
        """Tell whether this client's mail is accepted for recipients anywhere.

        Args:
            host: The client's IP address as its transport tells it.
            unix: Whether it came through a unix socket.
            authenticated: Whether it has logged in.
        """
        if authenticated:
            return True
        if unix:
            return self._local
        address = address_of(host)
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )
