"""The road to a server: which endpoint, and what its failures are called."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import error
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from txsmtpconn.client import proxy
from txsmtpconn.client.hosts import failure_words, host_endpoint, is_dialled
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.errors import DeadlineError, DNSError, SMTPError, SocketError, TLSError
from txsmtpconn.net.openssl import is_of_tls


def endpoint_for(reactor: Any, options: ConnectionOptions) -> IStreamClientEndpoint:
    """Return the endpoint that the options name.

    A host is tried at all its addresses, the two families in a race (RFC 8305); where there is a
    proxy, it alone is connected to, and the host is the proxy's to look up.
    """
    if options.endpoint is not None:
        return options.endpoint  # type: ignore[no-any-return]
    assert options.connection_timeout is not None
    assert options.dns_timeout is not None
    if options.path is not None:
        return UNIXClientEndpoint(reactor, options.path, timeout=options.connection_timeout)
    assert options.host is not None
    assert options.port is not None
    if options.proxy is not None:
        return proxy.endpoint(
            reactor,
            options.proxy,
            options.host,
            options.port,
            timeout=options.connection_timeout,
            dns_timeout=options.dns_timeout,
            local_address=options.local_address,
        )
    return host_endpoint(
        reactor,
        options.host,
        options.port,
        timeout=options.connection_timeout,
        dns_timeout=options.dns_timeout,
        local_address=options.local_address,
    )


def leads_to_address(options: ConnectionOptions) -> bool:
    """Tell whether the options name an IP address and a port: nothing to resolve, no race."""
    return (
        options.endpoint is None
        and options.path is None
        and options.proxy is None
        and is_dialled(options.host or "")
    )


def connection_error(failure: Failure, options: ConnectionOptions) -> SMTPError:
    """Return our error for whatever kept a connection from being made."""
    reason = failure.value
    if isinstance(reason, SMTPError):
        return reason
    where = _where(options)
    found: SMTPError
    if isinstance(reason, (error.DNSLookupError, socket.gaierror, UnicodeError)):
        found = DNSError(f"{where}: the name does not resolve", command="CONN")
    elif isinstance(reason, (error.TimeoutError, error.TCPTimedOutError)):
        found = DeadlineError(f"{where}: no connection in time", command="CONN")
    elif is_of_tls(reason):
        found = TLSError(f"{where}: the TLS handshake failed", command="CONN")
    else:
        found = SocketError(f"{where}: {failure_words(reason)}", command="CONN")
    found.__cause__ = reason
    return found


def _where(options: ConnectionOptions) -> str:
    if options.endpoint is not None:
        return "the endpoint"
    if options.path is not None:
        return repr(options.path)
    return f"{options.host}:{options.port}"
