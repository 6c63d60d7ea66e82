"""XOAUTH2: a bearer token in the shape that Google and Microsoft documented.

No RFC has it (OAUTHBEARER, RFC 7628, is its standard successor). A token that the server does not
like is answered by a challenge that holds a JSON object; the client says nothing to it, with an
empty response, and the refusal follows as a reply.
"""

from __future__ import annotations

import re

from txsmtpconn.sasl.mechanism import SASLError, credential
from txsmtpconn.wire.errors import LocalProtocolError

# RFC 6750 section 2.1 is stricter still (b64token), but the servers set the fashion in tokens.
_TOKEN = re.compile(r"[!-~]+")
_LONGEST_FAILURE = 512


class XOAuth2Client:
    """The client's side of XOAUTH2.

    Raises:
        LocalProtocolError: The user name is missing or holds a control character, or the token is
            anything but printable ASCII without spaces.
    """

    name = "XOAUTH2"

    def __init__(self, user: str, token: str) -> None:
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise LocalProtocolError("the access token must be printable ASCII without spaces")
        self._token = token
        self._message = b"user=%b\x01auth=Bearer %b\x01\x01" % (
            credential(user, "user name"),
            token.encode("ascii"),
        )
        self.done = False
        self.failure: str | None = None

    def initial(self) -> bytes:
        """Give the whole message."""
        self.done = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """Take the report of a failure, or the empty challenge before the message."""
        if self.failure is not None:
            raise SASLError("the server goes on after reporting a failure")
        if self.done:
            # Nothing that follows can be a success. What the server says is for people to read; a
            # server that repeats the token does not make us do so.
            self.done = False
            told = challenge.decode("utf-8", "replace").replace(self._token, "***")
            self.failure = told[:_LONGEST_FAILURE]
            return b""
        if challenge:
            raise SASLError("the server's challenge is not empty, as XOAUTH2's first is")
        return self.initial()

    def __repr__(self) -> str:
        state = "failed" if self.failure is not None else "done" if self.done else "waiting"
        return f"<{type(self).__name__} {state}>"
