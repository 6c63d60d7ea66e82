"""Mail exchanges as a place to send to: ``mx:``, ``mx:example.org``, ``srv:example.org``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from txsmtpconn.cli.server import with_switches
from txsmtpconn.cli.switches import expect_none
from txsmtpconn.client.url import read_url
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.files import text_of
from txsmtpconn.transport import SMTPTransport

if TYPE_CHECKING:
    from txsmtpconn.transport.nexthop.policy import PolicyTable

#: Seconds for taking leave of servers that have said what there was to say.
CLOSING_SECONDS = 5.0

_SCHEMES = ("mx", "srv")


def add_exchanges(group: Any) -> None:
    """Add the switches."""
    group.add_argument(
        "--tls-policy",
        metavar="POLICY",
        help="what TLS is wanted: none, may, encrypt, verify, secure, fingerprint, dane or mta-sts,"
        " with match= where it has names; by default may, for srv: secure",
    )
    group.add_argument(
        "--tls-policies",
        metavar="FILE",
        help="a file with a domain and its policy on each line, * for all others",
    )
    group.add_argument(
        "--dnssec",
        metavar="ADDRESS[:PORT]",
        help="a validating DNS server on this machine, which dane needs",
    )
    group.add_argument(
        "--allow-network",
        metavar="NETWORK",
        action="append",
        help="connect to addresses in this network, although no exchange of the world is in it;"
        " may be repeated",
    )


def leads_to_exchanges(url: str) -> bool:
    """Tell whether a URL names no server, but a domain, or each recipient's."""
    return url.partition(":")[0] in _SCHEMES


def expect_no_exchanges(arguments: argparse.Namespace) -> None:
    """Refuse the switches where there is one server.

    Raises:
        ConfigError: One of them is given.
    """
    names = ("tls_policy", "tls_policies", "dnssec", "allow_network")
    expect_none(arguments, names, "is for mx: and srv:")


def transport_to(arguments: argparse.Namespace, reactor: Any) -> SMTPTransport:
    """Return the transport that a URL and the switches stand for.

    Raises:
        ConfigError: They make no sense, or a file cannot be read.
    """
    next_hop, options = _read(arguments.url)
    options = with_switches(options, arguments, reactor)
    if arguments.tls_policy is not None and arguments.tls_policies is not None:
        raise ConfigError("--tls-policy and --tls-policies exclude each other")
    policies: PolicyTable | str | None = arguments.tls_policy
    if arguments.tls_policies is not None:
        # Only here: it brings a resolver, and all that one server does without.
        from txsmtpconn.transport.nexthop.policy import PolicyTable

        policies = PolicyTable.parse(text_of(arguments.tls_policies))
    return SMTPTransport.to_mx(
        reactor,
        next_hop,
        policies=policies,
        dnssec=arguments.dnssec,
        allow_networks=arguments.allow_network or (),
        **options,
    )


def _read(url: str) -> tuple[str | None, dict[str, Any]]:
    """Return the next hop, and the options of its connections."""
    scheme, _, rest = url.partition(":")
    place, mark, query = rest.partition("?")
    user, at, hop = place.rpartition("@")
    # Read with all the care that URLs are.
    options = read_url(f"smtp://{user}{at}exchange.invalid{mark}{query}")
    for name in ("host", "secure"):
        del options[name]
    if scheme == "srv":
        return f"srv:{hop}", options
    return hop or None, options
