"""Moves a streamed body from its source to the session, chunk by chunk, a burst at a time.

Three things hold it back: the source that has nothing yet, the transport whose buffer is full, and
the session whose window is.  Where none of them does, a burst ends by itself, for what it moved to
be written.  Whoever goes on calls `run` again; nothing polls.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsmtpconn.net.bodies import Body, release


class BodyPump:
    """One body under way.

    Args:
        body: Where the chunks come from.
        first: A chunk that was read already, or b"".
        open_to_more: Whether transport and session take another chunk now.
        deliver: Takes a chunk; b"" is the end of the body.
        fail: Takes what the source raised.
    """

    __slots__ = (
        "_body",
        "_deliver",
        "_fail",
        "_first",
        "_open_to_more",
        "_stopped",
        "_waiting",
    )

    def __init__(
        self,
        body: Body,
        first: bytes,
        *,
        open_to_more: Callable[[], bool],
        deliver: Callable[[bytes], None],
        fail: Callable[[Failure], None],
    ) -> None:
        self._body = body
        self._first = first
        self._open_to_more = open_to_more
        self._deliver = deliver
        self._fail = fail
        self._waiting: Deferred[bytes] | None = None
        self._stopped = False

    @property
    def ready(self) -> bool:
        """Whether nothing holds the body back."""
        return not self._stopped and self._waiting is None and self._open_to_more()

    def run(self, most: int) -> None:
        """Move so many chunks, or fewer where something holds them back.

        A source that always answers at once would recurse without end; its answer only ends the
        wait, and the loop that asked takes the next step.
        """
        for _ in range(most):
            if not self.ready:
                return
            self._step()

    def stop(self) -> None:
        """Move nothing any more, and give the source back."""
        if self._stopped:
            return
        self._stopped = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        release(self._body)

    def _step(self) -> None:
        if self._first:
            chunk, self._first = self._first, b""
            self._arrived(chunk)
            return
        try:
            read = self._body.read()
        except Exception:  # noqa: BLE001 - a caller's source may raise anything
            self._failed(Failure())
            return
        if isinstance(read, Deferred):
            self._waiting = read
            read.addCallbacks(self._resumed, self._failed)
        else:
            self._arrived(read)

    def _resumed(self, chunk: bytes) -> None:
        self._waiting = None
        self._arrived(chunk)

    def _arrived(self, chunk: bytes) -> None:
        if self._stopped:
            return
        if not chunk:
            self.stop()
        self._deliver(chunk)

    def _failed(self, failure: Failure) -> None:
        self._waiting = None
        if self._stopped:
            return
        self.stop()
        self._fail(failure)
