"""``python -m bench``: run workloads, print figures and verdicts."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from bench import budgets, report
from bench.outcome import Outcome
from bench.peers import PEERS, Peer
from bench.plan import Bench, groups
from bench.processes import can_pin
from bench.progress import progress
from bench.sinks import SinkMissingError
from bench.workloads import WORKLOADS, Placement, Sink, Workload

FULL_RUNS, QUICK_RUNS = 3, 1


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks that the command line asks for.

    Returns:
        The exit status: 1 where ``--strict`` was given and a budget was missed.
    """
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    chosen = _choose_workloads(options.workload, quick=options.quick)
    peers = _choose_peers(options.peer, quick=options.quick)
    if not can_pin():
        progress("programs cannot be tied to cores here: 'same' and 'split' mean nothing")
    outcomes: list[Outcome] = []
    runs = options.runs or (QUICK_RUNS if options.quick else FULL_RUNS)
    with Bench(peers, runs=runs, quick=options.quick) as bench:
        for group in groups(
            chosen, quick=options.quick, sink=options.sink, placement=options.placement
        ):
            try:
                outcome = bench.run(group)
            except SinkMissingError as reason:
                progress(f"{group.workload.name} left out: {reason}")
                continue
            outcomes.append(outcome)
            progress("", fleeting=True)
            print(report.describe(outcome), flush=True)
    judgements = budgets.judge(budgets.load(), outcomes)
    if judgements:
        print(report.describe_verdicts(judgements))
    if options.json:
        report.write_json(options.json, outcomes, judgements)
    missed = any(item.verdict is budgets.Verdict.MISSED for item in judgements)
    return 1 if options.strict and missed else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--quick", action="store_true", help="fewer messages, one run: a hint")
    parser.add_argument("--runs", type=int, help=f"runs of each client (default {FULL_RUNS})")
    parser.add_argument("--workload", action="append", choices=names, help="only this; repeatable")
    parser.add_argument(
        "--peer",
        action="append",
        choices=[peer.name for peer in PEERS],
        help="only this, beside smtplib; repeatable",
    )
    parser.add_argument("--sink", type=Sink, choices=list(Sink), help="instead of the workload's")
    parser.add_argument(
        "--placement", type=Placement, choices=list(Placement), help="instead of the workload's"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    parser.add_argument("--strict", action="store_true", help="fail where a budget is missed")
    return parser.parse_args(arguments)


def _choose_workloads(names: list[str] | None, *, quick: bool) -> list[Workload]:
    if names:
        return [workload for workload in WORKLOADS if workload.name in names]
    return [workload for workload in WORKLOADS if not (quick and workload.extra)]


def _choose_peers(names: list[str] | None, *, quick: bool) -> list[Peer]:
    """Return the peers to run; the reference is always one of them."""
    if names:
        return [peer for peer in PEERS if peer.name in names or peer is PEERS[0]]
    return [peer for peer in PEERS if not (quick and peer.extra)]


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit("terminated")


if __name__ == "__main__":
    sys.exit(main())
