"""ANONYMOUS: nobody in particular, with a word about whom to ask (RFC 4505)."""

from __future__ import annotations

from txsmtpconn.sasl.mechanism import Finished, SASLError, claimed, credential
from txsmtpconn.sasl.single import SingleResponseClient, SingleResponseServer
from txsmtpconn.wire.errors import LocalProtocolError

# RFC 4505 section 2, in characters.
_LONGEST_TRACE = 255


class AnonymousClient(SingleResponseClient):
    """The client's side of ANONYMOUS.

    Args:
        trace: For the server's log: a mailbox, a token without "@", or nothing.

    Raises:
        LocalProtocolError: It is too long or holds a control character.
    """

    name = "ANONYMOUS"

    def __init__(self, trace: str = "") -> None:
        super().__init__(credential(trace, "trace information") if trace else b"")
        if len(trace) > _LONGEST_TRACE:
            raise LocalProtocolError(
                f"the trace information has more than {_LONGEST_TRACE} characters"
            )


class AnonymousServer(SingleResponseServer):
    """The server's side of ANONYMOUS."""

    name = "ANONYMOUS"

    def _take(self, response: bytes) -> Finished:
        trace = claimed(response, "trace information")
        if len(trace) > _LONGEST_TRACE:
            raise SASLError(f"the trace information has more than {_LONGEST_TRACE} characters")
        return Finished("", trace=trace, mechanism=self.name)
