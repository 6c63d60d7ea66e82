"""XOAUTH: a request signed by OAuth 1.0, made elsewhere and handed over as it is.

Google documented it and has switched it off; a few servers of others still ask for it. What signs
the request (keys, a nonce, the time) is no affair of ours: who has it gives us the ready string,
which is base64 of ``GET https://... oauth_consumer_key="...",...``.
"""

from __future__ import annotations

from base64 import b64decode

from txsmtpconn.sasl.bearer import BearerClient
from txsmtpconn.wire.errors import LocalProtocolError


class XOAuthClient(BearerClient):
    """The client's side of XOAUTH.

    Args:
        token: The ready string, in base64.

    Raises:
        LocalProtocolError: It is not base64, or empty.
    """

    name = "XOAUTH"
    _ACKNOWLEDGEMENT = b""

    def __init__(self, token: str) -> None:
        try:
            message = b64decode(token, validate=True)
        except ValueError:
            message = b""
        if not message:
            raise LocalProtocolError("the access token for XOAUTH must be base64")
        super().__init__(message, token)
