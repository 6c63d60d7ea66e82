"""A message object made ready for sending: complete, without Bcc, with its envelope.

The message that the caller has is not changed. What is added are the fields that RFC 5322 section
3.6 wants and the caller has not set; what is taken away is Bcc.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy, deepcopy
from datetime import UTC, datetime
from email.base64mime import body_encode as base64_encoded
from email.headerregistry import Address, Group
from email.message import EmailMessage, Message
from email.policy import EmailPolicy
from email.quoprimime import body_encode as quoted_printable
from email.utils import format_datetime, parseaddr
from typing import Any
from uuid import uuid4

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConfigError, EnvelopeError, MessageError, SMTPError
from txsmtpconn.net.bodies import Body
from txsmtpconn.net.streams import MemorySource, MessageSource, message_source
from txsmtpconn.transport.preparation import envelope_addresses, head_of, named_in, without_bcc
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.path import parse_mailbox

#: One that does not fold a field (RFC 5322 section 2.2.3).
_LINE_END = re.compile(r"(?>\r\n|\r|\n)(?![ \t])")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_EIGHT_BIT = ("8bit", "binary")


class PreparedMessage:
    """What `SMTPTransport.send_message` sends.

    Attributes:
        envelope: From whom, to whom.
        message_id: Its Message-ID, with the angle brackets.
        replayable: It can be sent again.
    """

    replayable = True

    def __init__(self, message: Message[Any, Any], envelope: Envelope | None) -> None:
        self._message = message
        self._source = source = _rendered(message)
        if envelope is None:
            # Its own fields tell better than what is made of them for the wire.
            by_object = isinstance(message.policy, EmailPolicy)
            named = named_in(message) if by_object else envelope_addresses(_head(source))
            envelope = Envelope(*named)
        self.envelope = envelope
        self.message_id = str(message["Message-ID"])
        self._complete = MemorySource(_without_bcc(source), source.smtputf8)
        self._seven_bit: MemorySource | None = None

    def header(self, name: str) -> str | None:
        """Return a field of its header, the first of that name."""
        value = self._message.get(name)
        return None if value is None else str(value)

    def source_for(self, extensions: Extensions) -> MessageSource:
        """Return the octets as a server with these extensions takes them.

        Where it has no 8BITMIME (RFC 6152), parts of eight bits are encoded anew.

        Raises:
            MessageError: That would break a signature.
        """
        complete = self._complete
        if extensions.eight_bit_mime or complete.smtputf8 or not complete.eight_bit:
            return complete
        if self._seven_bit is None:
            rendered = _rendered(_in_seven_bits(self._message))
            self._seven_bit = MemorySource(_without_bcc(rendered))
        return self._seven_bit


def source_of(message: object) -> MessageSource | PreparedMessage:
    """Return where the octets of a message come from.

    Raises:
        MessageError, StreamError: See `message_source`.
    """
    return message if isinstance(message, PreparedMessage) else message_source(message)


def prepare(
    message: object,
    *,
    defaults: Mapping[str, str] | None = None,
    envelope: Envelope | None = None,
) -> PreparedMessage:
    """Complete a message and find out whom it is for.

    Args:
        message: It stays as it is.
        defaults: Header fields, for where it has none of the name.
        envelope: For whom, if not for those whom the message names.

    Raises:
        MessageError: It is no message object, or cannot be rendered.
        EnvelopeError: It does not say, or not clearly, from whom and to whom it is.
    """
    if not isinstance(message, Message):
        text = f"a message to prepare is an EmailMessage, not {type(message).__name__}"
        raise MessageError(text, command="API")
    _refuse_line_ends(message)
    complete = copy(message)
    # Deleting makes a list of fields of the copy's own; setting alone would write into the other.
    del complete["X-txsmtpconn-Never-There"]
    for name, value in (defaults or {}).items():
        if name not in complete:
            complete[name] = value
    try:
        _encode_domains(complete)
        if "Date" not in complete:
            complete["Date"] = format_datetime(datetime.now(UTC))
        if "Message-ID" not in complete:
            complete["Message-ID"] = f"<{uuid4().hex}@{_domain_of(complete)}>"
    except SMTPError:
        raise
    except Exception as reason:
        # The standard library's parser gives up in many ways.
        raise MessageError("the message's header cannot be read", command="API") from reason
    return PreparedMessage(complete, envelope)


def checked_defaults(defaults: Mapping[str, str] | None) -> dict[str, str]:
    """Return header fields that can be set in any message.

    Raises:
        ConfigError: A name or a value is none.
    """
    scratch = EmailMessage()
    for name, value in (defaults or {}).items():
        sound = isinstance(name, str) and isinstance(value, str)
        if not sound or not name or any(not "!" <= char <= "~" or char == ":" for char in name):
            raise ConfigError(f"defaults: {name!a} is no header field with a text")
        try:
            scratch[name] = value
        except ValueError:
            raise ConfigError(f"defaults: the value of {name} cannot be one") from None
    return dict(defaults or {})


# -- octets


def _rendered(message: Message[Any, Any]) -> MemorySource:
    source = message_source(message)
    assert isinstance(source, MemorySource)
    return source


def _all_of(source: MessageSource) -> bytes:
    body: Body = source.open()
    pieces: list[bytes] = []
    while chunk := body.read():
        assert isinstance(chunk, bytes)
        pieces.append(chunk)
    return b"".join(pieces)


def _head(source: MessageSource) -> bytes:
    octets = _all_of(source)
    return octets[: head_of(octets)]


def _without_bcc(source: MessageSource) -> bytes:
    octets = _all_of(source)
    end = head_of(octets)
    head = octets if end is None else octets[:end]
    return without_bcc(head) + octets[len(head) :]


# -- the header


def _refuse_line_ends(message: Message[Any, Any]) -> None:
    """Refuse a field that would become two, or the end of the header section.

    A message of the old kind holds whatever text it is given; newer policies see to it themselves.
    """
    if isinstance(message.policy, EmailPolicy):
        return
    for name, value in message.items():
        if _LINE_END.search(f"{name}{value}"):
            raise MessageError(f"the field {name!a} holds a line end", command="API")


def _domain_of(message: Message[Any, Any]) -> str:
    """Return the domain of the author, in which a Message-ID of ours is unique."""
    for name in ("From", "Sender"):
        domain = parseaddr(str(message.get(name, "")))[1].rpartition("@")[2]
        if _DOMAIN.fullmatch(domain):
            return domain
    return "localhost.invalid"


def _encode_domains(message: Message[Any, Any]) -> None:
    """Write domains that are not ASCII as A-labels where the local part does not need SMTPUTF8.

    RFC 5891: both name the same domain, and one of them passes everywhere.
    """
    fields = [(name, field, _with_ascii_domains(field)) for name, field in message.items()]
    if any(new is not None for _, _, new in fields):
        for name, _, _ in fields:
            del message[name]
        for name, field, new in fields:
            message[name] = field if new is None else new


def _with_ascii_domains(field: Any) -> str | None:
    """Return what a field is with A-labels; None if that is what it is."""
    if not any(map(_is_encodable, getattr(field, "addresses", ()))):
        return None
    groups = (
        Group(group.display_name, [_encoded(address) for address in group.addresses])
        for group in field.groups
    )
    return ", ".join(map(str, groups))


def _is_encodable(address: Address) -> bool:
    return address.username.isascii() and not address.domain.isascii()


def _encoded(address: Address) -> Address:
    if not _is_encodable(address):
        return address
    try:
        octets = parse_mailbox(address.addr_spec).encode(False)
    except LocalProtocolError as reason:
        raise EnvelopeError(str(reason), command="API", recipient=address.addr_spec) from reason
    return Address(address.display_name, addr_spec=octets.decode("ascii"))


# -- eight bits


def _in_seven_bits(message: Message[Any, Any]) -> Message[Any, Any]:
    """Return a copy whose parts are encoded so that every octet is below 128 (RFC 6152)."""
    encoded = deepcopy(message)
    for part in encoded.walk():
        if part.get_content_type() == "multipart/signed":
            # RFC 1847 section 2.1 has it in seven bits; encoding it anew would break it.
            text = "the server has no 8BITMIME, and the message is signed as it is"
            raise MessageError(text, command="MAIL FROM")
        if part.is_multipart():
            if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in _EIGHT_BIT:
                part.replace_header("Content-Transfer-Encoding", "7bit")
        else:
            _encode_body(part)
    return encoded


def _encode_body(part: Message[Any, Any]) -> None:
    payload: Any = part.get_payload()
    if not isinstance(payload, str) or payload.isascii():
        return
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    del part["Content-Transfer-Encoding"]
    if part.get_content_maintype() == "text":
        part["Content-Transfer-Encoding"] = "quoted-printable"
        part.set_payload(quoted_printable(octets.decode("latin-1")))
    else:
        part["Content-Transfer-Encoding"] = "base64"
        part.set_payload(base64_encoded(octets))
