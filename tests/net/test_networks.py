"""Who is in a list of networks."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.networks import Networks, is_loopback

LISTED = Networks.parse(["192.0.2.0/24", "2001:db8::/32", " 198.51.100.7", "unix"])


@pytest.mark.parametrize(
    "peer",
    [
        IPv4Address("TCP", "192.0.2.200", 5),
        IPv6Address("TCP", "2001:db8::5", 5),
        IPv6Address("TCP", "::ffff:192.0.2.1", 5),
        UNIXAddress("/run/x"),
        UNIXAddress(None),
        "198.51.100.7",
    ],
    ids=repr,
)
def test_who_is_in(peer: Any) -> None:
    """By any form of the address, and by the socket."""
    assert peer in LISTED


@pytest.mark.parametrize(
    "peer",
    [IPv4Address("TCP", "192.0.3.1", 5), "::1", "", "unix", "192.0.2.1.evil", None, 5],
    ids=repr,
)
def test_who_is_not(peer: Any) -> None:
    """Others, and whoever has no address that can be read."""
    assert peer not in LISTED


def test_an_empty_list_has_nobody() -> None:
    """It is false, too."""
    nobody = Networks.parse([])
    assert not nobody
    assert "127.0.0.1" not in nobody
    assert UNIXAddress(None) not in nobody
    assert Networks.parse(["unix"])


@pytest.mark.parametrize(
    "texts",
    ["192.0.2.1", b"192.0.2.1", ["192.0.2.1/24"], ["x.test"], [""], [5], 5, ["::ffff:0:0/96"]],
)
def test_a_slip_is_an_error_that_names_the_option(texts: Any) -> None:
    """Not another network, and not nobody."""
    with pytest.raises(ConfigError, match=r"^trusted"):
        Networks.parse(texts, "trusted")


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.test", False),
    ],
)
def test_loopback(host: str, ours: bool) -> None:
    """A name may lead anywhere, but for one."""
    assert is_loopback(host) is ours
