"""Twisted's own ESMTPClient.

Mode ``nodelay`` sets TCP_NODELAY on its connections, ``as-is`` leaves them alone.
"""

# ruff: noqa: N802, N803 - the names and arguments are Twisted's

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from twisted.internet import protocol, ssl
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTCP, ITCPTransport
from twisted.mail import smtp

from bench.clients.meter import Meter
from bench.clients.reacting import run
from bench.job import Job


class Session(smtp.ESMTPClient):
    """Sends its share of the messages one after the other, then QUIT."""

    def __init__(self, job: Job, messages: int, body: bytes, meter: Meter) -> None:
        authority = None
        if job.tls:
            with open(job.ca, "rb") as file:
                trust = ssl.Certificate.loadPEM(file.read())
            authority = ssl.optionsForClientTLS(job.host, trustRoot=trust)
        super().__init__(None, contextFactory=authority, identity=b"client.test")  # type: ignore[no-untyped-call]
        self.requireTransportSecurity = job.tls
        self._job = job
        self._left = messages
        self._body = body
        self._meter = meter
        self._started = False

    def connectionMade(self) -> None:
        if self._job.mode == "nodelay":
            cast(ITCPTransport, self.transport).setTcpNoDelay(True)
        super().connectionMade()  # type: ignore[no-untyped-call]

    def getMailFrom(self) -> str | None:
        if not self._started:
            self._started = True
            self._meter.ready()
        if self._left == 0:
            self._meter.answered()
            return None
        self._left -= 1
        return self._job.sender

    def getMailTo(self) -> list[str]:
        return self._job.addresses

    def getMailData(self) -> BinaryIO:
        if self._job.stream:
            return open(self._job.body_lf, "rb")
        return io.BytesIO(self._body)

    def sentMail(self, code: int, resp: bytes, numOk: int, addresses: Any, log: Any) -> None:
        if code != 250 or numOk != self._job.recipients:
            raise RuntimeError(f"reply {code} {resp!r}, {numOk} recipients")

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.factory.lost.callback(None)


class Sessions(protocol.ClientFactory):
    """Makes one session and says when it is over."""

    noisy = False

    def __init__(self, session: Session) -> None:
        self.lost: Deferred[None] = Deferred()
        self._session = session

    def buildProtocol(self, addr: Any) -> Session:
        self._session.factory = self
        return self._session


async def converse(reactor: Any, job: Job, messages: int, body: bytes, meter: Meter) -> None:
    """Send one connection's share."""
    for _ in range(messages if job.fresh else 1):
        factory = Sessions(Session(job, 1 if job.fresh else messages, body, meter))
        reactor.connectTCP(job.host, job.port, factory)
        await factory.lost


async def work(reactor: IReactorTCP, job: Job) -> None:
    """Do the whole job."""
    body = b"" if job.stream else job.read_body(lf=True)
    with Meter() as meter:
        shares = (converse(reactor, job, share, body, meter) for share in job.shares)
        await gatherResults([Deferred.fromCoroutine(share) for share in shares])
    meter.report(job.messages)


if __name__ == "__main__":
    run(work)
