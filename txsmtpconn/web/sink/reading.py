"""A message as a reader sees it, whatever it is.

Mail is hostile here by assumption: what comes is broken, endless, or made to break its reader. The
standard library's `email` does the parsing; nothing that it makes of a message is believed to be
short, decodable, or even there. Reading never raises, and its work is bounded: the parsers of the
modern policy take a time that grows with the square of a field's length, so that they are given no
more than `WORK` allows, and the structure of a message is read without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from typing import cast

from txsmtpconn.web.sink.text import decoded, file_name, readable

#: Characters shown of a text, and of an HTML document.
TEXT_LENGTH = 512 * 1024
HTML_LENGTH = 4 * 1024 * 1024
#: Characters of a header field that are decoded and parsed; a longer one is shown as it is.
FIELD_LENGTH = 8 * 1024
#: The same of a field that says what a part is.
MIME_FIELD_LENGTH = 1024
#: The squares of the lengths of all fields that are parsed, together: one of the longest, or 64 of
#: 1,024 characters.
WORK = FIELD_LENGTH**2
#: Parts that have parts; each makes the parser compare every line within it once more.
MULTIPARTS = 15
#: Header fields shown.
FIELDS = 500
#: Parts looked at.
PARTS = 500

_MIME_FIELDS = ("content-type", "content-disposition", "content-transfer-encoding", "content-id")


class _StructurePolicy(policy.EmailPolicy):
    """Gives the fields that say what a part is as they are, cut to a length.

    Of more multiparts than `MULTIPARTS` it says that they are none. An instance reads one message.

    Attributes:
        is_exhausted: Whether there were more.
    """

    def __init__(self) -> None:
        # Nothing is folded anew where an attached message is written out.
        super().__init__(refold_source="none", message_factory=EmailMessage)
        self._multiparts: set[str]
        self.is_exhausted: bool
        # Policies let nobody set anything.
        object.__setattr__(self, "_multiparts", set())
        object.__setattr__(self, "is_exhausted", False)

    def header_fetch_parse(self, name: str, value: str) -> str:
        """Return the beginning of a field."""
        value = re.sub(r"[\r\n]+", "", value[:MIME_FIELD_LENGTH])
        if name.lower() != "content-type" or value.lstrip()[:10].lower() != "multipart/":
            return value
        if len(self._multiparts) < MULTIPARTS:
            self._multiparts.add(value)
        elif value not in self._multiparts:
            object.__setattr__(self, "is_exhausted", True)
            return "text/plain"
        return value


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is attached, or that a text shows in its midst.

    Attributes:
        number: Its place in the message; names it in URLs.
        name: Its file name, fit to be one; there always is one.
        type: Its media type.
        content_id: How an HTML text calls it; empty if it has no name.
        octets: How large it is, decoded.
        inline: Whether it says that it is to be shown within the text.
    """

    number: int
    name: str
    type: str
    content_id: str
    octets: int
    inline: bool


@dataclass(slots=True)
class Reading:
    """What there is to see of a message.

    Attributes:
        fields: Its header fields in order, decoded where that can be done.
        subject: The Subject field; empty where there is none.
        text: Its text, as a reader without HTML sees it; None where there is none.
        html: Its HTML text; None where there is none.
        parts: All else.
        defects: What is wrong with it, for its author to know.
        truncated: Whether text or HTML was longer than is shown.
    """

    fields: list[tuple[str, str]] = field(default_factory=list)
    subject: str = ""
    text: str | None = None
    html: str | None = None
    parts: list[Part] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    truncated: bool = False

    def first(self, name: str) -> str:
        """Return the first field of a name; empty where there is none."""
        name = name.lower()
        return next((value for each, value in self.fields if each.lower() == name), "")


def read(raw: bytes) -> Reading:
    """Read a message."""
    reading = Reading()
    message = _parse(raw, reading)
    _read_header(message, reading)
    texts: list[str] = []
    for number, part in enumerate(leaves(message, reading)):
        kind = _type(part)
        attached = _attached(part)
        if kind == "text/plain" and not attached:
            texts.append(_text(part))
        elif kind == "text/html" and not attached and reading.html is None:
            reading.html = _cut(_text(part), HTML_LENGTH, reading)
        else:
            reading.parts.append(_part(number, part, kind))
    if texts:
        whole = "\n".join(texts) if len(texts) > 1 else texts[0]
        reading.text = _cut(whole, TEXT_LENGTH, reading)
    return reading


def part_of(raw: bytes, number: int) -> tuple[Part, bytes] | None:
    """Return a part of a message, and its octets; None where there is no such part."""
    for place, part in enumerate(leaves(_parse(raw, Reading()), Reading())):
        if place == number:
            return _part(number, part, _type(part)), content_of(part)
    return None


def pictures_of(raw: bytes) -> dict[str, tuple[str, bytes]]:
    """Return the parts that have a Content-ID: under it, the media type and the octets of each."""
    found: dict[str, tuple[str, bytes]] = {}
    for number, leaf in enumerate(leaves(_parse(raw, Reading()), Reading())):
        part = _part(number, leaf, _type(leaf))
        if part.content_id:
            found.setdefault(part.content_id, (part.type, content_of(leaf)))
    return found


def leaves(message: EmailMessage, reading: Reading) -> Iterator[EmailMessage]:
    """Yield the parts that have no parts of their own; an attached message is one of them."""
    waiting, seen = [message], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > PARTS:
            reading.defects.append(f"more than {PARTS} parts: the others are not shown")
            return
        reading.defects += (_named(defect) for defect in part.defects)
        payload = part.get_payload()
        if isinstance(payload, list) and part.get_content_maintype() == "multipart":
            waiting += reversed(cast("list[EmailMessage]", payload))
        else:
            yield part


def content_of(part: EmailMessage) -> bytes:
    """Return the octets of a part, decoded as far as that can be done."""
    try:
        payload = part.get_payload()
        if isinstance(payload, list):  # an attached message
            return b"".join(each.as_bytes() for each in cast("list[EmailMessage]", payload))
        content = part.get_payload(decode=True)
        return content if isinstance(content, bytes) else b""
    except Exception:  # noqa: BLE001 - broken parts fail in more ways than are documented
        return str(part.get_payload()).encode("utf-8", "replace")


def _parse(raw: bytes, reading: Reading) -> EmailMessage:
    structure = _StructurePolicy()
    try:
        parser = BytesParser(_class=EmailMessage, policy=structure)
        parsed = cast(EmailMessage, parser.parsebytes(raw))
        if structure.is_exhausted:
            reading.defects.append(
                f"more than {MULTIPARTS} multiparts: the others are shown as text"
            )
        return parsed
    except Exception as error:  # noqa: BLE001 - too deep for it (RecursionError), or simply broken
        reading.defects.append(f"cannot be parsed: {type(error).__name__}")
    message = _parse_header(raw)
    for name in ("content-type", "content-transfer-encoding"):
        del message[name]
    return message


def _parse_header(raw: bytes) -> EmailMessage:
    try:
        parser = BytesHeaderParser(_class=EmailMessage, policy=_StructurePolicy())
        return cast(EmailMessage, parser.parsebytes(raw))
    except Exception:  # noqa: BLE001 - see above
        return EmailMessage()


def _read_header(message: EmailMessage, reading: Reading) -> None:
    left = WORK
    for place, (name, value) in enumerate(message.raw_items()):
        if place == FIELDS:
            reading.defects.append(f"more than {FIELDS} header fields: the others are not shown")
            break
        raw = re.sub(r"[\r\n]+(?=[ \t])", "", str(value))
        length = MIME_FIELD_LENGTH if name.lower() in _MIME_FIELDS else FIELD_LENGTH
        left -= min(len(raw), length) ** 2
        if len(raw) <= length and left >= 0:
            text = _decoded(name, raw, reading)
        else:
            reading.defects.append(f"{readable(name)}: {len(raw)} characters, not decoded")
            text = readable(raw[: 4 * FIELD_LENGTH])
        reading.fields.append((readable(name), text))
    reading.subject = reading.first("subject")


def _decoded(name: str, raw: str, reading: Reading) -> str:
    try:
        header = policy.default.header_fetch_parse(name, raw)
        defects = getattr(header, "defects", ())
        reading.defects += (f"{readable(name)}: {_named(defect)}" for defect in defects)
        return readable(str(header))
    except Exception as error:  # noqa: BLE001 - broken fields fail in undocumented ways
        reading.defects.append(f"{readable(name)}: cannot be parsed: {type(error).__name__}")
        return readable(raw)


def _named(defect: object) -> str:
    """Say a defect as a sentence: its class is one without spaces."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(defect).__name__.removesuffix("Defect"))
    return readable(words.lower())


def _type(part: EmailMessage) -> str:
    try:
        return readable(part.get_content_type())
    except Exception:  # noqa: BLE001 - see above
        return "application/octet-stream"


def _attached(part: EmailMessage) -> bool:
    try:
        return part.get_content_disposition() == "attachment"
    except Exception:  # noqa: BLE001 - see above
        return False


def _text(part: EmailMessage) -> str:
    try:
        charset = part.get_content_charset() or ""
    except Exception:  # noqa: BLE001 - see above
        charset = ""
    return decoded(content_of(part), charset)


def _cut(text: str, length: int, reading: Reading) -> str:
    if len(text) <= length:
        return text
    reading.truncated = True
    return text[:length]


def _part(number: int, part: EmailMessage, kind: str) -> Part:
    try:
        name = str(make_header(decode_header(part.get_filename() or "")))
    except Exception:  # noqa: BLE001 - see above
        name = ""
    content_id = str(part["content-id"] or "").strip().strip("<>")
    inline = bool(content_id) or str(part["content-disposition"]).lower().startswith("inline")
    octets = len(content_of(part))
    return Part(number, file_name(name, number, kind), kind, readable(content_id), octets, inline)
