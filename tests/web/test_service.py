"""A page as a service: where it may be, and what becomes of open pages at the end."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.testing import MemoryReactorClock
from twisted.web.resource import Resource

from txsmtpconn.errors import ConfigError
from txsmtpconn.testing import success_result_of
from txsmtpconn.web.guard import guarded_site
from txsmtpconn.web.service import WebService
from txsmtpconn.web.stream import EventStream

LOOPBACK = "tcp:8025:interface=127.0.0.1"


def service(reactor: Any, endpoint: str = LOOPBACK, **more: Any) -> WebService:
    """Make a service with an empty page."""
    site = guarded_site(reactor, Resource())
    return WebService(reactor, site, endpoint, EventStream(reactor), **more)


def test_it_listens_while_it_runs() -> None:
    """And lets go of the pages that are open at the end."""
    reactor: Any = MemoryReactorClock()
    made = service(reactor, remote=True)  # the reactor in memory says that it listens everywhere
    made.startService()
    assert reactor.tcpServers[0][0] == 8025
    assert reactor.tcpServers[0][3] == "127.0.0.1"
    success_result_of(made.stopService())
    assert made._stream.open(None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_what_turns_out_not_to_be_loopback_is_refused(host: str) -> None:
    """Endpoints of others do not say where they lead to before they listen; no page is shown."""
    reactor: Any = MemoryReactorClock()

    class Port:
        stopped = False

        def getHost(self) -> IPv4Address:
            return IPv4Address("TCP", host, 8025)

        def stopListening(self) -> None:
            self.stopped = True

    made = service(reactor)
    port: Any = Port()
    with pytest.raises(ConfigError, match="not on loopback"):
        made._listening(port, "someones:endpoint")
    assert port.stopped
    assert made.ports == []
    made = service(reactor, remote=True)
    made._listening(port, "someones:endpoint")
    assert made.ports == [port]


def test_a_unix_socket_is_as_good_as_loopback() -> None:
    """Its directory says who may come."""
    reactor: Any = MemoryReactorClock()
    made = service(reactor, "unix:/tmp/x.sock")

    class Port:
        def getHost(self) -> UNIXAddress:
            return UNIXAddress("/tmp/x.sock")

    port: Any = Port()
    made._listening(port, "unix:/tmp/x.sock")
    assert made.ports == [port]
