"""The safety net under the other tests catches what pytest-twisted lets through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

DELAYED_CALL = """
from twisted.internet import reactor
def test_it():
    reactor.callLater(100, print)
"""
UNOBSERVED_FAILURE = """
from twisted.internet import defer
def test_it():
    defer.fail(ValueError("nobody looks at me"))
"""
PROVOKED_FAILURE = """
from twisted.internet import defer
def test_it(logged_failures):
    defer.fail(ValueError("asked for"))
    assert logged_failures.pop().value.args == ("asked for",)
"""
CORE = """
import sys
def test_it():
    assert "twisted" not in sys.modules
"""


def run(folder: Path, source: str, *options: str) -> str:
    """Run one test module under our conftest in a fresh process; return its closing line."""
    (folder / "conftest.py").write_text(CONFTEST.read_text("utf-8"), "utf-8")
    (folder / "test_it.py").write_text(source, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("source", "closing"),
    [
        (DELAYED_CALL, "1 passed, 1 error"),
        (UNOBSERVED_FAILURE, "1 passed, 1 error"),
        (PROVOKED_FAILURE, "1 passed in"),
    ],
)
def test_what_a_test_leaves_behind_is_an_error(tmp_path: Path, source: str, closing: str) -> None:
    """A delayed call or an unobserved failure fails the test that left it; a provoked one not."""
    assert closing in run(tmp_path, source)


def test_core_tests_need_no_twisted(tmp_path: Path) -> None:
    """Under ``-p no:twisted`` our conftest alone does not bring Twisted in."""
    assert "1 passed in" in run(tmp_path, CORE, "-p", "no:twisted")
