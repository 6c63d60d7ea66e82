"""HTTPS on a port of this host: any resource, and the policy host of MTA-STS."""

from __future__ import annotations

from collections.abc import Callable
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


#: A policy that is enforced, for one exchange.
POLICY = b"version: STSv1\nmode: enforce\nmx: mx.test\nmax_age: 100000\n"


class PolicyHost(Resource):
    """Where an MTA-STS policy is to be had; it answers what a test wants, `POLICY` by default.

    Attributes:
        asked: Path and host of each request.
        answer: Renders one.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, bytes]] = []
        self.answer: Callable[[Any], Any] = lambda request: POLICY

    def render_GET(self, request: Any) -> Any:
        self.asked.append((request.path, request.getRequestHostname()))
        request.setHeader("content-type", "text/plain")
        return self.answer(request)
