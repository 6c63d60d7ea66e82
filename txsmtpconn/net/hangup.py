"""SIGHUP, which asks a service to read its files again.

A signal has one handler in a process, and services come and go: there is one handler of ours while
anybody listens for it, and what was there before is put back behind the last.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

_SIGNAL = getattr(signal, "SIGHUP", None)


class _Listeners:
    """Who wants to know."""

    def __init__(self) -> None:
        self._functions: list[tuple[Any, Callable[[], object]]] = []
        self._before: Any = None

    def add(self, entry: tuple[Any, Callable[[], object]]) -> None:
        if not self._functions:
            self._before = signal.signal(_SIGNAL, self._called)  # type: ignore[arg-type]
        self._functions.append(entry)

    def remove(self, entry: tuple[Any, Callable[[], object]]) -> None:
        self._functions.remove(entry)
        if not self._functions:
            signal.signal(_SIGNAL, self._before)  # type: ignore[arg-type]

    def _called(self, number: int, frame: object) -> None:
        for reactor, function in self._functions:
            # Wakes the reactor, and runs where everything else does.
            reactor.callFromThread(function)


_listeners = _Listeners()


def on_hangup(reactor: Any, function: Callable[[], object]) -> Callable[[], None]:
    """Have a function called in the reactor at each SIGHUP.

    Args:
        reactor: The running reactor.
        function: Called without arguments.

    Returns:
        Call it once to end that. Where a process cannot have signals, as outside its main thread
        or on Windows, nothing was begun.
    """
    if _SIGNAL is None or threading.current_thread() is not threading.main_thread():
        return lambda: None
    entry = (reactor, function)
    _listeners.add(entry)
    return lambda: _listeners.remove(entry)
