"""What the relay has done since it started, as plain numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """Counts since the start; messages at the front door, recipients behind it.

    Attributes:
        accepted: Messages acknowledged with 250.
        refused: Messages turned away at the end of their data, and clients that may not relay.
        aborted: Messages whose client went away.
        overdue: Messages that took so long to store that the client may have given up: refused.
        delivered: Recipients whose mail the next hop took.
        deferred: Attempts that are to be made again.
        failed: Recipients given up after a refusal.
        expired: Recipients given up for their age.
        in_doubt: Attempts cut off between the end of mail data and its reply.
        held: Recipients set aside, in doubt, for the operator.
        fenced: Results that came after the lease was lost, and were not written.
        quarantined: Messages found corrupt.
        host_failures: Attempts that failed before the next hop took a look at the message.
    """

    accepted: int = 0
    refused: int = 0
    aborted: int = 0
    overdue: int = 0
    delivered: int = 0
    deferred: int = 0
    failed: int = 0
    expired: int = 0
    in_doubt: int = 0
    held: int = 0
    fenced: int = 0
    quarantined: int = 0
    host_failures: int = 0

    def snapshot(self) -> dict[str, int]:
        """Return all counts by name."""
        return asdict(self)
