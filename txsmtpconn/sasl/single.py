"""Mechanisms in which the client says one thing, with the AUTH command or after it.

Without an initial response the server asks with an empty challenge (RFC 4954 section 4).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from txsmtpconn.sasl.mechanism import Challenge, Finished, SASLError


class SingleResponseClient:
    """A client with one thing to say.

    Args:
        message: That.
    """

    name: ClassVar[str]
    failure: str | None = None

    def __init__(self, message: bytes) -> None:
        self._message = message
        self.done = False

    def initial(self) -> bytes:
        """Give the whole message: there is nothing to wait for."""
        self.done = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """Answer the empty challenge of a server that was sent no initial response."""
        if self.done:
            raise SASLError(f"the server wants more than {self.name} has to say")
        if challenge:
            raise SASLError(f"the server's challenge is not empty, as {self.name}'s first is")
        return self.initial()

    def __repr__(self) -> str:
        state = "failed" if self.failure is not None else "done" if self.done else "waiting"
        return f"<{type(self).__name__} {state}>"


class SingleResponseServer(ABC):
    """A server that hears one thing."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._asked = False
        self._finished = False

    def step(self, response: bytes | None) -> Challenge | Finished:
        """Ask with an empty challenge where nothing came yet, then take the message apart."""
        if self._finished or (response is None and self._asked):
            raise SASLError(f"{self.name} is one response")
        if response is None:
            self._asked = True
            return Challenge()
        # Whatever is wrong with it, there is no second try.
        self._finished = True
        return self._take(response)

    @abstractmethod
    def _take(self, response: bytes) -> Finished:
        """Take the message apart.

        Raises:
            SASLError: It is malformed.
            NotProved: It does not prove what it should.
        """
