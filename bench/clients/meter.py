"""What a job costs, measured inside the process that does it."""

from __future__ import annotations

import json
import resource
import time
from types import TracebackType
from typing import Self


class Meter:
    """Wall clock, CPU and peak memory of a ``with`` block; imports done before it are not counted.

    A client with one connection also says when its session is `ready` for the first message and
    when the last one is `answered`; the time between the two is free of connection set-up.
    """

    def __enter__(self) -> Self:
        self._ready: float | None = None
        self._answered: float | None = None
        self._memory = _forget_peak_memory()
        self._cpu = _cpu_seconds()
        self._wall = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wall = time.perf_counter() - self._wall
        self._cpu = _cpu_seconds() - self._cpu
        self._memory = _peak_memory() - self._memory

    def ready(self) -> None:
        """Note that the first message may leave now."""
        self._ready = time.perf_counter()

    def answered(self) -> None:
        """Note that the last message has its final reply."""
        self._answered = time.perf_counter()

    def report(self, messages: int) -> None:
        """Print the one line that the benchmark reads.

        Args:
            messages: How many messages were accepted.
        """
        transfer = None
        if self._ready is not None and self._answered is not None:
            transfer = self._answered - self._ready
        figures = {
            "messages": messages,
            "wall": self._wall,
            "cpu": self._cpu,
            "transfer": transfer,
            "memory": self._memory,
        }
        print(json.dumps(figures), flush=True)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _forget_peak_memory() -> int:
    """Let Linux start the peak of resident memory anew, and return it in octets."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass
    return _peak_memory()


def _peak_memory() -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
