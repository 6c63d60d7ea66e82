"""PLAIN: user name and password in one response (RFC 4616)."""

from __future__ import annotations

from txsmtpconn.sasl.mechanism import Finished, SASLError, claimed, credential
from txsmtpconn.sasl.single import SingleResponseClient, SingleResponseServer


class PlainClient(SingleResponseClient):
    """The client's side of PLAIN, ``authzid NUL authcid NUL password``.

    Raises:
        LocalProtocolError: A part is missing or holds a control character.
    """

    name = "PLAIN"

    def __init__(self, user: str, password: str, authzid: str = "") -> None:
        acting_as = credential(authzid, "authorization identity") if authzid else b""
        parts = (acting_as, credential(user, "user name"), credential(password, "password"))
        super().__init__(b"\0".join(parts))


class PlainServer(SingleResponseServer):
    """The server's side of PLAIN."""

    name = "PLAIN"

    def _take(self, response: bytes) -> Finished:
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise SASLError("PLAIN's response has three parts")
        authzid = claimed(parts[0], "authorization identity")
        user = claimed(parts[1], "user name")
        password = claimed(parts[2], "password")
        if not user or not password:
            raise SASLError("PLAIN's response lacks a user name or a password")
        return Finished(user, authzid, password=password, mechanism=self.name)
