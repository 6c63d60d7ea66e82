"""What became of a message, recipient by recipient.

A mail transaction has no single outcome. The server answers for each recipient, and a connection
may end at any octet; so the facts are kept per recipient, in four words that tell a caller what may
be done next:

============  =====================================================  ==========================
Delivery      meaning                                                to send it again is
============  =====================================================  ==========================
ACCEPTED      a positive reply to the end of the mail data           a duplicate
REJECTED      a negative reply from the server                       useless now, harmless later
NOT_SENT      the end of the mail data never left, nobody said no    safe
IN_DOUBT      it left, and no whole reply came                       perhaps a duplicate
============  =====================================================  ==========================

The end of the mail data is the final ``CRLF.CRLF`` of DATA (RFC 5321 section 4.1.1.4) or the last
octet of the chunk marked LAST (RFC 3030 section 2). RFC 1047 describes the doubt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txsmtpconn.errors import SMTPError
    from txsmtpconn.wire.reply import Reply


class Delivery(Enum):
    """What is known of one recipient's mail. The module's docstring has the table."""

    NOT_SENT = "not sent"
    IN_DOUBT = "in doubt"
    REJECTED = "rejected"
    ACCEPTED = "accepted"

    def __repr__(self) -> str:
        return f"Delivery.{self.name}"


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """What became of one recipient.

    Attributes:
        address: The forward-path as the caller gave it.
        reply: The reply that decided, or the last one that concerned this recipient; None if none
            came.
        delivery: What is known of the mail.
        error: Why it was not accepted; None where it was.
    """

    address: str
    reply: Reply | None
    delivery: Delivery
    error: SMTPError | None = None

    def __init__(
        self,
        address: str,
        reply: Reply | None,
        delivery: Delivery,
        error: SMTPError | None = None,
    ) -> None:
        _set_address(self, address)
        _set_reply(self, reply)
        _set_delivery(self, delivery)
        _set_error(self, error)


# The way into a slot past the frozen __setattr__, at half the price of object.__setattr__: there is
# an outcome for each recipient of each message.
_set_address = RecipientOutcome.__dict__["address"].__set__
_set_reply = RecipientOutcome.__dict__["reply"].__set__
_set_delivery = RecipientOutcome.__dict__["delivery"].__set__
_set_error = RecipientOutcome.__dict__["error"].__set__


def overall(recipients: Iterable[RecipientOutcome]) -> Delivery:
    """Sum up several recipients in the word that a caller must heed first.

    One accepted recipient makes a success. Of failures, doubt outweighs the rest, since it forbids
    a careless retry, and mail that may be sent again outweighs a refusal. Of no recipients at all,
    nothing was sent.
    """
    found = {outcome.delivery for outcome in recipients}
    for delivery in (Delivery.ACCEPTED, Delivery.IN_DOUBT, Delivery.NOT_SENT):
        if delivery in found:
            return delivery
    return Delivery.REJECTED if found else Delivery.NOT_SENT


class SendResult:
    """A message that at least one recipient's server took responsibility for.

    In LMTP also one whose every final reply was a refusal: each recipient had an answer of its own
    (RFC 2033 section 4.2). The lists are computed from `recipients`, in the order of the envelope,
    with duplicates kept.

    Args:
        recipients: The outcome of each recipient; None where `reply` accepted each of them.
        addresses: Those recipients, then.

    Attributes:
        reply: The last reply to the end of the mail data.
        ehlo: The keyword lines of the server's EHLO or LHLO reply.
        envelope_time: Seconds from MAIL to the go-ahead for the mail data.
        message_time: Seconds from there to the last reply.
        message_size: Octets of mail data on the wire, transparency and end mark included.
    """

    __slots__ = (
        "_addresses",
        "_recipients",
        "ehlo",
        "envelope_time",
        "message_size",
        "message_time",
        "reply",
    )

    def __init__(
        self,
        recipients: tuple[RecipientOutcome, ...] | None,
        *,
        addresses: tuple[str, ...] = (),
        reply: Reply | None = None,
        ehlo: tuple[str, ...] = (),
        envelope_time: float = 0.0,
        message_time: float = 0.0,
        message_size: int = 0,
    ) -> None:
        self._recipients = recipients
        self._addresses = addresses
        self.reply = reply
        self.ehlo = ehlo
        self.envelope_time = envelope_time
        self.message_time = message_time
        self.message_size = message_size

    @property
    def recipients(self) -> tuple[RecipientOutcome, ...]:
        """The outcome of each recipient."""
        if self._recipients is None:
            # Most callers never ask, and there may be thousands.
            self._recipients = tuple(
                [RecipientOutcome(each, self.reply, Delivery.ACCEPTED) for each in self._addresses]
            )
        return self._recipients

    @property
    def response(self) -> str:
        """The last reply as text, ``"250 2.0.0 Ok: queued"``; empty if there was none."""
        return "" if self.reply is None else str(self.reply)

    @property
    def accepted(self) -> list[str]:
        """The addresses whose mail the server took."""
        if self._recipients is None:
            return list(self._addresses)
        return addresses(self._recipients, Delivery.ACCEPTED)

    @property
    def rejected(self) -> list[str]:
        """The addresses that the server refused."""
        return [] if self._recipients is None else addresses(self._recipients, Delivery.REJECTED)

    @property
    def rejected_errors(self) -> list[SMTPError]:
        """The refusals, one for each address in `rejected`."""
        return refusals(self._recipients or ())

    @property
    def in_doubt(self) -> list[str]:
        """The addresses whose reply never came; sending again might deliver twice."""
        return addresses(self._recipients or (), Delivery.IN_DOUBT)

    @property
    def not_sent(self) -> list[str]:
        """The addresses that are safe to try again; their part of a split message never left."""
        return addresses(self._recipients or (), Delivery.NOT_SENT)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SendResult):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FACTS)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        told = [f"accepted={self.accepted!r}"]
        for name in ("rejected", "in_doubt", "not_sent"):
            found = getattr(self, name)
            if found:
                told.append(f"{name}={found!r}")
        told.append(f"response={self.response!r}")
        return f"SendResult({', '.join(told)})"


_FACTS = ("recipients", "reply", "ehlo", "envelope_time", "message_time", "message_size")


def addresses(recipients: Iterable[RecipientOutcome], delivery: Delivery) -> list[str]:
    """List the addresses whose outcome is `delivery`, in order, duplicates kept."""
    return [outcome.address for outcome in recipients if outcome.delivery is delivery]


def refusals(recipients: Iterable[RecipientOutcome]) -> list[SMTPError]:
    """List the errors of the refused recipients, in order."""
    return [
        outcome.error
        for outcome in recipients
        if outcome.delivery is Delivery.REJECTED and outcome.error is not None
    ]
