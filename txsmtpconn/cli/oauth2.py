"""Access tokens for the command: which token server to ask, and what with."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from txsmtpconn.cli.secrets import secret
from txsmtpconn.cli.switches import expect_none
from txsmtpconn.client import proxy
from txsmtpconn.client.oauth2 import GOOGLE_TOKEN_URL, OAuth2TokenProvider
from txsmtpconn.client.proxy import ProxyOptions
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.files import text_of
from txsmtpconn.net.https import https_url
from txsmtpconn.net.tls import TLSOptions

#: Switches that only say more of a token server; the two others begin.
_MORE = ("client_secret_file", "refresh_token_file", "token_url", "scope", "token_ca_file")


def add_oauth2(group: Any) -> None:
    """Add the switches."""
    group.add_argument(
        "--client-id",
        metavar="ID",
        help="fetch access tokens as this application, with its secret or a refresh token",
    )
    group.add_argument(
        "--client-secret-file",
        metavar="FILE",
        help="where its secret is. Without it, the environment's SMTPCONN_CLIENT_SECRET",
    )
    group.add_argument(
        "--refresh-token-file",
        metavar="FILE",
        help="where the refresh token is; one that takes its place is written back. Without it,"
        " the environment's SMTPCONN_REFRESH_TOKEN",
    )
    group.add_argument(
        "--service-account-file",
        metavar="FILE",
        help="fetch access tokens as this service account: the JSON file with its key",
    )
    group.add_argument(
        "--token-url", metavar="URL", help="the token server; by default Google's, or the account's"
    )
    group.add_argument("--scope", metavar="SCOPE", help="what the tokens are to be for")
    group.add_argument(
        "--token-ca-file",
        metavar="FILE",
        help="what to trust of the token server, instead of the system's",
    )


def provider_of(
    arguments: argparse.Namespace, reactor: Any, user: str, through: ProxyOptions | None
) -> OAuth2TokenProvider | None:
    """Return what fetches tokens; None where none is asked for.

    Args:
        arguments: The command line's.
        reactor: The reactor.
        user: Who logs in.
        through: The proxy, by which the token server is reached too.

    Raises:
        ConfigError: It makes no sense, a file cannot be read, or a library is not installed.
    """
    given = _account(arguments.service_account_file)
    if arguments.client_id is not None:
        if given:
            raise ConfigError("--client-id and --service-account-file exclude each other")
        given = {
            "client_id": arguments.client_id,
            "client_secret": secret(arguments.client_secret_file, "SMTPCONN_CLIENT_SECRET"),
            "refresh_token": secret(arguments.refresh_token_file, "SMTPCONN_REFRESH_TOKEN"),
            "on_token": _keeper(arguments.refresh_token_file),
        }
    if not given:
        expect_none(arguments, _MORE, "needs --client-id or --service-account-file")
        return None
    for name in ("token_url", "scope"):
        if getattr(arguments, name) is not None:
            given[name] = getattr(arguments, name)
    if arguments.token_ca_file is not None:
        given["tls"] = TLSOptions(ca_file=arguments.token_ca_file)
    if through is not None:
        place = https_url(given.get("token_url", GOOGLE_TOKEN_URL), "--token-url")
        given["endpoint"] = proxy.endpoint(
            reactor, through, place.hostname or "", place.port or 443
        )
    return OAuth2TokenProvider(reactor, user=user, **given)


def _account(path: str | None) -> dict[str, Any]:
    """Read the key file of a service account, as Google's console gives it out."""
    if path is None:
        return {}
    text = text_of(path)
    try:
        facts = json.loads(text)
        given = {
            "service_client": facts["client_email"],
            "private_key": facts["private_key"],
            "private_key_id": facts.get("private_key_id"),
        }
        if facts.get("token_uri"):
            given["token_url"] = facts["token_uri"]
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not chained: the reason may quote the key.
        raise ConfigError(f"{path!a} is no key file of a service account") from None
    return given


def _keeper(path: str | None) -> Callable[[Any], None] | None:
    return None if path is None or path == "-" else partial(_keep, Path(path))


def _keep(path: Path, token: Any) -> None:
    """Write a refresh token that has taken the place of another, whole or not at all."""
    if token.refresh_token is None:
        return
    mode = path.stat().st_mode & 0o777
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(f"{token.refresh_token}\n")
        os.fchmod(file.fileno(), mode)
    os.replace(file.name, path)
