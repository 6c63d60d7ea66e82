"""What a pool was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from txsmtpconn.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """How many connections, how long, and how hard to try.

    Attributes:
        max_connections: Open at the same time, at most.
        max_messages: Sent over one connection before it is replaced.
        max_in_flight: Messages given to one connection before the first of them is answered, once
            no further connection may be opened. More than one lets the next envelope leave behind
            a message's end mark; each one more is also one more message that waits for a slow one.
        max_requeues: How often a message is given to another connection because its own died
            before the message could have reached anybody.
        max_waiting: Messages that may wait for a connection; None sets no limit.
        idle_timeout: Seconds after which a connection that carries nothing is quit.
        max_age: Seconds after which a connection is replaced; None for never.
    """

    max_connections: int = 5
    max_messages: int = 100
    max_in_flight: int = 4
    max_requeues: int = 5
    max_waiting: int | None = None
    idle_timeout: float = 30.0
    max_age: float | None = 300.0

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_messages", "max_in_flight"):
            self._check(name, int, least=1)
        self._check("max_requeues", int, least=0)
        if self.max_waiting is not None:
            self._check("max_waiting", int, least=0)
        self._check("idle_timeout", (int, float), least=None)
        if self.max_age is not None:
            self._check("max_age", (int, float), least=None)

    def _check(self, name: str, kind: type | tuple[type, ...], *, least: int | None) -> None:
        value: Any = getattr(self, name)
        numeric = isinstance(value, kind) and not isinstance(value, bool)
        if not numeric:
            raise ConfigError(f"{name} is a number, not {value!r}")
        if least is None and not 0 < value < float("inf"):
            raise ConfigError(f"{name} is a positive number of seconds, not {value!r}")
        if least is not None and value < least:
            raise ConfigError(f"{name} is at least {least}, not {value!r}")
