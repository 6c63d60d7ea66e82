"""The one import of the default reactor."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from txsmtpconn.net.clock import default_reactor


def test_the_default_reactor_is_the_processs() -> None:
    """And tells the time."""
    from twisted.internet import reactor

    assert default_reactor() is reactor
    assert IReactorTime.providedBy(default_reactor())
