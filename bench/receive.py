"""Servers side by side: what it costs each to take messages from the same load program.

The load is Postfix's smtp-source on a core of its own; CPU is that of the server's processes.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.family import cpu_of_family
from bench.measure import Sample
from bench.outcome import Group, Outcome
from bench.peers import NODE, find_tool, node_missing
from bench.processes import ServerError, free_port, pinned, server
from bench.progress import progress

SERVER_CORE, LOAD_CORE = 0, 1
LOAD_LIMIT = 120.0
"""Seconds after which a server is given up."""

PYTHON = sys.executable
COMMANDS = {
    "smtp-sink": [find_tool("smtp-sink") or "smtp-sink"],
    "aiosmtpd": [PYTHON, "-m", "bench.servers.aiosmtpd_server"],
    "aiosmtpd-uvloop": [PYTHON, "-m", "bench.servers.aiosmtpd_server"],
    "twisted.mail": [PYTHON, "-m", "bench.servers.twisted_mail_server"],
    "smtp-server": ["node", str(NODE / "server.js")],
    "ours": [PYTHON, "-m", "bench.servers.ours"],
}
REFERENCE = "aiosmtpd"


def run_servers(group: Group, folder: Path, *, runs: int, count: int) -> Outcome:
    """Run every server in turn, as often as asked for, each started once.

    Args:
        group: The workload, with its sessions as connections.
        folder: Scratch space for logs.
        runs: Runs of each server.
        count: Messages of one run.
    """
    outcome = Outcome(group, group.sink, reference=REFERENCE)
    with contextlib.ExitStack() as stack:
        listening = {}
        for name in COMMANDS:
            reason = _missing(name)
            if reason:
                outcome.leave_out(name, reason)
                continue
            try:
                listening[name] = stack.enter_context(_run(name, folder))
            except ServerError as error:
                outcome.leave_out(name, str(error))
        for turn in range(runs):
            for name, (port, pid) in listening.items():
                if name in outcome.absent:
                    continue
                progress(f"{group.workload.name} {turn + 1}/{runs} {name}", fleeting=True)
                try:
                    outcome.add(name, _measure(group, port, pid, count))
                except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
                    outcome.leave_out(name, str(error))
    outcome.summarise()
    return outcome


@contextlib.contextmanager
def _run(name: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Run a server; yields its port and its process id."""
    port = free_port()
    command = [*COMMANDS[name], str(port)]
    if name == "smtp-sink":
        rights = ["-u", "nobody"] if getpass.getuser() == "root" else []
        command = [*COMMANDS[name], *rights, f"127.0.0.1:{port}", "1024"]
    elif name == "aiosmtpd-uvloop":
        command.append("uvloop")
    with server(command, port, core=SERVER_CORE, log=folder / f"{name}.log") as process:
        yield port, process.pid


def _measure(group: Group, port: int, pid: int, count: int) -> Sample:
    """Push messages into a server.

    Raises:
        CalledProcessError: The load program was refused something.
        TimeoutExpired: It took too long.
    """
    workload = group.workload
    load = [find_tool("smtp-source") or "smtp-source", "-d", "-s", str(workload.connections)]
    load += ["-m", str(count), "-l", str(workload.size)]
    load += ["-f", "sender@example.org", "-t", "recipient@example.net", f"127.0.0.1:{port}"]
    cpu, begun = cpu_of_family(pid), time.perf_counter()
    subprocess.run(
        pinned(load, LOAD_CORE),
        check=True,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=LOAD_LIMIT,
    )
    wall = time.perf_counter() - begun
    return Sample(count, wall, cpu_of_family(pid) - cpu, None, None)


def _missing(name: str) -> str | None:
    if find_tool("smtp-source") is None:
        return "no smtp-source for load: install the postfix package"
    if name == "smtp-server":
        return node_missing()
    if name.startswith("aiosmtpd") and importlib.util.find_spec("aiosmtpd") is None:
        return "aiosmtpd: pip install '.[bench]'"
    if name == "ours" and not (Path(__file__).parent / "servers" / "ours.py").exists():
        return "no server yet"
    return None
