"""What only the collector of cycles can free."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from twisted.internet.task import deferLater
from twisted.protocols.tls import BufferingTLSTransport

#: Whether Twisted cuts the cycle that it has in each TLS transport; 24.11 does not.
TLS_ENDS = "connectionLost" in vars(BufferingTLSTransport)


def _uncollected() -> set[str]:
    """Name what is in a cycle: of ours, and of the reactor's transports."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        rooms = "txsmtpconn.", "twisted.internet.tcp."
        names = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
        return {name for name in names if name.startswith(rooms) and ".testing." not in name}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@asynccontextmanager
async def without_collector(*, but: Collection[str] = ()) -> AsyncIterator[None]:
    """Nothing may be left to the collector that went unheeded within, but for these."""
    from twisted.internet import reactor

    gc.collect()
    gc.disable()
    try:
        yield
        await deferLater(reactor, 0)
        left = _uncollected() - set(but)
        assert not left, sorted(left)
    finally:
        gc.enable()
