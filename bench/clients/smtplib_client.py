"""The standard library's smtplib; several connections are several threads."""

from __future__ import annotations

import smtplib
import ssl
import threading

from bench.clients.meter import Meter
from bench.job import Job


def open_session(job: Job, context: ssl.SSLContext) -> smtplib.SMTP:
    """Connect and say EHLO, inside TLS where the job wants it."""
    session = smtplib.SMTP(job.host, job.port, local_hostname="client.test")
    session.ehlo()
    if job.tls:
        session.starttls(context=context)
        session.ehlo()
    return session


def send(job: Job, session: smtplib.SMTP, body: bytes) -> None:
    """Send one message; a streamed one is read whole, as smtplib has no other way."""
    refused = session.sendmail(job.sender, job.addresses, job.read_body() if job.stream else body)
    if refused:
        raise RuntimeError(f"{len(refused)} recipients refused")


def converse(job: Job, messages: int, body: bytes, context: ssl.SSLContext, meter: Meter) -> None:
    """Send one connection's share."""
    if job.fresh:
        for _ in range(messages):
            with open_session(job, context) as session:
                send(job, session, body)
        return
    with open_session(job, context) as session:
        meter.ready()
        for _ in range(messages):
            send(job, session, body)
        meter.answered()


def main() -> None:
    """Do the job given on the command line."""
    job = Job.from_arguments()
    body = b"" if job.stream else job.read_body()
    with Meter() as meter:
        context = ssl.create_default_context(cafile=job.ca) if job.tls else ssl.SSLContext()
        if job.connections == 1:
            converse(job, job.messages, body, context, meter)
        else:
            threads = [
                threading.Thread(target=converse, args=(job, share, body, context, meter))
                for share in job.shares
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    meter.report(job.messages)


if __name__ == "__main__":
    main()
