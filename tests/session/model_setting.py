"""What a run of the model is like: the way of sending, the server, the troubles, the messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.session.model_server import Manners
from txsmtpconn.outcome import RecipientOutcome
from txsmtpconn.session.client.policy import Chunking, Pipelining, Window
from txsmtpconn.session.client.transaction import Transaction


@dataclass(frozen=True)
class Row:
    """One way for a client to send mail."""

    lmtp: bool
    chunking: Chunking
    pipelining: Pipelining


ROWS = {
    f"{'lmtp' if lmtp else 'smtp'}-{name}": Row(lmtp, chunking, pipelining)
    for lmtp in (False, True)
    for name, chunking, pipelining in (
        ("data-off", Chunking.OFF, Pipelining.OFF),
        ("data-transaction", Chunking.OFF, Pipelining.TRANSACTION),
        ("data-full", Chunking.OFF, Pipelining.FULL),
        ("bdat-off", Chunking.ALWAYS, Pipelining.OFF),
        ("bdat-full", Chunking.ALWAYS, Pipelining.FULL),
        ("auto", Chunking.AUTO, Pipelining.FULL),
    )
}


@dataclass(frozen=True)
class Setting:
    """What a run is like: the server, the client, and how likely each step is a mishap."""

    row: Row
    manners: Manners
    window: Window
    messages: int
    deaths: float = 0.0
    withdrawals: float = 0.0
    lateness: float = 0.0
    interruptions: float = 0.0
    bad_sources: float = 0.0

    @property
    def tame(self) -> bool:
        """Whether nothing but refusals can happen, of which a sound server is capable."""
        mishaps = (self.manners.faults, self.deaths, self.withdrawals, self.lateness)
        oddities = (
            self.manners.forgets_refused_sender,
            self.manners.forgets_refused_chunks,
            self.manners.goes_ahead_alone and self.row.lmtp,
            self.manners.size < 1000,
        )
        return not any((*mishaps, self.interruptions, self.bad_sources, *oddities))

    @classmethod
    def random(cls, row: Row, rng: Random) -> Setting:
        """Throw the dice for one run: calm seas, or one trouble, or all of them."""

        def perhaps(chance: float, most: float) -> float:
            return rng.random() * most if rng.random() < chance else 0.0

        manners = Manners(
            lmtp=row.lmtp,
            pipelining=rng.random() < 0.85,
            chunking=row.chunking is not Chunking.OFF,
            ahead=row.pipelining.value,
            keeps_failed_chunks=rng.random() < 0.7,
            goes_ahead_alone=rng.random() < 0.3,
            forgets_refused_sender=rng.random() < 0.15,
            forgets_refused_chunks=rng.random() < 0.15,
            prdr=not row.lmtp and rng.random() < 0.5,
            size=rng.choice((100_000, 100_000, 100)),
            archaic=not row.lmtp and rng.random() < 0.05,
            refusals=perhaps(0.7, 0.5),
            faults=perhaps(0.5, 0.15),
        )
        return cls(
            row,
            manners,
            Window(rng.choice((1, 2, 3, 16)), rng.choice((50, 300, 2_000, 500_000))),
            messages=rng.randint(1, 6) if rng.random() < 0.9 else 14,
            deaths=perhaps(0.3, 0.03),
            withdrawals=perhaps(0.3, 0.05),
            lateness=perhaps(0.2, 0.02),
            interruptions=perhaps(0.1, 0.1),
            bad_sources=perhaps(0.2, 0.5),
        )


@dataclass
class Message:
    """One message of a run, and what was said of it."""

    sender: str
    recipients: list[str]
    content: bytes
    transaction: Transaction
    chunks: list[bytes] = field(default_factory=list)
    fails: bool = False
    withdrawn: bool = False
    contradicted: bool = False  # the session heard that it was taken, after a refusal perhaps
    outcomes: list[RecipientOutcome] | None = None

    @property
    def canonical(self) -> bytes:
        """The content as it must arrive, but for a line end at its end."""
        lines = self.content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return lines.replace(b"\n", b"\r\n").rstrip(b"\r\n")

    @property
    def last_line(self) -> bytes:
        """What stands at the end of this content and nowhere else."""
        return b"end of " + self.sender.encode()
