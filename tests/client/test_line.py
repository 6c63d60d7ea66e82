"""What a line asks of the socket beneath its transport."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tests.client.dial import BODY, ENVELOPE
from txsmtpconn import ConnectionOptions, SMTPConnection

QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)


class _Socket(socket.socket):
    """A socket that is never connected, and counts how often quick ACKs are asked for."""

    asked = 0

    def setsockopt(self, *arguments: object) -> None:
        assert arguments == (socket.IPPROTO_TCP, QUICK_ACK, 1)
        self.asked += 1


class _Transport(StringTransport):
    """A transport with a socket."""

    def __init__(self, handle: socket.socket) -> None:
        super().__init__()
        self._handle = handle

    def getHandle(self) -> socket.socket:
        return self._handle


@pytest.fixture
def handle() -> Iterator[_Socket]:
    """A socket that counts."""
    with _Socket() as made:
        yield made


@pytest.mark.skipif(QUICK_ACK is None, reason="the platform has no TCP_QUICKACK")
def test_replies_that_come_one_by_one_are_each_acknowledged_at_once(handle: _Socket) -> None:
    """Quick ACKs are asked for anew after each read while replies are owed: one read spends it."""
    clock = Clock()
    connection = SMTPConnection(
        clock, ConnectionOptions(host="mx.test", chunking="always", ignore_tls=True), clock=clock
    )
    connection.makeConnection(_Transport(handle))
    connection.dataReceived(b"220 hi\r\n250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
    connection.send(ENVELOPE, BODY)
    asked = [handle.asked]
    for reply in (b"250 mail\r\n", b"250 rcpt\r\n", b"250 taken\r\n"):
        connection.dataReceived(reply)
        asked.append(handle.asked)
    assert asked == [asked[0], asked[0] + 1, asked[0] + 2, asked[0] + 2]
    connection.close()
