"""The switches that name a server: what they come to, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from txsmtpconn import ConfigError, ConnectionOptions, ProxyOptions, TLSOptions
from txsmtpconn.cli import parsed
from txsmtpconn.cli.server import options_of


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No secret in the environment, unless a test puts it there."""
    for name in ("PASSWORD", "ACCESS_TOKEN", "PROXY_PASSWORD"):
        monkeypatch.delenv(f"SMTPCONN_{name}", raising=False)
    return monkeypatch


def told(*arguments: str) -> ConnectionOptions:
    """What a command line comes to."""
    return options_of(parsed(["verify", *arguments]), Clock())


def a_file(directory: Path, text: str) -> str:
    """A file with a secret, and the line end that editors leave."""
    path = directory / "secret"
    path.write_text(f"{text}\n")
    return str(path)


def test_a_password_is_in_a_file_or_the_environment(
    tmp_path: Path, secrets: pytest.MonkeyPatch
) -> None:
    """The file wins."""
    secrets.setenv("SMTPCONN_PASSWORD", "of the environment")
    auth = told("smtp://me@mx.test").auth
    assert auth is not None
    assert (auth.user, auth.password) == ("me", "of the environment")
    auth = told("smtp://me@mx.test", "--password-file", a_file(tmp_path, "of the file")).auth
    assert auth is not None
    assert auth.password == "of the file"


def test_a_token_is_in_a_file_or_the_environment(
    tmp_path: Path, secrets: pytest.MonkeyPatch
) -> None:
    """A file that is named for the one kind of secret wins over the environment's other."""
    secrets.setenv("SMTPCONN_ACCESS_TOKEN", "t0ken")
    auth = told("smtp://me@mx.test").auth
    assert auth is not None
    assert (auth.access_token, auth.password) == ("t0ken", None)
    auth = told("smtp://me@mx.test", "--access-token-file", a_file(tmp_path, "other")).auth
    assert auth is not None
    assert auth.access_token == "other"
    auth = told("smtp://me@mx.test", "--password-file", a_file(tmp_path, "p")).auth
    assert auth is not None
    assert (auth.access_token, auth.password) == (None, "p")


def test_the_mechanism_and_what_it_needs(secrets: pytest.MonkeyPatch) -> None:
    """From the URL or beside it; NTLM's domain; none of a password where it needs none."""
    for arguments in (
        ["smtp://mx.test", "--auth-method=external"],
        ["smtp://mx.test?auth_method=EXTERNAL"],
        ["smtp://me@mx.test", "--auth-method=EXTERNAL"],
    ):
        auth = told(*arguments).auth
        assert auth is not None
        assert auth.mechanism == "EXTERNAL"
    secrets.setenv("SMTPCONN_PASSWORD", "x")
    auth = told("smtp://me@mx.test", "--domain=OFFICE", "--workstation=DESK", "--authzid=boss").auth
    assert auth is not None
    assert (auth.mechanism, auth.domain, auth.workstation) == ("NTLM", "OFFICE", "DESK")
    assert auth.authzid == "boss"


def test_a_proxy_has_its_own_secret_and_its_own_trust(
    tmp_path: Path, secrets: pytest.MonkeyPatch
) -> None:
    """And is in the URL of the server, or beside it."""
    found = told(
        "smtp://mx.test",
        "--proxy=https://me@p.test:3129",
        *("--proxy-password-file", a_file(tmp_path, "s3cret"), "--proxy-ca-file=/ca.pem"),
    ).proxy
    assert found == ProxyOptions(
        scheme="https",
        host="p.test",
        port=3129,
        user="me",
        password="s3cret",
        tls=TLSOptions(ca_file="/ca.pem"),
    )
    secrets.setenv("SMTPCONN_PROXY_PASSWORD", "of the environment")
    found = told("smtp://mx.test?proxy=socks5://me@p.test").proxy
    assert isinstance(found, ProxyOptions)
    assert found.password == "of the environment"
    assert found.scheme == "socks5"


def test_a_service_is_named_instead_of_its_host(secrets: pytest.MonkeyPatch) -> None:
    """Host, port and security are the service's."""
    secrets.setenv("SMTPCONN_PASSWORD", "x")
    options = told("service://me%40gmail.com@Gmail?socket_timeout=9")
    assert (options.host, options.port, options.secure) == ("smtp.gmail.com", 465, True)
    assert options.auth is not None
    assert options.auth.user == "me@gmail.com"
    assert options.socket_timeout == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["smtp://me:secret@mx.test"], "everybody"),
        (["smtp://mx.test", "--proxy=http://me:secret@p.test"], "everybody"),
        (["smtp://mx.test?proxy=http://me:secret@p.test"], "everybody"),
        (["smtp://me@mx.test"], "SMTPCONN_PASSWORD"),
        (["smtp://mx.test", "--access-token-file=x"], "needs a user"),
        (["smtp://mx.test", "--domain=x"], "needs a user"),
        (["smtp://me@mx.test", "--password-file=x", "--access-token-file=y"], "exclude"),
        (["smtp://mx.test", "--proxy-password-file=x"], "needs --proxy"),
        (["smtp://mx.test", "--proxy-ca-file=x"], "needs --proxy"),
        (["smtp://mx.test", "--proxy=http://p.test", "--proxy-password-file=x"], "needs a user"),
        (["smtp://mx.test?proxy=http://p.test", "--proxy=http://q.test"], "twice"),
        (["smtp://mx.test?auth_method=PLAIN", "--auth-method=LOGIN"], "twice"),
        (["smtp://mx.test", "--proxy=http://p.test", "--proxy-ca-file=x"], "under TLS"),
        (
            ["smtp://mx.test", "--proxy=https://p.test?tls.verify=false", "--proxy-ca-file=x"],
            "beside",
        ),
        (["smtp://mx.test", "--proxy=ftp://p.test"], "a proxy is one of"),
        (["smtp://mx.test?tls.verify=false", "--no-verify"], "beside"),
        (["smtp://me@mx.test", "--password-file=/no/such"], "cannot read '/no/such'"),
        (["service://nobody"], "not known"),
        (["service://Gmail:25"], "no port"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str) -> None:
    """With a sentence, and never with the secret in it."""
    with pytest.raises(ConfigError, match=words) as caught:
        told(*arguments)
    assert "secret" not in str(caught.value)


def test_a_secret_that_is_no_text_is_not_quoted(tmp_path: Path) -> None:
    """Its octets are in no part of the error."""
    path = tmp_path / "secret"
    path.write_bytes(b"s3cret \xff")
    with pytest.raises(ConfigError) as caught:
        told("smtp://me@mx.test", f"--password-file={path}")
    context: Any = caught.value
    while context is not None:
        assert "s3cret" not in str(context)
        context = None if context.__suppress_context__ else context.__context__
