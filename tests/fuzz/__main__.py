"""Fuzz one target: ``python -m tests.fuzz TARGET [libFuzzer options]``.

With atheris installed the search is led by coverage and runs until it is stopped or finds
something. Without it the plain driver runs a hundred thousand inputs from a new seed.
"""

from __future__ import annotations

import importlib
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz import session_targets, wire_targets
from tests.fuzz.driver import drive

TARGETS = {**wire_targets.TARGETS, **session_targets.TARGETS}


def main(arguments: list[str]) -> None:
    """Run the target that the first argument names."""
    if len(arguments) < 2 or arguments[1] not in TARGETS:
        raise SystemExit(f"targets: {', '.join(sorted(TARGETS))}")
    target, seeds = TARGETS[arguments[1]]
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        drive(target, seeds, 100_000, seed=random.randrange(2**32))
        return
    atheris.instrument_all()
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{arguments[1]}-"))
    for number, octets in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(octets)
    atheris.Setup([arguments[0], *arguments[2:], str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
