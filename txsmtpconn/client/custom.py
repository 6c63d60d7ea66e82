"""Mechanisms of the caller's: a handler that holds the dialogue in its own words.

Who can write a mechanism as a stepper (`txsmtpconn.sasl.Mechanism`) has it easier: base64, the
limits and the cancellation come with that. A handler is for what is no SASL at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail

from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.exchange import withdraw
from txsmtpconn.client.line import Line
from txsmtpconn.client.tokens import awaited
from txsmtpconn.errors import AuthenticationError, SMTPError
from txsmtpconn.sasl import Mechanism
from txsmtpconn.session.client.dialogue import own_words
from txsmtpconn.session.client.events import WordsAnswered
from txsmtpconn.session.client.transaction import OwnWords
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.reply import Reply

#: Returns for success and raises for failure; a coroutine or a Deferred may do either later.
AuthHandler = Callable[["AuthDialogue"], Any]

#: What `ConnectionOptions.custom_auth` holds by name.
CustomAuth = Mapping[str, AuthHandler | Mechanism]


class AuthDialogue:
    """What a handler knows, and what it can say.

    Attributes:
        credentials: What to log in with; a token from a provider is in ``access_token``.
        mechanism: The name under which the handler was entered.
        extensions: What the server offers.
        secure: Whether the connection is under TLS.
        reply: The server's last reply in this dialogue; None before the first.
    """

    def __init__(
        self, line: Line, credentials: Credentials, mechanism: str, secrets: tuple[bytes, ...]
    ) -> None:
        self.credentials = credentials
        self.mechanism = mechanism
        self.extensions: Extensions = line.session.extensions
        self.secure = line.session.secure
        self.reply: Reply | None = None
        self._line = line
        self._secrets = secrets
        self._operation: OwnWords | None = None
        self._waiting: Deferred[Reply] | None = None
        self._settled: Deferred[None] = Deferred()
        self._ended: Deferred[Reply | None] = Deferred()
        self._over = False

    @property
    def auth_methods(self) -> tuple[str, ...]:
        """The server's mechanisms, upper case."""
        return self.extensions.auth

    @property
    def max_allowed_size(self) -> int | None:
        """Octets of the largest message that the server takes; None where it set no limit."""
        return self.extensions.size

    def send_command(self, line: str | bytes) -> Deferred[Reply]:
        """Send a line and wait for its reply, whatever that says.

        Of a command no more than its name goes into a log (of AUTH, the mechanism's too), and of
        the answer to a challenge (334) nothing.

        Args:
            line: A command, or the answer to a challenge in base64, without its line end.

        Errbacks:
            AuthenticationError: It is no line of printable ASCII, or a command of another purpose
                (MAIL, RSET, ...); the last one has no reply yet; or the dialogue is over.
            SMTPError: The connection has ended.
        """
        operation = self._operation
        responding = operation is not None and operation.challenged
        try:
            octets = line.encode("ascii") if isinstance(line, str) else bytes(line)
            words = own_words(octets, responding=responding)
        except (LocalProtocolError, UnicodeEncodeError, TypeError):
            # Not chained: the reason may quote the line.
            text = f"the handler of {self.mechanism} says what is no line of an authentication"
            return fail(AuthenticationError(text, command="API"))
        if self._over or self._waiting is not None:
            what = "is over" if self._over else "awaits a reply"
            return fail(AuthenticationError(f"the dialogue {what}", command="API"))
        waiting = self._waiting = Deferred()
        session = self._line.session
        if operation is None:
            operation = OwnWords(self.mechanism, words, secrets=self._secrets)
            operation.tag = self
            self._operation = operation
            self._line.take(session.submit(operation))
        else:
            session.say(operation, words)
            self._line.take()
        return waiting

    # -- what the line tells

    def dialogue_event(self, event: WordsAnswered) -> None:
        """Take a reply."""
        reply = self.reply = event.reply
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        if self._over:
            self._settled.callback(None)
        else:
            waiting.callback(reply)

    def operation_ended(self, reply: Reply | None, error: SMTPError | None) -> None:
        """Take the end, which may come while a reply is awaited."""
        waiting, self._waiting = self._waiting, None
        if error is None:
            self._ended.callback(reply)
            return
        self._ended.errback(error)
        if waiting is not None and not self._over:
            waiting.errback(error)

    # -- for those who called the handler

    async def conclude(self, *, succeeded: bool) -> None:
        """Give the connection back, when the server owes nothing more."""
        operation, line = self._operation, self._line
        self._over = True
        if operation is None:
            return
        if self._waiting is not None and not operation.ended:
            # The handler has left without its last reply.
            await self._settled
        line.take(line.session.conclude(operation, succeeded=succeeded))
        await self._ended

    def leave(self) -> None:
        """Let nothing more be said."""
        self._over = True
        self._ended.addErrback(lambda _: None)
        if self._operation is not None:
            withdraw(self._line, self._operation)


class CustomExchange:
    """An exchange by a handler of the caller's.

    Args:
        line: The connection.
        name: The mechanism.
        handler: What is called.
        credentials: What to log in with.
        secrets: What no reply may quote, besides what is said.
    """

    deceived = False

    def __init__(
        self,
        line: Line,
        name: str,
        handler: AuthHandler,
        credentials: Credentials,
        secrets: tuple[bytes, ...],
    ) -> None:
        self.name = name
        self._handler = handler
        self._dialogue = AuthDialogue(line, credentials, name, secrets)

    @property
    def refused(self) -> bool:
        """Whether the server's last word was that it does not believe the credentials."""
        reply = self._dialogue.reply
        return reply is not None and reply.code == 535

    async def run(self) -> Reply:
        """Let the handler speak, and hold it to the server's last word."""
        dialogue = self._dialogue
        try:
            error = await self._heard_out()
            reply = dialogue.reply
            if error is None and (reply is None or not reply.is_positive):
                text = f"the handler of {self.name} ended without a success"
                error = AuthenticationError(text, reply=reply, command=f"AUTH {self.name}")
            await dialogue.conclude(succeeded=error is None)
        finally:
            dialogue.leave()
        if error is not None:
            raise error
        assert reply is not None
        return reply

    async def _heard_out(self) -> SMTPError | None:
        """Return why the handler failed, if it did."""
        try:
            await awaited(self._handler(self._dialogue))
        except CancelledError:
            raise
        except SMTPError as refusal:
            return refusal
        except Exception as reason:  # noqa: BLE001 - a caller's function may raise anything
            failed = AuthenticationError(
                f"the handler of {self.name} failed: {type(reason).__name__}",
                reply=self._dialogue.reply,
                command=f"AUTH {self.name}",
            )
            failed.__cause__ = reason
            return failed
        return None
