"""The SASL dialogue of a client session (RFC 4954), without knowledge of any mechanism.

It knows how responses and challenges are spelled, how many rounds are too many, and that only
235 means success. What to say is the caller's affair, who may also say it in words of his own.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Final

from txsmtpconn.errors import ProtocolError
from txsmtpconn.session.client.conversation import Conversation, carrier
from txsmtpconn.session.client.events import ChallengeReceived, WordsAnswered
from txsmtpconn.session.client.tables import Effect, Expected, State, Verb
from txsmtpconn.session.client.transaction import Authenticate, Operation, OwnWords
from txsmtpconn.wire.commands import command_line
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.limits import SASL_ROUNDS
from txsmtpconn.wire.reply import Reply

#: Commands that change what the session knows of the peer: its own to send.
_THE_SESSIONS: Final = frozenset(
    b"EHLO HELO LHLO STARTTLS MAIL RCPT DATA BDAT RSET QUIT".split(b" ")
)


def own_words(line: bytes, *, responding: bool = False) -> bytes:
    """Return a line of a caller's own authentication as it goes on the wire.

    Args:
        line: A command, or the response to a challenge, without its line end.
        responding: Whether it answers a challenge: base64 may then look like any command.

    Raises:
        LocalProtocolError: It is no line of printable ASCII, or a command that the session sends.
    """
    if not responding:
        verb = line.partition(b" ")[0].upper()
        if not verb or verb in _THE_SESSIONS:
            raise LocalProtocolError("an authentication cannot send this command")
    return command_line(line)


@carrier
class Dialogue:
    """The part of a client session that authenticates it.

    Args:
        conversation: The line to the peer.

    Attributes:
        current: The operation that has the connection for itself, if one has.
        succeeded: Whether a dialogue ended with 235.
    """

    __slots__ = (
        "_conversation",
        "current",
        "succeeded",
    )

    def __init__(self, conversation: Conversation) -> None:
        self.current: Authenticate | OwnWords | None = None
        self.succeeded = False
        self._conversation = conversation
        conversation.parts[Dialogue] = self

    def begin(self, operation: Authenticate | OwnWords) -> None:
        """Write the first line; until the dialogue ends, nothing else may leave."""
        self.current = operation
        self._conversation.enter(State.AUTHENTICATING)
        self._conversation.secrets = operation.secrets
        if isinstance(operation, OwnWords):
            self._write_words(operation, operation.line)
        else:
            self._write_auth(operation)

    # -- a mechanism's

    def _write_auth(self, operation: Authenticate) -> None:
        words = [b"AUTH", operation.mechanism.encode("ascii")]
        shown = None
        if operation.initial is not None:
            shown = b" ".join(words)
            # RFC 4954 section 4: "=" stands for an initial response of no octets.
            words.append(self._secretly(operation.initial) or b"=")
        line = command_line(*words)
        self._conversation.write(Verb.AUTH, line, Expected.AUTH, operation, shown)

    def respond(self, data: bytes | None) -> None:
        """Answer the challenge that is open; None gives the dialogue up."""
        operation = self.current
        if not isinstance(operation, Authenticate) or not operation.challenged:
            return
        if self._conversation.state is not State.AUTHENTICATING:
            # What came behind the challenge has ended the session.
            return
        operation.challenged = False
        if data is None:
            self._cancel(operation)
            return
        line = self._secretly(data) + b"\r\n"
        self._conversation.write(Verb.SASL_RESPONSE, line, Expected.AUTH, operation, b"")

    def _cancel(self, operation: Operation) -> None:
        self._conversation.write(Verb.SASL_RESPONSE, b"*\r\n", Expected.AUTH_CANCELLED, operation)

    def _secretly(self, response: bytes) -> bytes:
        """Encode a response, and know it again should the peer quote it."""
        line = b64encode(response)
        self._conversation.secrets += (line,)
        return line

    def _on_challenged(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        assert isinstance(operation, Authenticate)
        conversation = self._conversation
        if self._is_too_much(operation):
            return
        operation.challenged = True
        try:
            challenge = b64decode(reply.octets[-1].strip(), validate=True)
        except Base64Error:
            text = "the challenge is not base64"
            operation.given_up = ProtocolError(text, command=f"AUTH {operation.mechanism}")
            self.respond(None)
        else:
            conversation.events.append(ChallengeReceived(operation, challenge))

    def _is_too_much(self, operation: Authenticate | OwnWords) -> bool:
        """Count a challenge; end the session where a peer never comes to the point."""
        operation.rounds += 1
        if operation.rounds <= SASL_ROUNDS:
            return False
        text = f"the server sent more than {SASL_ROUNDS} challenges"
        self._conversation.end(ProtocolError(text, command=f"AUTH {operation.mechanism}"))
        return True

    def _on_auth_ended(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        assert isinstance(operation, (Authenticate, OwnWords))
        self._end(operation, reply, succeeded=reply.is_positive)

    def _end(
        self, operation: Authenticate | OwnWords, reply: Reply | None, *, succeeded: bool
    ) -> None:
        self.current = None
        self._conversation.secrets = ()
        if succeeded:
            self.succeeded = True
        self._conversation.enter(State.READY)
        self._conversation.operation_ended(operation, reply, operation.given_up)

    # -- the caller's own

    def say(self, operation: OwnWords, line: bytes) -> None:
        """Write the next line of ``OwnWords``, if it is its turn."""
        if operation is self.current and operation.answered:
            self._write_words(operation, line)

    def conclude(self, operation: OwnWords, *, succeeded: bool) -> None:
        """End ``OwnWords``; a challenge that was left open is given up first."""
        if operation is not self.current or not operation.answered:
            return
        if operation.challenged:
            operation.answered = False
            self._cancel(operation)
        else:
            self._end(operation, operation.reply, succeeded=succeeded)

    def _write_words(self, operation: OwnWords, line: bytes) -> None:
        words = line.split()
        if operation.challenged:
            verb, shown = Verb.SASL_RESPONSE, 0
        else:
            # Only the first line may wait in the queue, so all that could be said is known.
            verb, shown = Verb.AUTH, 2 if words[0].upper() == b"AUTH" else 1
        operation.answered = False
        self._conversation.secrets += tuple(words[shown:])
        told = b" ".join(words[:shown]) if len(words) > shown else None
        self._conversation.write(verb, line, Expected.OWN_WORDS, operation, told)

    def _on_words_answered(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        assert isinstance(operation, OwnWords)
        operation.answered = True
        operation.reply = reply
        if reply.code != 334 or not self._is_too_much(operation):
            self._conversation.events.append(WordsAnswered(operation, reply))

    #: Which effects of replies this part carries out, and how.
    ACTS: Final = (
        (Effect.CHALLENGED, _on_challenged),
        (Effect.AUTH_ENDED, _on_auth_ended),
        (Effect.OWN_WORDS_ANSWERED, _on_words_answered),
    )
