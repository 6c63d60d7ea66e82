"""Reads the list tables of a page, for tests that hold a page to the code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"

_TABLE = re.compile(
    r"^\.\. list-table::(?P<title>.*)\n(?:   :.+\n)*\n(?P<rows>(?:   .*\n|\n)+)", re.MULTILINE
)


def list_tables(page: str) -> dict[str, list[list[str]]]:
    """Return the tables of a page by title, without their headings; each cell is one line.

    Args:
        page: Its name below docs/, without ``.rst``.
    """
    text = (DOCS / f"{page}.rst").read_text("utf-8")
    return {found["title"].strip(): _rows(found["rows"])[1:] for found in _TABLE.finditer(text)}


def _rows(block: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for line in block.splitlines():
        if line.startswith("   * - "):
            rows.append([line[7:]])
        elif line.startswith("     -"):
            rows[-1].append(line[7:])
        elif line.strip():
            rows[-1][-1] += " " + line.strip()
    return rows
