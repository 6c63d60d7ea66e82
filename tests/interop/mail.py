"""What the interop tests send, and what they say of a result."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from txsmtpconn import Delivery, SMTPConnection, SMTPTransport, TLSOptions, connect
from txsmtpconn.testing import CertificateZoo

#: Every way in which mail data are hard to carry: dots where they count, octets above 127, a long
#: line, an empty line at the end, a lone dot.
BODY = (
    b".\r\n..\r\n.leading\r\nmid.dot\r\nto be followed by.\r\n.\r\n\r\n"
    b"\xc3\xbcml\xc3\xa4ut and \xff\xfe\r\n" + b"x" * 900 + b"\r\nFrom here\r\n\r\n.\r\n"
)


def marker() -> str:
    """Make what is in no other message."""
    return f"txs-{secrets.token_hex(8)}"


def message(mark: str, body: bytes = BODY) -> bytes:
    """Make a message with all fields that a server might add, so that it adds none."""
    header = (
        "From: a@a.test\r\nTo: u@a.test\r\nDate: Fri, 20 Nov 2026 19:00:00 +0000\r\n"
        f"Message-ID: <{mark}@a.test>\r\nSubject: interop\r\n\r\n"
    )
    return header.encode() + body


def on_the_wire(sent: bytes) -> int:
    """Count the octets of a message that goes by DATA: dots doubled, and its end."""
    return len(re.sub(rb"(?m)^\.", b"..", sent)) + len(b".\r\n")


def trusting(zoo: CertificateZoo, **options: Any) -> TLSOptions:
    """Trust the throw-away authority."""
    return TLSOptions(ca_file=zoo.ca, **options)


@asynccontextmanager
async def to_mx(zoo: CertificateZoo, port: int, **options: Any) -> AsyncIterator[SMTPTransport]:
    """A transport that finds all exchanges at this port of loopback, and trusts the authority."""
    from twisted.internet import reactor

    transport = SMTPTransport.to_mx(
        reactor,
        port=port,
        tls=trusting(zoo),
        name="client.test",
        allow_networks=["127.0.0.0/8"],
        **options,
    )
    try:
        yield transport
    finally:
        await transport.close(5)


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[SMTPConnection]:
    """Connect to a port of localhost; quit at the end, and close in any case."""
    from twisted.internet import reactor

    options = {"host": "localhost", "name": "client.test"} | options
    connection = await connect(reactor, port=port, **options)
    try:
        yield connection
        await connection.quit()
    finally:
        connection.close()


def deliveries(outcome: Any) -> list[Delivery]:
    """List what became of each recipient, by a result or an error."""
    return [each.delivery for each in outcome.recipients]
