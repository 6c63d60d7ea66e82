"""What is going on, said on standard error."""

from __future__ import annotations

import sys


def progress(text: str, *, fleeting: bool = False) -> None:
    """Say one line; on a terminal a fleeting one gives way to the next."""
    terminal = sys.stderr.isatty()
    end = "" if fleeting and terminal else "\n"
    print(f"\r\x1b[K{text}" if terminal else text, file=sys.stderr, end=end, flush=True)
