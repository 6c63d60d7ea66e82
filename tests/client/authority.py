"""A token server of the test's own: in memory, under TLS of a throw-away authority."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from txsmtpconn import OAuth2TokenProvider, TLSOptions
from txsmtpconn.testing import CertificateZoo, MemoryNetwork

URL = "https://mx.test/token"


class Authority(Resource):
    """Answers each request with the next of its answers, and remembers what it was asked.

    Attributes:
        answers: Status and content of each; None never answers.
        forms: The form of each request.
        headers: The header fields of each, in lower case.
    """

    isLeaf = True

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []

    def render(self, request: Any) -> Any:
        assert request.method == b"POST"
        assert request.uri == b"/token"
        self.forms.append(dict(parse_qsl(request.content.read().decode())))
        self.headers.append(
            {
                name.decode().lower(): values[-1].decode()
                for name, values in request.requestHeaders.getAllRawHeaders()
            }
        )
        answer = self.answers.pop(0)
        if answer is None:
            return NOT_DONE_YET
        status, content, *fields = answer
        request.setResponseCode(status)
        for name, value in fields:
            request.setHeader(name, value)
        return content if isinstance(content, bytes) else json.dumps(content).encode()


def token(value: str = "t0ken", **more: Any) -> tuple[int, dict[str, Any]]:
    """An answer with a token."""
    return 200, {"access_token": value, "token_type": "Bearer", "expires_in": 3600, **more}


class World:
    """A network, an authority on it, and providers that ask it.

    Attributes:
        network: The network.
        authority: Who answers.
        connections: How many came.
        time: What a provider's clock shows when the network's stands at 0.
    """

    time = 1_790_000_000.0

    def __init__(
        self,
        zoo: CertificateZoo,
        *answers: Any,
        certificate: str = "server",
        protocol: Callable[[], Protocol] | None = None,
    ) -> None:
        self.zoo = zoo
        self.network = MemoryNetwork()
        self.authority = Authority(*answers)
        self.connections = 0
        build: Any
        if protocol is None:
            build = Site(self.authority, reactor=self.network.clock).buildProtocol
        else:
            build = Factory.forProtocol(protocol).buildProtocol

        def counted(address: Any) -> Any:
            self.connections += 1
            return build(address)

        # Not the site itself: it would look at the clock each second, for a log that nobody keeps,
        # and an older Twisted would change a context for it that is in use.
        speaking: Any = Factory()
        speaking.buildProtocol = counted
        tls = TLSMemoryBIOFactory(
            zoo.server_options(certificate), False, speaking, clock=self.network.clock
        )
        self.network.listen(tls)

    def now(self) -> float:
        """The time as a provider sees it."""
        return self.time + self.network.clock.seconds()

    def provider(self, **options: Any) -> OAuth2TokenProvider:
        """Make a provider, with a refresh token unless it is told of another way."""
        others = {"provision", "service_client", "access_token", "client_id"}
        if not others & set(options):
            options = {"client_id": "c1ient", "refresh_token": "r3fresh-token-1"} | options
        options.setdefault("tls", TLSOptions(ca_file=self.zoo.ca))
        options.setdefault("endpoint", self.network.client_endpoint())
        return OAuth2TokenProvider(
            self.network.clock, token_url=options.pop("token_url", URL), now=self.now, **options
        )

    def is_quiet(self) -> bool:
        """Whether nothing is left: connections closed, nothing to do."""
        self.network.settle()
        return (
            all(link.closed for link in self.network.links)
            and not self.network.clock.getDelayedCalls()
        )
