"""The fuzz targets, each run for a bounded number of seeded inputs."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import TARGETS
from tests.fuzz.driver import drive, mutated


@pytest.mark.parametrize("name", TARGETS)
def test_any_octets_are_values_or_the_right_error(name: str) -> None:
    """Nothing but its own error leaves a parser or session, and no invariant of a target breaks."""
    target, seeds = TARGETS[name]
    drive(target, seeds, 3000 if name.startswith("wire") else 1000)


def test_the_driver_repeats_itself() -> None:
    """The same seed gives the same inputs, another seed others."""
    seeds = [b"MAIL FROM:<a@b>", b"QUIT"]
    assert list(mutated(seeds, 50, 1)) == list(mutated(seeds, 50, 1))
    assert list(mutated(seeds, 50, 1)) != list(mutated(seeds, 50, 2))


def test_the_driver_reports_the_input() -> None:
    """A target that breaks says on what."""

    def fragile(octets: bytes) -> None:
        assert b"\0" not in octets

    with pytest.raises(AssertionError) as caught:
        drive(fragile, [b"x"], 5000)
    assert any("fuzz input" in note and "\\x00" in note for note in caught.value.__notes__)
