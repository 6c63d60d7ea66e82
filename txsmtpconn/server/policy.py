"""What a server lets whom do: the rules of all clients, and those that differ by network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.networks import Networks
from txsmtpconn.session.server.rules import BareLineEnds, ServerRules
from txsmtpconn.wire.attributes import XCLIENT, XFORWARD

#: LOGIN is an authentication that nobody has checked: it has an option of its own.
_WITHOUT_LOGIN = tuple(name for name in XCLIENT if name != "LOGIN")


class Policy:
    """Finds the rules for a client by its address.

    Args:
        rules: For everybody.
        xclient: Who may say XCLIENT.
        login: Whether XCLIENT may say that the client has authenticated.
        xforward: Who may say XFORWARD.
        bare_line_ends: Whose mail data is treated otherwise; the first that fits counts.
    """

    def __init__(
        self,
        rules: ServerRules,
        *,
        xclient: Networks,
        login: bool,
        xforward: Networks,
        bare_line_ends: Mapping[BareLineEnds, Networks],
    ) -> None:
        self._rules = rules
        self._xclient = xclient
        self._xclient_attributes = XCLIENT if login else _WITHOUT_LOGIN
        self._xforward = xforward
        self._bare_line_ends = bare_line_ends
        self._uniform = not (xclient or xforward or any(bare_line_ends.values()))
        self._made: dict[tuple[bool, bool, BareLineEnds], ServerRules] = {}

    def rules_for(self, peer: object) -> ServerRules:
        """Return the rules for a client.

        Args:
            peer: Its address: that of the connection, or of whom a trusted one speaks for. Trust
                does not outlast that: who is spoken for may say what is allowed to itself.
        """
        if self._uniform:
            return self._rules
        bare = self._rules.bare_line_ends
        for policy, networks in self._bare_line_ends.items():
            if peer in networks:
                bare = policy
                break
        key = (peer in self._xclient, peer in self._xforward, bare)
        if key not in self._made:
            self._made[key] = replace(
                self._rules,
                xclient=self._xclient_attributes if key[0] else (),
                xforward=XFORWARD if key[1] else (),
                bare_line_ends=bare,
            )
        return self._made[key]


def bare_line_ends_by_network(given: Mapping[Any, Any]) -> dict[BareLineEnds, Networks]:
    """Read ``{"allow": ["192.0.2.0/24"]}``.

    Raises:
        ConfigError: It is not that.
    """
    name = "bare_line_ends_for"
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name} maps refuse, normalise or allow to networks, not {given!r}")
    found = {}
    for word, networks in given.items():
        try:
            policy = BareLineEnds(word)
        except ValueError:
            raise ConfigError(f"{name} knows refuse, normalise and allow, not {word!r}") from None
        found[policy] = Networks.parse(networks, f"{name}[{policy.value!r}]")
    return found
