"""What XOAUTH2 and OAUTHBEARER have in common: a bearer token in one message (RFC 6750).

A token that the server does not like is answered by a challenge that holds a JSON object; the
client acknowledges it with a response that means nothing, and the refusal follows as a reply.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from txsmtpconn.sasl.mechanism import Finished, SASLError, claimed
from txsmtpconn.sasl.single import SingleResponseClient, SingleResponseServer
from txsmtpconn.wire.errors import LocalProtocolError

# RFC 6750 section 2.1 is stricter still (b64token), but the servers set the fashion in tokens.
_TOKEN = re.compile(r"[!-~]+")
_LONGEST_FAILURE = 512

_KEY = re.compile(rb"[A-Za-z]+")


def bearer(token: str) -> bytes:
    """Write the credentials as HTTP's Authorization field would have them.

    Raises:
        LocalProtocolError: The token is anything but printable ASCII without spaces.
    """
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise LocalProtocolError("the access token must be printable ASCII without spaces")
    return b"Bearer " + token.encode("ascii")


class BearerClient(SingleResponseClient):
    """The client's side.

    Args:
        message: The whole of what there is to say.
        token: The token in it, which no report of a failure shall show.
    """

    _ACKNOWLEDGEMENT: ClassVar[bytes]

    def __init__(self, message: bytes, token: str) -> None:
        super().__init__(message)
        self._token = token

    def step(self, challenge: bytes) -> bytes:
        """Take the report of a failure, or the empty challenge before the message."""
        if self.failure is not None:
            raise SASLError("the server goes on after reporting a failure")
        if not self.done:
            return super().step(challenge)
        # Nothing that follows can be a success. What the server says is for people to read; a
        # server that repeats the token does not make us do so.
        self.done = False
        told = challenge.decode("utf-8", "replace").replace(self._token, "***")
        self.failure = told[:_LONGEST_FAILURE]
        return self._ACKNOWLEDGEMENT


class BearerServer(SingleResponseServer):
    """The server's side: it takes the message apart; what the token is worth, others know."""

    #: What a client is told, in JSON, before it is refused.
    _REFUSAL: ClassVar[bytes]

    def _take(self, response: bytes) -> Finished:
        identity, pairs = self._take_identity(response)
        scheme, _, token = claimed(pairs.get(b"auth", b""), "bearer token").partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
            raise SASLError(f"{self.name}'s message holds no bearer token")
        return Finished("", identity, token=token, mechanism=self.name, refusal=self._REFUSAL)

    @abstractmethod
    def _take_identity(self, message: bytes) -> tuple[str, Mapping[bytes, bytes]]:
        """Return whom to act as, and the pairs of key and value."""


def pairs_of(octets: bytes) -> dict[bytes, bytes]:
    """Read ``key=value`` pairs, each ended by ^A, and a ^A behind the last (RFC 7628 section 3.1).

    Raises:
        SASLError: They are no such pairs, or a key comes twice.
    """
    if not octets.endswith(b"\x01\x01"):
        raise SASLError("the message does not end as a bearer token's does")
    pairs = [part.partition(b"=") for part in octets[:-2].split(b"\x01")]
    found = {key.lower(): value for key, equals, value in pairs if equals and _KEY.fullmatch(key)}
    if len(found) != len(pairs):
        raise SASLError("the message holds something else than pairs of key and value")
    return found
