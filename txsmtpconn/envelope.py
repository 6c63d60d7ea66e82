"""The envelope of a message: who sends it, who is to get it, and under what conditions.

Everything is checked when the value is made, but for what a parser has checked already
(`Envelope.of_parsed`), and nothing can change it afterwards: what a session takes from here it may
write. Addresses are bare mailboxes, taken as given or refused; they are
never parsed leniently, trimmed, or looked for within a longer text. Every complaint is an
`EnvelopeError` and so a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, NoReturn

from txsmtpconn.errors import EnvelopeError
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.parameters import DeliverBy, MailParameters, RcptParameters
from txsmtpconn.wire.path import Mailbox, all_plain, parse_mailbox

_RET = {"FULL": "FULL", "HDRS": "HDRS", "HEADERS": "HDRS"}
_BODY = {name: name for name in ("7BIT", "8BITMIME", "BINARYMIME")}


@dataclass(frozen=True, slots=True)
class DSN:
    """What delivery status notifications are wanted (RFC 3461).

    `ret` and `envid` concern the envelope. `notify` and `orcpt` concern a recipient; given with the
    envelope, they hold for every recipient that has none of its own.

    Attributes:
        ret: ``"FULL"`` or ``"HDRS"`` (``"HEADERS"`` is taken too): how much of the message a
            failure report returns.
        envid: An identifier that the reports repeat, printable, at most 100 octets once encoded.
        notify: ``NEVER`` alone, or any of ``SUCCESS``, ``FAILURE`` and ``DELAY``: a text with
            commas or an iterable. Held as an upper-case tuple.
        orcpt: The original recipient, ``"type;address"``. Without a type it is an Internet mailbox:
            ``rfc822``, or ``utf-8`` (RFC 6533) if it is not ASCII.
    """

    ret: str | None = None
    envid: str | None = None
    notify: tuple[str, ...] | None = None
    orcpt: str | None = None

    def __init__(
        self,
        ret: str | None = None,
        envid: str | None = None,
        notify: str | Iterable[str] | None = None,
        orcpt: str | None = None,
    ) -> None:
        conditions = None if notify is None else _conditions(notify)
        if ret is not None:
            ret = _one_of(ret, _RET, "DSN ret is FULL or HDRS")
        if orcpt is not None:
            orcpt = _typed(orcpt)
        try:
            MailParameters(ret=ret, envid=envid)
            RcptParameters(notify=conditions or (), orcpt=orcpt)
        except LocalProtocolError as error:
            _refuse(error)
        for name, value in zip(self.__slots__, (ret, envid, conditions, orcpt), strict=True):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"DSN({_set_fields(self)})"


def _conditions(notify: str | Iterable[str]) -> tuple[str, ...]:
    words = notify.split(",") if isinstance(notify, str) else _listed(notify, "DSN notify")
    if not all(isinstance(word, str) for word in words):
        raise EnvelopeError(
            f"DSN notify holds something that is no text: {notify!r}", command="API"
        )
    conditions = tuple(word.strip().upper() for word in words)
    if not conditions:
        raise EnvelopeError(
            "DSN notify is empty: None leaves it out, NEVER wants no notification", command="API"
        )
    return conditions


def _typed(orcpt: str) -> str:
    if not isinstance(orcpt, str) or ";" in orcpt:
        return orcpt
    return f"{'rfc822' if orcpt.isascii() else 'utf-8'};{orcpt}"


class Recipient:
    """One recipient: a mailbox, and the notifications wanted for it.

    Attributes:
        address: The forward-path as given, without angle brackets.
        mailbox: The same, parsed.
        dsn: Its own `notify` and `orcpt`; None where the envelope's hold.

    Raises:
        EnvelopeError: The address is no mailbox, or `dsn` has a field that concerns the envelope.
    """

    __slots__ = ("address", "dsn", "mailbox")

    address: str
    mailbox: Mailbox
    dsn: DSN | None

    def __init__(self, address: str, dsn: DSN | None = None) -> None:
        try:
            _set_mailbox(self, parse_mailbox(address))
        except LocalProtocolError as error:
            _refuse(error, "recipient: ", address)
        _set_address(self, address)
        _set_dsn(self, dsn)
        if dsn is not None and (
            not isinstance(dsn, DSN) or dsn.ret is not None or dsn.envid is not None
        ):
            raise EnvelopeError(
                f"the dsn of a recipient is a DSN of notify and orcpt, not {dsn!r}",
                command="API",
                recipient=address,
            )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Recipient cannot be changed: {name}")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recipient):
            return NotImplemented
        return self.address == other.address and self.dsn == other.dsn

    def __hash__(self) -> int:
        return hash((self.address, self.dsn))

    def __reduce__(self) -> tuple[type[Recipient], tuple[str, DSN | None]]:
        return Recipient, (self.address, self.dsn)

    def __repr__(self) -> str:
        return f"Recipient({self.address!r}{'' if self.dsn is None else f', dsn={self.dsn!r}'})"


# The way into a slot past our own __setattr__, at a third of the price of object.__setattr__.
_set_address = Recipient.__dict__["address"].__set__
_set_mailbox = Recipient.__dict__["mailbox"].__set__
_set_dsn = Recipient.__dict__["dsn"].__set__


@dataclass(frozen=True, init=False)
class Envelope:
    """Who sends a message, who is to get it, and under what conditions.

    Most envelopes are addresses and nothing else: `plain` says so, and they are quick to make and
    to write.

    Attributes:
        mail_from: The reverse-path as given, without angle brackets; empty for the null
            reverse-path.
        addresses: The forward-paths as given, one for each recipient.
        recipients: One or more, in order; duplicates are kept.
        own_dsn: The notifications of each recipient; None where none has its own.
        size: The message's size in octets (RFC 1870), if the caller knows better than the message.
        body: ``"7BIT"``, ``"8BITMIME"`` (RFC 6152) or ``"BINARYMIME"`` (RFC 3030).
        smtputf8: True if the message needs SMTPUTF8 (RFC 6531), as one with such headers does. None
            asks the addresses.
        dsn: Notifications: `ret` and `envid`, and what holds for recipients without their own.
        requiretls: Demand TLS on the whole way (RFC 8689).
        deliver_by: A time limit (RFC 2852): a DeliverBy, or a tuple of its values.
        mt_priority: -9 to 9 (RFC 6710).
        hold_for, hold_until: Release the message only after so many seconds, or at a time (RFC
            4865): a datetime with a zone, or a text as RFC 3339 has it. Held as text.
        auth: The AUTH= parameter (RFC 4954 section 5): who submitted the message; empty if unknown.
        prdr: Ask for a reply for each recipient to the message, where the server can do that
            (draft-hall-prdr).
        reverse_path: `mail_from` parsed; None for the null reverse-path.
        plain: True if there is none of the above but addresses.
        verbatim: True if the addresses are such that they go on the wire as given, to any peer.
        needs_smtputf8: True if the server must have SMTPUTF8: a local part is not ASCII, or
            `smtputf8` says so.

    Raises:
        EnvelopeError: An address is no mailbox, there is no recipient, or a parameter is not what
            its RFC allows.
    """

    mail_from: str
    addresses: tuple[str, ...]
    size: int | None = None
    body: str | None = None
    smtputf8: bool | None = None
    dsn: DSN | None = None
    requiretls: bool = False
    deliver_by: DeliverBy | None = None
    mt_priority: int | None = None
    hold_for: int | None = None
    hold_until: str | None = None
    auth: str | None = None
    prdr: bool = False
    own_dsn: tuple[DSN | None, ...] | None = None

    # Not fields: found from the fields, and alike where those are alike.
    plain: ClassVar[bool] = True
    verbatim: ClassVar[bool] = False
    needs_smtputf8: ClassVar[bool] = False

    def __init__(
        self,
        mail_from: str,
        rcpt_to: str | Recipient | Iterable[str | Recipient],
        *,
        size: int | None = None,
        body: str | None = None,
        smtputf8: bool | None = None,
        dsn: DSN | None = None,
        requiretls: bool = False,
        deliver_by: DeliverBy | tuple[int, str] | tuple[int, str, bool] | None = None,
        mt_priority: int | None = None,
        hold_for: int | None = None,
        hold_until: str | datetime | None = None,
        auth: str | None = None,
        prdr: bool = False,
    ) -> None:
        # Defaults live in the class; only what is given goes into the instance, past the frozen
        # __setattr__.
        given = self.__dict__
        given["mail_from"] = mail_from
        # Nearly always one look at all addresses tells that they are what they seem.
        addresses = () if type(rcpt_to) is not list else tuple(rcpt_to)
        if addresses and all_plain((mail_from, *addresses) if mail_from != "" else addresses):
            given["addresses"] = addresses
            given["verbatim"] = True
        else:
            _look_closely(given, mail_from, rcpt_to)
        # fmt: off
        if (
            size is not None or body is not None or smtputf8 is not None or dsn is not None
            or requiretls is not False or deliver_by is not None or mt_priority is not None
            or hold_for is not None or hold_until is not None or auth is not None
            or prdr is not False
        ):
            _set_conditions(
                given, dsn, size=size, body=body, smtputf8=smtputf8, requiretls=requiretls,
                deliver_by=deliver_by, mt_priority=mt_priority, hold_for=hold_for,
                hold_until=hold_until, auth=auth, prdr=prdr,
            )
        # fmt: on

    @classmethod
    def of_parsed(cls, mail_from: str, addresses: Iterable[str]) -> Envelope:
        """Make one of paths that were parsed and are all ASCII; there is at least one recipient.

        Nothing is looked at again, and what is no mailbox would go on the wire as it is: this is
        for a server, which has read the commands itself.
        """
        envelope = object.__new__(cls)
        envelope.__dict__.update(mail_from=mail_from, addresses=tuple(addresses), verbatim=True)
        return envelope

    @cached_property
    def reverse_path(self) -> Mailbox | None:
        """`mail_from` parsed; None for the null reverse-path."""
        return parse_mailbox(self.mail_from) if self.mail_from else None

    @cached_property
    def recipients(self) -> tuple[Recipient, ...]:
        """One or more, in order; duplicates are kept."""
        return tuple([Recipient(address) for address in self.addresses])

    def rcpt_parameters(self, recipient: Recipient) -> RcptParameters:
        """Join the notifications wanted for a recipient with those wanted for all of them."""
        own, common = recipient.dsn or _NOTHING, self.dsn or _NOTHING
        return RcptParameters(
            notify=own.notify or common.notify or (), orcpt=own.orcpt or common.orcpt
        )

    def __repr__(self) -> str:
        plain = [
            recipient.address if recipient.dsn is None else recipient
            for recipient in self.recipients
        ]
        conditions = _set_fields(self, leave_out=("mail_from", "addresses", "own_dsn"))
        return f"Envelope({self.mail_from!r}, {plain!r}{', ' if conditions else ''}{conditions})"


def _look_closely(
    given: dict[str, Any], mail_from: str, rcpt_to: str | Recipient | Iterable[str | Recipient]
) -> None:
    """Check addresses one by one, and keep them with what was found."""
    mailboxes = []
    given["reverse_path"] = None
    if mail_from != "":
        try:
            given["reverse_path"] = reverse_path = parse_mailbox(mail_from)
        except LocalProtocolError as error:
            _refuse(error, "sender: ", mail_from)
        mailboxes.append(reverse_path)
    given["recipients"] = recipients = _recipients(rcpt_to)
    given["addresses"] = tuple([recipient.address for recipient in recipients])
    mailboxes += [recipient.mailbox for recipient in recipients]
    if all(mailbox.text.isascii() for mailbox in mailboxes):
        given["verbatim"] = True
    elif any(mailbox.needs_smtputf8 for mailbox in mailboxes):
        given["needs_smtputf8"] = True
    if any(recipient.dsn is not None for recipient in recipients):
        given["own_dsn"] = tuple([recipient.dsn for recipient in recipients])
        given["plain"] = False


def _recipients(rcpt_to: str | Recipient | Iterable[str | Recipient]) -> tuple[Recipient, ...]:
    given = [rcpt_to] if isinstance(rcpt_to, (str, Recipient)) else _listed(rcpt_to, "rcpt_to")
    recipients = tuple([each if isinstance(each, Recipient) else Recipient(each) for each in given])
    if not recipients:
        raise EnvelopeError("there is no recipient", command="API")
    return recipients


def _set_conditions(given: dict[str, Any], dsn: DSN | None, **conditions: Any) -> None:
    """Check what an envelope has besides addresses, and keep it."""
    body, smtputf8 = conditions["body"], conditions["smtputf8"]
    if body is not None:
        conditions["body"] = _one_of(body, _BODY, "body is 7BIT, 8BITMIME or BINARYMIME")
    if dsn is not None and not isinstance(dsn, DSN):
        raise EnvelopeError(f"dsn is a DSN, not {dsn!r}", command="API")
    for name in ("smtputf8", "requiretls", "prdr"):
        value = conditions[name]
        if value is not True and value is not False and (value is not None or name != "smtputf8"):
            raise EnvelopeError(f"{name} is True or False, not {value!r}", command="API")
    if smtputf8:
        given["needs_smtputf8"] = True
    elif smtputf8 is False and "needs_smtputf8" in given:
        raise EnvelopeError("an address needs SMTPUTF8, and smtputf8 is False", command="API")
    if conditions["deliver_by"] is not None:
        conditions["deliver_by"] = _deliver_by(conditions["deliver_by"])
    if isinstance(conditions["hold_until"], datetime):
        conditions["hold_until"] = _moment(conditions["hold_until"])
    try:
        MailParameters(**conditions | {"smtputf8": "needs_smtputf8" in given})
    except LocalProtocolError as error:
        _refuse(error)
    given.update(conditions, dsn=dsn, plain=False)


def _deliver_by(value: object) -> DeliverBy:
    if not isinstance(value, tuple) or len(value) not in (2, 3):
        raise EnvelopeError(
            f"deliver_by is a DeliverBy or a tuple like it, not {value!r}", command="API"
        )
    return DeliverBy(*value)


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        raise EnvelopeError(f"hold_until has no time zone: {value!r}", command="API")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _one_of(value: object, allowed: dict[str, str], rule: str) -> str:
    known = allowed.get(value.upper()) if isinstance(value, str) else None
    if known is None:
        raise EnvelopeError(f"{rule}, not {value!r}", command="API")
    return known


def _listed(values: Iterable[Any], name: str) -> list[Any]:
    if isinstance(values, (bytes, bytearray)):
        raise EnvelopeError(f"{name} is text, not bytes", command="API")
    try:
        return list(values)
    except TypeError as error:
        raise EnvelopeError(
            f"{name} is neither a text nor an iterable: {values!r}", command="API"
        ) from error


def _refuse(error: LocalProtocolError, what: str = "", address: object = None) -> NoReturn:
    """Say that something is not as its RFC wants it; `what` leads in and ends in a colon."""
    recipient = address if what == "recipient: " and isinstance(address, str) else None
    raise EnvelopeError(f"{what}{error}", command="API", recipient=recipient) from error


def _set_fields(value: DSN | Envelope, leave_out: Iterable[str] = ()) -> str:
    """Show the fields that differ from their default, as keyword arguments."""
    return ", ".join(
        f"{field.name}={getattr(value, field.name)!r}"
        for field in fields(value)
        if field.name not in leave_out and getattr(value, field.name) != field.default
    )


_NOTHING = DSN()


def variant(
    envelope: Envelope,
    recipients: Sequence[Recipient] | None = None,
    *,
    smtputf8: bool | None = None,
) -> Envelope:
    """Return an envelope with other recipients, or with SMTPUTF8 asked for."""
    return Envelope(
        envelope.mail_from,
        envelope.recipients if recipients is None else recipients,
        size=envelope.size,
        body=envelope.body,
        smtputf8=envelope.smtputf8 if smtputf8 is None else smtputf8,
        dsn=envelope.dsn,
        requiretls=envelope.requiretls,
        deliver_by=envelope.deliver_by,
        mt_priority=envelope.mt_priority,
        hold_for=envelope.hold_for,
        hold_until=envelope.hold_until,
        auth=envelope.auth,
        prdr=envelope.prdr,
    )
