"""Parameters of MAIL and RCPT, rendered by a client and read by a server.

RFC 1870 (SIZE), 6152 and 3030 (BODY), 6531 (SMTPUTF8), 3461 (RET ENVID NOTIFY ORCPT),
4954 (AUTH), 8689 (REQUIRETLS), 2852 (BY), 6710 (MT-PRIORITY), 4865 (HOLDFOR HOLDUNTIL).
The value classes check themselves, so that both sides obey one set of rules: a client's
mistake is a LocalProtocolError, and a server turns the same error into a reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.limits import DECLARED_SIZE, ENVID, ORCPT, SECONDS_DIGITS, SIZE_DIGITS
from txsmtpconn.wire.path import parse_mailbox
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.text import shown
from txsmtpconn.wire.xtext import (
    check_original_recipient,
    decode_original_recipient,
    encode_original_recipient,
    printable_ascii,
    xtext_decode,
    xtext_encode,
)

# esmtp-param = esmtp-keyword ["=" esmtp-value] (RFC 5321 section 4.1.2); the value may
# hold UTF-8 (RFC 6531 section 3.3).
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?")
_DIGITS = re.compile(r"[0-9]+")
_BY = re.compile(r"([+-]?[0-9]{1,9});([RN])(T?)", re.IGNORECASE)
_PRIORITY = re.compile(r"0|-?[1-9]")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-]00:00)"
)

_Values = TypeVar("_Values")

_BODIES = ("7BIT", "8BITMIME", "BINARYMIME")
_NOTIFICATIONS = ("NEVER", "SUCCESS", "FAILURE", "DELAY")
_SECONDS = range(1, 10**SECONDS_DIGITS)


class ParameterError(CommandError):
    """A parameter of MAIL or RCPT is refused."""


class DeliverBy(NamedTuple):
    """When a message must be delivered, and what to do if it is not (RFC 2852).

    Attributes:
        seconds: from now; zero or less only where ``mode`` is ``"N"``.
        mode: ``"R"`` return it, ``"N"`` notify and go on.
        trace: ask for a notification at each relay.
    """

    seconds: int
    mode: str
    trace: bool = False


@dataclass(frozen=True, slots=True)
class MailParameters:
    """The parameters of MAIL. ``None`` and ``False`` leave one out.

    Attributes:
        size: octets of the message.
        body: ``"7BIT"``, ``"8BITMIME"`` or ``"BINARYMIME"``.
        smtputf8: the envelope or the header fields need SMTPUTF8.
        ret: ``"FULL"`` or ``"HDRS"``.
        envid: envelope identifier, decoded: printable ASCII.
        auth: mailbox of the authenticated submitter; ``""`` for ``<>``, nobody known.
        requiretls: TLS is required on every hop.
        deliver_by: deadline of the delivery.
        mt_priority: priority from -9 to 9.
        hold_for: seconds to hold the message back.
        hold_until: the moment until which to hold it, as RFC 3339 writes it, in UTC:
            ``"2026-12-31T23:00:00Z"``. Not with ``hold_for``.
        prdr: answer the end of the data for each recipient (draft-hall-prdr).
    """

    size: int | None = None
    body: str | None = None
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    auth: str | None = None
    requiretls: bool = False
    deliver_by: DeliverBy | None = None
    mt_priority: int | None = None
    hold_for: int | None = None
    hold_until: str | None = None
    prdr: bool = False

    def __post_init__(self) -> None:
        if self.size is not None:
            _check_integer("SIZE", self.size, range(10**SIZE_DIGITS))
        if self.body is not None and self.body not in _BODIES:
            raise LocalProtocolError(f"BODY is {shown(self.body)}, not one of {_BODIES}")
        if self.ret is not None and self.ret not in ("FULL", "HDRS"):
            raise LocalProtocolError(f"RET is {shown(self.ret)}, not FULL or HDRS")
        if self.envid is not None:
            _check_text("ENVID", self.envid)
            check_envid(self.envid)
        if self.auth is not None:
            _check_text("AUTH", self.auth)
            if self.auth:
                parse_mailbox(self.auth).encode(self.smtputf8)
        if self.mt_priority is not None:
            _check_integer("MT-PRIORITY", self.mt_priority, range(-9, 10))
        self._check_times()

    def _check_times(self) -> None:
        by, seconds, moment = self.deliver_by, self.hold_for, self.hold_until
        if by is not None:
            check_deliver_by(by)
        if seconds is not None:
            _check_integer("HOLDFOR", seconds, _SECONDS)
            # RFC 4865 section 5.2.
            if by is not None and seconds > by.seconds:
                raise LocalProtocolError("HOLDFOR holds the message for longer than BY allows")
        if moment is not None:
            _check_text("HOLDUNTIL", moment)
            check_moment(moment)
            if seconds is not None:
                raise LocalProtocolError("HOLDFOR and HOLDUNTIL exclude each other")

    def encode(self) -> bytes:
        """Render the parameters, a space before each."""
        words = [b" SMTPUTF8"] if self.smtputf8 else []
        if self.body is not None:
            words.append(b" BODY=" + self.body.encode("ascii"))
        if self.size is not None:
            words.append(b" SIZE=%d" % self.size)
        if self.ret is not None:
            words.append(b" RET=" + self.ret.encode("ascii"))
        if self.envid is not None:
            words.append(b" ENVID=" + xtext_encode(self.envid.encode("ascii")))
        flags = ((b" REQUIRETLS", self.requiretls), (b" PRDR", self.prdr))
        words += [word for word, told in flags if told]
        if self.auth is not None:
            mailbox = parse_mailbox(self.auth).encode(self.smtputf8) if self.auth else b"<>"
            words.append(b" AUTH=" + xtext_encode(mailbox))
        if self.deliver_by is not None:
            seconds, mode, trace = self.deliver_by
            words.append(b" BY=%d;%b%b" % (seconds, mode.encode("ascii"), b"T" if trace else b""))
        if self.mt_priority is not None:
            words.append(b" MT-PRIORITY=%d" % self.mt_priority)
        if self.hold_for is not None:
            words.append(b" HOLDFOR=%d" % self.hold_for)
        if self.hold_until is not None:
            words.append(b" HOLDUNTIL=" + self.hold_until.encode("ascii"))
        return b"".join(words)

    @classmethod
    def parse(cls, octets: bytes, *, offered: Container[str] | None = None) -> MailParameters:
        """Read what stands behind the reverse-path, as a server.

        Args:
            octets: the parameters, a space before each.
            offered: EHLO keywords that the server offered (an
                :class:`~txsmtpconn.wire.extensions.Extensions` will do). A parameter of
                another extension is unknown then. None: all of them.

        Raises:
            ParameterError: 555 for an unknown parameter, 552 for a size beyond all
                bounds, 501 for one that is malformed or repeated.
        """
        if not octets:
            return _NO_MAIL_PARAMETERS
        values = _read(octets, _MAIL, offered)
        if offered is not None and values.get("body") == "BINARYMIME":
            _require("BINARYMIME", offered, "BODY")
        return _built(cls, values)


@dataclass(frozen=True, slots=True)
class RcptParameters:
    """The parameters of RCPT (RFC 3461 section 4).

    Attributes:
        notify: ``("NEVER",)``, or some of ``SUCCESS``, ``FAILURE`` and ``DELAY``; empty
            leaves the choice to the servers.
        orcpt: original recipient, decoded, with its type: ``"rfc822;a@example.org"``.
    """

    notify: tuple[str, ...] = ()
    orcpt: str | None = None

    def __post_init__(self) -> None:
        if self.notify:
            check_notify(self.notify)
        if self.orcpt is not None:
            _check_text("ORCPT", self.orcpt)
            check_original_recipient(self.orcpt)
            if len(encode_original_recipient(self.orcpt)) > ORCPT:
                raise LocalProtocolError(f"ORCPT is longer than {ORCPT} octets, encoded")

    def encode(self) -> bytes:
        """Render the parameters, a space before each."""
        words = b""
        if self.notify:
            words = b" NOTIFY=" + ",".join(self.notify).encode("ascii")
        if self.orcpt is not None:
            words += b" ORCPT=" + encode_original_recipient(self.orcpt)
        return words

    @classmethod
    def parse(
        cls, octets: bytes, *, offered: Container[str] | None = None, smtputf8: bool = False
    ) -> RcptParameters:
        """Read what stands behind the forward-path, as a server.

        Args:
            octets: the parameters, a space before each.
            offered: EHLO keywords that the server offered; see MailParameters.
            smtputf8: the transaction uses SMTPUTF8, so that ORCPT may hold raw UTF-8.

        Raises:
            ParameterError: 555 for an unknown parameter, 501 for one that is malformed
                or repeated.
        """
        if not octets:
            return _NO_RCPT_PARAMETERS
        if not smtputf8 and not octets.isascii():
            raise _refusal(501, "Parameter is not ASCII")
        return _built(cls, _read(octets, _RCPT, offered))


def check_envid(envid: str) -> None:
    """Check an envelope identifier before encoding (RFC 3461 section 4.4).

    Raises:
        LocalProtocolError: it is empty, too long, or not printable ASCII, which a
            delivery status notification could not hold.
    """
    if not envid or not printable_ascii(envid):
        raise LocalProtocolError(f"ENVID {shown(envid)} is not printable ASCII")
    if len(xtext_encode(envid.encode("ascii"))) > ENVID:
        raise LocalProtocolError(f"ENVID {shown(envid)} is longer than {ENVID} octets, encoded")


def check_notify(notify: tuple[str, ...]) -> None:
    """Check the conditions of NOTIFY, in upper case.

    Raises:
        LocalProtocolError: unknown or repeated, or NEVER with another.
    """
    if not all(condition in _NOTIFICATIONS for condition in notify):
        raise LocalProtocolError(f"NOTIFY {shown(notify)} has words besides {_NOTIFICATIONS}")
    if len(set(notify)) != len(notify) or ("NEVER" in notify and len(notify) > 1):
        raise LocalProtocolError(f"NOTIFY {shown(notify)}: each word once, and NEVER alone")


def check_deliver_by(deliver_by: DeliverBy) -> None:
    """Check the value of BY (RFC 2852 section 4).

    Raises:
        LocalProtocolError: out of range, an unknown mode, or no time left to deliver by.
    """
    try:
        seconds, mode, _ = deliver_by
    except (TypeError, ValueError):
        raise LocalProtocolError(f"BY is {shown(deliver_by)}, not a DeliverBy") from None
    if mode not in ("R", "N"):
        raise LocalProtocolError(f"the mode of BY is {shown(mode)}, not R or N")
    _check_integer("BY", seconds, range(1 if mode == "R" else 1 - 10**9, 10**9))


def check_moment(moment: str) -> None:
    """Check the value of HOLDUNTIL (RFC 4865 section 3): a date and time as in RFC 3339, in UTC.

    Raises:
        LocalProtocolError: it is none, or has another zone, or no zone.
    """
    try:
        if _MOMENT.fullmatch(moment):
            datetime.fromisoformat(moment)
            return
    except ValueError:
        pass
    raise LocalProtocolError(f"HOLDUNTIL {shown(moment)} is not an RFC 3339 date and time in UTC")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise LocalProtocolError(f"{name} is {shown(value)}, not text")


def _check_integer(name: str, value: int, allowed: range) -> None:
    # True is an int to Python and no number to anybody else; a float is neither.
    if type(value) is not int:
        raise LocalProtocolError(f"{name} is {shown(value)}, not an integer")
    if value not in allowed:
        raise LocalProtocolError(f"{name} is not between {allowed[0]} and {allowed[-1]}")


class _Parameter(NamedTuple):
    """How a server reads one parameter."""

    field: str
    extension: str
    read: Callable[[str], Any] | None  # None: a word without value


def _refusal(code: int, text: str) -> ParameterError:
    # RFC 3463: X.5.4 invalid command arguments, X.3.4 message too big for system.
    return ParameterError(Reply.of(code, f"{'5.3.4' if code == 552 else '5.5.4'} {text}"))


def _require(extension: str, offered: Container[str], keyword: str) -> None:
    if extension not in offered:
        raise _refusal(555, f"Parameter {keyword} needs {extension}, which is not offered")


def _read(
    octets: bytes, known: dict[str, _Parameter], offered: Container[str] | None
) -> dict[str, Any]:
    """Read parameters into constructor arguments."""
    values: dict[str, Any] = {}
    if octets and not octets.startswith(b" "):
        raise _refusal(501, "Space needed behind the path")
    try:
        words = octets.decode("utf-8").split(" ")
    except UnicodeDecodeError:
        raise _refusal(501, "Parameter is not UTF-8") from None
    for word in words:
        if not word:
            continue
        found = _PARAMETER.fullmatch(word)
        if found is None:
            raise _refusal(501, "Malformed parameter")
        keyword, value = found[1].upper(), found[2]
        parameter = known.get(keyword)
        if parameter is None:
            # Its keyword is not echoed: a reply is no place for what a client made up.
            raise _refusal(555, "Unknown parameter")
        if offered is not None:
            _require(parameter.extension, offered, keyword)
        if parameter.field in values:
            raise _refusal(501, f"Parameter {keyword} repeated")
        if (value is None) != (parameter.read is None):
            raise _refusal(501, f"Parameter {keyword}: value missing or out of place")
        try:
            values[parameter.field] = True if parameter.read is None else parameter.read(value)
        except LocalProtocolError:
            raise _refusal(501, f"Parameter {keyword} malformed") from None
    return values


def _built(kind: Callable[..., _Values], values: dict[str, Any]) -> _Values:
    """Make the value; its own checks are the last word on what was read."""
    try:
        return kind(**values)
    except LocalProtocolError:
        raise _refusal(501, "Parameter out of range or in conflict with another") from None


def _read_size(value: str) -> int:
    if not _DIGITS.fullmatch(value):
        raise LocalProtocolError("not a number")
    if len(value) > SIZE_DIGITS or int(value) > DECLARED_SIZE:
        raise _refusal(552, "Message too big")
    return int(value)


def _read_envid(value: str) -> str:
    if len(value) > ENVID or not value.isascii():
        raise LocalProtocolError("too long")
    # What xtext hides counts as if it stood there: CR and LF would come out decoded.
    return xtext_decode(value.encode("ascii")).decode("latin-1")


def _read_auth(value: str) -> str:
    if not value.isascii():
        raise LocalProtocolError("not xtext")
    try:
        mailbox = xtext_decode(value.encode("ascii")).decode("utf-8")
    except UnicodeDecodeError:
        raise LocalProtocolError("not text") from None
    if mailbox == "<>":
        return ""
    return parse_mailbox(mailbox).text


def _read_deliver_by(value: str) -> DeliverBy:
    found = _BY.fullmatch(value)
    if found is None:
        raise LocalProtocolError("not a deliver-by time")
    return DeliverBy(int(found[1]), found[2].upper(), bool(found[3]))


def _read_priority(value: str) -> int:
    if not _PRIORITY.fullmatch(value):
        raise LocalProtocolError("not a priority")
    return int(value)


def _read_seconds(value: str) -> int:
    if len(value) > SECONDS_DIGITS or not _DIGITS.fullmatch(value):
        raise LocalProtocolError("not seconds")
    return int(value)


def _read_notify(value: str) -> tuple[str, ...]:
    return tuple(value.upper().split(","))


def _read_orcpt(value: str) -> str:
    if len(value.encode("utf-8")) > ORCPT:
        raise LocalProtocolError("too long")
    return decode_original_recipient(value)


_MAIL = {
    "SIZE": _Parameter("size", "SIZE", _read_size),
    "BODY": _Parameter("body", "8BITMIME", str.upper),
    "SMTPUTF8": _Parameter("smtputf8", "SMTPUTF8", None),
    "RET": _Parameter("ret", "DSN", str.upper),
    "ENVID": _Parameter("envid", "DSN", _read_envid),
    "AUTH": _Parameter("auth", "AUTH", _read_auth),
    "REQUIRETLS": _Parameter("requiretls", "REQUIRETLS", None),
    "BY": _Parameter("deliver_by", "DELIVERBY", _read_deliver_by),
    "MT-PRIORITY": _Parameter("mt_priority", "MT-PRIORITY", _read_priority),
    "HOLDFOR": _Parameter("hold_for", "FUTURERELEASE", _read_seconds),
    "HOLDUNTIL": _Parameter("hold_until", "FUTURERELEASE", str.upper),
    "PRDR": _Parameter("prdr", "PRDR", None),
}
_RCPT = {
    "NOTIFY": _Parameter("notify", "DSN", _read_notify),
    "ORCPT": _Parameter("orcpt", "DSN", _read_orcpt),
}
_NO_MAIL_PARAMETERS = MailParameters()
_NO_RCPT_PARAMETERS = RcptParameters()
