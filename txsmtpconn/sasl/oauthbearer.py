"""OAUTHBEARER: a bearer token, and where it is shown (RFC 7628)."""

from __future__ import annotations

from collections.abc import Mapping

from txsmtpconn.sasl.bearer import BearerClient, BearerServer, bearer, pairs_of
from txsmtpconn.sasl.gs2 import NO_BINDING, header, take_header
from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, SASLError, credential


class OAuthBearerClient(BearerClient):
    """The client's side of OAUTHBEARER.

    The user that it names is the authorization identity: whose the token is, the server knows by
    the token.

    Args:
        user: The user name; it may be empty.
        token: The access token.
        authzid: Whom to act as, where it is not the user.
        channel: Tells the host and port that the token is shown to.

    Raises:
        LocalProtocolError: A name holds a control character, or the token is anything but
            printable ASCII without spaces.
    """

    name = "OAUTHBEARER"
    # RFC 7628 section 3.2.3.
    _ACKNOWLEDGEMENT = b"\x01"

    def __init__(
        self, user: str, token: str, authzid: str = "", channel: Channel = IN_CLEAR
    ) -> None:
        identity = authzid or user
        parts = [header(NO_BINDING, credential(identity, "user name") if identity else b"")]
        if channel.host:
            parts.append(b"host=" + credential(channel.host, "host name"))
        if channel.port:
            parts.append(b"port=%d" % channel.port)
        parts.append(b"auth=" + bearer(token))
        super().__init__(b"\x01".join((*parts, b"", b"")), token)


class OAuthBearerServer(BearerServer):
    """The server's side of OAUTHBEARER."""

    name = "OAUTHBEARER"
    _REFUSAL = b'{"status":"invalid_token"}'

    def _take_identity(self, message: bytes) -> tuple[str, Mapping[bytes, bytes]]:
        said, rest = take_header(message)
        if said.binding is not None:
            raise SASLError("OAUTHBEARER does not bind to the channel")
        if not rest.startswith(b"\x01"):
            raise SASLError("OAUTHBEARER's header is followed by no pairs")
        return said.authzid, pairs_of(rest[1:])
