"""Starting the servers that take the messages."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import postfix
from bench.certificates import Certificates
from bench.counters import Counters
from bench.peers import BENCH, find_tool
from bench.processes import free_port, server
from bench.workloads import Sink

BUILD = BENCH / ".build"
SOURCE = BENCH / "sink" / "fastsink.c"
SINK_CORE = 0


class SinkMissingError(Exception):
    """A sink cannot be had on this machine; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class RunningSink:
    """A server that accepts messages.

    Attributes:
        kind: Which it is.
        port: Where it listens on 127.0.0.1.
        counters: The file with its numbers, where it keeps any.
    """

    kind: Sink
    port: int
    counters: Path | None

    def count(self) -> Counters | None:
        """Return what has been taken so far, where the sink counts."""
        return Counters.read(self.counters) if self.counters else None


@contextlib.contextmanager
def run_sink(
    kind: Sink, folder: Path, certificates: Certificates, *, core: int | None = SINK_CORE
) -> Iterator[RunningSink]:
    """Run a sink for the length of a ``with`` block.

    Args:
        kind: Which sink.
        folder: Scratch space.
        certificates: What it proves its identity with, where it has STARTTLS.
        core: The core to tie it to.

    Raises:
        SinkMissingError: It is not installed and cannot be built, or needs rights that we have not.
        ServerError: It did not start.
    """
    port = free_port()
    if kind is Sink.POSTFIX:
        with run_postfix_sink(port, folder, certificates) as sink:
            yield sink
        return
    counters = None
    if kind is Sink.SMTP_SINK:
        command = _smtp_sink(port)
    else:
        counters = folder / f"counters-{port}"
        counters.write_bytes(bytes(24))
        if kind is Sink.FASTSINK:
            command = [str(build_fastsink())]
        else:
            command = [sys.executable, "-m", "bench.sink.pysink"]
        command += [str(port), str(counters), str(certificates.chain), str(certificates.key)]
    with server(command, port, core=core, log=folder / f"{kind.value}.log"):
        yield RunningSink(kind, port, counters)


@contextlib.contextmanager
def run_postfix_sink(port: int, folder: Path, certificates: Certificates) -> Iterator[RunningSink]:
    """Run a Postfix that accepts everything and discards it."""
    missing = postfix.missing()
    if missing:
        raise SinkMissingError(missing)
    with postfix.run(
        folder / "postfix-sink", port, transport="discard:", tls=certificates, core=SINK_CORE
    ):
        yield RunningSink(Sink.POSTFIX, port, None)


def build_fastsink() -> Path:
    """Compile `fastsink`, with STARTTLS, unless that was done before; return the program.

    Raises:
        SinkMissingError: There is no compiler, or no OpenSSL to build with.
    """
    program = BUILD / "fastsink"
    if program.exists() and program.stat().st_mtime >= SOURCE.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SinkMissingError("fastsink: no C compiler (install gcc and libssl-dev)")
    BUILD.mkdir(exist_ok=True)
    draft = BUILD / f"fastsink.{os.getpid()}"
    command = [compiler, "-O2", "-std=gnu17", "-Wall", "-Wextra", "-DWITH_TLS", str(SOURCE)]
    command += ["-o", str(draft), "-lssl", "-lcrypto", "-lpthread"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), "no reason")
        raise SinkMissingError(f"fastsink: {first} (install libssl-dev)")
    draft.replace(program)
    return program


def _smtp_sink(port: int) -> list[str]:
    tool = find_tool("smtp-sink")
    if tool is None:
        raise SinkMissingError("smtp-sink: install the postfix package")
    rights = ["-u", "nobody"] if getpass.getuser() == "root" else []
    return [tool, *rights, f"127.0.0.1:{port}", "1024"]
