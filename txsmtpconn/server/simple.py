"""A server in a few lines: one function that is given each message as it comes in."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.envelope import Envelope
from txsmtpconn.server.factory import SMTPServerFactory
from txsmtpconn.server.hooks import FinalAnswer, Hooks, SMTPRejection, settled
from txsmtpconn.server.options import ServerOptions
from txsmtpconn.server.session import Session

#: Octets of one message that wait for the application before the client has to.
_AHEAD = 128 * 1024
_HOOKS = tuple(each.name for each in fields(Hooks))


def simple_server(
    reactor: IReactorTime, handler: Callable[[IncomingMessage], Any], **options: Any
) -> SMTPServerFactory:
    """Return a factory whose messages all go to one function.

    For example::

        async def receive(message):
            if message.envelope.mail_from == "":
                raise SMTPRejection(550, "5.7.1", "No bounces here")
            store(message.envelope, await message.read())

        await TCP4ServerEndpoint(reactor, 2525).listen(simple_server(reactor, receive))

    The client is told 250 once the function has returned *and* the message has come to its end;
    an `SMTPRejection` from it is the reply, and any other exception is ``451``.

    Args:
        reactor: Where the time comes from.
        handler: Called with each message when its first octet is due. A plain function, a
            coroutine, or one that returns a Deferred; what it returns is what a sink's `finish`
            may return.
        **options: Those of `ServerOptions`, and hooks by name (``on_rcpt_to=...``).

    Raises:
        ConfigError: An option is wrong.
    """
    given = {name: options.pop(name) for name in _HOOKS if name in options}

    def on_data(session: Session, envelope: Envelope) -> _Delivery:
        return _Delivery(IncomingMessage(session, envelope, MessageStream()), handler)

    return SMTPServerFactory(
        reactor, Hooks(**given | {"on_data": on_data}), ServerOptions(**options)
    )


@dataclass(frozen=True, slots=True, eq=False)
class IncomingMessage:
    """A message that is coming in.

    Attributes:
        session: The client's.
        envelope: Who sent it and who is to get it.
        stream: Its octets.
    """

    session: Session
    envelope: Envelope
    stream: MessageStream

    def read(self) -> Deferred[bytes]:
        """Fire with the whole message."""
        return Deferred.fromCoroutine(self._read())

    async def _read(self) -> bytes:
        return b"".join([chunk async for chunk in self.stream])


class MessageStream:
    """The octets of a message as they come: ``async for chunk in message.stream``, once.

    The client waits while nobody reads. If it leaves before the end, the iteration raises
    `ConnectionLostError`.

    Attributes:
        octets: How many have come so far.
        lost: Why there will be no more, if the end of the message was not reached.
        producer: Who is paused while nobody reads.
    """

    def __init__(self) -> None:
        self.octets = 0
        self.lost: Exception | None = None
        self.producer: IPushProducer | None = None
        self._chunks: deque[bytes] = deque()
        self._ahead = 0
        self._ended = False
        self._paused = False
        self._waiting: Deferred[None] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self.lost is not None:
                raise self.lost
            if self._ended:
                raise StopAsyncIteration
            self._waiting = Deferred()
            await self._waiting
        chunk = self._chunks.popleft()
        self._ahead -= len(chunk)
        if self._paused and self._ahead <= _AHEAD // 2 and self.producer is not None:
            self._paused = False
            self.producer.resumeProducing()
        return chunk

    def put(self, chunk: bytes) -> None:
        """Add what has come."""
        self.octets += len(chunk)
        self._ahead += len(chunk)
        self._chunks.append(chunk)
        self._wake()
        if self._ahead > _AHEAD and not self._paused and self.producer is not None:
            self._paused = True
            self.producer.pauseProducing()

    def end(self, lost: Exception | None = None) -> bool:
        """Let no more come; tell whether somebody was waiting for it."""
        self._ended = True
        self.lost = lost
        self.producer = None
        return self._wake()

    def _wake(self) -> bool:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return False
        waiting.callback(None)
        return True


class _Delivery:
    """The sink between a session and the function that takes its messages."""

    _log = Logger()

    def __init__(self, message: IncomingMessage, handler: Callable[[IncomingMessage], Any]) -> None:
        self._stream = message.stream
        self._finished: Deferred[FinalAnswer] | None = None
        self._answer: FinalAnswer = None
        self._failure: Failure | None = None
        self._done = False
        self._aborted = False
        result = settled(handler(message))
        self._running: Deferred[Any] | None = None
        if isinstance(result, Deferred):
            self._running = result
            result.addCallbacks(self._succeeded, self._failed)
        else:
            self._succeeded(result)

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Take note of who can be paused."""
        self._stream.producer = producer

    def unregisterProducer(self) -> None:
        """Forget it."""
        self._stream.producer = None

    def write(self, data: bytes) -> None:
        """Pass data on, unless the function is done: then the rest is not wanted."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            failure.raiseException()
        if not self._done:
            self._stream.put(data)

    def finish(self) -> Any:
        """Wait for the function."""
        self._stream.end()
        if self._failure is not None:
            self._failure.raiseException()
        if self._done:
            return self._answer
        self._finished = Deferred(self._cancel)
        return self._finished

    def abort(self, reason: Exception) -> None:
        """Let the function know, at the next chunk it asks for or wherever it waits."""
        self._aborted = True
        if not self._stream.end(reason) and self._running is not None:
            self._running.cancel()

    def _cancel(self, finished: Deferred[FinalAnswer]) -> None:
        self._aborted = True
        if self._running is not None:
            self._running.cancel()

    def _succeeded(self, answer: FinalAnswer) -> None:
        self._done = True
        self._running = None
        self._answer = answer
        finished, self._finished = self._finished, None
        if finished is not None and not self._aborted:
            finished.callback(answer)

    def _failed(self, failure: Failure) -> None:
        self._done = True
        self._running = None
        finished, self._finished = self._finished, None
        if self._aborted:
            if not failure.check(CancelledError, SMTPRejection, type(self._stream.lost)):
                self._log.failure("the message was lost, and so was its reader", failure=failure)
        elif finished is not None:
            finished.errback(failure)
        else:
            self._failure = failure
