"""This project's transport, with a pool of as many connections as the job has.

The transport is given `Job.depth` messages for each connection, refilled from their callbacks;
which connection takes which, and how many at a time, is the pool's affair.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from bench.clients.meter import Meter
from bench.clients.ours import Share, connection_options
from bench.clients.reacting import run
from bench.job import Job
from txsmtpconn import PoolOptions, SMTPTransport


async def work(reactor: Any, job: Job) -> None:
    """Do the whole job."""
    body = b"" if job.stream else job.read_body()
    with Meter() as meter:
        pool = PoolOptions(max_connections=job.connections, max_messages=job.messages)
        transport = SMTPTransport(
            reactor, connection_options(job), pool=False if job.fresh else pool
        )
        meter.ready()
        await Share(job, transport, job.messages, job.depth * job.connections, body).start()
        meter.answered()
        closed: Deferred[None] = transport.close()
        await closed
    meter.report(job.messages)


if __name__ == "__main__":
    run(work)
