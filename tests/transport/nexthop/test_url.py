"""Next hops as URLs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.transport.nexthop.world import BODY, World, envelope
from txsmtpconn import ConfigError, SMTPTransport, TLSError
from txsmtpconn.transport.nexthop.records import SRV, RecordType
from txsmtpconn.transport.nexthop.url import read_next_hop_url
from txsmtpconn.transport.options import PoolOptions


@pytest.fixture
def world() -> World:
    """Domain a.test, and its one exchange."""
    world = World()
    world.domain("a.test", "mx.test")
    world.host("mx.test", "192.0.2.1")
    world.server("mx.test", "192.0.2.1")
    return world


def transport(world: World, url: str, **options: Any) -> SMTPTransport:
    """Return the transport of a URL."""
    return SMTPTransport(world.clock, url, resolver=world.zone, name="client.test", **options)


@pytest.mark.parametrize(
    ("url", "recipient"),
    [
        ("mx:", "x@a.test"),
        ("mx:?pool=true&max_connections=2&policies=may", "x@a.test"),
        ("mx://a.test", "x@far.test"),
        ("mx:a.test?max_hosts=3", "x@far.test"),
        ("mx:a.test:25", "x@far.test"),
        ("mx://A.test:25/?max_hosts=3&socket_timeout=20", "x@far.test"),
    ],
)
def test_mail_goes_where_a_url_says(world: World, url: str, recipient: str) -> None:
    """By the recipients' exchanges, or by one domain's."""
    sender = transport(world, url)
    assert world.result_of(sender.send(envelope(recipient), BODY)).accepted == [recipient]
    world.finish(sender)


def test_usual_pool_is_told_from_one_that_is_like_the_default() -> None:
    """Where the usual pool of next hops differs from the default, what was said counts."""
    assert read_next_hop_url("mx:?pool=true", None, {})[1] is True
    url = "mx:?pool=true&max_connections=5"
    assert read_next_hop_url(url, None, {})[1] == PoolOptions(max_connections=5) == PoolOptions()


def test_a_service_is_verified(world: World) -> None:
    """And a password is only for who is."""
    world.zone.put("_submission._tcp.a.test", RecordType.SRV, SRV(0, 0, 25, "mx.test"))
    sender = transport(world, "srv://u:secret@a.test")
    error = world.failure_of(sender.verify())
    assert isinstance(error, TLSError)
    assert "secret" not in repr(sender) + repr(error)
    world.finish(sender)


def test_lists_have_commas(world: World) -> None:
    """And say the same as by name."""
    sender = transport(world, "mx:?own_names=one.test,mx.test")
    assert world.failure_of(sender.send(envelope("x@a.test"), BODY)).enhanced_code == "5.4.6"
    world.finish(sender)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("mx:///a.test", {}),
        ("mx://a.test/b", {}),
        ("mx:a.test/b", {}),
        ("mx:u:secret@a.test", {}),
        ("srv:", {}),
        ("srv://a.test:587", {}),
        ("mx:?unknown=1", {}),
        ("mx:?policies=strict", {}),
        ("mx:?policies=", {}),
        ("mx:?policies=may", {"policies": "none"}),
        ("mx:?max_hosts=x", {}),
        ("mx:?require_tls=true", {}),
        ("mx://u:secret@", {}),
        ("mx:?pool=true", {"pool": True}),
        ("mx:?max_connections=2", {}),
        ("mx:#x", {}),
        ("mx://a..test", {}),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, url: str, options: dict[str, Any]) -> None:
    """And no password is repeated."""
    with pytest.raises(ConfigError) as caught:
        transport(world, url, **options)
    assert "secret" not in str(caught.value)
