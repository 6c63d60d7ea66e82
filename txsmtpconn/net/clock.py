"""The one place of the library that knows the process's default reactor.

Everything else is given its reactor and its clock as an argument, so that a test can hand in
`twisted.internet.task.Clock` and an application may run a reactor of its own.
"""

from __future__ import annotations

from typing import Any


def default_reactor() -> Any:
    """Return the process's reactor, installing it on the first call."""
    from twisted.internet import reactor

    return reactor
