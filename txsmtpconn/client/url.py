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

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import TLSOptions

_SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "smtp": {"secure": False},
    "smtps": {"secure": True},
    "lmtp": {"lmtp": True, "secure": False},
    "lmtp+unix": {"lmtp": True, "secure": False},
}

_KEY = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)?")

#: How a value is read: from its text, and the key for complaints.
Reader = Callable[[str, str], Any]


def _flag(text: str, key: str) -> bool:
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ConfigError(f"URL key {key} is true or false, not {text!a}")


def _seconds(text: str, key: str) -> float:
    try:
        return float(text) if text.isascii() else float("nan")
    except ValueError:
        raise ConfigError(f"URL key {key} is a number of seconds, not {text!a}") from None


def _milliseconds(text: str, key: str) -> float:
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"URL key {key} is a whole number of milliseconds, not {text!a}")
    return int(text[:15]) / 1000


def _text(text: str, key: str) -> str:
    if not text:
        raise ConfigError(f"URL key {key} is empty")
    return text


#: Key of the query -> (option, how to read it).
_KEYS: dict[str, tuple[str, Reader]] = {
    "ignore_tls": ("ignore_tls", _flag),
    "ignoreTLS": ("ignore_tls", _flag),
    "require_tls": ("require_tls", _flag),
    "requireTLS": ("require_tls", _flag),
    "opportunistic_tls": ("opportunistic_tls", _flag),
    "opportunisticTLS": ("opportunistic_tls", _flag),
    "servername": ("servername", _text),
    "name": ("name", _text),
    "local_address": ("local_address", _text),
    "localAddress": ("local_address", _text),
    "connection_timeout": ("connection_timeout", _seconds),
    "connectionTimeout": ("connection_timeout", _milliseconds),
    "greeting_timeout": ("greeting_timeout", _seconds),
    "greetingTimeout": ("greeting_timeout", _milliseconds),
    "socket_timeout": ("socket_timeout", _seconds),
    "socketTimeout": ("socket_timeout", _milliseconds),
    "dns_timeout": ("dns_timeout", _seconds),
    "dnsTimeout": ("dns_timeout", _milliseconds),
    "tls_timeout": ("tls_timeout", _seconds),
    "command_timeout": ("command_timeout", _seconds),
    "data_timeout": ("data_timeout", _seconds),
    "block_timeout": ("block_timeout", _seconds),
    "final_timeout": ("final_timeout", _seconds),
    "quit_timeout": ("quit_timeout", _seconds),
    "auth_method": ("auth_method", _text),
    "authMethod": ("auth_method", _text),
    "force_auth": ("force_auth", _flag),
    "forceAuth": ("force_auth", _flag),
    "allow_insecure_auth": ("allow_insecure_auth", _flag),
    "proxy": ("proxy", _text),
    "logger": ("logger", _flag),
    "transaction_log": ("transaction_log", _flag),
    "transactionLog": ("transaction_log", _flag),
    "debug": ("debug", _flag),
    "pipelining": ("pipelining", _text),
    "chunking": ("chunking", _text),
}
#: The same for what stands behind "tls."; Nodemailer's servername is an option of its own here.
_TLS_KEYS: dict[str, tuple[str, Reader]] = {
    "verify": ("verify", _flag),
    "rejectUnauthorized": ("verify", _flag),
    "ca_file": ("ca_file", _text),
    "cert_file": ("cert_file", _text),
    "key_file": ("key_file", _text),
    "minimum_version": ("minimum_version", _text),
    "minVersion": ("minimum_version", _text),
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
    parts, host, port = _split(url)
    scheme = parts.scheme
    if scheme not in _SCHEMES:
        raise ConfigError(f"a URL begins with {', '.join(_SCHEMES)}, not {scheme!a}")
    if any(not char.isprintable() for char in url):
        raise ConfigError("the URL holds a control character")
    if parts.fragment or "#" in url:
        raise ConfigError("the URL has a fragment; write # as %23")
    options = dict(_SCHEMES[scheme])
    if scheme == "lmtp+unix":
        if host is not None or port is not None:
            raise ConfigError("an lmtp+unix URL has no host: write lmtp+unix:///path/of/socket")
        if parts.path in ("", "/"):
            raise ConfigError("an lmtp+unix URL ends in the path of a socket")
        options["path"] = _decoded(parts.path, "path")
    else:
        if not host:
            raise ConfigError("the URL has no host")
        if parts.path not in ("", "/"):
            raise ConfigError("the URL has a path, and SMTP has no use for it")
        options["host"] = _decoded(host, "host")
        if port is not None:
            options["port"] = port
    userinfo, at, _ = parts.netloc.rpartition("@")
    if at:
        options["auth"] = _credentials(userinfo)
    options.update(_read_query(parts.query, {**_KEYS, **(more or {})}))
    return options


def _split(url: str) -> tuple[SplitResult, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.hostname, parts.port
    except ValueError:
        pass
    # Raised out here, so that the reason, which may quote the password, is not even its context.
    raise ConfigError("the URL's host or port cannot be read")


def _credentials(userinfo: str) -> Credentials:
    user, colon, password = userinfo.partition(":")
    return Credentials(_decoded(user, "user"), _decoded(password, "password") if colon else None)


def _read_query(query: str, keys: Mapping[str, tuple[str, Reader]]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    for field in query.split("&") if query else ():
        raw, equals, value = field.partition("=")
        key = _decoded(raw, "query")
        if not _KEY.fullmatch(key):
            # Perhaps the rest of a password with a question mark in it.
            raise ConfigError("the URL's query holds something that is no key; write ? as %3F")
        if not equals:
            raise ConfigError(f"URL key {key!a} has no value")
        text = _decoded(value, "query")
        found: tuple[str, Reader] | None
        if key == "tls.servername":
            found, into = ("servername", _text), options
        elif key.startswith("tls."):
            found, into = _TLS_KEYS.get(key.removeprefix("tls.")), tls
        elif key in _SAID_ELSEWHERE:
            raise ConfigError(f"{key} is no key of the query: it stands in front of it")
        else:
            found, into = keys.get(key), options
        if found is None:
            raise ConfigError(f"unknown URL key {key!a}")
        option, read = found
        if option in into:
            raise ConfigError(f"URL key {key} is given twice, perhaps in two spellings")
        into[option] = read(text, key)
    if tls:
        options["tls"] = TLSOptions(**tls)
    return options


def _decoded(text: str, part: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise ConfigError(f"the URL's {part} is not UTF-8 behind its percent signs")
