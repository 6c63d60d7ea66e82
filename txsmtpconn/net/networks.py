"""Named networks: who is trusted with what, by where a connection comes from.

Every setting that holds for some clients and not for others takes a list of these: networks such
as ``192.0.2.0/24`` and ``2001:db8::/32``, single addresses, and the word ``unix`` for clients of
unix sockets, whose file's permissions have let them in.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from twisted.internet.address import UNIXAddress

from txsmtpconn.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

_UNIX = "unix"


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


def is_loopback(host: str) -> bool:
    """Tell whether an address, or a name, is this host's own for sure."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def parse_network(text: str) -> Network:
    """Read one network or address.

    Raises:
        ConfigError: It is none, has bits set beside its prefix, or stands for IPv4 addresses: a
            client that has such an address is an IPv4 client, and would never be found in it.
    """
    try:
        network = ip_network(text.strip())
    except (AttributeError, ValueError) as error:
        raise ConfigError(f"{text!a} is no network: {error}") from None
    if isinstance(network, IPv6Network) and network.overlaps(IPv6Network("::ffff:0:0/96")):
        raise ConfigError(f"{network} stands for IPv4 addresses: list them as such")
    return network


class Networks:
    """A set of networks, and perhaps of unix sockets.

    Args:
        networks: Of IP addresses.
        unix: Whether clients of unix sockets are among it.
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, networks: Iterable[Network] = (), *, unix: bool = False) -> None:
        self._networks = tuple(networks)
        self._unix = unix

    @classmethod
    def parse(cls, texts: Iterable[str] | Networks, name: str = "networks") -> Networks:
        """Read a list of networks, addresses and ``unix``.

        Args:
            texts: The list.
            name: What an error calls it.

        Raises:
            ConfigError: It is not a list, or one of it is not what it should be.
        """
        if isinstance(texts, Networks):
            return texts
        if isinstance(texts, (str, bytes)):
            raise ConfigError(f"{name} is a list of networks, not {texts!r}")
        try:
            words = tuple(texts)
            networks = [parse_network(word) for word in words if word != _UNIX]
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{name}: {error}") from None
        return cls(networks, unix=_UNIX in words)

    def __contains__(self, peer: object) -> bool:
        """Tell whether a client is from there.

        Args:
            peer: Its address as the transport tells it (`IAddress`), or its host alone. What has
                no address that can be read is in no set.
        """
        if isinstance(peer, UNIXAddress):
            return self._unix
        if not self._networks:
            return False
        host = peer if isinstance(peer, str) else getattr(peer, "host", None)
        address = address_of(host)
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __repr__(self) -> str:
        words = [*map(str, self._networks), *([_UNIX] if self._unix else [])]
        return f"Networks({', '.join(words)})"
