"""A site, and a browser that says what it is told to, without a socket between them."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import IResource

from txsmtpconn.web.guard import guarded_site

OURS = "localhost:8025"


class Answer:
    """What came back."""

    def __init__(self, octets: bytes) -> None:
        head, _, rest = octets.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if first else 0
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        chunked = self.headers.get("transfer-encoding") == "chunked"
        self.body = _dechunked(rest) if chunked else rest

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _dechunked(octets: bytes) -> bytes:
    body = b""
    while octets:
        size, _, octets = octets.partition(b"\r\n")
        length = int(size or b"0", 16)
        body += octets[:length]
        octets = octets[length + 2 :]
    return body


class Talk:
    """Asks one site."""

    def __init__(self, resource: IResource, clock: Clock, names: tuple[str, ...] = ()) -> None:
        self.clock = clock
        self.site: Any = guarded_site(clock, resource, names)
        self.open: list[tuple[Any, StringTransport]] = []

    def raw(self, octets: bytes) -> StringTransport:
        """Say something, and leave the connection open."""
        transport = StringTransport()
        protocol = self.site.buildProtocol(None)
        protocol.makeConnection(transport)
        self.open.append((protocol._channel, transport))
        protocol.dataReceived(octets)
        return transport

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes = b"",
        *,
        host: str | None = OURS,
        **headers: str,
    ) -> Answer:
        """Ask for something; a header's name has underscores for dashes."""
        lines = [f"{method} {path} HTTP/1.1"]
        if host is not None:
            lines.append(f"Host: {host}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        transport = self.raw("\r\n".join([*lines, "", ""]).encode() + body)
        return Answer(transport.value())

    def close(self) -> None:
        """Close every connection."""
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        for protocol, _ in self.open:
            protocol.connectionLost(Failure(ConnectionDone()))
        self.open.clear()
