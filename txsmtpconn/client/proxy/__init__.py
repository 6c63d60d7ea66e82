"""Proxies: HTTP and HTTPS CONNECT, SOCKS 4, 4a and 5, and kinds of the caller's own.

    way = proxy.endpoint(reactor, "socks5://127.0.0.1:1080", "mail.example", 587)
    connecting = way.connect(factory)

The server's name is never looked up on this side, and where the proxy fails, connecting fails.
"""

from __future__ import annotations

from txsmtpconn.client.proxy.endpoint import ProxyEndpoint, Route
from txsmtpconn.client.proxy.handshake import Handshake
from txsmtpconn.client.proxy.opening import check, endpoint
from txsmtpconn.client.proxy.options import ProxyOptions
from txsmtpconn.client.proxy.schemes import forget_scheme, register_scheme

__all__ = [
    "Handshake",
    "ProxyEndpoint",
    "ProxyOptions",
    "Route",
    "check",
    "endpoint",
    "forget_scheme",
    "register_scheme",
]
