"""Which addresses may be connected to, and which are our own.

Whoever publishes a domain decides where we connect: to a service on our own loopback, or to
ourselves, round and round. Such addresses are refused before anything is sent to them.
"""

from __future__ import annotations

from collections.abc import Iterable

from txsmtpconn.net.networks import Networks

#: Those at which nobody else's mail exchange can be: this host, links, groups, what is reserved.
REFUSED = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "fe80::/10",
    "ff00::/8",
)


class Reach:
    """Decides for each address.

    Args:
        refuse: Networks that are refused besides `REFUSED`.
        allow: Networks that may be connected to all the same.
        own: Our own addresses: a host that has one of them is ourselves.

    Raises:
        ConfigError: Something of that is no network.
    """

    def __init__(
        self, *, refuse: Iterable[str] = (), allow: Iterable[str] = (), own: Iterable[str] = ()
    ) -> None:
        self._always_refused = Networks.parse(REFUSED)
        self._refused = Networks.parse(refuse, "refuse_networks")
        self._allowed = Networks.parse(allow, "allow_networks")
        self._own = Networks.parse(own, "own_addresses")

    def admits(self, address: str) -> bool:
        """Tell whether an address may be connected to."""
        if address in self._allowed:
            return True
        return address not in self._refused and address not in self._always_refused

    def is_own(self, address: str) -> bool:
        """Tell whether an address is ours."""
        return address in self._own
