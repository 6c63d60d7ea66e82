"""XOAUTH2: a bearer token in the shape that Google and Microsoft documented.

No RFC has it; OAUTHBEARER (RFC 7628) is its standard successor.
"""

from __future__ import annotations

from collections.abc import Mapping

from txsmtpconn.sasl.bearer import BearerClient, BearerServer, bearer, pairs_of
from txsmtpconn.sasl.mechanism import SASLError, claimed, credential


class XOAuth2Client(BearerClient):
    """The client's side of XOAUTH2.

    Raises:
        LocalProtocolError: The user name is missing or holds a control character, or the token is
            anything but printable ASCII without spaces.
    """

    name = "XOAUTH2"
    _ACKNOWLEDGEMENT = b""

    def __init__(self, user: str, token: str) -> None:
        credentials = bearer(token)
        message = b"user=%b\x01auth=%b\x01\x01" % (credential(user, "user name"), credentials)
        super().__init__(message, token)


class XOAuth2Server(BearerServer):
    """The server's side of XOAUTH2. Its user is who the client says the token is of."""

    name = "XOAUTH2"
    _REFUSAL = b'{"status":"401","schemes":"bearer"}'

    def _take_identity(self, message: bytes) -> tuple[str, Mapping[bytes, bytes]]:
        pairs = pairs_of(message)
        user = claimed(pairs.get(b"user", b""), "user name")
        if not user:
            raise SASLError("XOAUTH2's message names no user")
        return user, pairs
