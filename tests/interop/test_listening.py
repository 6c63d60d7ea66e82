"""Where a service listens, as a process: sockets from systemd, unix sockets, TLS; and SIGHUP."""

from __future__ import annotations

import shutil
import signal
import smtplib
import socket
import ssl
import sys
from pathlib import Path

import pytest
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.threads import deferToThread

from tests.interop.mail import connected, marker, message
from tests.interop.peers.process import Running, free_ports, running
from txsmtpconn import Envelope

TWIST = [sys.executable, "-m", "twisted", "smtpsink"]
ONE = Envelope("a@a.test", ["u@a.test", "u@a.test"])


def handed_over(path: Path, fd: int) -> list[str]:
    """Return a command that starts the sink with a socket as systemd passes it: as number 3."""
    script = f'exec 3<&{fd}; LISTEN_FDS=1 LISTEN_FDNAMES=smtp LISTEN_PID=$$ exec "$@"'
    return ["bash", "-c", script, "sink", *TWIST, f"--store={path}"]


@pytest.mark.parametrize("by", ["index=0", "name=smtp"])
async def test_a_socket_from_systemd(tmp_path, by):
    """It is taken over, and mail comes in by it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port, fd = listening.getsockname()[1], listening.fileno()
        command = [*handed_over(tmp_path / "bag", fd), f"--listen=systemd:domain=INET:{by}"]
        with running(command, tmp_path, keep=(fd,)) as process:
            await deferToThread(process.wait_for_output, "listening on")
            mark = marker()
            async with connected(port, host="127.0.0.1") as connection:
                await connection.send(ONE, message(mark))
    (kept,) = (tmp_path / "bag").glob("*.eml")
    assert mark.encode() in kept.read_bytes()


async def test_lmtp_on_a_unix_socket(tmp_path):
    """One reply for each recipient, duplicates among them, and no port."""
    from twisted.internet import reactor

    path = tmp_path / "lmtp"
    command = [*TWIST, "--lmtp", f"--store={tmp_path}/bag", f"--listen=unix:{path}:mode=600"]
    with running(command, tmp_path) as process:
        await deferToThread(process.wait_for_output, "listening on")
        assert path.stat().st_mode & 0o777 == 0o600
        endpoint = UNIXClientEndpoint(reactor, str(path))
        async with connected(None, host=None, lmtp=True, endpoint=endpoint) as connection:
            result = await connection.send(ONE, message(marker()))
    assert result.accepted == ["u@a.test", "u@a.test"]
    assert not path.exists()


def shown(port: int, zoo) -> bytes:
    """Return the certificate that a client is shown."""
    context = ssl.create_default_context(cafile=zoo.ca)
    context.check_hostname = False
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.starttls(context=context)
        return client.sock.getpeercert(binary_form=True)


async def test_sighup_reads_the_certificate_again(tmp_path, certificate_zoo):
    """The new one is shown, half of one is told of and is not, and the process lives."""
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"

    def put(name: str, key_of: str) -> None:
        shutil.copy(certificate_zoo[name].chain, certificate)
        shutil.copy(certificate_zoo[key_of].key, key)

    put("server", "server")
    (port,) = free_ports()
    command = [*TWIST, f"--listen=tcp:{port}:interface=127.0.0.1"]
    command += [f"--certificate={certificate}", f"--private-key={key}"]
    with running(command, tmp_path) as process:
        await deferToThread(process.wait_for_ports, port)
        first = await deferToThread(shown, port, certificate_zoo)
        put("wildcard", "server")
        await told_to_reload(process, "stay the old ones")
        assert await deferToThread(shown, port, certificate_zoo) == first
        put("wildcard", "wildcard")
        await told_to_reload(process, "were read again")
        assert await deferToThread(shown, port, certificate_zoo) != first
        assert process.alive


async def told_to_reload(process: Running, said: str) -> None:
    """Send the signal, and wait for what the service says."""
    process.signal(signal.SIGHUP)
    await deferToThread(process.wait_for_output, said)
