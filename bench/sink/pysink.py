"""The stand-in for ``fastsink`` where that cannot be compiled: the same, but slow.

Usage: ``python -m bench.sink.pysink PORT COUNTERS CERTIFICATE KEY``.
"""

from __future__ import annotations

import mmap
import socket
import ssl
import sys
import threading

from bench.counters import LAYOUT

READ_SIZE = 128 * 1024
EXTENSIONS = ("PIPELINING", "SIZE 1073741824", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING")


class Totals:
    """The shared counters; one lock, as several threads write."""

    def __init__(self, file: str) -> None:
        with open(file, "r+b") as backing:
            self._memory = mmap.mmap(backing.fileno(), LAYOUT.size)
        self._lock = threading.Lock()
        self._numbers = [0, 0, 0]

    def add(self, *, connections: int = 0, messages: int = 0, octets: int = 0) -> None:
        """Add to the numbers."""
        with self._lock:
            for index, more in enumerate((connections, messages, octets)):
                self._numbers[index] += more
            self._memory[:] = LAYOUT.pack(*self._numbers)


class Session(threading.Thread):
    """One connection."""

    def __init__(self, peer: socket.socket, context: ssl.SSLContext, totals: Totals) -> None:
        super().__init__(daemon=True)
        self._peer = peer
        self._context = context
        self._totals = totals
        self._buffer = bytearray()
        self._replies = bytearray()
        self._secure = False

    def run(self) -> None:
        """Serve until the client quits or breaks off."""
        self._totals.add(connections=1)
        try:
            self._reply("220 sink.test ESMTP")
            while self._obey(self._read_line()):
                pass
            self._peer.sendall(self._replies)
        except (OSError, EOFError):
            pass
        finally:
            self._peer.close()

    def _reply(self, text: str) -> None:
        self._replies += text.encode("ascii") + b"\r\n"

    def _fill(self) -> None:
        if self._replies:
            self._peer.sendall(self._replies)
            self._replies.clear()
        data = self._peer.recv(READ_SIZE)
        if not data:
            raise EOFError
        self._buffer += data

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _obey(self, line: bytes) -> bool:
        verb = line[:4].upper()
        if verb == b"EHLO":
            offered = EXTENSIONS if self._secure else ("STARTTLS", *EXTENSIONS)
            for keyword in ("sink.test", *offered[:-1]):
                self._reply(f"250-{keyword}")
            self._reply(f"250 {offered[-1]}")
        elif verb == b"DATA":
            self._receive_data()
        elif verb == b"BDAT":
            self._receive_chunk(line)
        elif line.upper() == b"STARTTLS":
            self._start_tls()
        elif verb == b"QUIT":
            self._reply("221 2.0.0 Bye")
            return False
        else:
            self._reply("250 2.0.0 Ok")
        return True

    def _receive_data(self) -> None:
        self._reply("354 Go on")
        octets = 0
        tail = bytearray(b"\r\n")
        while True:
            tail += self._buffer
            self._buffer.clear()
            mark = tail.find(b"\r\n.\r\n")
            if mark >= 0:
                self._buffer += tail[mark + 5 :]
                break
            octets += max(0, len(tail) - 4)
            del tail[:-4]
            self._fill()
        self._totals.add(messages=1, octets=octets + mark)
        self._reply("250 2.0.0 Ok")

    def _receive_chunk(self, line: bytes) -> None:
        size = left = int(line.split()[1])
        while left:
            if not self._buffer:
                self._fill()
            here = min(left, len(self._buffer))
            del self._buffer[:here]
            left -= here
        self._totals.add(messages=int(line.upper().endswith(b" LAST")), octets=size)
        self._reply("250 2.0.0 Ok")

    def _start_tls(self) -> None:
        self._reply("220 2.0.0 Go ahead")
        self._peer.sendall(self._replies)
        self._replies.clear()
        if self._buffer:
            raise EOFError  # plain text behind STARTTLS
        self._peer = self._context.wrap_socket(self._peer, server_side=True)
        self._secure = True


def main() -> None:
    """Serve until killed."""
    port, counters, certificate, key = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    totals = Totals(counters)
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=1024)
    while True:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Session(peer, context, totals).start()


if __name__ == "__main__":
    main()
