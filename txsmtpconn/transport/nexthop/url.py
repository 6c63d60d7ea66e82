"""Next hops as URLs: ``mx:``, ``mx://example.org:2525`` (or without slashes), ``srv://example.org``.

    mx:?pool=true&policies=dane+mta-sts&dnssec=127.0.0.1
    srv://user:password@example.org

The query holds the options of `MXOptions` that are text, those of connections, and the pool's.
Lists are separated by commas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from txsmtpconn.client import query
from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.query import Reader, count, words
from txsmtpconn.client.url import read_query
from txsmtpconn.errors import ConfigError
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.settings import KEYS, merged, pool_of


def _list(text: str, key: str) -> list[str]:
    return [word.strip() for word in words(text, key).split(",")]


_OF_MX: dict[str, tuple[str, Reader]] = {
    "policies": ("policies", words),
    "dnssec": ("dnssec", words),
    "own_names": ("own_names", _list),
    "own_addresses": ("own_addresses", _list),
    "allow_networks": ("allow_networks", _list),
    "refuse_networks": ("refuse_networks", _list),
    "max_destinations": ("max_destinations", count),
    "max_hosts": ("max_hosts", count),
}


def read_next_hop_url(
    url: str, pool: PoolOptions | bool | None, options: Mapping[str, Any]
) -> tuple[str | None, PoolOptions | bool | None, dict[str, Any]]:
    """Return the next hop, None for the recipients' own exchanges; the pool; and the options.

    Args:
        url: The URL.
        pool: The pool, by name.
        options: Options, by name.

    Raises:
        ConfigError: It is no such URL, or one thing is said twice; the text repeats no credentials.
    """
    parts, host, port = query.split(url)
    # ``mx:example.org``, as a next hop is written elsewhere, is the same with fewer slashes.
    place = query.decoded(host or "", "host") + ("" if port is None else f":{port}")
    if parts.path not in ("", "/"):
        if parts.netloc or parts.path.startswith("/"):
            raise ConfigError("the URL has a path, and SMTP has no use for it")
        place = query.decoded(parts.path, "host")
        if "@" in place:
            # Not shown, as what is wrong with it would be.
            raise ConfigError(f"credentials stand behind two slashes: {parts.scheme}://USER@...")
    if parts.scheme == "srv" and not place:
        raise ConfigError("an srv URL has a domain: srv://example.org")
    given = read_query(parts.query, KEYS | _OF_MX)
    named = query.userinfo(parts)
    if named is not None:
        given["auth"] = Credentials(*named)
    pool = pool_of(given, pool)
    hop = f"{parts.scheme}:{place}" if place else None
    return hop, pool, merged(given, options)
