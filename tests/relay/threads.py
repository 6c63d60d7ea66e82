"""adbapi without threads: the pool's work runs at once, or when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.enterprise import adbapi
from twisted.internet.task import Clock
from twisted.python.failure import Failure


class InlineReactor(Clock):
    """A Clock that stands in for the reactor of a connection pool."""

    def callWhenRunning(self, call: Callable[..., object], *arguments: Any) -> None:
        call(*arguments)

    def callFromThread(self, call: Callable[..., object], *arguments: Any) -> None:
        call(*arguments)

    def addSystemEventTrigger(self, *_: object) -> None:  # noqa: N802
        return None

    def removeSystemEventTrigger(self, _: object) -> None:  # noqa: N802
        return None


class InlineThreads:
    """A thread pool of no threads. While `gated`, work waits for `step`."""

    gated = False

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, ...]] = []

    def start(self) -> None:
        self.waiting = []

    def stop(self) -> None:
        self.waiting = []

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, Any], None], work: Callable[..., Any], *arguments: Any
    ) -> None:
        if self.gated:
            self.waiting.append((on_result, work, *arguments))
        else:
            self._run(on_result, work, *arguments)

    def step(self) -> None:
        """Run what has waited longest."""
        self._run(*self.waiting.pop(0))

    def _run(
        self, on_result: Callable[[bool, Any], None], work: Callable[..., Any], *arguments: Any
    ) -> None:
        try:
            result = work(*arguments)
        except BaseException:  # noqa: BLE001 - as the thread pool does
            on_result(False, Failure())
        else:
            on_result(True, result)


class InlinePool(adbapi.ConnectionPool):
    """A connection pool on `InlineThreads`."""

    threadpool: Any

    def start(self) -> None:
        if not isinstance(self.threadpool, InlineThreads):
            self.threadpool = InlineThreads()
        super().start()  # type: ignore[no-untyped-call]
