"""Connections as URLs: `smtp:`, `smtps:`, `lmtp:` and `lmtp+unix:`.

    smtp://user:password@mail.example:587/?require_tls=true
    smtps://mail.example?connectionTimeout=5000&tls.rejectUnauthorized=false
    lmtp+unix:///run/dovecot/lmtp

The query holds options in Python's spelling, durations in seconds, or in Nodemailer's spelling and
units.  What the rest of the URL says (host, port, credentials, whether TLS comes first) cannot be
said again in the query.  Whatever is not understood is refused, so that a typing error in
`require_tls` does not turn into mail in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txsmtpconn.client import query
from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.query import Reader, flag, milliseconds, seconds, words
from txsmtpconn.errors import ConfigError

_SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "smtp": {"secure": False},
    "smtps": {"secure": True},
    "lmtp": {"lmtp": True, "secure": False},
    "lmtp+unix": {"lmtp": True, "secure": False},
}

#: Key of the query -> (option, how to read it).
_KEYS: dict[str, tuple[str, Reader]] = {
    "ignore_tls": ("ignore_tls", flag),
    "ignoreTLS": ("ignore_tls", flag),
    "require_tls": ("require_tls", flag),
    "requireTLS": ("require_tls", flag),
    "opportunistic_tls": ("opportunistic_tls", flag),
    "opportunisticTLS": ("opportunistic_tls", flag),
    "servername": ("servername", words),
    "name": ("name", words),
    "local_address": ("local_address", words),
    "localAddress": ("local_address", words),
    "connection_timeout": ("connection_timeout", seconds),
    "connectionTimeout": ("connection_timeout", milliseconds),
    "greeting_timeout": ("greeting_timeout", seconds),
    "greetingTimeout": ("greeting_timeout", milliseconds),
    "socket_timeout": ("socket_timeout", seconds),
    "socketTimeout": ("socket_timeout", milliseconds),
    "dns_timeout": ("dns_timeout", seconds),
    "dnsTimeout": ("dns_timeout", milliseconds),
    "tls_timeout": ("tls_timeout", seconds),
    "command_timeout": ("command_timeout", seconds),
    "data_timeout": ("data_timeout", seconds),
    "block_timeout": ("block_timeout", seconds),
    "final_timeout": ("final_timeout", seconds),
    "quit_timeout": ("quit_timeout", seconds),
    "auth_method": ("auth_method", words),
    "authMethod": ("auth_method", words),
    "force_auth": ("force_auth", flag),
    "forceAuth": ("force_auth", flag),
    "allow_insecure_auth": ("allow_insecure_auth", flag),
    "proxy": ("proxy", words),
    "logger": ("logger", flag),
    "transaction_log": ("transaction_log", flag),
    "transactionLog": ("transaction_log", flag),
    "debug": ("debug", flag),
    "pipelining": ("pipelining", words),
    "chunking": ("chunking", words),
}
#: What the URL says elsewhere, by each of its names.
_SAID_ELSEWHERE = frozenset(
    {"host", "port", "secure", "auth", "user", "pass", "password", "path", "lmtp", "endpoint"}
)


def options_from_url(url: str) -> ConnectionOptions:
    """Return the options that a URL stands for.

    Raises:
        ConfigError: It is no URL of ours; the text never repeats its credentials.
    """
    return ConnectionOptions(**read_url(url))


def read_url(url: str, more: Mapping[str, tuple[str, Reader]] | None = None) -> dict[str, Any]:
    """Return the options in a URL by name, without giving defaults to the others.

    Args:
        url: The URL.
        more: Further keys of the query, for one who has options besides the connection's.

    Raises:
        ConfigError: It is no URL of ours; the text never repeats its credentials.
    """
    parts, host, port = query.split(url)
    scheme = parts.scheme
    if scheme not in _SCHEMES:
        raise ConfigError(f"a URL begins with {', '.join(_SCHEMES)}, not {scheme!a}")
    options = dict(_SCHEMES[scheme])
    if scheme == "lmtp+unix":
        if host is not None or port is not None:
            raise ConfigError("an lmtp+unix URL has no host: write lmtp+unix:///path/of/socket")
        if parts.path in ("", "/"):
            raise ConfigError("an lmtp+unix URL ends in the path of a socket")
        options["path"] = query.decoded(parts.path, "path")
    else:
        if not host:
            raise ConfigError("the URL has no host")
        if parts.path not in ("", "/"):
            raise ConfigError("the URL has a path, and SMTP has no use for it")
        options["host"] = query.decoded(host, "host")
        if port is not None:
            options["port"] = port
    named = query.userinfo(parts)
    if named is not None:
        options["auth"] = Credentials(*named)
    options.update(read_query(parts.query, more))
    return options


def read_query(text: str, more: Mapping[str, tuple[str, Reader]] | None = None) -> dict[str, Any]:
    """Return the options in a URL's query by name.

    Args:
        text: The query.
        more: Further keys.

    Raises:
        ConfigError: Something in it is not understood.
    """
    keys = {**_KEYS, **(more or {})}
    options: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    for key, value in query.fields(text):
        if key == "tls.servername":
            # An option of its own here.
            query.take(options, {key: ("servername", words)}, key, value, key)
        elif key.startswith("tls."):
            query.take(tls, query.TLS_KEYS, key.removeprefix("tls."), value, key)
        elif key in _SAID_ELSEWHERE:
            raise ConfigError(f"{key} is no key of the query: it stands in front of it")
        else:
            query.take(options, keys, key, value, key)
    return options | query.tls_of(tls)
