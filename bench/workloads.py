"""The table of workloads: what every client is asked to do, and where on the machine."""

from __future__ import annotations

import dataclasses
from enum import Enum

KIB = 1024
MIB = 1024 * KIB


class Placement(Enum):
    """Which cores client and sink run on."""

    SAME = "same"
    """Both on one core: the CPU per message is the work done, free of wake-ups across cores."""
    SPLIT = "split"
    """One core each: the wall clock shows what round trips cost."""
    FREE = "free"
    """Wherever the system puts them: for relays, which are several processes at once."""


class Sink(Enum):
    """What takes the messages."""

    SMTP_SINK = "smtp-sink"
    """Postfix's test server: PIPELINING, no CHUNKING, no STARTTLS."""
    FASTSINK = "fastsink"
    """Ours, in C: CHUNKING, STARTTLS, and counters that every run is checked against."""
    PYSINK = "pysink"
    """The stand-in for `FASTSINK` where there is no C compiler; slow, it flattens the ratios."""
    POSTFIX = "postfix"
    """A real Postfix smtpd, queue manager and all, whose deliveries are discarded."""
    NONE = "-"
    """Servers are measured themselves."""


class Role(Enum):
    """What is measured."""

    CLIENT = "client"
    SERVER = "server"
    RELAY = "relay"


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table.

    Attributes:
        name: What budgets and the command line call it.
        title: One line for readers.
        messages: How many in a full run.
        quick: How many in a quick run.
        size: Octets of one message.
        sinks: Each is measured, and has its own reference; a quick run takes the last.
        placements: Each is measured, in a full run.
        quick_placements: Those of a quick run.
        connections: Connections open at once.
        recipients: Recipients of each message.
        fresh: Whether each message gets a connection of its own.
        tls: Whether STARTTLS is required.
        stream: Whether the message is read from its file while it is sent.
        round_trip: Seconds that a delay proxy adds to each round trip.
        role: What is measured.
        extra: Whether a quick run leaves it out, unless it is asked for by name.
    """

    name: str
    title: str
    messages: int
    quick: int
    size: int
    sinks: tuple[Sink, ...] = (Sink.FASTSINK,)
    placements: tuple[Placement, ...] = (Placement.SAME, Placement.SPLIT)
    quick_placements: tuple[Placement, ...] = (Placement.SAME, Placement.SPLIT)
    connections: int = 1
    recipients: int = 1
    fresh: bool = False
    tls: bool = False
    stream: bool = False
    round_trip: float = 0.0
    role: Role = Role.CLIENT
    extra: bool = False


BOTH = (Sink.SMTP_SINK, Sink.FASTSINK)
SAME = (Placement.SAME,)
SPLIT = (Placement.SPLIT,)
FREE = (Placement.FREE,)

WORKLOADS = (
    Workload("W1", "4 KiB messages, one connection", 5000, 1500, 4 * KIB, sinks=BOTH),
    Workload(
        "W2-10", "4 KiB messages, 10 connections", 5000, 2000, 4 * KIB,
        connections=10, placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "W2-50", "4 KiB messages, 50 connections", 5000, 2000, 4 * KIB,
        connections=50, placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "W3", "25 MiB messages from a file", 20, 4, 25 * MIB,
        stream=True, placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "W3-TLS", "25 MiB messages from a file, STARTTLS", 20, 4, 25 * MIB,
        stream=True, tls=True, placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "W4", "4 KiB messages, a connection for each", 2000, 300, 4 * KIB,
        fresh=True, placements=SAME, quick_placements=SAME,
    ),
    Workload(
        "W5", "4 KiB messages to 1,000 recipients", 100, 15, 4 * KIB,
        recipients=1000, quick_placements=SAME,
    ),
    Workload(
        "W6", "4 KiB messages, one connection, STARTTLS", 5000, 1500, 4 * KIB,
        tls=True, quick_placements=SAME,
    ),
    Workload(
        "W7", "4 KiB messages, one connection, 20 ms round trip", 500, 60, 4 * KIB,
        round_trip=0.020, placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "W9-1", "4 KiB messages, pools of 5 connections, 1 ms round trip", 2000, 500, 4 * KIB,
        connections=5, round_trip=0.001, placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "W9-20", "4 KiB messages, pools of 5 connections, 20 ms round trip", 1000, 200, 4 * KIB,
        connections=5, round_trip=0.020, placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "W10-1", "4 KiB messages, one connection or ten, 1 ms round trip", 2000, 500, 4 * KIB,
        connections=10, round_trip=0.001, placements=SPLIT, quick_placements=SPLIT, extra=True,
    ),
    Workload(
        "W10-20", "4 KiB messages, one connection or ten, 20 ms round trip", 1000, 200, 4 * KIB,
        connections=10, round_trip=0.020, placements=SPLIT, quick_placements=SPLIT, extra=True,
    ),
    Workload(
        "W8", "4 KiB messages, one connection, real Postfix", 1000, 300, 4 * KIB,
        sinks=(Sink.POSTFIX,), placements=SPLIT, quick_placements=SPLIT,
    ),
    Workload(
        "receive-1", "4 KiB messages into servers, one session", 5000, 2000, 4 * KIB,
        role=Role.SERVER, sinks=(Sink.NONE,), placements=SPLIT, quick_placements=SPLIT, extra=True,
    ),
    Workload(
        "receive-20", "4 KiB messages into servers, 20 sessions", 10000, 4000, 4 * KIB,
        connections=20, role=Role.SERVER, sinks=(Sink.NONE,), placements=SPLIT,
        quick_placements=SPLIT,
    ),
    Workload(
        "receive-big", "1 MiB messages into servers, 20 sessions", 500, 100, MIB,
        connections=20, role=Role.SERVER, sinks=(Sink.NONE,), placements=SPLIT,
        quick_placements=SPLIT,
    ),
    Workload(
        "relay-20", "4 KiB messages through a relay, 20 sessions", 5000, 2000, 4 * KIB,
        connections=20, placements=FREE, quick_placements=FREE, role=Role.RELAY,
    ),
    Workload(
        "relay-100", "4 KiB messages through a relay, 100 sessions", 5000, 2000, 4 * KIB,
        connections=100, placements=FREE, quick_placements=FREE, role=Role.RELAY, extra=True,
    ),
)  # fmt: skip
