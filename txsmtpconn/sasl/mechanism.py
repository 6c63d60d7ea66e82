"""What a SASL mechanism is here: a stepper, challenge in and response out (RFC 4422 section 3).

A mechanism knows nothing of SMTP. Octets come and go undecoded; base64, ``334``, ``*``, the limit
on rounds and the redaction of what is sent belong to the session. It does no input or output: what
takes time, such as fetching a token, is done before it starts. The one exception is GSSAPI, whose
library does; `Mechanism.blocks` says so, and whoever has a reactor runs such a stepper elsewhere.

Four things can go wrong, told apart by who is to blame. Credentials that the mechanism cannot
carry are a `LocalProtocolError`, raised when the stepper is made and so before a word is said. A
challenge or response that breaks the mechanism's rules is a `SASLError`: a client cancels with
``*``, a server refuses with 501. A failure that a server reports within the mechanism is told by
`failure`; its reply follows. And a client that does not prove what it claims is `NotProved` to a
server, which refuses with 535.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from txsmtpconn.wire.errors import LocalProtocolError


class SASLError(Exception):
    """The peer broke the rules of the mechanism. The message holds nothing of what it sent."""


class LibraryMissing(LocalProtocolError):
    """A mechanism needs a library that is not installed."""


class NotProved(Exception):
    """The client does not prove what it claims. Whether the user exists is not told."""


@dataclass(frozen=True, slots=True)
class Channel:
    """The connection under a dialogue, as far as a mechanism may care.

    Attributes:
        host: The server's name as the client knows it.
        port: The server's port; 0 where there is none.
        bindings: Channel bindings by the name of their type (RFC 5056), the one to prefer first;
            empty without TLS.
        plus_offered: Whether the server offers a mechanism that binds to the channel.
        certificate: Whether the client has a certificate, and on the server has shown one.
    """

    host: str = ""
    port: int = 0
    bindings: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    plus_offered: bool = False
    certificate: bool = False


IN_CLEAR = Channel()


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
    """What a client claims to be; but for `verified`, a server has still to believe it.

    Attributes:
        authcid: Whose credentials these are; empty where the mechanism does not say, as a token,
            a certificate or nothing at all was shown. Such credentials name nobody by themselves.
        authzid: Whom to act as; empty for the same.
        password: The password in clear, if the mechanism carries one.
        token: The bearer token, if the mechanism carries one.
        mechanism: The mechanism's registered name.
        verified: True if the mechanism itself has found the client to know the password of
            `authcid`. Whether it may act as `authzid` is another question.
        trace: What an anonymous client says of itself (RFC 4505).
        refusal: What a server that does not believe this sends as a challenge, before its reply.
        check: Compares a password with what the client has sent in its place, such as a digest.
    """

    authcid: str
    authzid: str = ""
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    mechanism: str = ""
    verified: bool = False
    trace: str = ""
    refusal: bytes | None = field(default=None, repr=False)
    check: Callable[[str | None], bool] | None = field(default=None, repr=False, compare=False)

    def proves(self, password: str | None) -> bool:
        """Tell whether the client knows this password, in constant time.

        Args:
            password: The right one; None where there is none, of which nothing is a proof.
        """
        if self.check is not None:
            return self.check(password)
        if self.password is None or password is None:
            return False
        return hmac.compare_digest(
            self.password.encode("utf-8", "surrogatepass"),
            password.encode("utf-8", "surrogatepass"),
        )


@dataclass(frozen=True, slots=True)
class SecretWanted:
    """A server's mechanism cannot go on without what is kept of a user's password.

    Attributes:
        authcid: Whose.
        go_on: Call it with that, or with None where there is no such user: the dialogue then goes
            on to its refusal, so that nobody learns who exists. It raises `NotProved` if the
            client does not know the password, and `LocalProtocolError` if the mechanism cannot use
            what it was given.
        claim: What to ask the application about where it would rather judge than tell; None where
            the mechanism needs to know.
    """

    authcid: str
    go_on: Callable[[object], Challenge | Finished] = field(repr=False)
    claim: Finished | None = None


#: What a server's step comes to.
ServerStep = Challenge | Finished | SecretWanted


class ServerMechanism(Protocol):
    """The server's side of one authentication exchange."""

    @property
    def name(self) -> str:
        """The mechanism's registered name."""
        ...

    def step(self, response: bytes | None) -> ServerStep:
        """Take the client's response; None where AUTH came without an initial one.

        Raises:
            SASLError: The response is out of place or malformed; refuse with 501.
            NotProved: It does not prove what it should; refuse with 535.
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
