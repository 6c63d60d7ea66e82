"""Proxies: Tinyproxy for HTTP, microsocks for SOCKS 5 with a password, Dante for SOCKS 4 and 5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.peers.available import program, root
from tests.interop.peers.process import free_ports, running, scratch_directory

USER = "pr0xy"
PASSWORD = "p@ss: w%rd"

_TINYPROXY = """\
User nobody
Group nogroup
Port {port}
Listen 127.0.0.1
LogLevel Connect
PidFile "{directory}/pid"
Allow 127.0.0.1
ConnectPort {to}
"""

_DANTE = """\
logoutput: {log}
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0/0 to: 0/0 }}
socks pass {{ from: 0/0 to: 0/0 port = {to} log: connect }}
socks block {{ from: 0/0 to: 0/0 }}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy.

    Attributes:
        port: where it listens on 127.0.0.1.
        log: what it has noted so far.
    """

    port: int
    log: Callable[[], str]


@pytest.fixture
def tinyproxy() -> Iterator[Callable[..., Proxy]]:
    """Return a function that starts a Tinyproxy which connects to one port alone."""
    binary = program("tinyproxy")

    def command(directory: Path, port: int, to: int, *more: str) -> list[str]:
        settings = _TINYPROXY.format(port=port, to=to, directory=directory)
        (directory / "conf").write_text("\n".join((settings, *more, "")))
        return [binary, "-d", "-c", str(directory / "conf")]

    yield from _starting("tiny", command)


@pytest.fixture
def microsocks() -> Iterator[Callable[..., Proxy]]:
    """Return a function that starts a microsocks with these switches."""
    binary = program("microsocks")

    def command(_: Path, port: int, to: int, *more: str) -> list[str]:
        del to  # it connects to every port
        return [binary, "-i", "127.0.0.1", "-p", str(port), *more]

    yield from _starting("micro", command)


@pytest.fixture
def dante() -> Iterator[Callable[..., Proxy]]:
    """Return a function that starts a Dante which connects to one port alone."""
    binary = program("danted", "dante-server")
    root("Dante changes its user")

    def command(directory: Path, port: int, to: int, *more: str) -> list[str]:
        settings = _DANTE.format(port=port, to=to, log="stdout")
        (directory / "conf").write_text("\n".join((settings, *more, "")))
        return [binary, "-f", str(directory / "conf"), "-p", str(directory / "pid")]

    yield from _starting("dante", command)


def _starting(name: str, command: Callable[..., list[str]]) -> Iterator[Callable[..., Proxy]]:
    """Yield a function that starts such a proxy for the time of a test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(to: int, *more: str) -> Proxy:
            directory = stack.enter_context(scratch_directory(name))
            directory.chmod(0o777)
            (port,) = free_ports()
            process = stack.enter_context(running(command(directory, port, to, *more), directory))
            process.wait_for_ports(port)
            return Proxy(port, lambda: process.output)

        yield start
