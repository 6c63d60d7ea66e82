"""The examples of docs/examples, each run by the test runner that it is written for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.test_fixtures import PLUGIN

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"

PYTEST = ("pytest", "-q", *PLUGIN, "-p", "no:cacheprovider", "-W", "error")
UNITTEST = ("unittest", "-q")
RUNNERS: dict[str, tuple[str, ...]] = {
    "test_with_pytest": (*PYTEST, "test_with_pytest.py"),
    "test_with_pytest_twisted": (*PYTEST, "test_with_pytest_twisted.py"),
    "test_with_flask": (*PYTEST, "test_with_flask.py"),
    "test_with_trial": ("twisted.trial", "test_with_trial"),
    "test_with_unittest": (*UNITTEST, "test_with_unittest"),
    "test_with_django": ("django", "test", "--settings=settings", "--pattern=test_with_django.py"),
}


@pytest.mark.parametrize("example", RUNNERS)
def test_an_example_passes_as_its_reader_would_run_it(example: str, tmp_path: Path) -> None:
    """All of its tests are run, and all pass, in a project with nothing else in it."""
    source = (EXAMPLES / f"{example}.py").read_text("utf-8")
    (tmp_path / f"{example}.py").write_text(source, "utf-8")
    (tmp_path / "settings.py").write_text("SECRET_KEY = 'x'\n", "utf-8")
    done = subprocess.run(
        (sys.executable, "-m", *RUNNERS[example]),
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path))), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    count = len(re.findall(r"^ *(?:async )?def test_", source, re.MULTILINE))
    assert re.search(rf"\b{count} passed|Ran {count} tests", told), told


def test_every_example_is_run_and_shown() -> None:
    """None is added that nobody runs, and each is on the page."""
    page = (ROOT / "docs" / "howto" / "test.rst").read_text("utf-8")
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(RUNNERS)
    shown = re.findall(r"literalinclude:: /examples/(\w+)\.py", page)
    assert set(shown) == set(RUNNERS)
