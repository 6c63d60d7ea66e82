"""The CPU that a program and all that it has started have used."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def cpu_of_family(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants, those that have ended included.

    What has ended is in the account of the parent that waited for it, so nothing counts twice.
    """
    accounts: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name of the program may hold anything; the fields begin behind its bracket.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                accounts[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {pid}
    while more := {child for child, (parent, _) in accounts.items() if parent in family} - family:
        family |= more
    ticks = sum(accounts[member][1] for member in family if member in accounts)
    return ticks / os.sysconf("SC_CLK_TCK")
