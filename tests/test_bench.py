"""The tables of the benchmarks fit together, and their arithmetic is right."""

from __future__ import annotations

import dataclasses
import os

import pytest

from bench import budgets
from bench.family import cpu_of_family
from bench.job import Job
from bench.measure import Figures, Sample, summarise
from bench.messages import compose
from bench.outcome import Group, Outcome
from bench.peers import PEERS, REFERENCE
from bench.receive import COMMANDS
from bench.relays import RELAYS
from bench.report import describe, describe_verdicts
from bench.workloads import MIB, WORKLOADS, Placement, Role, Sink

MEMBERS = {
    Role.CLIENT: {peer.name for peer in PEERS},
    Role.SERVER: set(COMMANDS),
    Role.RELAY: set(RELAYS),
}


@pytest.mark.parametrize("budget", budgets.load(), ids=str)
def test_budget_names_what_exists(budget: budgets.Budget) -> None:
    """A misspelt budget would never be judged, and nobody would notice."""
    workload = next(row for row in WORKLOADS if row.name == budget.workload)
    members = MEMBERS[workload.role]
    assert budget.peer in members
    assert budget.of is None or budget.of in members
    assert budget.metric in {field.name for field in dataclasses.fields(Figures)}
    assert budget.placement in workload.placements


def test_first_peer_is_the_reference() -> None:
    """The command line adds the first peer to every choice, for the ratios."""
    assert PEERS[0].name == REFERENCE


@pytest.mark.parametrize("size", [512, 4096, 3 * MIB])
def test_message_is_canonical_and_of_its_size(size: int) -> None:
    """Every client gets the same work: CRLF line ends only, and lines to stuff."""
    message = compose(size)
    assert len(message) == size
    assert message.replace(b"\r", b"").replace(b"\n", b"\r\n") == message
    assert size < 4096 or b"\r\n." in message
    assert compose(size) == message


def test_medians_are_in_the_units_of_the_budgets() -> None:
    """Messages, MiB, microseconds, milliseconds: one median run of known cost."""
    samples = [Sample(100, wall, 0.05, 0.5, 3 * MIB) for wall in (0.5, 2.0, 1.0)]
    figures = summarise(samples, MIB, round_trip=0.02)
    assert figures.rate == pytest.approx(100)
    assert figures.rate_spread == pytest.approx((50, 200))
    assert figures.throughput == 100
    assert figures.latency == 10
    assert figures.cpu == pytest.approx(500)
    assert figures.memory == 3
    assert figures.round_trips == pytest.approx(0.25)


def outcome(rates: dict[str, float]) -> Outcome:
    """Return a run of W1 on split cores with these rates."""
    workload = WORKLOADS[0]
    result = Outcome(Group(workload, Sink.FASTSINK, Placement.SPLIT), Sink.FASTSINK)
    for name, rate in rates.items():
        result.add(name, Sample(1000, 1000 / rate, 0.1, None, None))
    result.summarise()
    return result


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ({"smtplib": 100.0, "ours-data": 221.0}, budgets.Verdict.MET),
        ({"smtplib": 100.0, "ours-data": 219.0}, budgets.Verdict.MISSED),
        ({"smtplib": 100.0}, budgets.Verdict.NOT_MEASURED),
        ({"ours-data": 220.0}, budgets.Verdict.NOT_MEASURED),
    ],
)
def test_budget_is_a_ratio_within_one_run(
    rates: dict[str, float], verdict: budgets.Verdict
) -> None:
    """A figure is judged against the other peer's of the same group, or not at all."""
    budget = budgets.Budget("W1", "ours-data", Placement.SPLIT, "rate", False, 2.2, "smtplib", None)
    run = outcome(rates)
    [judgement] = budgets.judge([budget], [run])
    assert judgement.verdict is verdict
    assert verdict.value in describe_verdicts([judgement])
    assert all(name in describe(run) for name in rates)


def test_failed_peer_leaves_no_figures() -> None:
    """Runs before a failure do not count as a result."""
    run = outcome({"smtplib": 100.0})
    run.add("ours", Sample(1, 1.0, 1.0, None, None))
    run.leave_out("ours", "it lost a message")
    run.summarise()
    assert list(run.figures) == ["smtplib"]
    assert "it lost a message" in describe(run)


def test_job_survives_its_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client program reads the job that was written, and shares the messages out evenly."""
    job = Job(
        "127.0.0.1", 25, 10, 2, 4, False, False, "ca", "crlf", "lf", 4096, False, "mode", 8
    )  # fmt: skip
    monkeypatch.setattr("sys.argv", ["client", job.encode()])
    assert Job.from_arguments() == job
    assert job.shares == [3, 3, 2, 2]
    assert len(set(job.addresses)) == 2


def test_family_holds_this_process() -> None:
    """The account of a process is at least its own CPU."""
    own = sum(os.times()[:2])
    assert cpu_of_family(os.getpid()) >= own - 0.02


def test_one_connection_and_a_pool_are_measured_where_others_have_several() -> None:
    """A pool of one, or one beside one, would be the same row twice."""
    workloads = {workload.name: workload for workload in WORKLOADS}
    for peer in PEERS:
        alone, beside = (peer.unsuited(workloads[name], Sink.FASTSINK) for name in ("W1", "W9-1"))
        assert (alone is not None) is (peer.pool or peer.connections == 1)
        assert beside is None
