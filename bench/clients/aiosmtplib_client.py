"""aiosmtplib on asyncio; mode ``uvloop`` puts uvloop under it."""

from __future__ import annotations

import asyncio
import ssl

import aiosmtplib
import uvloop

from bench.clients.meter import Meter
from bench.job import Job


def make_session(job: Job, context: ssl.SSLContext | None) -> aiosmtplib.SMTP:
    """Return a session that is not connected yet."""
    return aiosmtplib.SMTP(
        hostname=job.host,
        port=job.port,
        local_hostname="client.test",
        start_tls=job.tls,
        tls_context=context,
    )


async def send(job: Job, session: aiosmtplib.SMTP, body: bytes) -> None:
    """Send one message; a streamed one is read whole, as aiosmtplib has no other way."""
    message = job.read_body() if job.stream else body
    refused, _ = await session.sendmail(job.sender, job.addresses, message)
    if refused:
        raise RuntimeError(f"{len(refused)} recipients refused")


async def converse(
    job: Job, messages: int, body: bytes, context: ssl.SSLContext | None, meter: Meter
) -> None:
    """Send one connection's share."""
    if job.fresh:
        for _ in range(messages):
            async with make_session(job, context) as session:
                await send(job, session, body)
        return
    async with make_session(job, context) as session:
        meter.ready()
        for _ in range(messages):
            await send(job, session, body)
        meter.answered()


async def work(job: Job, body: bytes, meter: Meter) -> None:
    """Do the whole job on the running loop."""
    with meter:
        context = ssl.create_default_context(cafile=job.ca) if job.tls else None
        await asyncio.gather(*(converse(job, share, body, context, meter) for share in job.shares))


def main() -> None:
    """Do the job given on the command line."""
    job = Job.from_arguments()
    body = b"" if job.stream else job.read_body()
    meter = Meter()
    if job.mode == "uvloop":
        uvloop.run(work(job, body, meter))
    else:
        asyncio.run(work(job, body, meter))
    meter.report(job.messages)


if __name__ == "__main__":
    main()
