"""The clock of the host is set while the relay runs: no mail waits and no session ends by it.

libfaketime sets the time of day for the relay alone, as often as the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.nexthop import NextHop, RelayProcess
from tests.faults.test_relay_kill import closed_port, send
from tests.interop.peers.available import missing

pytestmark = pytest.mark.slow

SetClock = Callable[[str], None]


def library() -> Path:
    """Where Debian has libfaketime."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        missing("libfaketime (Debian package libfaketime)")
    return found


@pytest.fixture
def set_clock(tmp_path: Path) -> SetClock:
    """Sets the clock of relays that this test starts: "+365d", "-3650d"."""
    file = tmp_path / "clock"
    file.write_text("+0\n")

    def set_clock(offset: str) -> None:
        replacement = tmp_path / "clock.new"
        replacement.write_text(f"{offset}\n")
        replacement.replace(file)

    return set_clock


@pytest.fixture
def start(tmp_path: Path, set_clock: SetClock) -> Iterator[Callable[..., RelayProcess]]:
    """Starts relays whose clock can be set."""
    environment = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    started: list[RelayProcess] = []

    def start(upstream: int, *arguments: str) -> RelayProcess:
        spool = tmp_path / "spool"
        started.append(RelayProcess(spool, upstream, *arguments, environment=environment))
        return started[-1]

    yield start
    for relay in started:
        relay.process.kill()
        relay.stop()


def test_the_relay_does_not_wait_for_the_old_time(
    start: Callable[..., RelayProcess], set_clock: SetClock
) -> None:
    """A next hop that was left alone is tried again after seconds, not when the hands are back."""
    port = closed_port()
    relay = start(port)
    assert send(relay, "before")
    relay.wait_for(lambda log: "deferred to <b@example.net>" in log)
    set_clock("-3650d")
    assert send(relay, "after")
    hop = NextHop(port)
    try:
        hop.wait_for(lambda journal: journal["after", "b@example.net"] == 1)
    finally:
        hop.close()


def test_a_delivery_under_way_goes_on(
    start: Callable[..., RelayProcess], set_clock: SetClock
) -> None:
    """A year forward in the middle of an attempt: no deadline of it has passed."""
    hop = NextHop()
    hop.pause = 2.0
    relay = start(hop.port, "--connections=1")
    assert send(relay, "under way")
    hop.wait_for(lambda journal: journal.total() == 1)
    set_clock("+365d")
    try:
        assert send(relay, "wakes the reactor")
        hop.wait_for(lambda journal: journal["wakes the reactor", "b@example.net"] == 1)
        assert relay.stop()
        assert set(hop.journal.values()) == {1}
        assert relay.log.count("delivered to <b@example.net>") == 2
    finally:
        hop.close()
