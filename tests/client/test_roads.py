"""Roads: which endpoint for which options, and the words for a failure."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from txsmtpconn import (
    ConnectionOptions,
    DeadlineError,
    DNSError,
    ProxyError,
    SMTPError,
    SocketError,
    TLSError,
)
from txsmtpconn.client.roads import connection_error, endpoint_for

# Before 25.5 Twisted's own reactor for tests had no name resolver of the new kind.
pytestmark = pytest.mark.filterwarnings("ignore:Passing HostnameEndpoint a reactor that")


def test_the_options_name_an_endpoint() -> None:
    """A host, a path, or the caller's own."""
    reactor: Any = MemoryReactorClock()
    assert isinstance(endpoint_for(reactor, ConnectionOptions("mx.test")), HostnameEndpoint)
    unix = endpoint_for(reactor, ConnectionOptions(path="/run/lmtp"))
    assert isinstance(unix, UNIXClientEndpoint)
    assert endpoint_for(reactor, ConnectionOptions(endpoint=unix)) is unix


@pytest.mark.parametrize("local_address", [None, "192.0.2.1"])
def test_an_address_is_connected_to_without_a_lookup(local_address: str | None) -> None:
    """An IP address needs neither a resolver nor a race, and keeps time limit and local address."""
    for host in ("192.0.2.25", "2001:db8::25"):
        reactor: Any = MemoryReactorClock()
        options = ConnectionOptions(
            host, port=25, connection_timeout=7, local_address=local_address
        )
        endpoint_for(reactor, options).connect(Factory())
        bound = None if local_address is None else (local_address, 0)
        [(connected, port, _, timeout, bind)] = reactor.tcpClients
        assert (connected, port, timeout, bind) == (host, 25, 7, bound)
    zoned = endpoint_for(MemoryReactorClock(), ConnectionOptions("fe80::1%lo"))
    assert isinstance(zoned, HostnameEndpoint)


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        (error.DNSLookupError(), DNSError, "mx.test:587: the name does not resolve"),
        (socket.gaierror(-2, "unknown"), DNSError, "does not resolve"),
        (error.ConnectionRefusedError(), SocketError, "connection refused"),
        (error.NoRouteError(), SocketError, "no route to host"),
        (error.ConnectError(errno.ENETDOWN), SocketError, "network is down"),
        (error.ConnectError(), SocketError, "cannot connect"),
        (error.ConnectBindError(errno.EADDRNOTAVAIL), SocketError, "cannot assign"),
        (error.TCPTimedOutError(), DeadlineError, "no connection in time"),
        (SSL.Error([("ssl", "", "wrong version")]), TLSError, "the TLS handshake failed"),
        (RuntimeError("secret words"), SocketError, "RuntimeError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_has_a_class_words_and_a_cause(
    reason: Exception, kind: type[SMTPError], words: str
) -> None:
    """Ours for every one of Twisted's; foreign words are not repeated."""
    found = connection_error(Failure(reason), ConnectionOptions("mx.test"))
    assert type(found) is kind
    assert words in str(found)
    assert "secret" not in str(found)
    assert found.__cause__ is reason
    assert found.command == "CONN"


def test_an_error_of_ours_is_passed_on() -> None:
    """A caller's endpoint may know better what went wrong."""
    own = ProxyError("no way through")
    assert connection_error(Failure(own), ConnectionOptions()) is own


@pytest.mark.parametrize(
    ("options", "where"),
    [({"path": "/run/x"}, "'/run/x'"), ({"host": "::1", "port": 25}, "::1:25")],
)
def test_a_failure_says_where(options: dict[str, Any], where: str) -> None:
    """The path, or host and port."""
    found = connection_error(Failure(error.ConnectError()), ConnectionOptions(**options))
    assert str(found).startswith(where)
