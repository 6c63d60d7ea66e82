"""A proxy for the tests: it says what it was told to say, and then relays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

HOST, PORT = "mx.test", 25
#: The same place as SOCKS writes it: a name behind its length, and a port.
PLACE = b"\x07mx.test\x00\x19"

#: What each kind of proxy is asked, and what it says: the last answer is given when it has
#: connected.
TURNS: dict[str, list[tuple[bytes, bytes]]] = {
    "http": [
        (b"CONNECT mx.test:25 HTTP/1.1\r\nHost: mx.test:25\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
    ],
    "socks4a": [
        (b"\x04\x01\x00\x19\x00\x00\x00\x01\x00mx.test\x00", b"\x00\x5a\x00\x00\x00\x00\x00\x00")
    ],
    "socks5": [
        (b"\x05\x01\x00", b"\x05\x00"),
        (b"\x05\x01\x00\x03" + PLACE, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"),
    ],
}
TURNS["https"] = TURNS["http"]
KINDS = sorted(TURNS)


def url(kind: str) -> str:
    """The URL of the proxy that keeps to `TURNS`; it is at localhost, as its certificate says."""
    return f"{kind}://localhost"


class Gate(Factory):
    """Takes connections, relays them, and keeps what it was asked.

    Args:
        turns: What is asked, and what is said to that.
        dial: Connects to the server.
        tls: What the proxy shows where it is spoken to under TLS.

    Attributes:
        asked: What each connection said until its tunnel was open.
        open: How many tunnels there are now.
    """

    noisy = False

    def __init__(
        self,
        turns: Sequence[tuple[bytes, bytes]],
        dial: Callable[[IProtocolFactory], Deferred[Any]],
        tls: Any = None,
    ) -> None:
        self.turns = turns
        self.dial = dial
        self.tls = tls
        self.asked: list[bytes] = []
        self.open = 0

    def buildProtocol(self, addr: object) -> Any:
        return _Front(self)


class _Front(Protocol):
    """The side of the client."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._turns = list(gate.turns)
        self._heard = b""
        self._asked = b""
        self._gone = False
        self.back: _Back | None = None

    def connectionMade(self) -> None:
        if self._gate.tls is not None:
            transport: Any = self.transport
            transport.startTLS(self._gate.tls)

    def dataReceived(self, data: bytes) -> None:
        if self.back is not None:
            self.back.transport.write(data)
            return
        self._heard += data
        while self._turns and self._heard.startswith(self._turns[0][0]):
            expected, answer = self._turns.pop(0)
            self._heard = self._heard[len(expected) :]
            self._asked += expected
            if self._turns:
                self.transport.write(answer)
            else:
                self._gate.asked.append(self._asked)
                self._gate.dial(_Backs(self, answer)).addErrback(self._refuse)

    def _refuse(self, _: Failure) -> None:
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        if self.back is not None:
            self._gate.open -= 1
            self.back.transport.unregisterProducer()
            self.back.transport.loseConnection()

    def left(self) -> None:
        if not self._gone:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def joined(self, back: _Back, answer: bytes) -> None:
        self._gate.open += 1
        self.back = back
        self.transport.registerProducer(back.transport, True)
        back.transport.registerProducer(self.transport, True)
        self.transport.write(answer)


class _Backs(Factory):
    noisy = False

    def __init__(self, front: _Front, answer: bytes) -> None:
        self._front = front
        self._answer = answer

    def buildProtocol(self, addr: object) -> Any:
        return _Back(self._front, self._answer)


class _Back(Protocol):
    """The side of the server."""

    def __init__(self, front: _Front, answer: bytes) -> None:
        self._front = front
        self._answer = answer

    def connectionMade(self) -> None:
        self._front.joined(self, self._answer)

    def dataReceived(self, data: bytes) -> None:
        self._front.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._front.left()
