"""Which characters have no place in a command, and how to show a value that was refused."""

from __future__ import annotations

import re

from txsmtpconn.wire.limits import SHOWN_VALUE

# Control characters C0, DEL and C1 would end, split or hide a command. Lone surrogates
# are not text. The rest cannot be seen, so that two addresses that look alike would
# differ, or IDNA would drop it: the default-ignorable code points and format
# characters, white space other than U+0020, private use and noncharacters. The table is
# written out so that it does not change with the Unicode version of the interpreter.
_FORBIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\xa0\xad"
    "\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xE0000, 0x10000))
    + "\U000e0000-\U0010ffff"
    "]"
)


def forbidden_character(text: str) -> str | None:
    """Name the first character that may not go into a command: ``"U+200B"``, or None."""
    found = _FORBIDDEN.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def shown(value: str) -> str:
    """Quote a refused value for an error message: ASCII, escaped, cut to a readable size."""
    if len(value) <= SHOWN_VALUE:
        return ascii(value)
    return f"{ascii(value[:SHOWN_VALUE])}..."
