"""From the options of a proxy to an endpoint that goes through it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from txsmtpconn.client.hosts import host_endpoint
from txsmtpconn.client.proxy.endpoint import Route
from txsmtpconn.client.proxy.options import ProxyOptions
from txsmtpconn.client.proxy.schemes import scheme_of
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.clock import default_reactor
from txsmtpconn.net.tls import reference_name


def endpoint(
    reactor: Any,
    proxy: ProxyOptions | str,
    host: str,
    port: int,
    *,
    timeout: float = 30.0,
    dns_timeout: float = 30.0,
    local_address: str | None = None,
    road: IStreamClientEndpoint | None = None,
) -> IStreamClientEndpoint:
    """Return an endpoint that connects to host and port by way of a proxy.

    Args:
        reactor: The reactor to use; None for the process's.
        proxy: The proxy, or its URL.
        host: The server: a name, which the proxy looks up, or an IP address.
        port: The server's.
        timeout: Seconds in which the tunnel has to be open.
        dns_timeout: Seconds for the addresses of the proxy.
        local_address: The IP address to connect from.
        road: What leads to the proxy, instead of its host and port: another proxy, for one.

    Raises:
        ConfigError: The proxy is none, or cannot be asked for that.
    """
    if not isinstance(proxy, ProxyOptions):
        proxy = ProxyOptions.from_url(proxy)
    target = check(proxy, host, port)
    reactor = default_reactor() if reactor is None else reactor
    if road is None:
        road = host_endpoint(
            reactor,
            proxy.host,
            _port_of(proxy),
            timeout=timeout,
            dns_timeout=dns_timeout,
            local_address=local_address,
        )
    route = Route(reactor=reactor, proxy=proxy, road=road, host=target, port=port, timeout=timeout)
    return scheme_of(proxy).opener(route)


def check(proxy: ProxyOptions, host: str, port: int) -> str:
    """Look whether a proxy can be asked for host and port, without connecting to anything.

    Returns:
        The host as the proxy is told it.

    Raises:
        ConfigError: It cannot.
    """
    scheme = scheme_of(proxy)
    _port_of(proxy)
    if not isinstance(host, str) or not isinstance(port, int) or not 0 < port < 65536:
        raise ConfigError("a server behind a proxy is a host and a port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if "%" in host:
        raise ConfigError(f"the zone in {host!a} means nothing to a proxy")
    name = reference_name(host)
    if host.isascii():
        # A dot at the end says something to a resolver.
        name = host
    if scheme.check is not None:
        scheme.check(proxy, name, port)
    return name


def _port_of(proxy: ProxyOptions) -> int:
    port = scheme_of(proxy).port if proxy.port is None else proxy.port
    if port is None:
        raise ConfigError(f"option proxy: a URL that begins with {proxy.scheme}: names the port")
    return port
