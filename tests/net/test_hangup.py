"""SIGHUP: whoever listens is told in the reactor, and the process is left as it was."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from txsmtpconn.net.hangup import on_hangup


class Reactor:
    """Keeps what is to be called."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, function: Callable[[], object]) -> None:
        self.calls.append(function)


@pytest.fixture
def handler() -> Any:
    """What the process does at SIGHUP before a test, and again behind it."""
    heard: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGHUP, before)


def test_each_listener_is_called_in_its_reactor(handler: list[int]) -> None:
    """Not within the signal; and no more once it has ended that."""
    reactor, called = Reactor(), []
    ends = [on_hangup(reactor, lambda name=name: called.append(name)) for name in "ab"]
    os.kill(os.getpid(), signal.SIGHUP)
    assert called == []
    for function in reactor.calls:
        function()
    assert called == ["a", "b"]
    reactor.calls.clear()
    ends[0]()
    os.kill(os.getpid(), signal.SIGHUP)
    assert len(reactor.calls) == 1
    ends[1]()
    assert handler == []
    os.kill(os.getpid(), signal.SIGHUP)
    assert handler == [signal.SIGHUP]


def test_outside_the_main_thread_there_are_no_signals(handler: list[int]) -> None:
    """Nothing is begun, and ending it is nothing either."""
    reactor = Reactor()
    ends: list[Callable[[], None]] = []
    thread = threading.Thread(target=lambda: ends.append(on_hangup(reactor, list)))
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGHUP)
    assert handler == [signal.SIGHUP]
    assert reactor.calls == []
    ends[0]()
