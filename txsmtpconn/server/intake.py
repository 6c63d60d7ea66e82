"""One message on its way into the application's sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from txsmtpconn.server.hooks import MessageSink


@implementer(IPushProducer)
class Intake:
    """Feeds a sink, and sees to it that `finish` or `abort` is called exactly once.

    Args:
        sink: The application's.
        busy: Called with True when the sink wants no more for now, with False when it does.
        gave_up: Called when the sink wants nothing more at all.
    """

    _log = Logger()

    __slots__ = ("_busy", "_gave_up", "_open", "_sink", "_unregister", "write")

    def __init__(
        self, sink: MessageSink, *, busy: Callable[[bool], None], gave_up: Callable[[], None]
    ) -> None:
        self._sink = sink
        self._busy = busy
        self._gave_up = gave_up
        self._open = True
        self._unregister: Callable[[], None] | None = None
        self.write = sink.write

    @property
    def is_open(self) -> bool:
        """Whether neither `finish` nor `abort` was called."""
        return self._open

    def begin(self) -> None:
        """Let the sink say how much it wants, now that the client may send: perhaps nothing."""
        sink: Any = self._sink
        register = getattr(sink, "registerProducer", None)
        if register is not None:
            self._unregister = sink.unregisterProducer
            register(self, True)

    def finish(self) -> Any:
        """Let the sink take responsibility; return what it says."""
        self._close()
        return self._sink.finish()

    def abort(self, reason: Exception) -> None:
        """Let the sink forget the message, unless it is done with it."""
        if not self._open:
            return
        self._close()
        try:
            self._sink.abort(reason)
        except Exception:  # noqa: BLE001 - the application's; nobody is left to tell
            self._log.failure("a message sink failed to abort")

    def _close(self) -> None:
        self._open = False
        unregister, self._unregister = self._unregister, None
        if unregister is not None:
            unregister()

    def pauseProducing(self) -> None:
        """Hold mail data back: the sink is behind."""
        if self._open:
            self._busy(True)

    def resumeProducing(self) -> None:
        """Go on."""
        if self._open:
            self._busy(False)

    def stopProducing(self) -> None:
        """Refuse the message: the sink takes no more of it."""
        if self._open:
            self._gave_up()
