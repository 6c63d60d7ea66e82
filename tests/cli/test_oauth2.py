"""Access tokens on the command line: who is asked, by which way, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.testing import MemoryReactorClock
from zope.interface import directlyProvides, providedBy

from txsmtpconn import ConfigError, ConnectionOptions
from txsmtpconn.cli import parsed
from txsmtpconn.cli.oauth2 import _keep
from txsmtpconn.cli.server import options_of
from txsmtpconn.client.grants import AccessToken

URL = "smtp://me@mx.test"
TOKENS = "--token-url=https://192.0.2.50:8443/token"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No secret in the environment, unless a test puts it there."""
    for name in ("PASSWORD", "ACCESS_TOKEN", "CLIENT_SECRET", "REFRESH_TOKEN"):
        monkeypatch.delenv(f"SMTPCONN_{name}", raising=False)
    return monkeypatch


class Resolver:
    """Knows every name."""

    def resolveHostName(  # noqa: N802
        self, receiver: Any, *_: Any, **options: Any
    ) -> Any:
        receiver.resolutionBegan(None)
        receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", options["portNumber"]))
        receiver.resolutionComplete()


def told(*arguments: str) -> tuple[ConnectionOptions, Any]:
    """What a command line comes to, and the reactor that it would use."""
    reactor: Any = MemoryReactorClock()
    reactor.nameResolver = Resolver()
    directlyProvides(reactor, providedBy(reactor), IReactorPluggableNameResolver)
    return options_of(parsed(["verify", *arguments]), reactor), reactor


def asked(options: ConnectionOptions, reactor: Any) -> list[int]:
    """To which ports the request for a token goes: names are all one to the resolver."""
    assert options.auth is not None
    provider: Any = options.auth.token_provider
    waiting = provider.get_token()
    reactor.advance(0)
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    reached = [client[1] for client in reactor.tcpClients]
    reactor.advance(600)
    return reached


def test_a_client_with_a_refresh_token_asks_its_server(
    tmp_path: Path, secrets: pytest.MonkeyPatch
) -> None:
    """The secrets are in files or in the environment."""
    refresh = tmp_path / "refresh"
    refresh.write_text("r3fresh\n")
    secrets.setenv("SMTPCONN_CLIENT_SECRET", "s3cret")
    options, reactor = told(URL, "--client-id=app", f"--refresh-token-file={refresh}", TOKENS)
    assert options.auth is not None
    assert options.auth.user == "me"
    for secret in ("r3fresh", "s3cret"):
        assert secret not in repr(options)
    assert asked(options, reactor) == [8443]


def test_the_token_server_is_behind_the_proxy_too(secrets: pytest.MonkeyPatch) -> None:
    """Nothing goes past it."""
    secrets.setenv("SMTPCONN_REFRESH_TOKEN", "r3fresh")
    options, reactor = told(URL, "--client-id=app", TOKENS, "--proxy=socks5://192.0.2.99")
    assert asked(options, reactor) == [1080]


def test_a_service_account_is_a_file(tmp_path: Path) -> None:
    """As Google's console gives it out; one that is none is not quoted."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = tmp_path / "account.json"
    facts = {
        "client_email": "robot@project.test",
        "private_key": pem,
        "private_key_id": "1",
        "token_uri": "https://192.0.2.51:8444/token",
    }
    account.write_text(json.dumps(facts))
    options, reactor = told(URL, f"--service-account-file={account}")
    assert asked(options, reactor) == [8444]
    for broken in ("s3cret", '{"client_email": "s3cret"}', "[]", '"s3cret"'):
        account.write_text(broken)
        with pytest.raises(ConfigError, match="no key file") as caught:
            told(URL, f"--service-account-file={account}")
        assert "s3cret" not in str(caught.value)


def test_a_refresh_token_that_takes_the_place_of_another_is_kept(tmp_path: Path) -> None:
    """In the same file with the same rights; without a new one nothing is touched."""
    path = tmp_path / "refresh"
    path.write_text("old\n")
    path.chmod(0o600)
    _keep(path, AccessToken("me", "access"))
    assert path.read_text() == "old\n"
    _keep(path, AccessToken("me", "access", refresh_token="new"))
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([URL, "--client-id=app", "--service-account-file=/dev/null"], "key file"),
        ([URL, "--refresh-token-file=x"], "needs --client-id"),
        ([URL, "--token-url=https://t.test"], "needs --client-id"),
        ([URL, "--client-id=app", TOKENS], "client_id"),
        (["smtp://mx.test", "--client-id=app"], "needs a user"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str) -> None:
    """With a sentence."""
    with pytest.raises(ConfigError, match=words):
        told(*arguments)


def test_a_token_server_and_a_password_exclude_each_other(
    tmp_path: Path, secrets: pytest.MonkeyPatch
) -> None:
    """It has to be said with which to log in."""
    secrets.setenv("SMTPCONN_REFRESH_TOKEN", "r")
    with pytest.raises(ConfigError, match="exclude"):
        told(URL, "--client-id=app", TOKENS, f"--password-file={tmp_path}/x")
