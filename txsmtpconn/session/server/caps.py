"""How often a client may go wrong, and how long it may take."""

from __future__ import annotations

from txsmtpconn.session.server import replies
from txsmtpconn.session.server.rules import ServerRules
from txsmtpconn.wire.reply import Reply


class Tally:
    """Counts what one session may do only so often; each method gives the farewell once it is due.

    Counts survive STARTTLS and RSET: those are free, so starting again may not be.

    Attributes:
        transactions: MAIL commands so far.
    """

    __slots__ = (
        "_auth_failures",
        "_domains",
        "_errors",
        "_idle",
        "_rules",
        "_unknown",
        "transactions",
    )

    def __init__(self, rules: ServerRules) -> None:
        self._rules = rules
        self._errors = 0
        self._unknown = 0
        self._idle = 0
        self._auth_failures = 0
        self.transactions = 0
        self._domains: set[str] = set()

    def error(self) -> Reply | None:
        """Count a refused command."""
        self._errors += 1
        return replies.TOO_MANY_ERRORS if self._errors > self._rules.max_errors else None

    def unknown_command(self) -> Reply | None:
        """Count a verb that nobody knows."""
        self._unknown += 1
        return replies.TOO_MANY_ERRORS if self._unknown > self._rules.max_unknown_commands else None

    def idle_command(self) -> Reply | None:
        """Count a command that brings no mail forward."""
        self._idle += 1
        if self._idle > self._rules.max_idle_commands:
            return replies.TOO_MANY_IDLE_COMMANDS
        return None

    def auth_failure(self) -> Reply | None:
        """Count a failed authentication: the last one allowed is the farewell."""
        self._auth_failures += 1
        if self._auth_failures >= self._rules.max_auth_failures:
            return replies.TOO_MANY_AUTH_FAILURES
        return None

    def transaction(self) -> Reply | None:
        """Count a MAIL command, whatever is answered (RFC 9422, MAILMAX)."""
        self.transactions += 1
        most = self._rules.max_messages
        return None if most is None or self.transactions <= most else replies.TOO_MANY_MESSAGES

    def admits_domain(self, address: str) -> bool:
        """Tell whether a recipient's domain is one of those of this session, or may become one."""
        most = self._rules.max_recipient_domains
        return most is None or len(self._domains) < most or _domain_of(address) in self._domains

    def recipient(self, address: str) -> None:
        """Take note of an accepted recipient (RFC 9422, RCPTDOMAINMAX)."""
        if self._rules.max_recipient_domains is not None:
            self._domains.add(_domain_of(address))

    def message(self) -> None:
        """Forgive idle commands: a message came through."""
        self._idle = 0


def _domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


class DataPace:
    """Whether mail data comes fast enough: no silence, and no trickle either.

    Time in which the server itself did not read does not count.

    Attributes:
        octets: How many have come; whoever reads them counts them.
        held: Whether the clock stands still.
    """

    __slots__ = ("_held_at", "_rules", "_started", "held", "octets")

    def __init__(self, rules: ServerRules, now: float) -> None:
        self._rules = rules
        self._started = self._held_at = now
        self.octets = 0
        self.held = False

    def hold(self, now: float) -> None:
        """Stop the clock: the server does not read."""
        if not self.held:
            self.held, self._held_at = True, now

    def go_on(self, now: float) -> None:
        """Let the clock run again."""
        if self.held:
            self.held = False
            self._started += now - self._held_at

    def deadline(self, now: float) -> float:
        """Return until when more must have come, if some came just now."""
        block, rate = self._rules.timeouts.block, self._rules.minimum_rate
        if rate > 0:
            since = self._started + self.octets / rate
            if since < now:
                return since + block
        return now + block
