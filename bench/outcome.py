"""What was run, and what came of it."""

from __future__ import annotations

import dataclasses

from bench.measure import Figures, Sample, summarise
from bench.peers import REFERENCE
from bench.workloads import Placement, Sink, Workload


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """One workload on one sink in one placement: within it figures may be compared."""

    workload: Workload
    sink: Sink
    placement: Placement


@dataclasses.dataclass(slots=True)
class Outcome:
    """What the members of a group reached.

    Attributes:
        group: What was run.
        sink: The sink it was run on, which may be a stand-in.
        reference: The member that ratios are shown against.
        samples: Every run, by the peer's name.
        figures: The medians, by the peer's name.
        absent: Why a peer took no part or failed, by its name.
        round_trip: Seconds measured, where a delay was added.
    """

    group: Group
    sink: Sink
    reference: str = REFERENCE
    samples: dict[str, list[Sample]] = dataclasses.field(default_factory=dict)
    figures: dict[str, Figures] = dataclasses.field(default_factory=dict)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)
    round_trip: float | None = None

    def add(self, name: str, sample: Sample) -> None:
        """Keep one run of a peer."""
        self.samples.setdefault(name, []).append(sample)

    def leave_out(self, name: str, reason: str) -> None:
        """Note why a peer takes no part, and forget its runs."""
        self.absent[name] = reason
        self.samples.pop(name, None)

    def summarise(self) -> None:
        """Work out the medians."""
        size = self.group.workload.size
        for name, samples in self.samples.items():
            self.figures[name] = summarise(samples, size, self.round_trip)
