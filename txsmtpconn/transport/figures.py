"""A pool in numbers, for those who watch it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What has happened since the pool was made.

    Attributes:
        sent: Messages that at least one recipient's server took.
        failed: Messages that ended in an error, refusals included.
        requeued: Times that a message was taken back from a dead connection.
        opened: Connections that became ready.
        not_opened: Connections that did not.
        died: Connections that ended by themselves.
    """

    sent: int = 0
    failed: int = 0
    requeued: int = 0
    opened: int = 0
    not_opened: int = 0
    died: int = 0


@dataclass(slots=True)
class PoolFigures(Counts):
    """The counts, and how things stand now.

    Attributes:
        connections: Open or being opened.
        opening: Of these, those that are not ready.
        idle: Of these, those that are ready and carry nothing.
        waiting: Messages, or parts of such, that no connection has taken yet.
        in_flight: Messages, or parts of such, that a connection has taken and not answered.
        pause: Seconds until another connection may be tried, where the server has failed.
    """

    connections: int = 0
    opening: int = 0
    idle: int = 0
    waiting: int = 0
    in_flight: int = 0
    pause: float = 0.0
