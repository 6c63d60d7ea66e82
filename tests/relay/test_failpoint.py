"""The places where the relay dies on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.relay.spool_contract import accept, claim
from tests.relay.test_sqlite import SQLiteLaboratory
from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.failpoint import with_failpoint
from txsmtpconn.testing.results import success_result_of


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SQLiteLaboratory]:
    """A spool to wrap."""
    laboratory = SQLiteLaboratory(tmp_path / "spool")
    yield laboratory
    if laboratory.spool is not None:
        success_result_of(laboratory.spool.stop())


@pytest.mark.parametrize(
    ("text", "stored"),
    [("commit:before", 1), ("commit:after", 2), ("open:before", 1), ("claim:before@1", 3)],
)
def test_failpoint_strikes_once_where_it_says(
    lab: SQLiteLaboratory, text: str, stored: int
) -> None:
    """Before or behind the call, at the number it names, and never again."""
    deaths: list[int] = []
    inner = lab.start()
    accept(inner)

    def die() -> None:
        deaths.append(sum(success_result_of(inner.counts()).values()))

    spool = with_failpoint(inner, text, die)
    accept(spool)
    accept(spool)
    claim(spool)
    assert deaths == [stored]


def test_failpoint_counts_calls(lab: SQLiteLaboratory) -> None:
    """The second commit, not the first."""
    deaths: list[str] = []
    spool = with_failpoint(lab.start(), "commit:after@2", lambda: deaths.append("died"))
    accept(spool)
    assert deaths == []
    accept(spool)
    assert deaths == ["died"]


@pytest.mark.parametrize("text", ["", "commit", "commit:during", "x:after", "commit:after@0"])
def test_unknown_failpoint_is_refused(lab: SQLiteLaboratory, text: str) -> None:
    """A test that names no place fails to start, instead of passing for nothing."""
    with pytest.raises(ConfigError):
        with_failpoint(lab.start(), text)
