"""What a server takes in one session (RFC 9422): so many messages, to so many domains.

What is beyond it belongs to another connection, and the server is not asked: nothing was sent, and
nobody said no.
"""

from __future__ import annotations

from collections.abc import Sequence

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import PoolError
from txsmtpconn.wire.extensions import Extensions


class SessionLimits:
    """Keeps count of one session."""

    def __init__(self) -> None:
        self._domains: set[str] = set()

    def objection(
        self, envelope: Envelope, extensions: Extensions, messages: int
    ) -> PoolError | None:
        """Return why a message belongs to another connection; else it is counted for this one.

        Args:
            envelope: The message's.
            extensions: What the server offers.
            messages: How many there were or will be before it.
        """
        limit = extensions.mailmax
        if limit is not None and messages >= limit:
            text = f"the server takes {limit} messages on one connection (MAILMAX)"
            return PoolError(text, command="MAIL FROM")
        if extensions.rcptdomainmax is not None:
            if len(self.admitted(envelope, extensions)) < len(envelope.addresses):
                return too_many_domains(extensions)
            self._domains.update(_domains(envelope))
        return None

    def admitted(self, envelope: Envelope, extensions: Extensions) -> Sequence[int]:
        """Return the places of the recipients that this session may still have."""
        limit = extensions.rcptdomainmax
        if limit is None:
            return range(len(envelope.addresses))
        # In the order of the envelope, so that what comes first goes first.
        known, places = set(self._domains), []
        for place, domain in enumerate(_domains(envelope)):
            if domain in known or len(known) < limit:
                known.add(domain)
                places.append(place)
        return places


def too_many_domains(extensions: Extensions) -> PoolError:
    """Return the error of a recipient that a session may not have."""
    text = (
        f"the server takes recipients of {extensions.rcptdomainmax} domains on one connection"
        " (RCPTDOMAINMAX)"
    )
    return PoolError(text, command="RCPT TO")


def _domains(envelope: Envelope) -> list[str]:
    return [address.rpartition("@")[2].lower() for address in envelope.addresses]
