"""How much of a big message has left, as a line on the terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TextIO

#: Octets from which on people want to see that something moves.
BIG = 1024 * 1024


class Progress:
    """A line on the terminal that shows how much of a big message has left.

    Args:
        terminal: Where to; nothing is shown if it is none.
        size: Octets of the whole, or None.
        quiet: Show nothing.
    """

    def __init__(self, terminal: TextIO, size: int | None, *, quiet: bool) -> None:
        big = size is None or size >= BIG
        self._terminal = terminal if big and not quiet and terminal.isatty() else None
        self._size = size
        self._done = 0
        self._shown = ""

    async def over(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass pieces on and count them."""
        async for piece in pieces:
            yield piece
            self._done += len(piece)
            self._show()

    def _show(self) -> None:
        if self._terminal is None or (self._size is None and self._done < BIG):
            return
        text = f"{self._done / BIG:.0f} MiB"
        if self._size is not None:
            share = min(1.0, self._done / self._size)
            bar = "=" * round(share * 40)
            text = f"[{bar:<40}] {share:4.0%}  {text} of {self._size / BIG:.0f} MiB"
        if text != self._shown:
            self._shown = text
            self._terminal.write(f"\r{text}\x1b[K")
            self._terminal.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._terminal is not None and self._shown:
            self._terminal.write("\n")
            self._terminal.flush()
