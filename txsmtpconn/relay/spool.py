"""The spool contract: what a relay may rely on once it has said 250.

A spool keeps messages between the 250 of the front door and the last word of the next hop. There
is one contract, `ISpool`, and one test suite that holds it (``tests/relay/spool_contract.py``); an
engine is right when it passes.

Each recipient of a message is a row with a state of its own::

             claim           mark               record
    READY ────────> LEASED ────────> COMMITTING ────────> DELIVERED
     ^ ^              │                │  │ │
     │ │ lease ran out│                │  │ └──────────> FAILED, EXPIRED: kept, with the reason
     │ └──────────────┘                │  └────────────> READY: later, by the schedule
     │                   lease ran out │
     │                                 └───────────────> in doubt: READY, or HELD
     └── release, requeue: from HELD, FAILED, EXPIRED, QUARANTINED

What it promises:

* `Incoming.commit` fires after the message and all its recipients are on stable storage, together,
  or not at all.
* A claim carries a *token* for each recipient. Only the newest token may mark or record; a claimant
  whose lease ran out finds out when it marks, before the end of mail data has left, and can never
  overwrite its successor's result.
* Every exit from the queue, and every doubt, is an entry in the history, written in the same
  transaction. When all recipients of a message are settled, the message goes; its history stays.
* A message whose octets or envelope no longer match their checksums is quarantined; the others
  flow.
* Times handed in are durations in seconds. The engine alone reads a clock, so that relays which
  share one spool also share one clock.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

WHOLE_BODY = 64 * 1024
"""A body of at most so many octets comes with its claim; a larger one is read in pieces."""


class SpoolError(Exception):
    """The spool could not do what it was asked."""


class SpoolFullError(SpoolError):
    """No space is left for another message; results and removals may still succeed."""


class SpoolUnavailableError(SpoolError):
    """Storage failed or is busy: nothing of this call is promised, and a later call may succeed."""


class SpoolLockedError(SpoolError):
    """Another process holds this spool."""


class SpoolFormatError(SpoolError):
    """The file is not a spool, or a later release wrote it."""


class CorruptMessageError(SpoolError):
    """The octets read back are not the octets that were accepted."""


class State(enum.StrEnum):
    """Where a recipient stands."""

    READY = "ready"
    LEASED = "leased"
    COMMITTING = "committing"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    QUARANTINED = "quarantined"
    REMOVED = "removed"


SETTLED = frozenset({State.DELIVERED, State.REMOVED})
"""Nothing more will be done and nothing need be kept but the history."""

KEPT = frozenset({State.FAILED, State.EXPIRED})
"""Given up, kept for the operator until the retention time has passed."""


class Event(enum.StrEnum):
    """What a history entry tells."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
    EXPIRED = "expired"
    IN_DOUBT = "in-doubt"
    HELD = "held"
    RELEASED = "released"
    REQUEUED = "requeued"
    REMOVED = "removed"
    QUARANTINED = "quarantined"


class Doubt(enum.StrEnum):
    """What becomes of a recipient whose end of data left while no reply came."""

    RETRY = "retry"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class NewRecipient:
    """A recipient as the front door took it.

    Attributes:
        address: The forward-path's mailbox.
        parameters: Its ESMTP parameters as on the wire, ``b" NOTIFY=NEVER"``; opaque here.
        destination: The name of the next hop, for claims that avoid one which is down.
    """

    address: str
    parameters: bytes = b""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """The envelope of a message to accept.

    Attributes:
        reverse_path: The reverse-path's mailbox, ``""`` for the null one.
        parameters: MAIL's ESMTP parameters as on the wire; opaque here.
        client: Who handed it in, for the operator's eyes.
    """

    reverse_path: str
    recipients: tuple[NewRecipient, ...]
    parameters: bytes = b""
    client: str = ""


@dataclass(frozen=True, slots=True)
class ClaimedRecipient:
    """One recipient on lease: `attempts` so far that counted, and the `token`, its fence."""

    id: int
    token: int
    address: str
    parameters: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Recipients of one message on their way to one destination.

    Attributes:
        age: Seconds since the message was accepted, released or requeued.
        size: Octets of mail data.
        body: The mail data where it is at most `WHOLE_BODY` octets, else None.
        marked: True where the rows stand in COMMITTING already.
    """

    message: str
    reverse_path: str
    parameters: bytes
    recipients: tuple[ClaimedRecipient, ...]
    destination: str
    age: float
    size: int
    body: bytes | None
    marked: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What a claim found.

    Attributes:
        next_due: Seconds until another row falls due, None where none is waiting. Only told when
            `claims` are fewer than were asked for.
        quarantined: Messages found corrupt on the way.
    """

    claims: tuple[Claim, ...] = ()
    next_due: float | None = None
    quarantined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of an attempt for one recipient.

    Attributes:
        state: READY (again, after `delay` seconds), DELIVERED, FAILED, EXPIRED, HELD, QUARANTINED.
        event: What the history says.
        detail: The reply, or the reason.
        burnt: False where the attempt never reached the next hop and is not to count.
    """

    recipient: int
    token: int
    state: State
    event: Event
    detail: str = ""
    delay: float = 0.0
    burnt: bool = True


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of leases that nobody held any more.

    Attributes:
        released: Rows that are READY again, without doubt.
        in_doubt: (message, address) of rows that stood in COMMITTING.
    """

    released: int = 0
    in_doubt: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    """A recipient as an operator sees it; `due_in` in seconds, negative when overdue."""

    address: str
    state: State
    attempts: int
    due_in: float
    last_reply: str
    destination: str


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message as an operator sees it."""

    message: str
    reverse_path: str
    parameters: bytes
    client: str
    accepted_at: float
    size: int
    recipients: tuple[QueuedRecipient, ...]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the audit trail; `at` is in seconds since 1970."""

    at: float
    message: str
    recipient: str
    event: Event
    detail: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room for messages: octets free to us, and the least the engine wants left."""

    free: int
    reserve: int

    def admits(self, size: int) -> bool:
        """Tell whether a message of `size` octets fits beside the reserve."""
        return self.free - size >= self.reserve


class Incoming(Protocol):
    """A message being accepted. Nothing of it can be seen until `commit`.

    Exactly one of `commit` and `abort` ends it.
    """

    @property
    def id(self) -> str:
        """The queue id the message will have."""

    def write(self, chunk: bytes) -> Deferred[None] | None:
        """Add octets of mail data.

        Returns:
            None: write on. A Deferred: write on when it fires; it fails with `SpoolError` when
            octets could not be stored.
        """

    def commit(self) -> Deferred[str]:
        """Make the message durable and visible, with all its recipients; fires with the id.

        Fails with `SpoolFullError` or `SpoolUnavailableError`; then nothing of the message stays.
        """

    def abort(self) -> None:
        """Forget the message. Harmless after a failed `commit` and when called again."""


class BodyReader(Protocol):
    """Mail data read back, as a `net.bodies.Body`: chunks of at most 64 KiB, then ``b""``."""

    def read(self) -> bytes | Deferred[bytes]:
        """Return the next octets, ``b""`` at the end.

        Fails with `CorruptMessageError` instead of ending on octets that are not the message.
        """

    def close(self) -> None:
        """Let go of what is held. Idempotent."""


class ISpool(Protocol):
    """A durable queue of messages. See the module for the promises."""

    def start(self, doubt: Doubt = Doubt.RETRY) -> Deferred[Recovery]:
        """Open, or create; recover what the last run left; sweep octets that no message owns.

        Fails with `SpoolLockedError` or `SpoolFormatError`.
        """

    def stop(self) -> Deferred[None]:
        """Finish what was asked, close. Idempotent."""

    def capacity(self) -> Capacity:
        """Tell how much room there is, at once."""

    def open(self, envelope: NewMessage) -> Incoming:
        """Begin to accept a message."""

    def claim(
        self,
        limit: int,
        lease: float,
        *,
        recipients: int = 100,
        avoid: Collection[str] = (),
        marked: bool = False,
    ) -> Deferred[Batch]:
        """Lease due recipients, oldest due first.

        Args:
            limit: Claims at most.
            lease: Seconds after which an unrenewed lease may go to another.
            recipients: At most so many in one claim; a message may give several claims.
            avoid: Destinations not to touch.
            marked: Put the rows of a message that comes whole into COMMITTING at once. Saves `mark`
                and its commit; but if the process dies, also what had not reached the end of mail
                data is in doubt.
        """

    def renew(self, lease: float) -> Deferred[int]:
        """Extend every lease of this claimant; fires with the number of rows still held."""

    def mark(self, claim: Claim, lease: float) -> Deferred[bool]:
        """Put the claim into COMMITTING, durably, just before the end of mail data may leave.

        Fires with False, and changes nothing, where any of its rows has gone to another: then the
        mail data must not be ended.
        """

    def record(self, claim: Claim, verdicts: Sequence[Verdict]) -> Deferred[int]:
        """Write down the outcome; fires with the number of verdicts that the fence turned away."""

    def recover(
        self,
        doubt: Doubt = Doubt.RETRY,
        *,
        set_back: float = 0.0,
        horizon: float = float("inf"),
    ) -> Deferred[Recovery]:
        """Take back leases that ran out.

        Args:
            doubt: What becomes of rows that stood in COMMITTING.
            set_back: Seconds by which the clock was set back since the last call: what waits is due
                so much earlier by it.
            horizon: Seconds that no schedule exceeds. What waits for longer does so because the
                clock was set back, and becomes due.
        """

    def body(self, message: str) -> BodyReader:
        """Read a message's octets."""

    def expire(self, age: float, detail: str) -> Deferred[int]:
        """Give up what waits of messages older than `age` seconds; fires with the number."""

    def prune(self, kept: float, history: float) -> Deferred[int]:
        """Remove given-up recipients and history entries that are older than so many seconds.

        Fires with the number of recipients removed.
        """

    # The operator's calls. Each acts on recipients that no claim is out for, and fires with their
    # number.

    def hold(self, message: str, detail: str = "") -> Deferred[int]:
        """Keep what waits from being delivered."""

    def release(self, message: str) -> Deferred[int]:
        """Let what is held or quarantined be delivered, at once, and its age count anew."""

    def requeue(self, message: str) -> Deferred[int]:
        """Try again what was given up, with a fresh schedule; what waits becomes due at once.

        The message's age counts anew.
        """

    def remove(self, message: str, detail: str = "") -> Deferred[int]:
        """Drop what is not yet delivered, for good."""

    def counts(self) -> Deferred[dict[State, int]]:
        """Count recipients by state."""

    def messages(
        self, *, state: State | None = None, after: str = "", limit: int = 100
    ) -> Deferred[list[QueuedMessage]]:
        """List messages, oldest first, behind the id `after`.

        With `state`, only those that have a recipient in it.
        """

    def show(self, message: str) -> Deferred[QueuedMessage | None]:
        """Fetch one message, None where it is not (or no longer) in the spool."""

    def why(self, message: str) -> Deferred[list[HistoryEntry]]:
        """Tell what happened to a message, oldest first; also after it has left."""
