"""Which proxy to go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from txsmtpconn.client import query
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import TLSOptions, reference_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """A proxy, and how to log in to it; `repr` shows neither user nor password.

    Attributes:
        scheme: What kind of proxy it is: http, https, socks (which is socks5), socks4, socks4a,
            socks5, socks5h (the same as socks5, under curl's name), or one that was registered.
        host: Where it is: a name or an IP address.
        port: Its port; by default 80, for https 443, for SOCKS 1080.
        user: Whom to log in as.
        password: The user's password.
        tls: What to trust where the proxy itself is spoken to under TLS; by default the platform's
            authorities.
        more: What else the URL's query said, for schemes that were registered.

    Raises:
        ConfigError: A value is wrong.
    """

    scheme: str
    host: str
    port: int | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: TLSOptions | None = None
    more: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        for name in ("scheme", "host"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"a proxy's {name} is text")
        host = self.host
        if host.startswith("[") and host.endswith("]"):
            object.__setattr__(self, "host", host[1:-1])
        try:
            reference_name(self.host)
        except ConfigError:
            raise ConfigError(f"a proxy's host is no host name: {self.host!a}") from None
        port = self.port
        if port is not None and (
            isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536
        ):
            raise ConfigError(f"a proxy's port is a number from 1 to 65535, not {port!r}")
        for name in ("user", "password"):
            value = getattr(self, name)
            # Never the value itself.
            if value is not None and not (isinstance(value, str) and value.isprintable()):
                raise ConfigError(f"a proxy's {name} is printable text")
        if self.password is not None and not self.user:
            raise ConfigError("a proxy's password needs a user")
        if not self.user:
            object.__setattr__(self, "user", None)
        if self.tls is not None and not isinstance(self.tls, TLSOptions):
            raise ConfigError("a proxy's tls is a TLSOptions")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")

    @classmethod
    def from_url(cls, url: str) -> ProxyOptions:
        """Return the proxy that a URL stands for.

            http://proxy.example:3128
            https://user:password@proxy.example?tls.ca_file=/etc/proxy.pem
            socks5://user:password@[2001:db8::1]:1080

        User and password are percent-decoded.  The query may hold the keys that begin with `tls.`
        in the URL of a connection.

        Raises:
            ConfigError: It is no such URL; the text never repeats its credentials.
        """
        if not isinstance(url, str):
            raise ConfigError(f"option proxy is a URL or a ProxyOptions, not {type(url).__name__}")
        try:
            return cls(**_read(url))
        except ConfigError as reason:
            told = str(reason)
        raise ConfigError(f"option proxy: {told}")


def _read(url: str) -> dict[str, Any]:
    parts, host, port = query.split(url)
    if "://" not in url or not parts.scheme:
        raise ConfigError("a URL begins with http:// or socks5://, for one")
    if not host:
        raise ConfigError("the URL has no host")
    if parts.path not in ("", "/"):
        raise ConfigError("the URL has a path, and a proxy has no use for it")
    user, password = query.userinfo(parts) or (None, None)
    options: dict[str, Any] = {}
    more: dict[str, str] = {}
    for key, value in query.fields(parts.query):
        if key.startswith("tls."):
            query.take(options, query.TLS_KEYS, key.removeprefix("tls."), value, key)
        elif key in more:
            raise ConfigError(f"URL key {key} is given twice")
        else:
            more[key] = value
    return {
        "scheme": parts.scheme,
        "host": query.decoded(host, "host"),
        "port": port,
        "user": user,
        "password": password,
        "more": more,
        **query.tls_of(options),
    }
