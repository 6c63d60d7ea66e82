"""The budgets of ``budgets.toml``, and the verdicts on them."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from bench.outcome import Outcome
from bench.workloads import Placement, Sink

FILE = Path(__file__).parent / "budgets.toml"
ABSOLUTE = "absolute"


class Verdict(Enum):
    """What the figures say about a budget."""

    MET = "met"
    MISSED = "MISSED"
    NOT_MEASURED = "not measured"


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """One limit on one figure.

    Attributes:
        workload, peer, placement: The row that is judged.
        metric: Name of a field of `Figures`.
        lower_is_better: Whether `limit` is the most that is allowed, or the least.
        limit: A ratio to the same figure of the peer `of`, or a plain number where `of` is None.
        prototype: What a throw-away prototype reached, if known.
    """

    workload: str
    peer: str
    placement: Placement
    metric: str
    lower_is_better: bool
    limit: float
    of: str | None
    prototype: float | None

    def __str__(self) -> str:
        bound = "at most" if self.lower_is_better else "at least"
        of = f" x {self.of}" if self.of else ""
        row = f"{self.workload} {self.placement.value}: {self.peer}"
        return f"{row} {self.metric} {bound} {self.limit:g}{of}"


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """A budget, the sink it was judged on, and how it stands."""

    budget: Budget
    sink: Sink
    value: float | None

    @property
    def verdict(self) -> Verdict:
        """Whether the budget was met."""
        if self.value is None:
            return Verdict.NOT_MEASURED
        if self.budget.lower_is_better:
            met = self.value <= self.budget.limit
        else:
            met = self.value >= self.budget.limit
        return Verdict.MET if met else Verdict.MISSED


def load(file: Path = FILE) -> list[Budget]:
    """Return all budgets of a file, one for each limit."""
    entries = tomllib.loads(file.read_text(encoding="utf-8"))["budget"]
    return [budget for entry in entries for budget in _expand(entry)]


def judge(budgets: list[Budget], outcomes: list[Outcome]) -> list[Judgement]:
    """Judge every budget whose workload and placement was run, once for each sink."""
    judgements = []
    for budget in budgets:
        for outcome in outcomes:
            group = outcome.group
            if (group.workload.name, group.placement) != (budget.workload, budget.placement):
                continue
            if "no CHUNKING" in outcome.absent.get(budget.peer, ""):
                continue
            judgements.append(Judgement(budget, outcome.sink, _value(budget, outcome)))
    return judgements


def _expand(entry: dict[str, Any]) -> Iterator[Budget]:
    lower = "at_most" in entry
    for of, limit in entry["at_most" if lower else "at_least"].items():
        yield Budget(
            workload=entry["workload"],
            peer=entry["peer"],
            placement=Placement(entry["placement"]),
            metric=entry["metric"],
            lower_is_better=lower,
            limit=limit,
            of=None if of == ABSOLUTE else of,
            prototype=entry.get("prototype", {}).get(of),
        )


def _value(budget: Budget, outcome: Outcome) -> float | None:
    """Return the figure, or its ratio to the other peer's; None where one of them is missing."""
    mine = outcome.figures.get(budget.peer)
    value = mine.metric(budget.metric) if mine else None
    if budget.of is None or value is None:
        return value
    other = outcome.figures.get(budget.of)
    base = other.metric(budget.metric) if other else None
    return value / base if base else None
