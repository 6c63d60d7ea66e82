"""What is said to a proxy until it has opened a tunnel: octets in, octets out, no I/O."""

from __future__ import annotations

from typing import Protocol

from txsmtpconn.errors import ProxyError, printable

#: Octets that a proxy may say before the tunnel is open (no RFC has a limit; Nodemailer's is this).
SAID_LIMIT = 64 * 1024

#: Characters of a proxy's own words in an error.
WORDS_LIMIT = 200


class Handshake(Protocol):
    """The client's side of a conversation that ends with an open tunnel.

    Attributes:
        leftover: What the proxy sent behind its last word, which comes from the server already;
            None until the tunnel is open.
    """

    leftover: bytes | None

    def begin(self) -> bytes:
        """Return what to send first."""

    def receive(self, octets: bytes) -> bytes:
        """Take what has come, and return what to send next.

        Raises:
            ProxyError: The proxy refused, or broke the rules.
        """


def quoted(words: bytes | str) -> str:
    """Return a proxy's own words so that they can neither forge a log nor fill it."""
    text = words if isinstance(words, str) else words.decode("utf-8", "backslashreplace")
    shown = printable(text[:WORDS_LIMIT])
    return shown if len(text) <= WORDS_LIMIT else f"{shown}..."


def refused(words: str) -> ProxyError:
    """Return the error of a proxy that said no."""
    return ProxyError(f"the proxy refused: {words}", command="CONN")


def broken(words: str) -> ProxyError:
    """Return the error of a proxy that does not speak its protocol."""
    return ProxyError(f"the proxy broke the rules: {words}", command="CONN")
