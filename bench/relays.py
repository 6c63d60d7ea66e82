"""Relays side by side: from the load program's start until the last message has reached the sink.

Each relay promises the same: a message is on disk before it is acknowledged. The load is Postfix's
smtp-source, the next hop a sink that counts; CPU is that of all the relay's processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import postfix
from bench.family import cpu_of_family
from bench.measure import Sample
from bench.outcome import Group, Outcome
from bench.peers import find_tool
from bench.processes import ServerError, free_port, server, stop
from bench.progress import progress
from bench.sinks import RunningSink

POSTFIX, OURS = "postfix", "ours"
STALL_LIMIT = 30.0
"""Seconds without a delivery after which a relay is given up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Relay:
    """A running relay.

    Attributes:
        port: Where it takes messages on 127.0.0.1.
        pid: The process that all its processes descend from.
    """

    port: int
    pid: int


def run_relays(group: Group, sink: RunningSink, folder: Path, *, runs: int, count: int) -> Outcome:
    """Run every relay in turn, as often as asked for, each started once.

    Args:
        group: The workload, with its sessions as connections.
        sink: The next hop of all of them.
        folder: Scratch space for their queues; its file system decides what durability costs.
        runs: Runs of each relay.
        count: Messages of one run.
    """
    outcome = Outcome(group, sink.kind, reference=POSTFIX)
    with contextlib.ExitStack() as stack:
        relays = {}
        for name, (missing, run) in RELAYS.items():
            reason = missing() or (None if find_tool("smtp-source") else "no smtp-source for load")
            if reason:
                outcome.leave_out(name, reason)
                continue
            try:
                relays[name] = stack.enter_context(run(folder / name, sink.port))
            except ServerError as error:
                outcome.leave_out(name, str(error))
        for turn in range(runs):
            for name, relay in relays.items():
                if name in outcome.absent:
                    continue
                progress(f"{group.workload.name} {turn + 1}/{runs} {name}", fleeting=True)
                try:
                    outcome.add(name, _measure(group, relay, sink, count))
                except TimeoutError as error:
                    outcome.leave_out(name, str(error))
    outcome.summarise()
    return outcome


def _measure(group: Group, relay: Relay, sink: RunningSink, count: int) -> Sample:
    """Push messages through a relay.

    Raises:
        TimeoutError: Deliveries stopped before all had arrived.
    """
    workload = group.workload
    load = [find_tool("smtp-source") or "smtp-source", "-d", "-s", str(workload.connections)]
    load += ["-m", str(count), "-l", str(workload.size)]
    load += ["-f", "sender@example.org", "-t", "recipient@example.net", f"127.0.0.1:{relay.port}"]
    cpu, begun = cpu_of_family(relay.pid), time.perf_counter()
    before = arrived = _messages(sink)
    moved = begun
    source = subprocess.Popen(load, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while arrived < before + count:
            time.sleep(0.005)
            now = _messages(sink)
            if now > arrived:
                arrived, moved = now, time.perf_counter()
            elif time.perf_counter() - moved > STALL_LIMIT:
                raise TimeoutError(f"{arrived - before} of {count} messages arrived, then none")
    finally:
        stop(source)
    return Sample(count, moved - begun, cpu_of_family(relay.pid) - cpu, None, None)


def _messages(sink: RunningSink) -> int:
    counted = sink.count()
    if counted is None:
        raise ValueError(f"{sink.kind.value} does not count")
    return counted.messages


@contextlib.contextmanager
def _run_postfix(base: Path, next_hop: int) -> Iterator[Relay]:
    port = free_port()
    with postfix.run(base, port, transport=f"smtp:[127.0.0.1]:{next_hop}") as master:
        yield Relay(port, master)


@contextlib.contextmanager
def _run_ours(base: Path, next_hop: int) -> Iterator[Relay]:
    port = free_port()
    base.mkdir()
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "smtprelay"]
    command += ["--listen", f"tcp:{port}:interface=127.0.0.1", "--spool", str(base / "spool")]
    command += ["--upstream", f"smtp://127.0.0.1:{next_hop}?ignore_tls=true"]
    with server(command, port, log=base / "log") as process:
        yield Relay(port, process.pid)


def _ours_missing() -> str | None:
    if importlib.util.find_spec("txsmtpconn.tap") is None:
        return "txsmtpconn has no relay yet"
    return None


_Run = Callable[[Path, int], contextlib.AbstractContextManager[Relay]]
RELAYS: dict[str, tuple[Callable[[], str | None], _Run]] = {
    POSTFIX: (postfix.missing, _run_postfix),
    OURS: (_ours_missing, _run_ours),
}
