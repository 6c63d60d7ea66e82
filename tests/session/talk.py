"""One client session and a hand that plays its peer: what it says, what it must hear."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, TypeVar

from txsmtpconn.envelope import Envelope
from txsmtpconn.session.client.events import Event, Ready, SessionEnded, TransactionEnded
from txsmtpconn.session.client.policy import Security
from txsmtpconn.session.client.session import ClientSession
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.client.transaction import Operation, Transaction
from txsmtpconn.session.dialect import LMTP, SMTP
from txsmtpconn.session.trace import Direction

E = TypeVar("E")

EHLO = b"EHLO me.test\r\n"
PLAIN_OFFER = b"250 peer.test\r\n"
PIPELINING_OFFER = b"250-peer.test\r\n250-PIPELINING\r\n250 SIZE 10000000\r\n"
CHUNKING_OFFER = b"250-peer.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"


class Talk:
    """A session with a clock that stands still until told otherwise.

    Attributes:
        events: All events so far.
        heard: What the session wrote since it was last asked.
        log: The lines that its trace saw.
    """

    def __init__(self, *, drains: bool = True, **options: Any) -> None:
        self.log: list[tuple[Direction, bytes, bool]] = []
        options.setdefault("name", b"me.test")
        self.session = ClientSession(
            Terms(**options),
            trace=lambda direction, line, secret: self.log.append((direction, line, secret)),
        )
        self.now = 0.0
        self.drains = drains
        self.events: list[Event] = []
        self.heard = b""
        self._patience, self._armed_for = inf, -inf
        self._note(self.session.connection_made(self.now))

    @classmethod
    def ready(cls, offer: bytes = PIPELINING_OFFER, **options: Any) -> Talk:
        """Return a talk whose session is ready, nothing said since."""
        talk = cls(**options)
        talk.says(b"220 peer.test\r\n")
        hello = b"LHLO" if options.get("dialect", SMTP) is LMTP else b"EHLO"
        assert talk.hears() == hello + b" me.test\r\n"
        talk.says(offer)
        assert isinstance(talk.events[-1], Ready)
        talk.events.clear()
        return talk

    def _note(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        self.heard += self.session.data_to_send(self.now)
        if self.drains:
            self.session.drained(self.now)
        self._check_timer()

    def _check_timer(self) -> None:
        """A timer that is armed anew only when the session's patience falls is never late."""
        deadline = self.session.next_deadline()
        if self.session.patience < self._patience:
            assert deadline is not None
            self._patience, self._armed_for = self.session.patience, deadline
        assert deadline is None or deadline >= self._armed_for

    def says(self, data: bytes) -> Talk:
        """The peer says this."""
        self._note(self.session.receive_data(data, self.now))
        return self

    def does(self, *operations: Operation) -> Talk:
        """The caller submits these."""
        for operation in operations:
            self.events.extend(self.session.submit(operation))
        self._note(())
        return self

    def acts(self, events: Sequence[Event]) -> Talk:
        """The caller did something else, which had these events."""
        self._note(events)
        return self

    def waits(self, seconds: float) -> Talk:
        """Time passes."""
        self.now += seconds
        if self.now >= self._armed_for:
            self._patience, self._armed_for = inf, -inf
        self._note(self.session.handle_timer(self.now))
        return self

    def hears(self) -> bytes:
        """Return what the session wrote since the last call."""
        heard, self.heard = self.heard, b""
        return heard

    def got(self, kind: type[E]) -> list[E]:
        """Return all events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def awaits(self) -> bool:
        """Whether the session says that only replies can move it."""
        return self.session.awaiting_replies

    @property
    def trusted(self) -> tuple[bool, bool]:
        """Whether the session is secure, and whether it is authenticated."""
        return self.session.secure, self.session.authenticated

    @property
    def end(self) -> SessionEnded:
        """The session's end, which must have come exactly once, and last."""
        (end,) = self.got(SessionEnded)
        assert self.events[-1] is end
        return end

    def ended(self, transaction: Transaction) -> bool:
        """Whether this transaction's end was reported, exactly once."""
        ends = [each for each in self.got(TransactionEnded) if each.transaction is transaction]
        assert len(ends) <= 1
        return bool(ends)


def mail(
    *recipients: str, body: bytes | None = b"hello\r\n", sender: str = "s@x.test", **options: object
) -> Transaction:
    """Return a transaction; one recipient if none is named."""
    envelope = Envelope(sender, list(recipients) or ["r@y.test"])
    return Transaction(envelope, body, **options)  # type: ignore[arg-type]


def deliveries(transaction: Transaction) -> list[str]:
    """Return the names of the recipients' deliveries."""
    deliveries = [outcome.delivery.name for outcome in transaction.outcomes()]
    # What a caller may go by who wants to know no more than that all went well.
    if transaction.taken_by_all is not None:
        assert set(deliveries) == {"ACCEPTED"}
    return deliveries


IN_CLEAR = {"security": Security.IGNORED}
