"""What a transport is told, above all by URLs."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from txsmtpconn import ConfigError, ConnectionOptions, PoolOptions, SMTPTransport
from txsmtpconn.testing import MemoryNetwork
from txsmtpconn.transport.settings import Settings, make_settings


def settings(url: str | None = None, pool: Any = None, **options: Any) -> Settings:
    """Return what a transport makes of it."""
    return make_settings(url, pool, options)


def test_a_url_of_nodemailers() -> None:
    """Its names, its units: milliseconds become seconds."""
    url = (
        "smtps://ann:s%40cret@[::1]/?pool=true&maxConnections=3&maxMessages=7&rateLimit=10"
        "&rateDelta=500&maxRequeues=2&connectionTimeout=1500&tls.rejectUnauthorized=false"
    )
    made = settings(url)
    assert made.pool == PoolOptions(
        max_connections=3, max_messages=7, rate_limit=10, rate_delta=0.5, max_requeues=2
    )
    options = made.connection
    assert (options.host, options.port, options.connection_timeout) == ("::1", 465, 1.5)
    assert options.auth is not None
    assert options.auth.password == "s@cret"


def test_a_url_in_our_spelling() -> None:
    """Seconds, as they are; every option of a pool has its key."""
    url = (
        "smtp://x.test?pool=1&max_connections=3&max_messages=7&max_in_flight=1&max_requeues=0"
        "&max_waiting=9&rate_limit=1&rate_delta=0.5&queue_timeout=20&idle_timeout=1.5&max_age=60"
        "&probe_after=2&require_tls=true"
    )
    assert settings(url).pool == PoolOptions(
        max_connections=3,
        max_messages=7,
        max_in_flight=1,
        max_requeues=0,
        max_waiting=9,
        rate_limit=1,
        rate_delta=0.5,
        queue_timeout=20,
        idle_timeout=1.5,
        max_age=60,
        probe_after=2,
    )


def test_no_pool_unless_asked_for() -> None:
    """By URL, by name, or not at all."""
    assert settings("smtp://x.test").pool is None
    assert settings("smtp://x.test?pool=false").pool is None
    assert settings(host="x.test", pool=False).pool is None
    assert settings("smtp://x.test", True).pool == PoolOptions()
    assert settings("smtp://x.test?pool=true").pool == PoolOptions()
    options = ConnectionOptions("x.test")
    assert make_settings(options, None, {}).connection is options


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("smtp://x.test?maxConnections=3", "needs pool=true"),
        ("smtp://x.test?pool=false&rate_limit=3", "needs pool=true"),
        ("smtp://x.test?pool=yes", "true or false"),
        ("smtp://x.test?pool=true&maxConnections=0", "max_connections"),
        ("smtp://x.test?pool=true&maxConnections=3&max_connections=3", "twice"),
        ("smtp://x.test?pool=true&maxConnections=%2B3", "whole number"),
        ("smtp://x.test?pool=true&rateDelta=0.5", "whole number"),
        ("smtp://x.test?pool=true&rate_delta=nan", "rate_delta"),
        ("smtp://x.test?pool=true&rate_delta=x", "number of seconds"),
        ("smtp://x.test?pool=true&maxconnections=3", "unknown"),
        ("smtp://x.test?service=gmail", "unknown"),
    ],
)
def test_urls_that_are_refused(url: str, match: str) -> None:
    """A typing error is told of, and nothing is silently ignored."""
    with pytest.raises(ConfigError, match=match):
        settings(url)


def test_one_thing_is_said_once() -> None:
    """In the URL or by name."""
    for url, pool, options in [
        ("smtp://x.test?pool=true", True, {}),
        ("smtp://x.test?pool=false", PoolOptions(), {}),
        ("smtp://x.test", None, {"host": "y.test"}),
        ("smtp://x.test?require_tls=true", None, {"require_tls": True}),
    ]:
        with pytest.raises(ConfigError, match="twice"):
            settings(url, pool, **options)  # type: ignore[arg-type]
    assert settings("smtp://x.test", name="me.test").connection.name == "me.test"


def test_what_makes_no_sense_raises_at_construction() -> None:
    """And is a ValueError."""
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (5, {}),
        (None, {"pool": 5}),
        (None, {"hots": "x.test"}),
        ("http://x.test", {}),
        (ConnectionOptions("x.test"), {"name": "y.test"}),
    ]
    for first, options in wrong:
        with pytest.raises(ConfigError) as raised:
            SMTPTransport(Clock(), first, **options)
        assert isinstance(raised.value, ValueError)


def test_one_connected_socket_is_no_way_for_many_connections() -> None:
    """`transport` is for `connect`."""
    network = MemoryNetwork()
    from twisted.internet.testing import StringTransport

    with pytest.raises(ConfigError, match="transport"):
        SMTPTransport(network.clock, transport=StringTransport())
