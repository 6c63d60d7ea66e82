"""What every test may count on: Hypothesis profiles, and a reactor left as it was found.

Nothing here imports Twisted unless the test run already has, so that the tests of the core also
pass under ``-p no:twisted``, and in an installation without Twisted.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Rooms that never import Twisted (tests/test_layering.py): their tests cannot leak what the
# fixture below looks for, and they are many.
CORE_ROOMS = frozenset({"wire", "sasl", "session"})

# A time limit per example measures the machine, not the code.
settings.register_profile("default", max_examples=60, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, print_blob=True, database=None
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)


def pytest_collection_finish() -> None:
    """Set aside what lives through the whole run, so that each test's collection is quick."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_reactor(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may leave a delayed call or an unobserved failure behind.

    pytest-twisted looks for neither. A test that provokes a logged failure on purpose takes the
    `logged_failures` fixture and empties the list.
    """
    if "twisted" not in sys.modules or _room(request.path) in CORE_ROOMS:
        yield
        return
    failures: list[object] = request.getfixturevalue("logged_failures")
    reactor = sys.modules.get("twisted.internet.reactor")
    before = set(reactor.getDelayedCalls()) if reactor else set()
    yield
    gc.collect()  # an unobserved failure is logged when its Deferred goes
    left = reactor.getDelayedCalls() if reactor else []
    leaked = [call for call in left if call not in before and call.active()]
    for call in leaked:
        call.cancel()
    assert not leaked, f"delayed calls left behind: {leaked}"
    assert not failures, f"failures nobody observed: {failures}"


@pytest.fixture
def logged_failures() -> Iterator[list[object]]:
    """Every failure that Twisted's log saw during the test; what is left in the list fails it."""
    from twisted.logger import globalLogPublisher

    failures: list[object] = []

    def observe(event: dict[str, object]) -> None:
        if event.get("log_failure") is not None:
            failures.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    yield failures
    globalLogPublisher.removeObserver(observe)


def _room(path: Path) -> str:
    """Name the folder of tests/ in which a test is; "" for tests/ itself."""
    parts = path.relative_to(Path(__file__).parent).parts
    return parts[0] if len(parts) > 1 else ""
