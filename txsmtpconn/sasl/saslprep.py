"""SASLprep: one spelling for what people type as one name or password (RFC 4013).

A profile of stringprep (RFC 3454) on the tables of the standard library, which has them for
internationalised domain names. They are those of Unicode 3.2, and by design stay so.
"""

from __future__ import annotations

import stringprep as table
from collections.abc import Callable
from unicodedata import ucd_3_2_0

from txsmtpconn.wire.errors import LocalProtocolError

# RFC 4013 section 2.3, with what each table is called there.
_PROHIBITED: tuple[tuple[Callable[[str], bool], str], ...] = (
    (table.in_table_c12, "a space that is not ASCII's"),
    (table.in_table_c21_c22, "a control character"),
    (table.in_table_c3, "a private-use character"),
    (table.in_table_c4, "a non-character"),
    (table.in_table_c5, "a surrogate"),
    (table.in_table_c6, "a character that is no text"),
    (table.in_table_c7, "a character that is no text"),
    (table.in_table_c8, "a character that changes the display"),
    (table.in_table_c9, "a tagging character"),
)


def saslprep(text: str, what: str, *, stored: bool = False) -> str:
    """Prepare a user name or password.

    Args:
        text: As typed.
        what: What an error calls it.
        stored: Prepare what is kept and compared with, and refuse characters that Unicode 3.2 had
            not assigned; what is only compared with that may have them (RFC 3454 section 7).

    Raises:
        LocalProtocolError: It is no text, nothing is left of it, or it holds what is prohibited.
            The message shows nothing of it.
    """
    if not isinstance(text, str):
        raise LocalProtocolError(f"the {what} must be a text")
    if text.isascii() and text.isprintable():
        prepared = text
    else:
        mapped = (
            " " if table.in_table_c12(char) else char
            for char in text
            if not table.in_table_b1(char)
        )
        prepared = ucd_3_2_0.normalize("NFKC", "".join(mapped))
        _check(prepared, what, stored=stored)
    if not prepared:
        raise LocalProtocolError(f"the {what} must be a text and not empty")
    return prepared


def _check(text: str, what: str, *, stored: bool) -> None:
    for char in text:
        for prohibits, name in _PROHIBITED:
            if prohibits(char):
                raise LocalProtocolError(f"the {what} holds {name}")
        if stored and table.in_table_a1(char):
            raise LocalProtocolError(f"the {what} holds a character that SASLprep does not know")
    # RFC 3454 section 6: text from right to left is that from its first character to its last.
    if any(map(table.in_table_d1, text)) and (
        any(map(table.in_table_d2, text))
        or not (table.in_table_d1(text[0]) and table.in_table_d1(text[-1]))
    ):
        raise LocalProtocolError(f"the {what} mixes directions of writing")
