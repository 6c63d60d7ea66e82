"""A name server on loopback, in this process: twisted.names, with records that a test gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet import error
from twisted.internet.defer import succeed
from twisted.names import dns, server
from twisted.names.common import ResolverBase
from twisted.names.error import DomainError

TLSA = 52


class Records(ResolverBase):
    """Answers from a table; the servers of this package's tests are at names in it.

    Attributes:
        table: (name, type) -> records; None fails (SERVFAIL).
        asked: (name, type), in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[tuple[str, int], list[Any] | None] = {}
        self.asked: list[tuple[str, int]] = []

    def put(self, name: str, *records: Any) -> None:
        """Give a name records, all of one type."""
        kind = TLSA if isinstance(records[0], dns.UnknownRecord) else records[0].TYPE
        self.table[name, kind] = list(records)

    def fail(self, name: str, kind: int) -> None:
        """Let a question fail."""
        self.table[name, kind] = None

    def query(self, query: dns.Query, timeout: Any = None) -> Any:
        from twisted.internet.defer import fail

        name = query.name.name.decode().lower()
        self.asked.append((name, query.type))
        found = self.table.get((name, query.type), [])
        if found is None:
            return fail(RuntimeError())
        alias = self.table.get((name, dns.CNAME))
        answers = [self._header(name, query.type, record) for record in found]
        if alias and not found:
            answers.append(self._header(name, dns.CNAME, alias[0]))
            end = alias[0].name.name.decode().lower()
            records = self.table.get((end, query.type)) or ()
            answers += [self._header(end, query.type, record) for record in records]
        if not answers and not any(known == name for known, _ in self.table):
            return fail(DomainError())
        return succeed((answers, [], []))

    @staticmethod
    def _header(name: str, kind: int, record: Any) -> dns.RRHeader:
        return dns.RRHeader(name, kind, ttl=60, payload=record)


@asynccontextmanager
async def nameserver(records: Records) -> AsyncIterator[int]:
    """Serve records over UDP and TCP of one port, which is returned."""
    from twisted.internet import reactor

    factory = server.DNSServerFactory(clients=[records])
    factory.noisy = False
    while True:
        stream = reactor.listenTCP(0, factory, interface="127.0.0.1")
        port = stream.getHost().port
        try:
            datagrams = reactor.listenUDP(
                port, Datagrams(factory), interface="127.0.0.1", maxPacketSize=512
            )
            break
        except error.CannotListenError:
            await stream.stopListening()
    try:
        yield port
    finally:
        await datagrams.stopListening()
        await stream.stopListening()


class Datagrams(dns.DNSDatagramProtocol):
    """Cuts off what does not fit into a datagram, as a server must without EDNS."""

    def writeMessage(self, message: dns.Message, address: Any) -> None:
        message.maxSize = 512
        super().writeMessage(message, address)


@asynccontextmanager
async def datagram_server(answer: Callable[[bytes], list[bytes]]) -> AsyncIterator[int]:
    """Answer each datagram with those that a function returns: a server that may do anything."""
    from twisted.internet import protocol, reactor

    class Server(protocol.DatagramProtocol):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            for octets in answer(datagram):
                self.transport.write(octets, addr)

    port = reactor.listenUDP(0, Server(), interface="127.0.0.1")
    try:
        yield port.getHost().port
    finally:
        await port.stopListening()
