"""Floods: a server in a process of its own stays small, and keeps serving others throughout.

What is large is scaled down for the suite's time; ``TXSMTPCONN_FLOOD=1`` makes it as large as it is
told to be: 1 GiB.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.faults.floodee import PATIENCE, Floodee, most_files
from txsmtpconn.testing import CertificateZoo
from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = ["certificate_zoo"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]

LARGE = (1024 if os.environ.get("TXSMTPCONN_FLOOD") else 256) << 20
MIB = 1 << 20
HELLO = b"EHLO me.test\r\n"
# What a send says of a client whose server does not read, or has dropped it.
GONE_OR_FULL = (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLEOFError, ConnectionError)
ENVELOPE = HELLO + b"MAIL FROM:<s@x.test>\r\nRCPT TO:<r@y.test>\r\n"

Start = Callable[..., Floodee]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers, and leaves none behind."""
    started: list[Floodee] = []

    def start(**options: object) -> Floodee:
        started.append(Floodee(**options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def crowd() -> Iterator[contextlib.ExitStack]:
    """Sockets that are all closed in the end."""
    with contextlib.ExitStack() as stack:
        yield stack


def dial(server: Floodee, crowd: contextlib.ExitStack, buffer: int | None = None) -> socket.socket:
    """Connect one more client.

    Args:
        server: To whom.
        crowd: Who closes it.
        buffer: Octets of what the kernel keeps for a client that does not read.
    """
    client = crowd.enter_context(socket.socket())
    if buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", server.port))
    return client


def hear(client: socket.socket, count: int = 1) -> list[int]:
    """Read so many replies, or all until the end; return their codes."""
    heard, codes = b"", []
    while len(codes) < count and (data := client.recv(65_536)):
        heard += data
        whole = heard[: heard.rfind(b"\n") + 1]
        codes = [int(line[:3]) for line in whole.splitlines() if line[3:4] == b" "]
    return codes


def flood(server: Floodee, client: socket.socket, octets: bytes) -> None:
    """Send the same again and again and read nothing, until the server drops the client.

    Others are served all the while, and the server does not read for ever.
    """
    sent = 0
    client.setblocking(False)
    poll = select.poll()
    poll.register(client, select.POLLOUT)
    while True:
        ready = poll.poll(200)
        if ready and ready[0][1] & (select.POLLERR | select.POLLHUP):
            return
        assert sent < 32 * MIB
        if not ready:
            assert server.serves()
        with contextlib.suppress(*GONE_OR_FULL):
            sent += client.send(octets)


def test_thousands_of_idle_clients_cost_little_and_bar_nobody(
    start: Start, crowd: contextlib.ExitStack
) -> None:
    """S29, S31, F31: 5,000 where the system lets us have as many descriptors."""
    count = min(5000, most_files() - 500)
    server = start(max_clients=None, max_clients_per_address=None)
    assert server.serves()
    before = server.memory()
    for _ in range(count):
        assert hear(dial(server, crowd)) == [220]
    assert (server.memory() - before) / count < 16 * 1024
    assert server.serves()


def test_clients_beyond_the_limit_are_told_so_and_their_places_are_free_again(
    start: Start, crowd: contextlib.ExitStack
) -> None:
    """S31: twice as many as are served may hear why; who comes then is not even answered."""
    server = start(max_clients=40, max_clients_per_address=None)
    greeted = [hear(dial(server, crowd)) for _ in range(100)]
    assert greeted[:40] == [[220]] * 40
    assert greeted[40:80] == [[421]] * 40
    assert not server.serves()
    crowd.close()
    assert server.serves_again()


def test_a_server_without_descriptors_survives(start: Start, crowd: contextlib.ExitStack) -> None:
    """S31: accept() fails with EMFILE; those who are connected go on, and others come later."""
    server = start(files=64)
    early = dial(server, crowd)
    assert hear(early) == [220]
    for _ in range(100):
        dial(server, crowd)
    early.sendall(ENVELOPE + b"DATA\r\n")
    assert hear(early, 4) == [250, 250, 250, 354]
    early.sendall(b"x\r\n.\r\n")
    assert hear(early) == [250]
    crowd.close()
    assert server.serves_again()


@pytest.mark.parametrize(
    "octets",
    [
        b"RCPT TO:<b@y.test>\r\n" * 1000,
        b"RCPT TO:<b@y.test>\r\n" * 999 + b"RSET\r\nMAIL FROM:<s@x.test>\r\n",
    ],
    ids=["one transaction", "many"],
)
def test_a_client_that_never_reads_is_not_read_from(
    start: Start, crowd: contextlib.ExitStack, octets: bytes
) -> None:
    """F31: neither replies nor commands pile up; after `timeouts.block` it is dropped."""
    server = start(timeouts={"block": 1.0}, max_idle_commands=1_000_000, max_errors=1_000_000)
    assert server.serves()
    before = server.memory()
    deaf = dial(server, crowd, buffer=4096)
    deaf.sendall(ENVELOPE)
    flood(server, deaf, octets)
    assert server.memory("VmHWM") - before < 2 * MIB
    assert server.serves()


def test_nor_is_one_that_never_reads_under_tls(
    start: Start, crowd: contextlib.ExitStack, certificate_zoo: CertificateZoo
) -> None:
    """F31: what TLS keeps for it is bounded, too."""
    files = certificate_zoo["server"]
    server = start(
        timeouts={"block": 1.0},
        max_errors=1_000_000,
        tls_cert_file=str(files.certificate),
        tls_key_file=str(files.key),
    )
    client = dial(server, crowd, buffer=4096)
    client.sendall(HELLO + b"STARTTLS\r\n")
    assert hear(client, 3) == [220, 250, 220]
    context = ssl.create_default_context(cafile=str(certificate_zoo.ca))
    deaf = crowd.enter_context(context.wrap_socket(client, server_hostname="localhost"))
    deaf.sendall(ENVELOPE)
    assert server.serves()
    before = server.memory()
    flood(server, deaf, b"RCPT TO:<b@y.test>\r\n" * 500)
    assert server.memory("VmHWM") - before < 4 * MIB
    assert server.serves()


def test_clients_that_send_octet_by_octet_are_shown_out(
    start: Start, crowd: contextlib.ExitStack
) -> None:
    """S29, F31: a trickle renews no deadline, be it of commands or of mail data."""
    server = start(timeouts={"command": 2.0, "block": 1.0}, minimum_rate=500.0)
    commands = [dial(server, crowd) for _ in range(40)]
    data = [dial(server, crowd) for _ in range(40)]
    for client in data:
        client.sendall(ENVELOPE + b"DATA\r\n")
        assert hear(client, 5)[-1] == 354
    left = {client.fileno(): client for client in (*commands, *data)}
    heard = dict.fromkeys(left, b"")
    while left:
        readable, _, _ = select.select(list(left), [], [], 0.05)
        for number in readable:
            octets = left[number].recv(4096)
            heard[number] += octets
            if not octets:
                del left[number]
        for client in left.values():
            with contextlib.suppress(ConnectionError):
                client.send(b"x")
        assert len(left) < 80 or server.serves()
    assert {octets[-200:].splitlines()[-1][:9] for octets in heard.values()} == {b"421 4.4.2"}


def test_bursts_wait_for_slow_hooks_in_order(start: Start, crowd: contextlib.ExitStack) -> None:
    """S16: as many as a client pipelines, one after the other; none stands in another's way."""
    server = start(delay=0.001)
    burst = (
        b"MAIL FROM:<s@x.test>\r\n" + b"RCPT TO:<r@y.test>\r\n" * 50 + b"NOOP\r\nVRFY x\r\nRSET\r\n"
    )
    clients = [dial(server, crowd) for _ in range(40)]
    for client in clients:
        client.sendall(HELLO + burst * 3 + b"QUIT\r\n")
    assert server.serves()
    answers = [250] * 52 + [252, 250]
    for client in clients:
        assert hear(client, 1_000_000) == [220, 250, *answers * 3, 221]


@pytest.mark.parametrize(
    ("leading", "piece", "trailing", "last", "options"),
    [
        (ENVELOPE + b"DATA\r\n", b"x" * 1022 + b"\r\n", b".\r\n", 250, {"max_size": None}),
        (ENVELOPE + b"DATA\r\n", b"x" * 1022 + b"\r\n", b".\r\n", 552, {"max_size": 1000}),
        (ENVELOPE + b"DATA\r\n", b"x" * 1024, b"\r\n.\r\n", 250, {"max_size": None}),
        (
            ENVELOPE + b"DATA\r\n",
            b"x" * 1024,
            b"\r\n.\r\n",
            500,
            {"max_size": None, "max_line": 998},
        ),
        (ENVELOPE + b"BDAT %d LAST\r\n" % LARGE, b"x" * 1024, b"", 250, {"max_size": None}),
        (ENVELOPE + b"BDAT %d LAST\r\n" % LARGE, b"x" * 1024, b"", 552, {"max_size": 1000}),
        (b"", b"x" * 1024, b"\r\n", 500, {}),
        (HELLO + b"AUTH PLAIN ", b"A" * 1024, b"\r\n", 500, {}),
        (ENVELOPE + b"RCPT TO:<", b"r" * 1024, b"@y.test>\r\n", 500, {}),
    ],
    ids=[
        "message",
        "message beyond the limit",
        "line of mail data",
        "line beyond the limit",
        "chunk",
        "chunk beyond the limit",
        "line without verb",
        "initial response",
        "path",
    ],
)
def test_what_is_large_takes_no_memory(
    start: Start,
    crowd: contextlib.ExitStack,
    leading: bytes,
    piece: bytes,
    trailing: bytes,
    last: int,
    options: dict[str, object],
) -> None:
    """S21, S22, F30: it is taken or refused, and in neither case kept."""
    server = start(**options)
    assert server.serves()
    client = dial(server, crowd)
    client.sendall(leading)
    before = server.memory()
    server.forget_peak()
    pieces = piece * (MIB // len(piece))
    for _ in range(LARGE // MIB):
        client.sendall(pieces)
    assert server.serves()
    client.sendall(trailing + b"QUIT\r\n")
    *_, final, bye = hear(client, 1_000)
    assert (final, bye) == (last, 221)
    assert server.memory("VmHWM") - before < 8 * MIB
