"""What is done from time to time, and what a wrong clock may not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.relay.spool_contract import accept, claim, end, states
from tests.relay.test_delivery import LATER, NO, Bench
from tests.relay.test_sqlite import SQLiteLaboratory
from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.schedule import Schedule
from txsmtpconn.relay.spool import Event, State
from txsmtpconn.relay.upkeep import Upkeep
from txsmtpconn.testing.results import success_result_of

LIFETIME = 20_000.0


class ClockedLaboratory(SQLiteLaboratory):
    """A spool whose wall clock may be wrong."""

    set_by = 0.0


class Kept(Bench):
    """A dispatcher with its upkeep, and a wall clock that can be set."""

    def __init__(self, lab: ClockedLaboratory, wait: float = 100_000.0) -> None:
        schedule = Schedule((wait,), lifetime=LIFETIME, jitter=0.0)
        super().__init__(lab, schedule=schedule)
        self.started = lab.reactor.seconds()
        self.upkeep = Upkeep(
            self.spool,
            self.dispatcher,
            RelayOptions(spool="x", upstream="smtp://x", schedule=schedule),
            cast(Any, lab.reactor),
            self.counters,
            now=lambda: lab.reactor.seconds() + lab.set_by,
            monotonic=lab.reactor.seconds,
        )
        self.spool._now = lambda: lab.reactor.seconds() + lab.set_by
        self.dispatcher.start()
        self.upkeep.start()

    def pass_time(self, seconds: float) -> None:
        self.lab.reactor.pump([60.0] * int(seconds // 60))

    def end(self) -> None:
        self.upkeep.stop()
        for sent in self.courier.sent:
            if not sent.answer.called:
                sent.reply(LATER)
        super().end()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A relay without doors."""
    lab = ClockedLaboratory(tmp_path / "spool")
    kept = Kept(lab)
    yield kept
    kept.end()
    success_result_of(kept.spool.stop())


def test_old_mail_expires_even_if_nobody_tries_it(kept: Kept) -> None:
    """What waits for longer than its lifetime is given up, though its turn never comes."""
    message = kept.accept("b@example")
    kept.last.reply(LATER)
    kept.pass_time(LIFETIME - 120)
    assert states(kept.spool, message) == {"b@example": State.READY}
    kept.pass_time(300)
    assert states(kept.spool, message) == {"b@example": State.EXPIRED}
    assert kept.counters.expired == 1


def test_clock_that_jumps_forward_expires_nothing_at_once(kept: Kept) -> None:
    """Ten years in a second: an operator has time to set the clock right."""
    message = kept.accept("b@example")
    kept.last.reply(LATER)
    kept.pass_time(2_000)
    cast(Any, kept.lab).set_by = 10 * 365 * 86400.0
    kept.pass_time(600)
    assert states(kept.spool, message)["b@example"] is not State.EXPIRED
    cast(Any, kept.lab).set_by = 0.0
    kept.pass_time(3_000)
    assert states(kept.spool, message)["b@example"] is not State.EXPIRED


def test_clock_that_jumps_back_strands_nothing(kept: Kept) -> None:
    """What was due in 2036 is due now."""
    cast(Any, kept.lab).set_by = 10 * 365 * 86400.0
    kept.accept("b@example")
    kept.last.reply(LATER)
    cast(Any, kept.lab).set_by = 0.0
    kept.pass_time(120)
    assert len(kept.courier.sent) == 2


def test_clock_that_is_set_back_an_hour_delays_nothing(tmp_path: Path) -> None:
    """An hour is less than a schedule may wait: what is due in five minutes still is."""
    kept = Kept(ClockedLaboratory(tmp_path / "spool"), wait=7200.0)
    kept.accept("b@example")
    kept.last.reply(LATER)
    kept.pass_time(6900)
    cast(Any, kept.lab).set_by = -3600.0
    kept.pass_time(240)
    assert len(kept.courier.sent) == 1
    kept.pass_time(120)
    assert len(kept.courier.sent) == 2
    kept.end()
    success_result_of(kept.spool.stop())


def test_start_after_a_long_sleep_tries_before_it_gives_up(kept: Kept) -> None:
    """A relay that was off for a week gives each message an attempt first."""
    assert not kept.dispatcher.may_expire
    kept.pass_time(1_200)
    assert kept.dispatcher.may_expire


def test_clock_that_jumps_forward_removes_nothing(kept: Kept) -> None:
    """What is kept for the operator stays until a clock can be trusted that says it is old."""
    message = kept.accept("b@example")
    kept.last.reply(NO)
    kept.pass_time(3_000)
    cast(Any, kept.lab).set_by = 10 * 365 * 86400.0
    kept.pass_time(900)
    assert states(kept.spool, message) == {"b@example": State.FAILED}


def test_start_on_a_wrong_clock_removes_nothing(tmp_path: Path) -> None:
    """Nor does the first look after a start, when nobody knows yet whether the clock is right."""
    lab = ClockedLaboratory(tmp_path / "spool")
    spool = lab.start()
    message = accept(spool)
    end(spool, claim(spool)[0], State.FAILED, Event.FAILED)
    success_result_of(spool.stop())
    lab.advance(10 * 365 * 86400.0)
    kept = Kept(lab)
    assert states(kept.spool, message) == {"b@example.net": State.FAILED}
    kept.end()
    success_result_of(kept.spool.stop())
