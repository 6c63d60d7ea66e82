"""The relay's options, and the check that it is not open to strangers."""

from __future__ import annotations

from typing import Any

import pytest

from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.configuration import RelayOptions, is_local


def options(**values: Any) -> RelayOptions:
    """Options that are sound but for what is given."""
    return RelayOptions(**{"spool": "spool", "upstream": "smtp://mail.example"} | values)


def test_defaults_serve_this_host_only() -> None:
    """Without a word about access the relay listens on loopback and takes from there."""
    one = options()
    assert all(is_local(each) for each in one.listen)
    assert all(network.is_loopback for network in one.parsed_networks)


@pytest.mark.parametrize(
    "values",
    [
        {"listen": ("tcp:25",)},
        {"listen": ("tcp:2525:interface=127.0.0.1", "tcp6:25")},
        {"listen": ("tcp:25:interface=0.0.0.0",)},
        {"listen": ("ssl:465:privateKey=x",)},
        {"listen": ("systemd:domain=INET:index=0",)},
        {"listen": ("haproxy:tcp:25:interface=127.0.0.1",)},
        {"listen_lmtp": ("tcp:24",)},
        {"networks": ("0.0.0.0/0",)},
        {"networks": ("::/0",)},
    ],
)
def test_open_or_useless_relay_is_refused(values: dict[str, Any]) -> None:
    """To listen beyond this host without networks or users, or to trust everybody, is an error."""
    with pytest.raises(ConfigError):
        options(**values)


def test_networks_open_the_relay_to_them() -> None:
    """With networks of one's own the relay may listen everywhere."""
    options(listen=("tcp:25",), networks=("192.0.2.0/24",))


def test_passwords_in_clear_are_refused() -> None:
    """Users who log in from other hosts need TLS; on loopback they do not."""
    with pytest.raises(ConfigError, match="clear"):
        options(listen=("tcp:587",), auth_users="users")
    options(listen=("tcp:587",), auth_users="users", certificate="cert.pem")
    options(auth_users="users")


@pytest.mark.parametrize(
    "values",
    [
        {"spool": ""},
        {"upstream": ""},
        {"listen": ()},
        {"max_size": 0},
        {"max_recipients": 99},
        {"concurrency": 0},
        {"connections": 0},
        {"hop_limit": 5},
        {"hop_limit": 1000},
        {"lease": 1},
        {"drain": -1},
        {"kept": float("nan")},
        {"private_key": "key.pem"},
        {"name": "not a name"},
    ],
)
def test_values_out_of_range(values: dict[str, Any]) -> None:
    """Each value is checked when the options are made."""
    with pytest.raises(ConfigError):
        options(**values)


def test_no_secret_in_the_representation() -> None:
    """Neither the password nor a URL that holds one is shown."""
    shown = repr(options(upstream="smtp://u:hush@mail.example", upstream_password="hush"))
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("description", "local"),
    [
        ("tcp:25:interface=127.0.0.1", True),
        ("tcp:interface=127.8.8.8:port=25", True),
        (r"tcp6:25:interface=\:\:1", True),
        ("tcp:25:interface=localhost", True),
        ("unix:/run/relay.sock:mode=660", True),
        ("tcp:25:interface=127.0.0.1:interface=0.0.0.0", False),
        (r"tcp:25:x=\:interface=127.0.0.1", False),
        ("haproxy:tcp:25:interface=127.0.0.1", False),
        ("tcp:25", False),
        ("tcp:25:interface=", False),
        ("tcp:25:interface=192.0.2.1", False),
        (r"tcp6:25:interface=\:\:", False),
        ("fd:0", False),
        ("", False),
    ],
)
def test_is_local(description: str, local: bool) -> None:
    """Only what is known to be out of reach for others is local."""
    assert is_local(description) is local
