"""Who may relay."""

from __future__ import annotations

import pytest

from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.access import Access, parse_networks


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::1%lo"]
)
def test_loopback_may_relay_by_default(host: str) -> None:
    """This host's own programs are served, over IPv4, IPv6 and both in one."""
    assert Access().admits(host)


@pytest.mark.parametrize(
    "host",
    ["192.0.2.1", "10.0.0.1", "::2", "::ffff:192.0.2.1", "fe80::1%lo", "", "localhost", None, "x"],
)
def test_everybody_else_is_denied_by_default(host: str | None) -> None:
    """Nobody is let in for want of a rule, nor whoever has no address that can be read."""
    assert not Access().admits(host)


def test_authenticated_clients_may_relay_from_anywhere() -> None:
    """Who has logged in may."""
    assert Access(()).admits("192.0.2.1", authenticated=True)


def test_unix_sockets_are_checked_by_their_permissions() -> None:
    """A client of a unix socket has passed the file's permissions, where that is allowed."""
    assert Access().admits(None, unix=True)
    assert not Access(local=False).admits(None, unix=True)


def test_listed_networks() -> None:
    """Networks and single addresses, of both versions."""
    access = Access(parse_networks(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]))
    assert access.admits("192.0.2.200")
    assert access.admits("::ffff:192.0.2.200")
    assert access.admits("2001:db8::5")
    assert access.admits("198.51.100.7")
    assert not access.admits("198.51.100.8")
    assert not access.admits("127.0.0.1")


@pytest.mark.parametrize(
    "networks",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        [f"{number}.0.0.0/8" for number in range(256)],
        ["2000::/3"],
        ["::ffff:0:0/96"],
        ["::ffff:10.0.0.0/104"],
    ],
)
def test_networks_that_make_an_open_relay_are_refused(networks: list[str]) -> None:
    """All of the Internet is nobody's network, in one piece or in several."""
    with pytest.raises(ConfigError):
        parse_networks(networks)


@pytest.mark.parametrize("text", ["", "192.0.2.1/24", "192.0.2", "example.org", "192.0.2.0/33"])
def test_malformed_networks_are_refused(text: str) -> None:
    """A slip of the pen is an error, not another network."""
    with pytest.raises(ConfigError, match="no network"):
        parse_networks([text])
