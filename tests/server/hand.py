"""A client played by hand against the real server, in memory, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from txsmtpconn.server import ServerOptions, SMTPServerFactory
from txsmtpconn.testing import MemoryNetwork

OPENING = b"EHLO me.test\r\nMAIL FROM:<s@x.test>\r\nRCPT TO:<r@y.test>\r\nDATA\r\n"
LMTP_OPENING = (
    b"LHLO me.test\r\nMAIL FROM:<s@x.test>\r\nRCPT TO:<a@y.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"
)


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class Hand(Protocol):
    """Says what it is told to say, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.secured = False
        self.input_over = False
        self.lost: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def handshakeCompleted(self) -> None:
        self.secured = True

    def readConnectionLost(self) -> None:
        self.input_over = True
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Any) -> None:
        self.lost = reason


class Sink:
    """Keeps what becomes of one message, in order."""

    def __init__(self, answer: Any = None) -> None:
        self.content = b""
        self.ends: list[Any] = []
        self.answer = answer

    def write(self, data: bytes) -> None:
        assert not self.ends
        self.content += data

    def finish(self) -> Any:
        assert not self.ends
        self.ends.append("finished")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def abort(self, reason: Exception) -> None:
        assert not self.ends
        self.ends.append(reason)


class Recording:
    """Hooks that keep what they are asked, and answer from a table: a value, or an exception."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.sinks: list[Sink] = []
        self.sessions: list[Any] = []
        self._answers = answers

    def _ask(self, name: str, *arguments: Any) -> Any:
        self.asked.append((name, *arguments))
        answer = self._answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def names(self) -> list[str]:
        """Return the hooks that were asked, in order."""
        return [name for name, *_ in self.asked]

    def on_connect(self, session: Any) -> Any:
        self.sessions.append(session)
        return self._ask("connect")

    def on_secure(self, session: Any) -> Any:
        return self._ask("secure")

    def on_mail_from(self, session: Any, address: str, parameters: Any) -> Any:
        return self._ask("mail_from", address)

    def on_rcpt_to(self, session: Any, address: str, parameters: Any) -> Any:
        return self._ask("rcpt_to", address)

    def on_data(self, session: Any, envelope: Any) -> Any:
        answer = self._ask("data", envelope)
        if answer is not None:
            return answer
        self.sinks.append(Sink(self._answers.get("finish")))
        return self.sinks[-1]

    def on_close(self, session: Any) -> Any:
        return self._ask("close")


class Meeting:
    """One server in memory, and hands that talk to it."""

    def __init__(self, hooks: Any = None, network: MemoryNetwork | None = None, **options: Any):
        options.setdefault("name", "mx.test")
        options.setdefault("auth_delay", 0)
        self.network = network or MemoryNetwork()
        self.factory = SMTPServerFactory(self.network.clock, hooks, ServerOptions(**options))
        self.network.listen(self.factory)

    def hand(self) -> Hand:
        """Connect one more client."""
        from twisted.internet.protocol import Factory

        hand = self.network.result_of(self.network.connect(Factory.forProtocol(Hand)))
        self.network.settle()
        return hand

    def says(self, hand: Hand, octets: bytes) -> bytes:
        """Let a client say something; return what it hears then."""
        before = len(hand.heard)
        hand.transport.write(octets)
        self.network.settle()
        return hand.heard[before:]

    def waits(self, seconds: float) -> None:
        """Let time pass."""
        self.network.advance(seconds)

    def ends(self) -> None:
        """Cut all connections, so that nothing is left to do."""
        for link in self.network.links:
            if not link.closed:
                link.reset()
        self.network.settle()


def later() -> tuple[Deferred[Any], Callable[[], Deferred[Any]]]:
    """Return a Deferred, and a hook's answer that is this one."""
    deferred: Deferred[Any] = Deferred()
    return deferred, lambda: deferred


def codes(heard: bytes) -> list[int]:
    """Return the codes of replies, one for each reply."""
    return [int(line[:3]) for line in heard.splitlines() if line[3:4] != b"-"]
