"""What is run in which order: groups of clients that share a sink, each group interleaved."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench import messages
from bench.certificates import Certificates, issue
from bench.job import Job
from bench.measure import RunError, measure_round_trip, run_client
from bench.outcome import Group, Outcome
from bench.peers import Peer
from bench.processes import ServerError, cores, free_port, server
from bench.progress import progress
from bench.receive import run_servers
from bench.relays import run_relays
from bench.sinks import SINK_CORE, RunningSink, SinkMissingError, run_sink
from bench.workloads import Placement, Role, Sink, Workload

RUN_LIMIT = 180.0
"""Seconds after which one run of one client is killed."""


def groups(
    workloads: Iterable[Workload], *, quick: bool, sink: Sink | None, placement: Placement | None
) -> Iterator[Group]:
    """Yield what to run, in the order of the table."""
    for workload in workloads:
        sinks = workload.sinks[-1:] if quick else workload.sinks
        placements = workload.quick_placements if quick else workload.placements
        if workload.role is Role.CLIENT:
            sinks = (sink,) if sink else sinks
            placements = (placement,) if placement else placements
        for kind in sinks:
            for place in placements:
                if place is not Placement.SPLIT or len(cores()) > 1:
                    yield Group(workload, kind, place)


class Bench:
    """Runs groups in a scratch folder of its own."""

    def __init__(self, peers: list[Peer], *, runs: int, quick: bool) -> None:
        self._peers = peers
        self._runs = runs
        self._quick = quick
        self._scratch = contextlib.ExitStack()

    def __enter__(self) -> Bench:
        self._folder = Path(
            self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        )
        self._folder.chmod(0o755)  # Postfix's daemons are not root
        self._certificates: Certificates = issue(self._folder)
        self._number = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def run(self, group: Group) -> Outcome:
        """Run every peer of a group, in turn, as often as was asked for.

        Raises:
            SinkMissingError: Nothing can take the messages on this machine.
        """
        self._number += 1
        folder = self._folder / f"group-{self._number}"
        folder.mkdir(mode=0o755)
        count = group.workload.quick if self._quick else group.workload.messages
        if group.workload.role is Role.SERVER:
            return run_servers(group, folder, runs=self._runs, count=count)
        with contextlib.ExitStack() as stack:
            core = None if group.placement is Placement.FREE else SINK_CORE
            sink = self._open_sink(stack, group.sink, folder, core)
            if group.workload.role is Role.RELAY:
                return run_relays(group, sink, folder, runs=self._runs, count=count)
            outcome = Outcome(group, sink.kind)
            port = sink.port
            if group.workload.round_trip:
                port = _open_delay(stack, sink.port, group.workload.round_trip)
                outcome.round_trip = measure_round_trip(port)
            for turn in range(self._runs):
                for peer in self._peers:
                    self._take_turn(turn, peer, port, sink, outcome)
        outcome.summarise()
        return outcome

    def _open_sink(
        self, stack: contextlib.ExitStack, kind: Sink, folder: Path, core: int | None
    ) -> RunningSink:
        """Open a sink, or the next best where it is missing."""
        substitutes = {Sink.SMTP_SINK: Sink.FASTSINK, Sink.FASTSINK: Sink.PYSINK}
        try:
            return stack.enter_context(run_sink(kind, folder, self._certificates, core=core))
        except (SinkMissingError, ServerError) as reason:
            if kind not in substitutes:
                raise SinkMissingError(str(reason)) from reason
            progress(f"{reason}: {substitutes[kind].value} stands in")
            return self._open_sink(stack, substitutes[kind], folder, core)

    def _take_turn(
        self, turn: int, peer: Peer, port: int, sink: RunningSink, outcome: Outcome
    ) -> None:
        group = outcome.group
        if peer.name in outcome.absent:
            return
        reason = peer.missing() or peer.unsuited(group.workload, sink.kind)
        if reason:
            outcome.leave_out(peer.name, reason)
            return
        place = f"{group.workload.name} {sink.kind.value} {group.placement.value}"
        progress(f"{place} {turn + 1}/{self._runs} {peer.name}", fleeting=True)
        core = SINK_CORE if group.placement is Placement.SAME else SINK_CORE + 1
        job = self._job(group.workload, peer, port)
        try:
            sample = run_client(peer, job, sink, core=core, limit=RUN_LIMIT)
        except RunError as failure:
            outcome.leave_out(peer.name, str(failure))
            progress(f"{place} {peer.name}: {failure}")
            return
        outcome.add(peer.name, sample)

    def _job(self, workload: Workload, peer: Peer, port: int) -> Job:
        body, body_lf = messages.write(self._folder, workload.size)
        return Job(
            host="127.0.0.1",
            port=port,
            messages=peer.messages(workload, quick=self._quick),
            recipients=workload.recipients,
            connections=peer.connections or workload.connections,
            fresh=workload.fresh,
            tls=workload.tls,
            ca=str(self._certificates.authority),
            body=str(body),
            body_lf=str(body_lf),
            size=workload.size,
            stream=workload.stream,
            mode=peer.mode,
            depth=peer.depth,
        )


def _open_delay(stack: contextlib.ExitStack, upstream: int, round_trip: float) -> int:
    port = free_port()
    command = [sys.executable, "-m", "bench.delay_proxy", str(port), str(upstream), str(round_trip)]
    stack.enter_context(server(command, port, core=SINK_CORE))
    return port
