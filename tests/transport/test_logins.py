"""Logins of a transport: whether, when, and with which token."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.client.authority import World, token
from tests.client.dial import BODY, ENVELOPE, delivery, greeted
from txsmtpconn import AuthenticationError, Credentials, OAuth2Error, PoolOptions, SMTPTransport
from txsmtpconn.testing import CertificateZoo, MemoryNetwork, ScriptedPeer, failure_result_of
from txsmtpconn.testing.fixtures import certificate_zoo
from txsmtpconn.testing.script import Step, close, expect, expect_close, send

__all__ = ["certificate_zoo"]

WHO = Credentials("ann", "s3cret")
PLAIN = "AUTH PLAIN " + b64encode(b"\0ann\0s3cret").decode()
LEAVING = (expect("QUIT"), send("221 bye"), close())
POOLED = [None, PoolOptions(max_connections=3, max_requeues=0)]


def bearer(value: str) -> str:
    """The AUTH command with a token."""
    return "AUTH XOAUTH2 " + b64encode(f"user=me\1auth=Bearer {value}\1\1".encode()).decode()


def transport_to(network: MemoryNetwork, *scripts: tuple[Step, ...], **options: Any) -> Any:
    """A transport to servers that keep to these scripts, one for each connection."""
    network.serve(*[ScriptedPeer(*script) for script in scripts], name="mail")
    return SMTPTransport(
        network.clock,
        endpoint=network.client_endpoint("mail"),
        name="client.test",
        allow_insecure_auth=True,
        **options,
    )


@pytest.mark.parametrize("pool", POOLED)
def test_credentials_that_cannot_be_used_are_an_error_before_mail(pool: Any) -> None:
    """AUTH is not offered: EAUTH for a message and for `verify`, and nothing of it is sent."""
    network = MemoryNetwork()
    script = (*greeted("PIPELINING"), expect_close())
    transport = transport_to(network, script, script, auth=WHO, pool=pool)
    for call in (lambda: transport.send(ENVELOPE, BODY), transport.verify):
        failed = call()
        network.advance(600)
        error = failure_result_of(failed)
        assert isinstance(error, AuthenticationError)
        assert "does not offer" in str(error)


@pytest.mark.parametrize("pool", POOLED)
def test_forced_auth_is_sent_all_the_same(pool: Any) -> None:
    """By the commonest mechanism, for a message and for `verify`."""
    network = MemoryNetwork()
    login = (*greeted("PIPELINING"), expect(PLAIN), send("235 ok"))
    transport = transport_to(
        network,
        (*login, *LEAVING),
        (*login, *delivery(), *LEAVING),
        auth=WHO,
        force_auth=True,
        pool=pool,
    )
    assert network.result_of(transport.verify()) is True
    assert network.result_of(transport.send(ENVELOPE, BODY)).accepted
    network.result_of(transport.close(), within=10)


def test_a_pools_connections_share_one_request(certificate_zoo: CertificateZoo) -> None:
    """Three at once, one token; a connection that is opened later has a fresh one."""
    world = World(certificate_zoo, token("one", expires_in=600), token("two"))
    scripts = [
        (
            *greeted("PIPELINING", "AUTH XOAUTH2"),
            expect(bearer(value)),
            send("235 ok"),
            *delivery(),
            *LEAVING,
        )
        for value in ("one", "one", "one", "two")
    ]
    credentials = Credentials(token_provider=world.provider(user="me"))
    pool = PoolOptions(max_connections=3, max_in_flight=1, max_messages=1)
    transport = transport_to(world.network, *scripts, auth=credentials, pool=pool)
    sends = [transport.send(ENVELOPE, BODY) for _ in range(3)]
    for each in sends:
        assert world.network.result_of(each, within=5).accepted
    assert world.connections == 1
    world.network.advance(600)
    assert world.network.result_of(transport.send(ENVELOPE, BODY), within=5).accepted
    assert world.connections == 2
    world.network.result_of(transport.close(), within=10)


def test_a_token_refused_on_all_connections_is_renewed_once(
    certificate_zoo: CertificateZoo,
) -> None:
    """However many find out at the same time, or one after the other."""
    world = World(certificate_zoo, token("old"), token("new"))
    script = (
        *greeted("PIPELINING", "AUTH XOAUTH2"),
        expect(bearer("old")),
        send("535 5.7.8 expired"),
        expect(bearer("new")),
        send("235 ok"),
        *delivery(),
        *LEAVING,
    )
    credentials = Credentials(token_provider=world.provider(user="me"))
    pool = PoolOptions(max_connections=3, max_in_flight=1)
    transport = transport_to(world.network, script, script, script, auth=credentials, pool=pool)
    sends = [transport.send(ENVELOPE, BODY) for _ in range(3)]
    for each in sends:
        assert world.network.result_of(each, within=5).accepted
    assert world.connections == 2
    world.network.result_of(transport.close(), within=10)


@pytest.mark.parametrize("pool", POOLED)
def test_no_token_is_eoauth2_before_mail(certificate_zoo: CertificateZoo, pool: Any) -> None:
    """For a message and for `verify`."""
    world = World(certificate_zoo, *[(400, {"error": "invalid_grant"})] * 2)
    script = (*greeted("PIPELINING", "AUTH XOAUTH2"), expect_close())
    credentials = Credentials(token_provider=world.provider(user="me"))
    transport = transport_to(world.network, script, script, auth=credentials, pool=pool)
    for call in (lambda: transport.send(ENVELOPE, BODY), transport.verify):
        failed = call()
        world.network.settle()
        error = failure_result_of(failed)
        assert isinstance(error, OAuth2Error)
        assert "invalid_grant" in str(error)
