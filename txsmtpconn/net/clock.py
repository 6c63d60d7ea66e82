"""The one place of the library that knows the process's default reactor, and how it tells time.

Everything else is given its reactor and its clock as an argument, so that a test can hand in
`twisted.internet.task.Clock` and an application may run a reactor of its own.
"""

from __future__ import annotations

import time
from typing import Any


def default_reactor() -> Any:
    """Return the process's reactor, installing it on the first call."""
    from twisted.internet import reactor

    return reactor


def steady_reactor() -> Any:
    """Return the process's reactor with timers that go by a clock which nobody sets.

    Most of Twisted's reactors go by the time of day. Set back, it would hold up every deadline and
    every retry for as long; set forward, it would end every session. For a process that is ours
    alone, before it runs.
    """
    reactor = default_reactor()
    if reactor.seconds is time.time:
        # In one line with what is due already, by the time of day.
        start = time.time() - time.monotonic()
        reactor.seconds = lambda: start + time.monotonic()
    return reactor
