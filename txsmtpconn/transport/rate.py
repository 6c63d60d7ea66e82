"""So many within so many seconds, whichever seconds one looks at."""

from __future__ import annotations

from collections import deque


class Rate:
    """Spaces messages so that no window of `delta` seconds sees more than `limit` of them.

    Args:
        limit: 0 for no limit.
        delta: Seconds.
    """

    def __init__(self, limit: int, delta: float) -> None:
        self._limit = limit
        self._delta = delta
        self._begun: deque[float] = deque()

    def room(self, now: float) -> float:
        """Return how many may begin now."""
        if not self._limit:
            return float("inf")
        begun = self._begun
        while begun and begun[0] + self._delta <= now:
            begun.popleft()
        return self._limit - len(begun)

    def take(self, now: float) -> None:
        """Take note that one begins now."""
        if self._limit:
            self._begun.append(now)

    def ready_at(self) -> float:
        """When the next one may begin, if there was no room for it just now."""
        return self._begun[0] + self._delta if self._begun else 0.0
