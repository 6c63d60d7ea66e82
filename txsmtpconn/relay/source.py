"""A spooled message as a message source, with the fence at its end.

The end of mail data may leave only while the claim is ours, and only after the spool has written
down that it is about to leave. Whoever sends a message reads its source to the end before it ends
the mail data; so the fence stands there: the last read answers when the spool has answered.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsmtpconn.errors import StreamError
from txsmtpconn.net.bodies import Body, MemoryBody
from txsmtpconn.relay.spool import Claim, CorruptMessageError, ISpool

Fence = Callable[[], Deferred[bool]]


class LeaseLostError(StreamError):
    """The claim has gone to another: the mail data must not be ended."""


class SpooledSource:
    """A `net.streams.MessageSource` for a claim.

    A claim that is marked already needs no fence, and goes out whole if it is small.

    Args:
        spool: Where the octets are.
        claim: Whose message it is.
        fence: Marks the claim.
        smtputf8: Whether the header section may be in UTF-8.

    Attributes:
        fenced: True once the fence has refused.
        corrupt: True once octets were read that are not those accepted.
    """

    replayable = True

    def __init__(self, spool: ISpool, claim: Claim, fence: Fence, *, smtputf8: bool) -> None:
        self._spool = spool
        self._claim = claim
        self._fence = None if claim.marked else fence
        self.size: int | None = claim.size
        self.whole: bytes | None = claim.body if claim.marked else None
        self.eight_bit: bool | None = None if claim.body is None else not claim.body.isascii()
        self.smtputf8 = smtputf8
        self.fenced = False
        self.corrupt = False

    def open(self) -> Body:
        """Start a reading."""
        if self._claim.body is not None:
            octets: Body = MemoryBody(self._claim.body)
        else:
            octets = self._spool.body(self._claim.message)
        return _FencedBody(octets, self)

    def end(self) -> bytes | Deferred[bytes]:
        """Ask the fence, once all octets were read."""
        if self._fence is None:
            return b""
        return self._fence().addCallback(self._answered)

    def _answered(self, passed: bool) -> bytes:
        if passed:
            return b""
        self.fenced = True
        raise LeaseLostError(f"the lease of {self._claim.message} was lost")

    def failed(self, failure: Failure) -> Failure:
        """Take note of what is wrong with the octets."""
        self.corrupt = failure.check(CorruptMessageError) is not None
        return failure


class _FencedBody:
    def __init__(self, octets: Body, source: SpooledSource) -> None:
        self._octets = octets
        self._source = source

    def read(self) -> bytes | Deferred[bytes]:
        chunk = self._octets.read()
        if not isinstance(chunk, Deferred):
            return chunk or self._source.end()
        chunk.addErrback(self._source.failed)
        return chunk.addCallback(lambda octets: octets or self._source.end())

    def close(self) -> None:
        self._octets.close()
