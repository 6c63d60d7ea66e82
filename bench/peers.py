"""The table of peers: who does the work, and what each needs to be able to."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from bench.job import Job
from bench.workloads import Sink, Workload

BENCH = Path(__file__).parent
NODE = BENCH / "node"

REFERENCE = "smtplib"
"""The peer that all ratios are against."""

FEWEST = 20
"""A smaller share of a workload's messages would measure the connection."""


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """One row of the table: a client, or one mode of it.

    Attributes:
        name: What budgets and the command line call it.
        program: ``python:MODULE``, ``node:FILE`` or ``smtp-source``.
        mode: The variant, in the program's own words.
        depth: Messages given to one connection before the first is answered; only a client with a
            queue cares.
        chunking: Whether the mode makes sense only where the sink announces CHUNKING.
        share: Part of a workload's messages that are enough where there is no TLS, for a mode that
            stalls.
        connections: How many it opens where the others open several; 0 for as many as they.
        pool: Whether it spreads messages over its connections by itself.
        extra: Whether a quick run leaves it out, unless it is asked for by name.
    """

    name: str
    program: str
    mode: str = ""
    depth: int = 1
    chunking: bool = False
    share: float = 1.0
    connections: int = 0
    pool: bool = False
    extra: bool = False

    def command(self, job: Job) -> list[str]:
        """Return the command that does the job."""
        kind, _, name = self.program.partition(":")
        if kind == "python":
            return [sys.executable, "-m", f"bench.clients.{name}", job.encode()]
        if kind == "node":
            return ["node", str(NODE / name), job.encode()]
        return _smtp_source(job)

    @property
    def reports(self) -> bool:
        """Whether the program measures itself; if not, its start is measured with it."""
        return self.program != "smtp-source"

    def messages(self, workload: Workload, *, quick: bool) -> int:
        """Return how many messages this peer is given; at least one for each connection."""
        count = workload.quick if quick else workload.messages
        share = 1.0 if workload.tls or workload.stream else self.share
        return min(count, max(int(count * share), workload.connections, FEWEST))

    def unsuited(self, workload: Workload, sink: Sink) -> str | None:
        """Return why this peer cannot take part in a workload, or None if it can."""
        if self.chunking and sink is Sink.SMTP_SINK:
            return "the sink has no CHUNKING"
        if self.program == "smtp-source" and workload.tls:
            return "smtp-source has no STARTTLS"
        if workload.connections == 1 and (self.pool or self.connections):
            return "there is one connection only"
        return None

    def missing(self) -> str | None:
        """Return what has to be installed for this peer, or None if all is there."""
        kind, _, name = self.program.partition(":")
        if kind == "node":
            return node_missing()
        if kind == "smtp-source":
            return None if find_tool("smtp-source") else "smtp-source: install the postfix package"
        return _python_missing(name)


PEERS = (
    Peer(REFERENCE, "python:smtplib_client"),
    Peer("aiosmtplib", "python:aiosmtplib_client", extra=True),
    Peer("aiosmtplib-uvloop", "python:aiosmtplib_client", mode="uvloop"),
    Peer("twisted.mail", "python:twisted_mail_client", mode="as-is", share=0.02),
    Peer("twisted.mail-nodelay", "python:twisted_mail_client", mode="nodelay"),
    Peer("nodemailer", "node:client.js", mode="connection"),
    Peer("nodemailer-pool", "node:client.js", mode="pool", pool=True),
    Peer("smtp-source", "smtp-source"),
    Peer("ours", "python:ours", mode="default", depth=16),
    Peer("ours-data", "python:ours", mode="pipelining=full", depth=16),
    Peer("ours-transaction", "python:ours", mode="pipelining=transaction", depth=16, extra=True),
    Peer("ours-off", "python:ours", mode="pipelining=off", depth=16),
    Peer("ours-bdat-w1", "python:ours", mode="chunking", depth=1, chunking=True),
    Peer("ours-bdat-w8", "python:ours", mode="chunking", depth=8, chunking=True),
    Peer("ours-bdat-w64", "python:ours", mode="chunking", depth=64, chunking=True),
    Peer("ours-pool", "python:ours_pool", mode="default", depth=16, pool=True),
    Peer("ours-one", "python:ours", mode="default", depth=16, connections=1),
    Peer("ours-one-data", "python:ours", mode="pipelining=full", depth=16, connections=1),
)


def find_tool(name: str) -> str | None:
    """Return the path of a program of Postfix's, which often stands outside a user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/libexec/postfix")


def _smtp_source(job: Job) -> list[str]:
    tool = find_tool("smtp-source") or "smtp-source"
    command = [tool, "-s", str(job.connections), "-m", str(job.messages), "-l", str(job.size)]
    if not job.fresh:
        command.append("-d")
    if job.recipients > 1:
        command += ["-r", str(job.recipients)]
    return [*command, "-f", job.sender, "-t", job.addresses[0], f"{job.host}:{job.port}"]


@functools.cache
def _python_missing(module: str) -> str | None:
    needs = {
        "aiosmtplib_client": ("aiosmtplib", "uvloop"),
        "twisted_mail_client": ("twisted",),
        "ours": ("txsmtpconn",),
        "ours_pool": ("txsmtpconn",),
    }
    for package in needs.get(module, ()):
        if importlib.util.find_spec(package) is None:
            return f"{package}: pip install '.[bench]'"
    if module in ("ours", "ours_pool"):
        probe = [sys.executable, "-c", f"import bench.clients.{module}"]
        done = subprocess.run(probe, check=False, capture_output=True, text=True, cwd=BENCH.parent)
        if done.returncode:
            return f"txsmtpconn: {done.stderr.strip().splitlines()[-1]}"
    return None


@functools.cache
def node_missing() -> str | None:
    """Say what is missing for the JavaScript peers, after an attempt to install their packages."""
    if shutil.which("node") is None:
        return "node is not installed"
    if (NODE / "node_modules" / "nodemailer").is_dir():
        return None
    hint = f"run npm ci in {NODE.relative_to(BENCH.parent)}"
    if shutil.which("npm") is None:
        return f"npm is not installed; {hint}"
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command, cwd=NODE, check=False, capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        return f"npm did not finish within two minutes; {hint}"
    if done.returncode:
        return f"npm failed; {hint}"
    return None
