"""What a pool was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from txsmtpconn.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """How many connections, how long, how fast, and how hard to try.

    Attributes:
        max_connections: Open at the same time, at most.
        max_messages: Sent over one connection before it is replaced.
        max_in_flight: Messages given to one connection before the first of them is answered, once
            no further connection may be opened. More than one lets the next envelope leave behind
            a message's end mark; each one more is also one more message that waits for a slow one.
            With 16 or more, small messages go by BDAT where the server offers it, without waiting
            for each other's replies; so many may be in doubt when the connection dies.
        max_requeues: How often a message is given to another connection because its own died
            before the message could have reached anybody; and how many connections in a row may
            fail before those who wait are told, where the server had worked before.
        max_waiting: Messages that may wait for a connection; None sets no limit. With 0 a message
            is taken only if it need not wait for another.
        rate_limit: Messages that may be begun within `rate_delta` seconds; 0 sets no limit.
        rate_delta: Seconds.
        queue_timeout: Seconds that a message may wait for a connection; None for ever.
        idle_timeout: Seconds after which a connection that carries nothing is quit.
        max_age: Seconds after which a connection is replaced; None for never.
        probe_after: Seconds after which a connection that carried nothing is asked for a sign of
            life (NOOP) before it gets another message; None for never.
    """

    max_connections: int = 5
    max_messages: int = 100
    max_in_flight: int = 4
    max_requeues: int = 5
    max_waiting: int | None = None
    rate_limit: int = 0
    rate_delta: float = 1.0
    queue_timeout: float | None = 3600.0
    idle_timeout: float = 30.0
    max_age: float | None = 300.0
    probe_after: float | None = 10.0

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_messages", "max_in_flight"):
            self._check(name, int, least=1)
        for name in ("max_requeues", "rate_limit"):
            self._check(name, int, least=0)
        if self.max_waiting is not None:
            self._check("max_waiting", int, least=0)
        for name in ("idle_timeout", "rate_delta"):
            self._check(name, (int, float), least=None)
        for name in ("queue_timeout", "max_age", "probe_after"):
            if getattr(self, name) is not None:
                self._check(name, (int, float), least=None)

    def _check(self, name: str, kind: type | tuple[type, ...], *, least: int | None) -> None:
        value: Any = getattr(self, name)
        numeric = isinstance(value, kind) and not isinstance(value, bool)
        if not numeric:
            raise ConfigError(f"{name} is a number, not {value!r}")
        if least is None and not 0 < value < float("inf"):
            raise ConfigError(f"{name} is a positive number of seconds, not {value!r}")
        if least is not None and value < least:
            raise ConfigError(f"{name} is at least {least}, not {value!r}")
