"""This project's client.

The mode is ``default``, or ``pipelining=full|transaction|off`` with CHUNKING off, or ``chunking``
for BDAT always. Up to `Job.depth` sends are outstanding on each connection, refilled from their
callbacks.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from bench.clients.meter import Meter
from bench.clients.reacting import run
from bench.job import Job
from txsmtpconn import ConnectionOptions, Envelope, SendResult, TLSOptions, connect


def connection_options(job: Job) -> ConnectionOptions:
    """Return the options for the job's mode."""
    variant: dict[str, Any] = {}
    if job.mode == "chunking":
        variant = {"chunking": "always"}
    elif job.mode != "default":
        variant = {"chunking": "off", "pipelining": job.mode.removeprefix("pipelining=")}
    if job.tls:
        variant |= {"require_tls": True, "tls": TLSOptions(ca_file=job.ca)}
    else:
        variant["ignore_tls"] = True  # the sink offers it
    return ConnectionOptions(host=job.host, port=job.port, name="client.test", **variant)


class Sender(Protocol):
    """A connection, or a transport."""

    def send(self, envelope: Envelope, message: object) -> Deferred[SendResult]: ...


class Share:
    """Messages for one connection, or one pool: keeps it fed until all are answered."""

    def __init__(
        self, job: Job, connection: Sender, messages: int, outstanding: int, body: bytes
    ) -> None:
        self._job = job
        self._sender = job.sender
        self._addresses = job.addresses
        self._connection = connection
        self._unsent = messages
        self._outstanding = outstanding
        self._unanswered = messages
        self._body = body
        self.finished: Deferred[None] = Deferred()

    def start(self) -> Deferred[None]:
        """Send as many as may be outstanding; fires when all messages are accepted."""
        for _ in range(min(self._outstanding, self._unsent)):
            self._send_next()
        return self.finished

    def _send_next(self) -> None:
        self._unsent -= 1
        message: bytes | BinaryIO = self._body
        if self._job.stream:
            message = open(self._job.body, "rb")  # noqa: SIM115 - whoever reads it closes it
        envelope = Envelope(self._sender, self._addresses)
        self._connection.send(envelope, message).addCallbacks(self._sent, self._failed)

    def _sent(self, result: SendResult) -> None:
        if result.rejected:
            self._failed(Failure(RuntimeError(f"{len(result.rejected)} recipients refused")))
            return
        self._unanswered -= 1
        if self._unsent:
            self._send_next()
        elif not self._unanswered and not self.finished.called:
            self.finished.callback(None)

    def _failed(self, failure: Failure) -> None:
        if not self.finished.called:
            self.finished.errback(failure)


async def converse(reactor: Any, job: Job, messages: int, body: bytes, meter: Meter) -> None:
    """Send one connection's share."""
    options = connection_options(job)
    for _ in range(messages if job.fresh else 1):
        connection = await connect(reactor, options)
        meter.ready()
        await Share(job, connection, 1 if job.fresh else messages, job.depth, body).start()
        meter.answered()
        await connection.quit()


async def work(reactor: Any, job: Job) -> None:
    """Do the whole job."""
    body = b"" if job.stream else job.read_body()
    with Meter() as meter:
        shares = (converse(reactor, job, share, body, meter) for share in job.shares)
        await gatherResults([Deferred.fromCoroutine(share) for share in shares])
    meter.report(job.messages)


if __name__ == "__main__":
    run(work)
