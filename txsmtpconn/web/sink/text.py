"""Octets of a message as text that can be shown, and names of its files that can be files."""

from __future__ import annotations

import codecs
import mimetypes
import re
from urllib.parse import quote

#: Characters of a file name.
NAME_LENGTH = 120

#: Codecs that Python has as text encodings, and no message is written in: not worth their dangers.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode_escape", "unicode-escape", "raw_unicode_escape"}
    | {"raw-unicode-escape", "undefined", "mbcs", "oem"}
)
#: C0 but for tabulator and line feed; DEL and C1.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
#: Characters that turn the direction of what follows: ``exe.fdp`` would be read as ``pdf.exe``.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NOT_IN_NAMES = re.compile(r'[\s"*/:<>?\\|%;]+')
#: Names that are devices somewhere.
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")


def decoded(octets: bytes, charset: str) -> str:
    """Return text; what cannot be decoded becomes U+FFFD. Lines end in LF."""
    return readable(_decode(octets, charset).replace("\r\n", "\n"))


def _decode(octets: bytes, charset: str) -> str:
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = "utf-8"
    if name in _NO_CHARSETS:
        name = "utf-8"
    if name == "ascii":  # says nothing where there are other octets
        name = "utf-8"
    try:
        return octets.decode(name, "replace")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")


def readable(text: str) -> str:
    """Return text that can be encoded, and has no control characters but TAB and LF in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # The parser's way to keep octets that are no text.
        text = text.encode("utf-8", "surrogateescape" if _escaped(text) else "replace").decode(
            "utf-8", "replace"
        )
    return _CONTROLS.sub("\ufffd", text)


def _escaped(text: str) -> bool:
    return not re.search("[\ud800-\udc7f\udd00-\udfff]", text)


def file_name(name: str, number: int, kind: str) -> str:
    """Return a name for a file, whatever its sender has called it.

    Args:
        name: What that is; may be empty.
        number: Names it where that is nothing.
        kind: Its media type, which then gives the extension.
    """
    name = re.split(r"[/\\]", readable(name))[-1]
    name = _NOT_IN_NAMES.sub(" ", _TURNING.sub("\ufffd", name)).strip(" .")
    if not name:
        known = {"message/rfc822": ".eml", "text/plain": ".txt"}
        return f"part-{number}{known.get(kind) or mimetypes.guess_extension(kind) or '.bin'}"
    if _DEVICES.match(name):
        name = f"_{name}"
    if len(name) > NAME_LENGTH:
        stem, dot, extension = name.rpartition(".")
        if not dot or len(extension) > 10:
            return name[:NAME_LENGTH]
        return f"{stem[: NAME_LENGTH - len(extension) - 1]}.{extension}"
    return name


def disposition(name: str) -> str:
    """Return a Content-Disposition field (RFC 6266) that saves under a name from `file_name`."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
