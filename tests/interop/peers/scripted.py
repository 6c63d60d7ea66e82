"""Servers that are libraries, run by scripts of ours: smtp-server from npm, and aiosmtpd."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers.arrived import Arrived, from_json
from tests.interop.peers.available import missing, program, unpacked
from tests.interop.peers.process import Running, free_ports, running, scratch_directory
from txsmtpconn.testing import CertificateZoo

_HERE = Path(__file__).parent


class ScriptedServer:
    """A running server whose script writes each message into a JSON file.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, port: int, mail: Path, process: Running) -> None:
        self.port = port
        self._mail = mail
        self._process = process

    def messages(self) -> Iterable[Arrived]:
        """Read what it has taken."""
        return from_json(self._mail)()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._process.output


Start = Callable[..., ScriptedServer]


def node_modules() -> Path:
    """Return where the packages from npm are."""
    program("node", "nodejs")
    return unpacked("node/node_modules")


@pytest.fixture
def smtp_server(certificate_zoo: CertificateZoo) -> Iterator[Start]:
    """Return a function that starts smtp-server with these options of its constructor."""
    modules = node_modules()
    command = [program("node", "nodejs"), str(_HERE.parent / "node" / "server.js")]
    yield from _starting(command, certificate_zoo, {"NODE_PATH": str(modules)})


@pytest.fixture
def aiosmtpd(certificate_zoo: CertificateZoo) -> Iterator[Start]:
    """Return a function that starts aiosmtpd with these options of its `SMTP` class."""
    try:
        import aiosmtpd  # noqa: F401
    except ImportError:
        missing("aiosmtpd")
    command = [sys.executable, "-W", "ignore", str(_HERE / "aiosmtpd_server.py")]
    yield from _starting(command, certificate_zoo, {})


def _starting(command: list[str], zoo: CertificateZoo, env: dict[str, str]) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(**options: Any) -> ScriptedServer:
            directory = stack.enter_context(scratch_directory("js"))
            mail = directory / "mail"
            mail.mkdir()
            (port,) = free_ports()
            server = zoo["server"]
            settings = {
                "port": port,
                "mail": str(mail),
                "certificate": str(server.chain),
                "key": str(server.key),
                "options": options,
            }
            full = [*command, json.dumps(settings)]
            process = stack.enter_context(running(full, directory, env))
            process.wait_for_output("ready")
            return ScriptedServer(port, mail, process)

        yield start
