"""Numbers on the command lines of both services: how they are read, and what is said of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from txsmtpconn.errors import ConfigError


def naming(parameters: Sequence[list[Any]]) -> list[list[Any]]:
    """Return the same `optParameters`, which name the option where its value is no number.

    twistd itself says only that a "Parameter type enforcement failed", and of what.
    """
    return [
        [*row[:4], partial(_number, row[0], row[4])] if len(row) > 4 else row for row in parameters
    ]


def _number(option: str, kind: Callable[[str], float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"--{option} is a number, not {text!r}") from None


def octets(option: str, text: str) -> int:
    """Read a number of octets: ``"1000000"``, ``"500K"`` or ``"50M"``.

    Raises:
        ConfigError: It is none.
    """
    factor = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:].upper(), 1)
    digits = text[:-1] if factor > 1 else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 16):
        raise ConfigError(f"--{option}: {text!a} is no number of octets such as 500K or 50M")
    return int(digits) * factor
