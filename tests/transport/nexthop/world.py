"""A network in memory with names, addresses and servers; and transports to all of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from txsmtpconn import DNSError, Envelope, SMTPTransport, simple_server
from txsmtpconn.server import IncomingMessage
from txsmtpconn.testing import CertificateZoo, MemoryNetwork, ScriptedPeer, failure_result_of
from txsmtpconn.transport.nexthop.records import MX, Answer, Record, RecordType

BODY = b"Subject: test\r\n\r\nhello\r\n"


class Zone:
    """DNS that says what a test wants.

    Attributes:
        trusted: Its answers are secure where the test says so.
        asked: Every question, in order.
    """

    trusted = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, RecordType]] = []
        self._answers: dict[tuple[str, RecordType], Answer | Exception | None] = {}
        self._names: set[str] = set()

    def put(
        self,
        name: str,
        kind: RecordType,
        *records: Record,
        secure: bool = False,
        ttl: float = 300.0,
        canonical: str | None = None,
    ) -> None:
        """Let a question have this answer."""
        self._names.add(name)
        self._answers[name, kind] = Answer(canonical or name, records, secure=secure, ttl=ttl)

    def fail(self, name: str, kind: RecordType) -> None:
        """Let a question fail, as with SERVFAIL."""
        self._answers[name, kind] = DNSError(f"{name}: SERVFAIL", status="4.4.3")

    def stall(self, name: str, kind: RecordType) -> None:
        """Let a question have no answer."""
        self._answers[name, kind] = None

    def lookup(self, name: str, kind: RecordType) -> Deferred[Answer]:
        self.asked.append((name, kind))
        nothing = Answer(name, exists=name in self._names, ttl=60.0)
        found = self._answers.get((name, kind), nothing)
        if isinstance(found, Exception):
            return fail(found)
        return Deferred() if found is None else succeed(found)


class WorldReactor(Clock):
    """A clock that can connect to addresses.

    Attributes:
        dialled: Where it was asked to connect to, address and port, in order.
    """

    network: MemoryNetwork

    def __init__(self) -> None:
        super().__init__()
        self.dialled: list[str] = []

    def connectTCP(  # noqa: N802
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: Any = None,
        bindAddress: Any = None,
    ) -> Any:
        self.dialled.append(f"{host}:{port}")
        connector = _Connector()
        connector.connecting = self.network.connect(factory, f"{host}:{port}")
        connector.connecting.addErrback(
            lambda reason: factory.clientConnectionFailed(connector, reason)
        )
        return connector


class _Connector:
    connecting: Deferred[Any]

    def stopConnecting(self) -> None:  # noqa: N802
        self.connecting.cancel()


class World:
    """Names, servers and a clock.

    Attributes:
        zone: What DNS says.
        taken: Server name, recipients and last line of each message that a server took.
    """

    def __init__(self, zoo: CertificateZoo | None = None) -> None:
        self.clock = WorldReactor()
        self.network = self.clock.network = MemoryNetwork(self.clock)
        self.zone = Zone()
        self.zoo = zoo
        self.taken: list[tuple[str, list[str], str]] = []
        self.envelopes: list[Envelope] = []

    # -- who is where

    def domain(self, name: str, *hosts: str, secure: bool = False) -> None:
        """Give a domain mail exchanges, best first."""
        records = [MX(10 * place, host) for place, host in enumerate(hosts, 1)]
        self.zone.put(name, RecordType.MX, *records, secure=secure)

    def host(
        self, name: str, *addresses: str, secure: bool = False, canonical: str | None = None
    ) -> None:
        """Give a host addresses."""
        for kind, wanted in ((RecordType.A, False), (RecordType.AAAA, True)):
            of_kind = [each for each in addresses if (":" in each) is wanted]
            self.zone.put(name, kind, *of_kind, secure=secure, canonical=canonical)

    def server(
        self,
        name: str,
        address: str,
        *,
        port: int = 25,
        certificate: str | None = None,
        **options: Any,
    ) -> Any:
        """Start a server that takes all mail."""

        async def take(message: IncomingMessage) -> None:
            content = await message.read()
            addresses = [each.address for each in message.envelope.recipients]
            last = content.decode().splitlines()[-1]
            self.taken.append((name, addresses, last))
            self.envelopes.append(message.envelope)

        if certificate is not None:
            assert self.zoo is not None
            options["tls"] = self.zoo.server_options(certificate)
        factory = simple_server(self.clock, take, name=name, **options)
        return self.network.listen(factory, f"{address}:{port}")

    def script(self, address: str, *peers: ScriptedPeer, port: int = 25) -> None:
        """Let scripted peers answer, one for each connection."""
        self.network.serve(*peers, name=f"{address}:{port}")

    # -- sending

    def transport(self, next_hop: str | None = None, **options: Any) -> SMTPTransport:
        """Return a transport to all of it."""
        options.setdefault("name", "client.test")
        options.setdefault("resolver", self.zone)
        return SMTPTransport.to_mx(self.clock, next_hop, **options)

    def result_of(self, deferred: Deferred[Any], within: float = 0.0) -> Any:
        """Return the result that must be there after some time."""
        return self.network.result_of(deferred, within)

    def failure_of(self, deferred: Deferred[Any], within: float = 0.0) -> Any:
        """Return the exception that must be there after some time."""
        self.network.settle()
        self.network.advance(within)
        return failure_result_of(deferred)

    def finish(self, *transports: SMTPTransport) -> None:
        """Close transports, and see that nothing is left."""
        closing = [transport.close() for transport in transports]
        self.network.settle()
        self.network.advance(10)
        assert all(each.called for each in closing)
        assert self.clock.getDelayedCalls() == []

    @property
    def servers(self) -> list[str]:
        """Who has taken the messages, in order."""
        return [name for name, *_ in self.taken]


def envelope(*recipients: str, **options: Any) -> Envelope:
    """Return an envelope to these."""
    sender = options.pop("mail_from", "sender@client.test")
    return Envelope(sender, _listed(recipients), **options)


def _listed(recipients: Iterable[str]) -> list[str]:
    return list(recipients)
