"""One message on its way into the application's sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from txsmtpconn.server.hooks import MessageSink


class Intake:
    """Feeds a sink, and sees to it that `finish` or `abort` is called exactly once.

    Attributes:
        is_open: Whether neither was called.
        write: The sink's.
    """

    _log = Logger()

    __slots__ = ("_sink", "_unregister", "is_open", "write")

    def __init__(self, sink: MessageSink) -> None:
        self._sink = sink
        self._unregister: Callable[[], None] | None = None
        self.is_open = True
        self.write = sink.write

    def begin(self, busy: Callable[[bool], None], gave_up: Callable[[], None]) -> None:
        """Let the sink say how much it wants, now that the client may send: perhaps nothing.

        Args:
            busy: Called with True when the sink wants no more for now, with False when it does.
            gave_up: Called when the sink wants nothing more at all.
        """
        sink: Any = self._sink
        register = getattr(sink, "registerProducer", None)
        if register is not None:
            self._unregister = sink.unregisterProducer
            register(_Faucet(self, busy, gave_up), True)

    def finish(self) -> Any:
        """Let the sink take responsibility; return what it says."""
        self._close()
        return self._sink.finish()

    def abort(self, reason: Exception) -> None:
        """Let the sink forget the message, unless it is done with it."""
        if not self.is_open:
            return
        self._close()
        try:
            self._sink.abort(reason)
        except Exception:  # noqa: BLE001 - the application's; nobody is left to tell
            self._log.failure("a message sink failed to abort")

    def _close(self) -> None:
        self.is_open = False
        unregister, self._unregister = self._unregister, None
        if unregister is not None:
            unregister()


@implementer(IPushProducer)
class _Faucet:
    """What a sink holds mail data back with; of no effect once the message is complete."""

    def __init__(
        self, intake: Intake, busy: Callable[[bool], None], gave_up: Callable[[], None]
    ) -> None:
        self._intake = intake
        self._busy = busy
        self._gave_up = gave_up

    def pauseProducing(self) -> None:
        """Hold mail data back: the sink is behind."""
        if self._intake.is_open:
            self._busy(True)

    def resumeProducing(self) -> None:
        """Go on."""
        if self._intake.is_open:
            self._busy(False)

    def stopProducing(self) -> None:
        """Refuse the message: the sink takes no more of it."""
        if self._intake.is_open:
            self._gave_up()
