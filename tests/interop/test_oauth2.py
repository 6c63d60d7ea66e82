"""Tokens from a token server of the test's own, over real HTTPS, and Dovecot that checks them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.web.resource import Resource

from tests.interop.mail import connected, deliveries, marker, message, trusting
from tests.interop.peers.dovecot import USER, access_token
from tests.interop.peers.web import Web
from txsmtpconn import (
    Credentials,
    Delivery,
    Envelope,
    OAuth2Error,
    OAuth2TokenProvider,
    PoolOptions,
    SMTPTransport,
)

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
BEARER = ["XOAUTH2", "OAUTHBEARER"]


class TokenServer(Resource):
    """Gives tokens that Dovecot takes, for a refresh token or an assertion that is right.

    Attributes:
        forms: What it was asked.
        valid: For how many seconds each of its next tokens is valid; an hour at the end.
    """

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.forms = []
        self.valid = []
        self.url = None

    def render_POST(self, request):
        form = dict(parse_qsl(request.content.read().decode()))
        self.forms.append(form)
        request.setHeader("Content-Type", "application/json")
        if not self._is_right(form):
            request.setResponseCode(400)
            return json.dumps({"error": "invalid_grant"}).encode()
        seconds = self.valid.pop(0) if self.valid else 3600
        told = {
            "access_token": access_token(valid=seconds),
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        return json.dumps(told).encode()

    def _is_right(self, form):
        if "assertion" in form:
            claims = jwt.decode(
                form["assertion"], KEY.public_key(), algorithms=["RS256"], audience=self.url
            )
            return claims["sub"] == USER
        return form["refresh_token"] == "good" and form["client_secret"] == "secret"


@asynccontextmanager
async def tokens(zoo, certificate="server"):
    """Run a token server on a port of localhost."""
    from twisted.internet import reactor

    server = TokenServer()
    port = reactor.listenSSL(0, Web(server), zoo.server_options(certificate), interface="127.0.0.1")
    server.url = f"https://localhost:{port.getHost().port}/token"
    try:
        yield server
    finally:
        await port.stopListening()


def provider(server, zoo, **options):
    """A provider that asks this server."""
    from twisted.internet import reactor

    if "service_client" not in options:
        options = {"client_id": "c", "client_secret": "secret", "refresh_token": "good"} | options
    return OAuth2TokenProvider(
        reactor, user=USER, token_url=server.url, tls=trusting(zoo), **options
    )


@pytest.mark.parametrize("mechanism", BEARER)
@pytest.mark.parametrize(
    "way", [{}, {"service_client": "robot@a.test", "private_key": PEM}], ids=["refresh", "service"]
)
async def test_fetched_tokens_log_in(dovecot, smtp_sink, certificate_zoo, mechanism, way):
    """By a refresh token and by a service account's assertion."""
    smtp_sink(port=dovecot.relay)
    async with tokens(certificate_zoo) as server:
        credentials = Credentials(
            token_provider=provider(server, certificate_zoo, **way), mechanism=mechanism
        )
        async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
            assert (await connection.login(credentials)).code == 235
            assert connection.authenticated
        assert len(server.forms) == 1


@pytest.mark.parametrize("mechanism", BEARER)
async def test_a_token_that_dovecot_refuses_is_renewed(
    dovecot, smtp_sink, certificate_zoo, mechanism
):
    """It had expired there though the token server promised an hour; one renewal, one login."""
    smtp_sink(port=dovecot.relay)
    async with tokens(certificate_zoo) as server:
        server.valid = [-60]
        credentials = Credentials(
            token_provider=provider(server, certificate_zoo), mechanism=mechanism
        )
        async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
            assert (await connection.login(credentials)).code == 235
        assert len(server.forms) == 2


async def test_a_pool_shares_its_tokens(dovecot, smtp_sink, certificate_zoo):
    """Messages over several connections, one request to the token server."""
    from twisted.internet import reactor

    smtp_sink(port=dovecot.relay)
    async with tokens(certificate_zoo) as server:
        transport = SMTPTransport(
            reactor,
            host="localhost",
            port=dovecot.submission,
            tls=trusting(certificate_zoo),
            auth=Credentials(token_provider=provider(server, certificate_zoo)),
            pool=PoolOptions(max_connections=3, max_in_flight=1),
        )
        envelope = Envelope("a@a.test", ["u@a.test"])
        sends = [transport.send(envelope, message(marker())) for _ in range(6)]
        for each in sends:
            assert deliveries(await each) == [Delivery.ACCEPTED]
        await transport.close(10)
        assert len(server.forms) == 1


async def test_no_token(dovecot, smtp_sink, certificate_zoo):
    """Refused by the token server, or a token server under another name: EOAUTH2."""
    smtp_sink(port=dovecot.relay)
    for certificate, options, expected in (
        ("server", {"refresh_token": "revoked"}, "invalid_grant"),
        ("wronghost", {}, "does not name"),
        ("otherissuer", {}, "certificate verify failed"),
    ):
        async with tokens(certificate_zoo, certificate) as server:
            credentials = Credentials(token_provider=provider(server, certificate_zoo, **options))
            async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
                with pytest.raises(OAuth2Error, match=expected):
                    await connection.login(credentials)
                assert (await connection.noop()).code == 250
            assert len(server.forms) == (certificate == "server")
