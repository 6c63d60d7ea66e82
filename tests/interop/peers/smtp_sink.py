"""smtp-sink of Postfix: takes mail and drops or dumps it, and does wrong what it is told to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.peers.arrived import Arrived, split_trace
from tests.interop.peers.available import program
from tests.interop.peers.process import Running, free_ports, running, scratch_directory


class SMTPSink:
    """One running smtp-sink.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, port: int, dumps: Path, process: Running) -> None:
        self.port = port
        self._dumps = dumps
        self._process = process

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._process.kill()

    def messages(self) -> list[Arrived]:
        """Read what it has dumped: one message for each transaction, complete or not.

        Of a transaction that `kill` cut off there may be nothing.
        """
        dumps = [path.read_bytes() for path in sorted(self._dumps.iterdir())]
        return [_parse(dump) for dump in dumps if dump]


def _parse(dump: bytes) -> Arrived:
    """Read the dump of one message: its header with the envelope, the message, an empty line."""
    facts: dict[str, list[str]] = {}
    rest = dump
    while rest.startswith(b"X-"):
        line, _, rest = rest.partition(b"\n")
        name, _, value = line.decode().partition(": ")
        facts.setdefault(name, []).append(value)
        if name == "X-Rcpt-Args" and not rest.startswith(b"X-Rcpt-Args"):
            break
    trace, data = split_trace(rest)
    return Arrived(
        data.removesuffix(b"\r\n"),
        facts["X-Mail-Args"][0],
        tuple(facts["X-Rcpt-Args"]),
        trace,
        facts,
    )


@pytest.fixture
def smtp_sink() -> Iterator[Callable[..., SMTPSink]]:
    """Return a function that starts an smtp-sink with these flags."""
    path = program("smtp-sink", "postfix")

    with ExitStack() as stack:

        def start(*flags: str, port: int | None = None) -> SMTPSink:
            directory = stack.enter_context(scratch_directory("sink"))
            dumps = directory / "dumps"
            dumps.mkdir()
            dumps.chmod(0o777)
            if port is None:
                (port,) = free_ports()
            user: Iterable[str] = ("-u", "nobody") if os.geteuid() == 0 else ()
            command = [path, *user, "-d", f"{dumps}/m.", *flags, f"127.0.0.1:{port}", "50"]
            process = stack.enter_context(running(command, directory))
            process.wait_for_ports(port)
            return SMTPSink(port, dumps, process)

        yield start
