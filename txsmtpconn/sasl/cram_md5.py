"""CRAM-MD5: the password proves itself and stays at home (RFC 2195).

An eavesdropper gets a keyed digest instead of the password, enough for guessing it at leisure, and
the server must keep the password in clear. Where the session is under TLS, PLAIN serves as well.
"""

from __future__ import annotations

import hmac
import secrets
import time

from txsmtpconn.sasl.mechanism import (
    Challenge,
    Finished,
    NotProved,
    SASLError,
    SecretWanted,
    claimed,
    credential,
)
from txsmtpconn.wire.errors import LocalProtocolError


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
        return self._user + b" " + _digest(self._password, challenge)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'waiting'}>"


class CramMD5Server:
    """The server's side of CRAM-MD5; it needs the password itself.

    Args:
        challenge: What to compute the digest over; by default it is new.
    """

    name = "CRAM-MD5"

    def __init__(self, challenge: bytes | None = None) -> None:
        self._challenge = _new_challenge() if challenge is None else challenge
        self._asked = False
        self._over = False

    def step(self, response: bytes | None) -> Challenge | SecretWanted:
        """Give the challenge, then take user name and digest."""
        if self._over or (response is None) is self._asked:
            raise SASLError("CRAM-MD5 is one challenge and one response")
        if response is None:
            self._asked = True
            return Challenge(self._challenge)
        self._over = True
        name, space, digest = response.rpartition(b" ")
        user = claimed(name, "user name")
        if not space or not user:
            raise SASLError("CRAM-MD5's response is a user name and a digest")

        def check(password: str | None) -> bool:
            known = secrets.token_bytes() if password is None else password.encode("utf-8")
            return hmac.compare_digest(_digest(known, self._challenge), digest.lower())

        def judge(password: object) -> Finished:
            if not isinstance(password, str | None):
                raise LocalProtocolError("CRAM-MD5 needs the password, as text")
            if not check(password):
                raise NotProved("the client does not prove that it knows the password")
            return Finished(user, mechanism=self.name, verified=True)

        return SecretWanted(user, judge, Finished(user, mechanism=self.name, check=check))


def _digest(password: bytes, challenge: bytes) -> bytes:
    return hmac.new(password, challenge, "md5").hexdigest().encode("ascii")


def _new_challenge() -> bytes:
    """Make a message identifier (RFC 2195 section 2) that tells nothing of this host."""
    return f"<{secrets.token_hex(16)}.{int(time.time())}@sasl.invalid>".encode("ascii")
