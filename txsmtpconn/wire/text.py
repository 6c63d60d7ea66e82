"""Which characters have no place in a command, and how to show a value that was refused."""

from __future__ import annotations

import re

from txsmtpconn.wire.limits import SHOWN_VALUE

# Control characters C0, DEL and C1 would end, split or hide a command. Lone surrogates
# are not text. The rest cannot be seen, so that two addresses that look alike would
# differ, or IDNA would drop it: the default-ignorable code points and format
# characters, white space other than U+0020, private use and noncharacters, and the
# planes beyond the tertiary ideographs, where nothing else is. The table is written out so
# that it does not change with the Unicode version of the interpreter.
_FORBIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\xa0\xad"
    "\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164"
    "\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe-\U0010ffff"
    "]"
)


def forbidden_character(text: str) -> str | None:
    """Name the first character that may not go into a command: ``"U+200B"``, or None."""
    found = _FORBIDDEN.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def shown(value: object) -> str:
    """Quote a refused value for an error message: ASCII, escaped, cut to a readable size."""
    try:
        quoted = ascii(value[: SHOWN_VALUE + 1] if isinstance(value, str) else value)
    except ValueError:  # an int of thousands of digits
        quoted = f"a huge {type(value).__name__}"
    return quoted if len(quoted) <= SHOWN_VALUE else f"{quoted[:SHOWN_VALUE]}..."
