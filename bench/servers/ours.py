"""Our server, taking every message and forgetting it."""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from txsmtpconn.server import ServerOptions, SMTPServerFactory


class Discard:
    """Accepts what it is given."""

    def on_data(self, session: object, envelope: object) -> Discard:
        """Take a message."""
        return self

    def write(self, data: bytes) -> None:
        """Drop it."""

    def finish(self) -> None:
        """Say that it was taken."""

    def abort(self, reason: Exception) -> None:
        """Have nothing to forget."""


if __name__ == "__main__":
    options = ServerOptions(max_clients=None, max_clients_per_address=None)
    factory = SMTPServerFactory(reactor, Discard(), options)
    TCP4ServerEndpoint(reactor, int(sys.argv[1]), interface="127.0.0.1").listen(factory)
    reactor.run()
