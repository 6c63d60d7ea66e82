"""What a SASL mechanism is here: a stepper, challenge in and response out (RFC 4422 section 3).

A mechanism knows nothing of SMTP. Octets come and go undecoded; base64, ``334``, ``*``, the limit
on rounds and the redaction of what is sent belong to the session. It does no input or output: what
takes time, such as fetching a token, is done before it starts.

Three things can go wrong, told apart by who is to blame. Credentials that the mechanism cannot
carry are a `LocalProtocolError`, raised when the stepper is made and so before a word is said. A
challenge or response that breaks the mechanism's rules is a `SASLError`: a client cancels with
``*``, a server refuses. And a failure that a server reports within the mechanism is told by
`failure`; its reply follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from txsmtpconn.wire.errors import LocalProtocolError


class SASLError(Exception):
    """The peer broke the rules of the mechanism. The message holds nothing of what it sent."""


class ClientMechanism(Protocol):
    """The client's side of one authentication exchange."""

    @property
    def name(self) -> str:
        """The mechanism's registered name."""
        ...

    @property
    def done(self) -> bool:
        """True while the mechanism has said all it has to say: only then is success legal."""
        ...

    @property
    def failure(self) -> str | None:
        """What the server reported within the mechanism: text from outside, free of secrets."""
        ...

    def initial(self) -> bytes | None:
        """Say what may go with the AUTH command; None if the server speaks first.

        Whoever calls it sends the response.
        """
        ...

    def step(self, challenge: bytes) -> bytes:
        """Answer a challenge.

        Raises:
            SASLError: The challenge is out of place or malformed; cancel with ``*``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Challenge:
    """A server's next challenge, before base64."""

    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a client claims to be; a server has still to believe it.

    Attributes:
        authcid: Whose credentials these are.
        authzid: Whom to act as; empty for the same.
        password: The password in clear, if the mechanism carries one.
        token: The bearer token, if the mechanism carries one.
    """

    authcid: str
    authzid: str = ""
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class ServerMechanism(Protocol):
    """The server's side of one authentication exchange."""

    @property
    def name(self) -> str:
        """The mechanism's registered name."""
        ...

    def step(self, response: bytes | None) -> Challenge | Finished:
        """Take the client's response; None where AUTH came without an initial one.

        Raises:
            SASLError: The response is out of place or malformed; refuse with 501.
        """
        ...


def credential(text: str, what: str) -> bytes:
    """Encode a user name or password as UTF-8.

    RFC 4616 section 2 would have both prepared with SASLprep (RFC 4013), which maps many characters
    and forbids more. Only the part that protects the wire is done here: control characters are
    refused, NUL among them, and the rest goes as given. Whoever keeps the password prepares it.

    Raises:
        LocalProtocolError: It is empty, no text, or holds a control character. The message names
            `what` and shows nothing of the value.
    """
    if not isinstance(text, str) or not text:
        raise LocalProtocolError(f"the {what} must be a text and not empty")
    if _has_controls(text):
        raise LocalProtocolError(f"the {what} holds a control character")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"the {what} is not valid Unicode") from None


def claimed(octets: bytes, what: str) -> str:
    """Decode a user name or password from a client, by the rules of `credential`.

    Raises:
        SASLError: It is no UTF-8 or holds a control character.
    """
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise SASLError(f"the {what} is not UTF-8") from None
    if _has_controls(text):
        raise SASLError(f"the {what} holds a control character")
    return text


def _has_controls(text: str) -> bool:
    """Find C0, DEL and C1: the ASCII and non-ASCII control characters of RFC 3454 C.2."""
    return any(char < " " or "\x7f" <= char <= "\x9f" for char in text)
