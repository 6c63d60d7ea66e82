"""A TCP proxy that holds every octet back for half a round trip in each direction.

Usage: ``python -m bench.delay_proxy PORT UPSTREAM_PORT ROUND_TRIP_SECONDS``. It accepts at once:
opening a connection is not delayed, what is said on it is.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time

READ_SIZE = 64 * 1024


def carry(source: socket.socket, target: socket.socket, delay: float) -> None:
    """Move octets from source to target, each `delay` seconds late, until the source ends."""
    waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = waiting.get()
                early = due - time.monotonic()
                if early > 0:
                    time.sleep(early)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

    threading.Thread(target=deliver, daemon=True).start()
    data = b"-"
    while data:
        try:
            data = source.recv(READ_SIZE)
        except OSError:
            data = b""
        waiting.put((time.monotonic() + delay, data))


def main() -> None:
    """Serve until killed."""
    port, upstream_port, round_trip = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    while True:
        client, _ = listener.accept()
        upstream = socket.create_connection(("127.0.0.1", upstream_port))
        for end in (client, upstream):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target in ((client, upstream), (upstream, client)):
            thread = threading.Thread(target=carry, args=(source, target, round_trip / 2))
            thread.daemon = True
            thread.start()


if __name__ == "__main__":
    main()
