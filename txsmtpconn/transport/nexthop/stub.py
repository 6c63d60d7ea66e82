"""A stub resolver: asks the servers of ``/etc/resolv.conf``, or others, over UDP and TCP.

What it takes for an answer came from the server that was asked, to the port that asked, with the
number and the question that were sent. The AD bit, "this was validated", is believed only from
servers that the caller declares to be trusted, and the way to them with them: on any other network
whoever is on the way may set it (RFC 6840 section 5.8, RFC 7672 section 2.1.1).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.error import CannotListenError, ConnectError, ConnectionClosed
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from txsmtpconn.errors import ConfigError, DNSError
from txsmtpconn.net.addresses import address_endpoint
from txsmtpconn.transport.nexthop.answers import read_answer, read_message
from txsmtpconn.transport.nexthop.records import Answer, RecordType

DNS_PORT = 53

#: Seconds to wait for each server, in each round.
_ROUNDS = (2.0, 4.0, 8.0)

#: Seconds to connect, and again for the answer, over TCP.
_TCP = 5.0

#: As many as the C library asks.
_SERVERS = 3

_RESOLV_CONF = Path("/etc/resolv.conf")

Server = tuple[str, int]


class StubResolver:
    """Asks recursive servers.

    Args:
        reactor: The reactor.
        servers: Addresses, ``"192.0.2.53"``, or pairs of address and port; by default those that
            ``/etc/resolv.conf`` names at the time.
        trusted: Whether they validate (DNSSEC), and neither they nor anybody on the way to them
            lies: as a rule, a validating resolver on this machine.

    Raises:
        ConfigError: A server is no IP address, or there is none.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Iterable[str | Server] | str | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        self._reactor = reactor
        given = [servers] if isinstance(servers, str) else servers
        self._servers = None if given is None else tuple(map(_server, given))
        if self._servers == ():
            raise ConfigError("a resolver needs the address of a DNS server")
        self.trusted = trusted

    def __repr__(self) -> str:
        return f"StubResolver({list(self.servers)!r}, trusted={self.trusted})"

    @property
    def servers(self) -> tuple[Server, ...]:
        """Address and port of each, in the order in which they are asked."""
        return _of_the_system() if self._servers is None else self._servers

    def lookup(self, name: str, kind: RecordType) -> Deferred[Answer]:
        """Ask the servers in turn, and again with more patience those that did not answer."""
        return Deferred.fromCoroutine(self._lookup(name, kind))

    async def _lookup(self, name: str, kind: RecordType) -> Answer:
        why = "no server answered"
        silent = self.servers
        for patience in _ROUNDS:
            asked, silent = silent, ()
            for server in asked:
                message = await self._ask(server, name, kind, patience)
                if message is None:
                    silent = (*silent, server)
                    continue
                read = read_answer(message, name, kind, trusted=self.trusted)
                if isinstance(read, Answer):
                    return read
                why = read
        raise DNSError(f"{name} ({kind.name}): {why}", command="CONN", status="4.4.3")

    async def _ask(
        self, server: Server, name: str, kind: int, patience: float
    ) -> dns.Message | None:
        """Return what a server says, None if it says nothing."""
        # RFC 6840 section 5.7: by AD in the query we ask for AD in the answer.
        query = dns.Message(secrets.randbelow(0x10000), recDes=1, authenticData=1)
        query.addQuery(name.encode("ascii"), kind)
        try:
            message = await self._by_datagram(server, query, patience)
            return await self._by_stream(server, query) if message.trunc else message
        except (WaitedTooLong, ConnectError, ConnectionClosed, CannotListenError):
            return None

    async def _by_datagram(
        self, server: Server, query: dns.Message, patience: float
    ) -> dns.Message:
        asking = _Datagram(server, query)
        # The kernel picks the port at random, and lets only this server's datagrams in.
        port = self._reactor.listenUDP(0, asking, interface="::" if ":" in server[0] else "")
        try:
            return await asking.answer.addTimeout(patience, self._reactor)
        finally:
            port.stopListening()

    async def _by_stream(self, server: Server, query: dns.Message) -> dns.Message:
        asking = _Stream(query)
        endpoint = address_endpoint(self._reactor, *server, timeout=_TCP)
        await endpoint.connect(Factory.forProtocol(lambda: asking))
        try:
            return await asking.answer.addTimeout(_TCP, self._reactor)
        finally:
            transport: Any = asking.transport
            transport.abortConnection()


class _Datagram(DatagramProtocol):
    """One question, in a datagram."""

    def __init__(self, server: Server, query: dns.Message) -> None:
        self._server = server
        self._query = query
        self.answer: Deferred[dns.Message] = Deferred()

    def startProtocol(self) -> None:
        transport: Any = self.transport
        try:
            transport.connect(*self._server)
            transport.write(self._query.toStr())
        except OSError as reason:
            # No route, as to a server of a family that this network does not have.
            self.answer.errback(ConnectError(reason.errno, reason.strerror))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        message = read_message(datagram, self._query)
        if message is not None and not self.answer.called:
            self.answer.callback(message)

    def connectionRefused(self) -> None:
        if not self.answer.called:
            self.answer.errback(ConnectError("no server there"))


class _Stream(Int16StringReceiver):
    """One question, over a stream."""

    def __init__(self, query: dns.Message) -> None:
        self._query = query
        self.answer: Deferred[dns.Message] = Deferred()

    def connectionMade(self) -> None:
        self.sendString(self._query.toStr())  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        message = read_message(string, self._query)
        if message is not None and not message.trunc and not self.answer.called:
            self.answer.callback(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            self.answer.errback(ConnectError("the server closed the connection"))


def _server(given: object) -> Server:
    address, port = given if isinstance(given, tuple) and len(given) == 2 else (given, DNS_PORT)
    try:
        ip_address(str(address))
    except ValueError:
        raise ConfigError(f"a DNS server is an IP address, not {address!a}") from None
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ConfigError(f"the port of a DNS server is 1 to 65535, not {port!a}")
    return str(address), port


def _of_the_system() -> tuple[Server, ...]:
    """Read ``/etc/resolv.conf`` (resolv.conf(5)); without it, a server on this machine."""
    try:
        text = _RESOLV_CONF.read_text("ascii", "replace")
    except OSError:
        text = ""
    found: list[Server] = []
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest:
            try:
                found.append(_server(rest[0]))
            except ConfigError:
                continue
    return tuple(found[:_SERVERS]) or (("127.0.0.1", DNS_PORT),)
