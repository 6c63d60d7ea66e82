"""The figures, for people and for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.budgets import Judgement, Verdict
from bench.measure import Figures
from bench.outcome import Outcome
from bench.workloads import Role

Column = tuple[str, Callable[[Figures, Figures | None], str]]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text in aligned columns, the first flush left, the others flush right."""
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
    lines = []
    for row in (header, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((first, *others)).rstrip())
    return "\n".join(lines)


def describe(outcome: Outcome) -> str:
    """Return one group's figures as text."""
    group = outcome.group
    place = f"{group.placement.value} cores"
    if group.workload.role is not Role.SERVER:
        place = f"{outcome.sink.value}, {place}"
    delay = f", round trip {outcome.round_trip * 1000:.2f} ms" if outcome.round_trip else ""
    lines = [f"{group.workload.name}: {group.workload.title} ({place}{delay})", ""]
    columns = _columns(outcome)
    reference = outcome.figures.get(outcome.reference)
    rows = [
        [name, *(cell(figures, reference) for _, cell in columns)]
        for name, figures in outcome.figures.items()
    ]
    lines.append(table(["", *(title for title, _ in columns)], rows))
    for reason in dict.fromkeys(outcome.absent.values()):
        names = [name for name, why in outcome.absent.items() if why == reason]
        lines.append(f"without {', '.join(names)}: {reason}")
    return "\n".join(lines) + "\n"


def describe_verdicts(judgements: Sequence[Judgement]) -> str:
    """Return the budgets and how they stand as text."""
    rows = [
        [
            str(item.budget),
            item.sink.value,
            "-" if item.value is None else f"{item.value:.2f}",
            "-" if item.budget.prototype is None else f"{item.budget.prototype:g}",
            item.verdict.value,
        ]
        for item in judgements
    ]
    tally = dict.fromkeys(Verdict, 0)
    for item in judgements:
        tally[item.verdict] += 1
    summary = ", ".join(f"{count} {verdict.value}" for verdict, count in tally.items())
    return f"{table(['budget', 'sink', 'seen', 'prototype', ''], rows)}\n\n{summary}\n"


def write_json(file: Path, outcomes: Sequence[Outcome], judgements: Sequence[Judgement]) -> None:
    """Write the circumstances, every run, the medians and the verdicts to a file."""
    document = {
        "circumstances": circumstances(),
        "groups": [_plain(outcome) for outcome in outcomes],
        "budgets": [
            {
                "budget": str(item.budget),
                "sink": item.sink.value,
                "value": item.value,
                "verdict": item.verdict.value,
            }
            for item in judgements
        ],
    }
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def circumstances() -> dict[str, Any]:
    """Return what a reader has to know of the machine to read the figures."""
    versions = {}
    for name in ("twisted", "aiosmtplib", "uvloop", "pyopenssl", "cryptography"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": versions,
    }


def _columns(outcome: Outcome) -> list[Column]:
    ratio = f"x {outcome.reference}"
    columns: list[Column] = [
        ("messages/s", lambda mine, _: _number(mine.rate)),
        ("spread", lambda mine, _: _spread(mine, mine.rate, mine.rate_spread)),
        (ratio, lambda mine, base: f"{mine.rate / base.rate:.2f}" if base else "-"),
        ("CPU us/message", lambda mine, _: f"{mine.cpu:,.1f}"),
        ("spread", lambda mine, _: _spread(mine, mine.cpu, mine.cpu_spread)),
        (ratio, lambda mine, base: f"{mine.cpu / base.cpu:.2f}" if base else "-"),
    ]
    if outcome.group.workload.stream:
        columns += [
            ("MiB/s", lambda mine, _: f"{mine.throughput:,.0f}"),
            ("peak + MiB", lambda mine, _: "-" if mine.memory is None else f"{mine.memory:.1f}"),
        ]
    if outcome.round_trip:
        columns.append(
            ("round trips", lambda mine, _: f"{mine.round_trips:.2f}" if mine.round_trips else "-")
        )
    if outcome.group.workload.name == "W8" or outcome.round_trip:
        columns.append(("ms/message", lambda mine, _: f"{mine.latency:.2f}"))
    return columns


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _spread(figures: Figures, median: float, ends: tuple[float, float]) -> str:
    """Return how far the runs lie apart, of their median."""
    low, high = ends
    return f"{(high - low) / median * 100:.0f} %" if figures.runs > 1 else "-"


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "workload": outcome.group.workload.name,
        "sink": outcome.sink.value,
        "placement": outcome.group.placement.value,
        "round_trip": outcome.round_trip,
        "figures": {name: dataclasses.asdict(figures) for name, figures in outcome.figures.items()},
        "runs": {
            name: [dataclasses.asdict(sample) for sample in samples]
            for name, samples in outcome.samples.items()
        },
        "absent": outcome.absent,
    }
