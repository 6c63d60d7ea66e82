"""A resolver that remembers, and asks no question twice at the same time."""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txsmtpconn.client.waiters import Waiters
from txsmtpconn.errors import DNSError, SMTPError
from txsmtpconn.transport.nexthop.records import Answer, RecordType, Resolver

#: Answers that are kept; those that were not used for longest go first.
_ANSWERS = 10_000

#: Seconds that an answer is kept, whatever it says of itself: a TTL of nothing would ask for each
#: message, one of years would never see a change.
_LIFE = (5.0, 86_400.0)

_Question = tuple[str, RecordType]


class CachingResolver:
    """Another resolver with a memory. Failures are not remembered.

    Args:
        resolver: The other.
        clock: The reactor.
        limit: Answers that are kept.
    """

    def __init__(self, resolver: Resolver, clock: IReactorTime, limit: int = _ANSWERS) -> None:
        self._resolver = resolver
        self._clock = clock
        self._limit = limit
        self._answers: OrderedDict[_Question, tuple[float, Answer]] = OrderedDict()
        self._asked: dict[_Question, tuple[Deferred[Answer], Waiters[Answer]]] = {}

    def lookup(self, name: str, kind: RecordType) -> Deferred[Answer]:
        """Answer from memory, or ask."""
        question = (name, kind)
        known = self._answers.get(question)
        if known is not None and known[0] > self._clock.seconds():
            self._answers.move_to_end(question)
            return succeed(known[1])
        asked = self._asked.get(question)
        if asked is not None:
            return asked[1].wait()
        waiters: Waiters[Answer] = Waiters()
        waiting = waiters.wait()
        # Cancelling a wait does not end it: others may wait for it, or come to want it.
        asking = maybeDeferred(self._resolver.lookup, name, kind).addCallback(_expected)
        self._asked[question] = asking, waiters
        asking.addCallbacks(
            self._answered,
            self._failed,
            callbackArgs=(question, waiters),
            errbackArgs=(question, waiters),
        )
        return waiting

    def close(self) -> None:
        """Ask no more: who waits for an answer gets an error."""
        for asking, _ in list(self._asked.values()):
            asking.cancel()

    def _answered(self, answer: Answer, question: _Question, waiters: Waiters[Answer]) -> None:
        del self._asked[question]
        life = min(max(answer.ttl, _LIFE[0]), _LIFE[1])
        self._answers[question] = (self._clock.seconds() + life, answer)
        self._answers.move_to_end(question)
        while len(self._answers) > self._limit:
            self._answers.popitem(last=False)
        waiters.fire(answer)

    def _failed(self, failure: Failure, question: _Question, waiters: Waiters[Answer]) -> None:
        del self._asked[question]
        reason = failure.value
        if not isinstance(reason, SMTPError):
            # A resolver of the caller's may raise anything.
            error = DNSError(
                f"{question[0]}: {type(reason).__name__}", command="CONN", status="4.4.3"
            )
            error.__cause__ = reason
            reason = error
        waiters.fail(reason)


def _expected(given: object) -> Answer:
    """Return what a resolver has given, if it is an answer; the caller's may give anything."""
    if not isinstance(given, Answer):
        raise TypeError(f"a resolver gave {type(given).__name__} and no Answer")
    return given
