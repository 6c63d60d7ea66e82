"""Running one client program on one job, and what comes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from bench.job import Job
from bench.peers import Peer
from bench.processes import ROOT, pinned
from bench.sinks import RunningSink
from bench.workloads import MIB

SETTLE = 0.5
"""Seconds that a sink may take to count what a client has already left behind."""


class RunError(Exception):
    """A client did not do its job; the text says what was seen."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One run of one client.

    Attributes:
        messages: Messages accepted.
        wall: Seconds from before the first connection to after the last QUIT.
        cpu: Seconds of CPU of the client's process in that time.
        transfer: Seconds between the first message and the last reply, of a client with one
            connection that tells.
        memory: Octets by which the peak of resident memory grew; None if measured from outside.
    """

    messages: int
    wall: float
    cpu: float
    transfer: float | None
    memory: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """The medians of several samples, in the units of the budgets."""

    rate: float
    rate_spread: tuple[float, float]
    cpu: float
    cpu_spread: tuple[float, float]
    throughput: float
    latency: float
    memory: float | None
    round_trips: float | None
    runs: int

    def metric(self, name: str) -> float | None:
        """Return a figure by its name in the budgets."""
        value: float | None = getattr(self, name)
        return value


def summarise(samples: list[Sample], size: int, round_trip: float | None) -> Figures:
    """Return the medians.

    Args:
        samples: At least one.
        size: Octets of a message.
        round_trip: Seconds of the measured round trip, where one was added.
    """
    rates = [sample.messages / sample.wall for sample in samples]
    rate = statistics.median(rates)
    cpu = [sample.cpu / sample.messages * 1e6 for sample in samples]
    memory = [sample.memory / MIB for sample in samples if sample.memory is not None]
    trips = [(s.transfer or s.wall) / s.messages / round_trip for s in samples if round_trip]
    return Figures(
        rate=rate,
        rate_spread=(min(rates), max(rates)),
        cpu=statistics.median(cpu),
        cpu_spread=(min(cpu), max(cpu)),
        throughput=rate * size / MIB,
        latency=1000 / rate,
        memory=statistics.median(memory) if memory else None,
        round_trips=statistics.median(trips) if trips else None,
        runs=len(samples),
    )


def run_client(peer: Peer, job: Job, sink: RunningSink, *, core: int, limit: float) -> Sample:
    """Run a client program to its end, and check what it says against what the sink has taken.

    Args:
        peer: Who does it.
        job: What to do.
        sink: Where it arrives, for its counters.
        core: The core to tie the client to.
        limit: Seconds after which it is killed.

    Raises:
        RunError: It failed, took too long, or the sink has not taken what it says it sent.
    """
    before = sink.count()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        begun = time.perf_counter()
        process = subprocess.Popen(
            pinned(peer.command(job), core),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            start_new_session=True,
        )
        seconds_cpu, status = _wait(process, limit)
        seconds = time.perf_counter() - begun
        output.seek(0)
        complaints.seek(0)
        said = output.read().decode(errors="replace").strip()
        complaint = complaints.read().decode(errors="replace").strip()
    if status == -signal.SIGKILL:
        raise RunError(f"killed after {limit:.0f} s")
    if status != 0:
        raise RunError(f"exit status {status}: {_last_line(complaint)}")
    if peer.reports:
        sample = Sample(**json.loads(said.splitlines()[-1]))
    else:
        sample = Sample(job.messages, seconds, seconds_cpu, None, None)
    if before is not None:
        _check(job, sink, before.messages, before.octets)
    return sample


def measure_round_trip(port: int, times: int = 9) -> float:
    """Return the median seconds between a NOOP and its reply."""
    seen = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        replies = connection.makefile("rb")
        replies.readline()
        for _ in range(times):
            begun = time.perf_counter()
            connection.sendall(b"NOOP\r\n")
            replies.readline()
            seen.append(time.perf_counter() - begun)
        connection.sendall(b"QUIT\r\n")
        replies.readline()
    return statistics.median(seen)


def _wait(process: subprocess.Popen[bytes], limit: float) -> tuple[float, int]:
    """Return a program's CPU seconds and exit status; it is killed at the limit, or when we are."""

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit, kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        kill()
        raise
    finally:
        timer.cancel()
    return usage.ru_utime + usage.ru_stime, process.returncode


def _check(job: Job, sink: RunningSink, messages: int, octets: int) -> None:
    """Hold the client to the sink's counters: every message, none shorter than it should be."""
    limit = time.monotonic() + SETTLE
    while (now := sink.count()) is not None:
        taken, size = now.messages - messages, now.octets - octets
        if taken == job.messages and size >= job.messages * job.size:
            return
        if time.monotonic() > limit:
            raise RunError(f"the sink took {taken} of {job.messages} messages, {size} octets")
        time.sleep(0.01)


def _last_line(text: str) -> str:
    """Return the last line that says something; Twisted ends its tracebacks with brackets."""
    lines = (line.strip() for line in reversed(text.splitlines()))
    return next((line for line in lines if any(map(str.isalpha, line))), "it said nothing")
