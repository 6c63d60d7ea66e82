"""PLAIN: user name and password in one response (RFC 4616)."""

from __future__ import annotations

from txsmtpconn.sasl.mechanism import Challenge, Finished, SASLError, claimed, credential


class PlainClient:
    """The client's side of PLAIN, ``authzid NUL authcid NUL password``.

    Raises:
        LocalProtocolError: A part is missing or holds a control character.
    """

    name = "PLAIN"
    failure = None

    def __init__(self, user: str, password: str, authzid: str = "") -> None:
        acting_as = credential(authzid, "authorization identity") if authzid else b""
        parts = (acting_as, credential(user, "user name"), credential(password, "password"))
        self._message = b"\0".join(parts)
        self.done = False

    def initial(self) -> bytes:
        """Give the whole message: a password is said once, and there is nothing to wait for."""
        self.done = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """Answer the empty challenge of a server that was sent no initial response."""
        if self.done:
            raise SASLError("the server wants more than PLAIN has to say")
        if challenge:
            raise SASLError("the server's challenge is not empty, as PLAIN's is")
        return self.initial()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'waiting'}>"


class PlainServer:
    """The server's side of PLAIN."""

    name = "PLAIN"

    def __init__(self) -> None:
        self._asked = False
        self._finished = False

    def step(self, response: bytes | None) -> Challenge | Finished:
        """Ask with an empty challenge where nothing came yet, then take the message apart."""
        if self._finished or (response is None and self._asked):
            raise SASLError("PLAIN is one response")
        if response is None:
            self._asked = True
            return Challenge()
        self._finished = True
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise SASLError("PLAIN's response has three parts")
        authzid = claimed(parts[0], "authorization identity")
        user = claimed(parts[1], "user name")
        password = claimed(parts[2], "password")
        if not user or not password:
            raise SASLError("PLAIN's response lacks a user name or a password")
        return Finished(user, authzid, password=password)
