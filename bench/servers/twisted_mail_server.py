"""Twisted's own ESMTP server."""

# ruff: noqa: N802 - the names and arguments are Twisted's

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import protocol, reactor
from twisted.internet.defer import Deferred, succeed
from twisted.mail import smtp
from zope.interface import implementer


@implementer(smtp.IMessage)
class Discard:
    """Takes the lines of a message and forgets them."""

    def lineReceived(self, line: bytes) -> None:
        pass

    def eomReceived(self) -> Deferred[None]:
        return succeed(None)

    def connectionLost(self) -> None:
        pass


class Server(smtp.ESMTP):
    """Accepts every reverse-path and every forward-path."""

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return origin

    def validateTo(self, user: Any) -> Any:
        return Discard

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        return b"Received: by sink.test"


class Servers(protocol.ServerFactory):
    """Makes one for each connection."""

    noisy = False
    protocol = Server


if __name__ == "__main__":
    reactor.listenTCP(int(sys.argv[1]), Servers(), interface="127.0.0.1")
    reactor.run()
