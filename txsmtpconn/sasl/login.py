"""LOGIN: user name, then password, each at a prompt.

Never a standard, and obsolete beside PLAIN; but there are servers that offer nothing else. The
prompts have no fixed text (``Username:``, ``User Name``, a translation, or nothing), so they are
answered by their order.
"""

from __future__ import annotations

from txsmtpconn.sasl.mechanism import Challenge, Finished, SASLError, claimed, credential


class LoginClient:
    """The client's side of LOGIN.

    Raises:
        LocalProtocolError: A part is missing or holds a control character.
    """

    name = "LOGIN"
    failure = None

    def __init__(self, user: str, password: str) -> None:
        # In the order of use from the end.
        self._answers = [credential(password, "password"), credential(user, "user name")]

    @property
    def done(self) -> bool:
        """True once both prompts were answered."""
        return not self._answers

    def initial(self) -> None:
        """Wait for the first prompt: not every server takes the user name with the command."""

    def step(self, challenge: bytes) -> bytes:
        """Answer the first prompt with the user name and the second with the password.

        Their text means nothing.
        """
        if not self._answers:
            raise SASLError("the server wants more than LOGIN has to say")
        return self._answers.pop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'waiting'}>"


class LoginServer:
    """The server's side of LOGIN, which also takes the user name as an initial response."""

    name = "LOGIN"

    def __init__(self) -> None:
        self._asked = False
        self._finished = False
        self._user = ""

    def step(self, response: bytes | None) -> Challenge | Finished:
        """Ask for the user name, then for the password."""
        if self._finished or (response is None and self._asked):
            raise SASLError("LOGIN is two responses")
        self._asked = True
        if response is None:
            return Challenge(b"Username:")
        if not response:
            self._finished = True
            raise SASLError("LOGIN's response lacks a user name or a password")
        if not self._user:
            self._user = claimed(response, "user name")
            return Challenge(b"Password:")
        self._finished = True
        password = claimed(response, "password")
        return Finished(self._user, password=password, mechanism=self.name)
