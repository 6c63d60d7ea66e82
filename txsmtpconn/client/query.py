"""The parts of a URL, read with care: what every kind of URL that we take has in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import TLSOptions

_KEY = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)?")

#: How a value is read: from its text, and the key for complaints.
Reader = Callable[[str, str], Any]


def flag(text: str, key: str) -> bool:
    """Read true or false."""
    if text in ("true", "1", "false", "0"):
        return text in ("true", "1")
    raise ConfigError(f"URL key {key} is true or false, not {text!a}")


def count(text: str, key: str) -> int:
    """Read a whole number."""
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"URL key {key} is a whole number, not {text!a}")
    return int(text[:15])


def seconds(text: str, key: str) -> float:
    """Read seconds."""
    try:
        return float(text) if text.isascii() else float("nan")
    except ValueError:
        raise ConfigError(f"URL key {key} is a number of seconds, not {text!a}") from None


def milliseconds(text: str, key: str) -> float:
    """Read milliseconds, and return seconds."""
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"URL key {key} is a whole number of milliseconds, not {text!a}")
    return int(text[:15]) / 1000


def words(text: str, key: str) -> str:
    """Read text, of which there is some."""
    if not text:
        raise ConfigError(f"URL key {key} is empty")
    return text


#: What stands behind "tls.": key -> (option, how to read it).
TLS_KEYS: dict[str, tuple[str, Reader]] = {
    "verify": ("verify", flag),
    "rejectUnauthorized": ("verify", flag),
    "ca_file": ("ca_file", words),
    "cert_file": ("cert_file", words),
    "key_file": ("key_file", words),
    "minimum_version": ("minimum_version", words),
    "minVersion": ("minimum_version", words),
}


def split(url: str) -> tuple[SplitResult, str | None, int | None]:
    """Return the parts of a URL, and its host and port.

    Raises:
        ConfigError: It has none, a control character or a fragment; the text never repeats what may
            be a secret.
    """
    found = _split(url)
    if found is None:
        # Raised out here, so that the reason, which may quote the password, is not its context.
        raise ConfigError("the URL's host or port cannot be read")
    if any(not char.isprintable() for char in url):
        raise ConfigError("the URL holds a control character")
    if "#" in url:
        raise ConfigError("the URL has a fragment; write # as %23")
    return found


def _split(url: str) -> tuple[SplitResult, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts, parts.hostname, parts.port
    except ValueError:
        return None


def userinfo(parts: SplitResult) -> tuple[str, str | None] | None:
    """Return the user and the password of a URL; None where it names nobody."""
    told, at, _ = parts.netloc.rpartition("@")
    if not at:
        return None
    user, colon, password = told.partition(":")
    return decoded(user, "user"), decoded(password, "password") if colon else None


def fields(query: str) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of a query."""
    for field in query.split("&") if query else ():
        raw, equals, value = field.partition("=")
        key = decoded(raw, "query")
        if not _KEY.fullmatch(key):
            # Perhaps the rest of a password with a question mark in it.
            raise ConfigError("the URL's query holds something that is no key; write ? as %3F")
        if not equals:
            raise ConfigError(f"URL key {key!a} has no value")
        yield key, decoded(value, "query")


def take(
    options: dict[str, Any], keys: Mapping[str, tuple[str, Reader]], key: str, text: str, name: str
) -> None:
    """Put what a key says among the options.

    Args:
        options: Where to.
        keys: Which keys there are.
        key: How the keys call it.
        text: What it says.
        name: What to call it in complaints.

    Raises:
        ConfigError: There is no such key, it says nothing, or it has been said before.
    """
    found = keys.get(key)
    if found is None:
        raise ConfigError(f"unknown URL key {name!a}")
    option, read = found
    if option in options:
        raise ConfigError(f"URL key {name} is given twice, perhaps in two spellings")
    options[option] = read(text, name)


def tls_of(options: Mapping[str, Any]) -> dict[str, TLSOptions]:
    """Return the option `tls` where a URL has said something of it."""
    return {"tls": TLSOptions(**options)} if options else {}


def decoded(text: str, part: str) -> str:
    """Undo percent signs.

    Raises:
        ConfigError: It is not UTF-8 then.
    """
    octets = unquote_to_bytes(text)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise ConfigError(f"the URL's {part} is not UTF-8 behind its percent signs")
