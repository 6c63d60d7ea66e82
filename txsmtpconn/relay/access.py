"""Who may hand mail to the relay: nobody, but for listed networks and authenticated clients.

Trust is in where a connection comes from and who has logged in, never in what a command says: no
form of an address (RFC 5321 section 3.6.2) makes a stranger's mail ours to forward.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from twisted.internet.address import UNIXAddress

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.networks import LOOPBACK, Network, Networks, parse_network

#: A network of more addresses than that is not one somebody runs: the shortest prefix by version.
_SHORTEST_PREFIX = {4: 8, 6: 16}


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as ``192.0.2.0/24``, ``2001:db8::/32`` or a single address.

    Raises:
        ConfigError: One is no network, has bits set beside its prefix, or together they are so
            large that the relay would be open to strangers.
    """
    networks = [parse_network(text) for text in texts]
    fours = [each for each in networks if isinstance(each, IPv4Network)]
    sixes = [each for each in networks if isinstance(each, IPv6Network)]
    collapsed: list[Network] = [*collapse_addresses(fours), *collapse_addresses(sixes)]
    for merged in collapsed:
        if merged.prefixlen < _SHORTEST_PREFIX[merged.version]:
            raise ConfigError(
                f"to relay for {merged} would make an open relay: list your own networks"
            )
    return tuple(networks)


class Access:
    """The relay's door.

    Args:
        networks: Clients from there may relay.
        local: Whether clients without an IP address may: those of a unix socket, whose file's
            permissions are then the check.
    """

    def __init__(self, networks: Iterable[Network] = LOOPBACK, *, local: bool = True) -> None:
        self._networks = Networks(networks, unix=local)

    def admits(self, host: str | None, *, unix: bool = False, authenticated: bool = False) -> bool:
        """Tell whether this client's mail is accepted for recipients anywhere.

        Args:
            host: The client's IP address as its transport tells it.
            unix: Whether it came through a unix socket.
            authenticated: Whether it has logged in.
        """
        return authenticated or (UNIXAddress(None) if unix else host) in self._networks
