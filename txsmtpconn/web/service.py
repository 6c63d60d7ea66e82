"""A page as a Twisted service: on loopback, unless the operator says otherwise."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.web.server import Site

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.listening import EndpointService, interface_of, shown
from txsmtpconn.net.networks import is_loopback
from txsmtpconn.web.stream import EventStream

_REMOTE = "is not on loopback, and the page has no login: everybody there could read all mail"


class WebService(EndpointService):
    """Serves a page while it runs.

    Args:
        reactor: The reactor.
        site: The page.
        endpoint: Twisted's description of where to listen.
        stream: Closed when the service stops.
        remote: Whether it may listen elsewhere than on loopback and unix sockets.

    Raises:
        ConfigError: The description makes no sense, or is not on loopback.
    """

    log = Logger(namespace="txsmtpconn.web")

    def __init__(
        self, reactor: Any, site: Site, endpoint: str, stream: EventStream, *, remote: bool = False
    ) -> None:
        super().__init__(reactor, site, [endpoint])
        self._stream = stream
        self._remote = remote
        interface = interface_of(endpoint)
        if not (remote or interface is None or is_loopback(interface)):
            raise ConfigError(f"{endpoint} {_REMOTE}")

    def _listening(self, port: IListeningPort, description: str) -> None:
        # Not every description says where it leads to; no client was accepted so far.
        host = getattr(port.getHost(), "host", None)
        if not (self._remote or host is None or is_loopback(host)):
            port.stopListening()
            raise ConfigError(f"{description} {_REMOTE}")
        self.ports.append(port)
        where = shown(port.getHost())
        url = where if host is None else f"http://{where}/"
        self.log.info("the page is at {url}", url=url, description=description)

    async def part(self) -> None:
        """Let go of the pages that are open."""
        self._stream.close()
