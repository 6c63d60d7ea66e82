"""An HTTPS server on a port of this host."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.web.resource import Resource
from twisted.web.server import Site


class Web(Factory):
    """Serves a resource, and negotiates nothing: older Twisteds cannot with newer pyOpenSSLs."""

    noisy = False

    def __init__(self, resource: Resource) -> None:
        self._site = Site(resource)

    def buildProtocol(self, addr: Any) -> Any:
        return self._site.buildProtocol(addr)
