"""When to try again, and when to give up: pure arithmetic in seconds.

RFC 5321 section 4.5.4.1 asks for at least thirty minutes between attempts in the long run, more
often in the first hour, and for four to five days before a message is given up.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from txsmtpconn.errors import ConfigError

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)")


def duration(text: str) -> float:
    """Read ``"90"``, ``"90s"``, ``"5m"``, ``"4h"`` or ``"5d"`` as seconds.

    Raises:
        ConfigError: It is none of these, or nothing at all.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ConfigError(f"{text!a} is not a duration such as 90s, 5m, 4h or 5d")
    return seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits between the attempts for one recipient.

    Attributes:
        waits: Seconds before the second attempt, the third, and so on; the last one repeats.
        lifetime: Seconds after which a recipient is given up.
        jitter: The part of a wait that chance adds or takes, so that what failed together does not
            come back together.
    """

    waits: tuple[float, ...] = (300.0, 600.0, 1200.0, 2400.0, 4800.0, 9600.0, 14400.0)
    lifetime: float = 5 * 86400.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not self.waits or min(self.waits) <= 0 or self.lifetime <= 0:
            raise ConfigError("a schedule has waits and a lifetime, all longer than nothing")
        if not 0 <= self.jitter < 1:
            raise ConfigError("the jitter is a part of the wait: at least 0 and below 1")

    @classmethod
    def parse(cls, text: str, lifetime: float = 5 * 86400.0) -> Schedule:
        """Read waits such as ``"5m,10m,20m,1h,4h"``; ``"5m,1h*3"`` says 1h three times.

        Raises:
            ConfigError: A wait is no duration, or is repeated by no number of 1 to 100.
        """
        waits: list[float] = []
        for word in text.split(","):
            wait, star, times = word.strip().partition("*")
            if star and not (times.isdecimal() and 1 <= int(times[:4]) <= 100):
                raise ConfigError(f"{word!a} repeats a wait by no number of 1 to 100")
            waits += [duration(wait)] * (int(times) if star else 1)
        return cls(tuple(waits), lifetime)

    @property
    def longest(self) -> float:
        """No wait is longer than so many seconds."""
        return max(self.waits) * (1 + self.jitter)

    def wait(self, attempts: int, chance: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after so many attempts.

        Args:
            attempts: Those made so far, at least one.
            chance: Gives a number of 0 up to 1.
        """
        wait = self.waits[min(max(attempts, 1), len(self.waits)) - 1]
        return wait * (1 + self.jitter * (2 * chance() - 1))

    def is_over(self, age: float) -> bool:
        """Tell whether a recipient of a message of this age is given up."""
        return age >= self.lifetime


class Breaker:
    """Keeps a relay from hammering on a host that does not answer.

    After the first failure of the host itself (not of a message) everything for it waits; then one
    probe goes out, and its success opens the road for all. Each further failure doubles the wait.

    Args:
        first: Seconds after the first failure.
        longest: Seconds at most.
        chance: Gives a number of 0 up to 1; the wait varies by a tenth.

    Attributes:
        answered: True while the last that was heard of the host is an answer.
    """

    answered = False

    def __init__(
        self,
        first: float = 5.0,
        longest: float = 300.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self._failures = 0
        self._closed_until = 0.0

    @property
    def tripped(self) -> bool:
        """True while the last that was heard of the host is a failure."""
        return self._failures > 0

    def wait(self, now: float) -> float:
        """Return the seconds until something may be tried; 0 if it may be now."""
        return max(0.0, self._closed_until - now) if self._failures else 0.0

    def failed(self, now: float) -> None:
        """Take note that the host failed. Those that fail together count once."""
        self.answered = False
        if self._failures and now < self._closed_until:
            return
        wait: float = min(self._longest, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        self._closed_until = now + wait * (0.9 + 0.2 * self._chance())

    def succeeded(self) -> None:
        """Take note that the host answered."""
        self._failures = 0
        self.answered = True
