"""A peer that follows a script, octet by octet, and prints the conversation if that fails.

    peer = ScriptedPeer(
        send("220 mx.test ESMTP"),
        expect("EHLO client.test"),
        send("250-mx.test", "250 PIPELINING", split=1),
        expect("MAIL FROM:<a@a.test>", "RCPT TO:<b@b.test>", "DATA"),
        reset(),
    )
    network.serve(peer)

The steps are in `txsmtpconn.testing.script`. A peer plays a server or a client, in memory or on a
socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsmtpconn.testing.script import (
    Call,
    Close,
    Expect,
    ExpectClose,
    ExpectData,
    ExpectMatching,
    ExpectOctets,
    ExpectSilence,
    Pause,
    Read,
    Reset,
    Send,
    StartTLS,
    Step,
    transcript,
)

_END_OF_DATA = b"\r\n.\r\n"

#: A failure shows at most so many octets of one line, and so many of the last lines.
_SHOWN_OCTETS = 300
_SHOWN_LINES = 200


class ScriptError(AssertionError):
    """The other side did not keep to the script. The message has the conversation so far."""


@implementer(IHandshakeListener)
class ScriptedPeer(Protocol):
    """Plays one side of one connection.

    Args:
        steps: what it expects, says and does, in order.
        clock: for pauses and split sends; a `MemoryNetwork` gives its own.

    Raises:
        TypeError: something is no step.

    Attributes:
        done: every step was played.
        failure: what went wrong, or None.
        received: all octets that came.
        captured: what each `expect_matching`, `expect_data` and `expect_octets` took.
        lost: why the connection ended, or None.
        secure: a handshake was completed.
    """

    def __init__(self, *steps: Step, clock: IReactorTime | None = None) -> None:
        for step in steps:
            if not isinstance(step, Step):
                # It would be passed over, and the script would be followed by whatever happens.
                raise TypeError(f"a step is what send() or expect() returns, not {step!r}")
        self.clock = clock
        self.done = False
        self.failure: ScriptError | None = None
        self.received = bytearray()
        self.captured: list[bytes] = []
        self.lost: Failure | None = None
        self.secure = False
        self._steps = steps
        self._position = 0
        self._unread = bytearray()
        self._searched = 0
        self._unsaid = b""
        self._shaking_hands = False
        self._timer: IDelayedCall | None = None
        self._exchanged: list[tuple[str, bytes]] = []
        self._waiting: list[Deferred[ScriptedPeer]] = []

    @classmethod
    def from_transcript(
        cls, text: str, *, role: str = "server", clock: IReactorTime | None = None
    ) -> ScriptedPeer:
        """Make a peer from a conversation in the notation of the RFCs (`script.transcript`)."""
        return cls(*transcript(text, role=role), clock=clock)

    # -- what a test asks

    def check(self) -> None:
        """Assert that every step was played, and that the other side kept to the script.

        Raises:
            ScriptError: it was not, or it did not.
        """
        self.raise_failure()
        if not self.done:
            raise self._error("the script was not played to its end")

    def raise_failure(self) -> None:
        """Raise what went wrong, if something did.

        Raises:
            ScriptError: the other side did not keep to the script.
        """
        if self.failure is not None:
            raise self.failure

    def when_done(self) -> Deferred[ScriptedPeer]:
        """Return a Deferred of the caller's own: the end of the script, or `ScriptError`."""
        waiting: Deferred[ScriptedPeer] = Deferred()
        self._waiting.append(waiting)
        self._tell()
        return waiting

    @property
    def progress(self) -> str:
        """Which step is being played."""
        step = self._step_at(self._position)
        if step is None:
            return "the script was played to its end"
        return f"step {self._position + 1} of {len(self._steps)}: {step!r:.{_SHOWN_OCTETS}}"

    @property
    def transcript(self) -> str:
        """The conversation so far, with a line of text for each line and each segment of it."""
        shown = []
        for name, octets in self._exchanged:
            for line in octets.splitlines(keepends=True):
                more = "" if len(line) <= _SHOWN_OCTETS else f" ... {len(line)} octets"
                shown.append(f"  {name:>4}: {line[:_SHOWN_OCTETS]!r}{more}")
        if len(shown) > _SHOWN_LINES:
            shown[:-_SHOWN_LINES] = [f"  ... {len(shown) - _SHOWN_LINES} lines"]
        return "\n".join(shown)

    # -- what the transport says

    def connectionMade(self) -> None:
        """Begin."""
        self._play()

    def dataReceived(self, data: bytes) -> None:
        """Take octets for the steps that expect some."""
        self._exchanged.append(("peer", data))
        self.received += data
        self._unread += data
        if self.failure is None:
            self._play()

    def handshakeCompleted(self) -> None:
        """Go on behind `start_tls`."""
        self.secure = True
        if self._shaking_hands:
            self._shaking_hands = False
            self._note("TLS is established")
            self._position += 1
            self._play()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: in good order if that is what the script says."""
        self.lost = reason
        self._note(f"connection ended: {type(reason.value).__name__}")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.done or self.failure is not None:
            return
        if self._shaking_hands and isinstance(self._step_at(self._position + 1), ExpectClose):
            self._position += 1
        if isinstance(self._step_at(self._position), ExpectClose):
            self._position += 1
        if self._position < len(self._steps):
            self._fail(f"the connection ended before {self._steps[self._position]}")
        else:
            self._finish()

    # -- the play

    def _play(self) -> None:
        """Play steps until one of them has to wait."""
        while self.failure is None and not self.done and self._timer is None:
            step = self._step_at(self._position)
            if step is None:
                self._finish()
            elif not self._play_one(step):
                return
        if self.done and self._unread and not self._let_go():
            self._fail(f"more than the script: {bytes(self._unread[:_SHOWN_OCTETS])!r}")

    def _play_one(self, step: Step) -> bool:
        """Play a step; return whether the next one may follow now."""
        match step:
            case Expect() | ExpectMatching() | ExpectData() | ExpectOctets():
                if not self._take(step):
                    return False
            case ExpectSilence(seconds):
                return self._keep_silence(seconds)
            case ExpectClose():
                if self._unread:
                    self._fail(f"a close was expected, not {bytes(self._unread)!r}")
                return False
            case Send():
                return self._send(step)
            case Pause(seconds):
                self._wait(seconds, self._next_step)
                return False
            case StartTLS():
                return self._start_tls(step)
            case Call() | Close() | Reset() | Read():
                self._act(step)
        self._position += 1
        return True

    def _act(self, step: Call | Close | Reset | Read) -> None:
        match step:
            case Call(function):
                function(self)
            case Close():
                self._transport.loseConnection()
            case Reset():
                self._transport.abortConnection()
            case Read(reading=True):
                self._transport.resumeProducing()
            case Read():
                self._transport.pauseProducing()

    def _take(self, step: Expect | ExpectMatching | ExpectData | ExpectOctets) -> bool:
        """Take what the step expects from what came; return whether it was there in full."""
        unread = self._unread
        end = -1
        match step:
            case Expect(octets):
                if not octets.startswith(bytes(unread[: len(octets)])):
                    received = bytes(unread[: len(octets) + 40])
                    self._fail(
                        "the script was not followed:\n"
                        f"    expected {octets!r}\n    received {received!r}"
                    )
                    return False
                end = len(octets) if len(unread) >= len(octets) else -1
            case ExpectOctets(count):
                end = count if len(unread) >= count else -1
            case ExpectMatching():
                end = self._find(b"\r\n")
            case ExpectData():
                end = 3 if unread.startswith(b".\r\n") else self._find(_END_OF_DATA)
        if end < 0:
            return False
        taken = bytes(unread[:end])
        del unread[:end]
        self._searched = 0
        if isinstance(step, ExpectMatching) and not step.pattern.fullmatch(taken[:-2]):
            self._fail(f"the line {taken!r} does not match {step.pattern.pattern!r}")
        elif isinstance(step, ExpectData) and step.octets not in (None, taken):
            self._fail(f"other mail data than expected: {taken!r}")
        if not isinstance(step, Expect):
            self.captured.append(taken)
        return self.failure is None

    def _find(self, mark: bytes) -> int:
        """Return the position behind the mark in what came, or -1; nothing is searched twice."""
        position = self._unread.find(mark, max(0, self._searched - len(mark)))
        self._searched = len(self._unread)
        return -1 if position < 0 else position + len(mark)

    def _keep_silence(self, seconds: float) -> bool:
        if self._unread:
            self._fail(f"silence was expected, not {bytes(self._unread)!r}")
            return False
        self._wait(seconds, self._silence_kept)
        return False

    def _silence_kept(self) -> None:
        if self._unread:
            self._fail(f"silence was expected, not {bytes(self._unread)!r}")
        else:
            self._next_step()

    def _send(self, step: Send) -> bool:
        octets = self._unsaid or step.octets
        size = step.split or len(octets)
        self._write(octets[:size])
        self._unsaid = octets[size:]
        if self._unsaid:
            self._wait(step.every, self._play)
            return False
        self._position += 1
        return True

    def _start_tls(self, step: StartTLS) -> bool:
        if not self._shaking_hands:
            self._shaking_hands = True
            self._transport.startTLS(step.options)
        return False

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self.clock is None:
            raise ValueError("a peer that pauses or splits needs a clock")

        def go_on() -> None:
            self._timer = None
            then()

        self._timer = self.clock.callLater(seconds, go_on)

    def _next_step(self) -> None:
        self._position += 1
        self._play()

    # -- the end

    def _finish(self) -> None:
        self.done = True
        self._tell()

    def _let_go(self) -> bool:
        """Whether the script ended the connection itself, so that what comes now is nobody's."""
        return any(isinstance(step, (Close, Reset)) for step in self._steps)

    def _fail(self, problem: str) -> None:
        self.failure = self._error(problem)
        self._transport.abortConnection()
        self._tell()

    def _error(self, problem: str) -> ScriptError:
        return ScriptError(f"{problem}\n({self.progress})\n{self.transcript}")

    def _tell(self) -> None:
        if not self.done and self.failure is None:
            return
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if self.failure is not None:
                deferred.errback(self.failure)
            else:
                deferred.callback(self)

    # -- small things

    @property
    def _transport(self) -> Any:
        """The transport, whatever it can do."""
        return self.transport

    def _step_at(self, position: int) -> Step | None:
        return self._steps[position] if position < len(self._steps) else None

    def _write(self, octets: bytes) -> None:
        self._exchanged.append(("me", octets))
        self._transport.write(octets)

    def _note(self, text: str) -> None:
        self._exchanged.append(("--", text.encode()))
