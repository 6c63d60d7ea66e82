"""Hosts with addresses of both families of which one is dead (RFC 8305), on real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from zope.interface import implementer

from tests.faults.test_client_sockets import BODY, ENVELOPE, closing_time, unused_port
from txsmtpconn import DeadlineError, SocketError, TLSOptions, connect
from txsmtpconn.testing import CaptureServer

__all__ = ["closing_time"]

V4, V6 = "127.0.0.1", "::1"


@implementer(IHostnameResolver)
class Addresses:
    """Resolves every name to the same addresses, in this order."""

    def __init__(self, *addresses: str) -> None:
        self.asked: list[str] = []
        self._addresses = addresses

    def resolveHostName(  # noqa: N802
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: object = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IResolutionReceiver:
        self.asked.append(hostName)
        resolutionReceiver.resolutionBegan(self)
        for address in self._addresses:
            kind: Any = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolutionReceiver


@contextmanager
def resolving_to(*addresses: str) -> Iterator[Addresses]:
    """Let the reactor resolve names in this way."""
    from twisted.internet import reactor

    ours = Addresses(*addresses)
    before = reactor.installNameResolver(ours)
    try:
        yield ours
    finally:
        reactor.installNameResolver(before)


@contextmanager
def blackhole(address: str, port: int) -> Iterator[None]:
    """Neither accept nor refuse connections: the kernel's queue for them is full."""
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = stack.enter_context(socket.socket(family))
        try:
            listening.bind((address, port))
        except OSError as reason:
            pytest.skip(f"needs {address}: {reason}")
        listening.listen(0)
        for _ in range(10):
            filling = stack.enter_context(socket.socket(family))
            filling.settimeout(0.1)
            try:
                filling.connect((address, port))
            except TimeoutError:
                break
        else:
            pytest.skip("needs a kernel that leaves connections unanswered")
        yield


@asynccontextmanager
async def nothing_left_open() -> AsyncIterator[None]:
    """Who lost the race has no socket in the reactor any more."""
    from twisted.internet import reactor

    before = set(reactor.getWriters())
    yield
    assert set(reactor.getWriters()) <= before


@pytest.mark.parametrize("order", [(V6, V4), (V4, V6)], ids=["dead-first", "dead-last"])
@pytest.mark.parametrize("death", ["refuses", "is silent"])
async def test_the_address_that_lives_is_found(death: str, order: Sequence[str]) -> None:
    """Mail is delivered, and the name is still what the certificate has to be for."""
    from twisted.internet import reactor

    async with CaptureServer(reactor, tls="starttls") as server:
        dead = blackhole(V6, server.port) if death == "is silent" else ExitStack()
        with dead, resolving_to(*order) as resolver:
            async with nothing_left_open():
                conn = await connect(
                    reactor,
                    host="localhost",
                    port=server.port,
                    tls=TLSOptions(ca_file=server.ca_file),
                    require_tls=True,
                )
            await conn.send(ENVELOPE, BODY)
            await conn.quit()
        assert resolver.asked == ["localhost"]
        assert [message.raw for message in server.messages] == [BODY]


async def test_all_addresses_refuse() -> None:
    """The error is a refusal, when the last of them has said so."""
    from twisted.internet import reactor

    with resolving_to(V6, V4), pytest.raises(SocketError, match="refused"):
        await connect(reactor, host="mx.test", port=unused_port())


async def test_all_addresses_are_silent() -> None:
    """One deadline for all of them together, and no attempt outlives it."""
    from twisted.internet import reactor

    port = unused_port()
    with blackhole(V6, port), blackhole(V4, port), resolving_to(V6, V4):
        async with nothing_left_open():
            with pytest.raises(DeadlineError):
                await connect(reactor, host="mx.test", port=port, connection_timeout=0.6)
