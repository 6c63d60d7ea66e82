"""Which kinds of proxy there are: those that are built in, and those of the caller's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from txsmtpconn.client.proxy.endpoint import ProxyEndpoint, Route
from txsmtpconn.client.proxy.handshake import Handshake
from txsmtpconn.client.proxy.http import HTTPHandshake
from txsmtpconn.client.proxy.options import ProxyOptions
from txsmtpconn.client.proxy.socks import SOCKSHandshake, socks4, socks5
from txsmtpconn.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9+.-]*")

#: Makes the endpoint that goes a route.
Opener = Callable[[Route], IStreamClientEndpoint]

#: Raises a `ConfigError` if such a proxy, with these options, cannot be asked for host and port.
Check = Callable[[ProxyOptions, str, int], Any]


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of proxy.

    Attributes:
        opener: What makes its endpoints.
        port: Where such proxies listen, if a URL does not say; None where it must.
        check: What tells of mistakes before anything is connected.
    """

    opener: Opener
    port: int | None
    check: Check | None


def register_scheme(
    name: str, opener: Opener, *, port: int | None = None, check: Check | None = None
) -> None:
    """Let URLs of proxies begin with a scheme of your own.

    Args:
        name: The scheme, in lower case, without its colon.
        opener: Makes the endpoint of a `Route`.  It must not connect in any other way.
        port: Where such proxies listen, if a URL does not say.
        check: Called with the proxy, host and port when options are made; raises `ConfigError`.

    Raises:
        ConfigError: The name cannot be a scheme, or is taken.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{name!a} cannot be the scheme of a URL")
    if name in _SCHEMES:
        raise ConfigError(f"the proxy scheme {name} is taken")
    if not callable(opener):
        raise ConfigError("what opens the way through a proxy is callable")
    _SCHEMES[name] = Scheme(opener, port, check)


def forget_scheme(name: str) -> None:
    """Undo `register_scheme`.

    Raises:
        ConfigError: The scheme is built in.
    """
    if name in _BUILT_IN:
        raise ConfigError(f"the proxy scheme {name} is built in")
    _SCHEMES.pop(name, None)


def scheme_of(proxy: ProxyOptions) -> Scheme:
    """Return the kind that a proxy is of.

    Raises:
        ConfigError: There is no such kind.
    """
    found = _SCHEMES.get(proxy.scheme)
    if found is None:
        raise ConfigError(
            f"option proxy: a proxy is one of {', '.join(sorted(_SCHEMES))}, not {proxy.scheme!a}"
        )
    return found


# -- those that are built in

#: Makes a handshake that asks a proxy for host and port.
_Ask = Callable[[ProxyOptions, str, int], Handshake]


def _http(proxy: ProxyOptions, host: str, port: int) -> Handshake:
    _expect_no_more(proxy)
    return HTTPHandshake(host, port, proxy.user, proxy.password)


def _socks4(proxy: ProxyOptions, host: str, port: int, *, by_name: bool) -> Handshake:
    _expect_no_more(proxy)
    if proxy.password is not None:
        raise ConfigError("SOCKS 4 knows no passwords: use socks5")
    return SOCKSHandshake(socks4(host, port, proxy.user, by_name=by_name))


def _socks5(proxy: ProxyOptions, host: str, port: int) -> Handshake:
    _expect_no_more(proxy)
    return SOCKSHandshake(socks5(host, port, proxy.user, proxy.password))


def _expect_no_more(proxy: ProxyOptions) -> None:
    if proxy.more:
        raise ConfigError(f"option proxy: unknown URL key {next(iter(proxy.more))!a}")
    if proxy.tls is not None and proxy.scheme != "https":
        raise ConfigError(f"option proxy: {proxy.scheme} proxies are not spoken to under TLS")


def _scheme(ask: _Ask, port: int, *, tls: bool = False) -> Scheme:
    def opener(route: Route) -> IStreamClientEndpoint:
        return ProxyEndpoint(route, partial(ask, route.proxy, route.host, route.port), tls=tls)

    return Scheme(opener, port, ask)


_BUILT_IN: dict[str, Scheme] = {
    "http": _scheme(_http, 80),
    "https": _scheme(_http, 443, tls=True),
    "socks": _scheme(_socks5, 1080),
    "socks4": _scheme(partial(_socks4, by_name=False), 1080),
    "socks4a": _scheme(partial(_socks4, by_name=True), 1080),
    "socks5": _scheme(_socks5, 1080),
    "socks5h": _scheme(_socks5, 1080),
}
_SCHEMES = dict(_BUILT_IN)
