"""The messages that are sent: always the same octets for a size."""

from __future__ import annotations

import random
from pathlib import Path

HEADER = (
    b"From: sender@example.org\r\nTo: recipient0@example.net\r\n"
    b"Subject: a message to measure\r\nMessage-ID: <measure@example.org>\r\n\r\n"
)
WORDS = b"mail transaction envelope reverse path forward reply greeting session relay".split()
LINE = 72
DOT_EVERY = 25
"""One line in so many begins with a dot, and so has to be stuffed."""


def compose(size: int) -> bytes:
    """Return a text message of exactly `size` octets with CRLF line ends.

    Prose with a full stop at the end of each line, as the speed of stuffing depends on the dots.
    """
    chance = random.Random(5321)
    parts = [HEADER]
    length = len(HEADER)
    number = 0
    while length < size:
        number += 1
        line = b"." if number % DOT_EVERY == 0 else b""
        while len(line) < LINE:
            line += chance.choice(WORDS) + b" "
        line = line[:LINE] + b".\r\n"
        # Beyond the first 64 KiB the text repeats itself: to compose 25 MiB takes too long.
        if length > 64 * 1024:
            block = b"".join(parts[1:])
            line = block * ((size - length) // len(block) + 1)
        parts.append(line)
        length += len(line)
    return b"".join(parts)[: size - 2].rstrip(b"\r\n").ljust(size - 2, b"-") + b"\r\n"


def write(folder: Path, size: int) -> tuple[Path, Path]:
    """Write a message of `size` octets with CRLF and with LF line ends; return both files."""
    crlf, lf = folder / f"{size}.eml", folder / f"{size}.lf.eml"
    if not crlf.exists():
        text = compose(size)
        crlf.write_bytes(text)
        lf.write_bytes(text.replace(b"\r\n", b"\n"))
    return crlf, lf
