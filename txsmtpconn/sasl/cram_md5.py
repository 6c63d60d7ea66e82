"""CRAM-MD5: the password proves itself and stays at home (RFC 2195).

An eavesdropper gets a keyed digest instead of the password, enough for guessing it at leisure, and
the server must keep the password in clear. Where the session is under TLS, PLAIN serves as well.
"""

from __future__ import annotations

import hmac

from txsmtpconn.sasl.mechanism import SASLError, credential


class CramMD5Client:
    """The client's side of CRAM-MD5.

    Raises:
        LocalProtocolError: A part is missing or holds a control character.
    """

    name = "CRAM-MD5"
    failure = None

    def __init__(self, user: str, password: str) -> None:
        self._user = credential(user, "user name")
        self._password = credential(password, "password")
        self.done = False

    def initial(self) -> None:
        """Wait: the server speaks first."""

    def step(self, challenge: bytes) -> bytes:
        """Answer the challenge with the user name and the digest.

        RFC 2195 gives the challenge the form of a message identifier. The digest is as good over
        any other octets, and servers differ; an empty challenge, though, is fresh for nobody.
        """
        if self.done:
            raise SASLError("the server wants more than CRAM-MD5 has to say")
        if not challenge:
            raise SASLError("the server's challenge is empty")
        self.done = True
        digest = hmac.new(self._password, challenge, "md5").hexdigest()
        return self._user + b" " + digest.encode("ascii")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'waiting'}>"
