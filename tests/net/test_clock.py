"""The one import of the default reactor."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from twisted.internet.interfaces import IReactorTime

from txsmtpconn.net import clock
from txsmtpconn.net.clock import default_reactor, steady_reactor


def test_the_default_reactor_is_the_processs() -> None:
    """And tells the time."""
    from twisted.internet import reactor

    assert default_reactor() is reactor
    assert IReactorTime.providedBy(default_reactor())


def test_a_steady_reactor_does_not_follow_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its seconds go on from where they are, by the clock that nobody sets."""
    moment = [1000.0, 5.0]
    fake = SimpleNamespace(time=lambda: moment[0], monotonic=lambda: moment[1])
    reactor = SimpleNamespace(seconds=fake.time)
    monkeypatch.setattr(clock, "time", fake)
    monkeypatch.setattr(clock, "default_reactor", lambda: reactor)
    assert steady_reactor().seconds() == 1000.0
    moment[:] = [-1e9, 7.0]
    assert reactor.seconds() == 1002.0


def test_a_reactor_with_a_steady_clock_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The asyncio reactor's, for one."""
    reactor = SimpleNamespace(seconds=time.monotonic)
    monkeypatch.setattr(clock, "default_reactor", lambda: reactor)
    assert steady_reactor().seconds is time.monotonic
