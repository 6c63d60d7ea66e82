"""The SASL dialogue of a client session (RFC 4954), without knowledge of any mechanism.

It knows how responses and challenges are spelled, how many rounds are too many, and that only
235 means success. What to say is the caller's affair.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Final

from txsmtpconn.errors import ProtocolError, SMTPError
from txsmtpconn.session.client.conversation import Conversation
from txsmtpconn.session.client.events import ChallengeReceived
from txsmtpconn.session.client.tables import Effect, Expected, State, Verb
from txsmtpconn.session.client.transaction import Authenticate, Operation
from txsmtpconn.wire.commands import command_line
from txsmtpconn.wire.limits import SASL_ROUNDS
from txsmtpconn.wire.reply import Reply


class Dialogue:
    """The part of a client session that authenticates it.

    Args:
        conversation: The line to the peer.
        ended: Called with the operation, its reply and an error at the end of each dialogue.

    Attributes:
        current: The operation that has the connection for itself, if one has.
        succeeded: Whether a dialogue ended with 235.
    """

    current: Authenticate | None = None
    succeeded = False

    def __init__(
        self,
        conversation: Conversation,
        ended: Callable[[Operation, Reply | None, SMTPError | None], None],
    ) -> None:
        self._conversation = conversation
        self._ended = ended
        conversation.act_on(self, self._ACTS)

    def begin(self, operation: Authenticate) -> None:
        """Write AUTH; until it ends, nothing else may leave."""
        self.current = operation
        self._conversation.enter(State.AUTHENTICATING)
        self._conversation.secrets = operation.secrets
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
        if operation is None or not operation.challenged:
            return
        if self._conversation.state is not State.AUTHENTICATING:
            # What came behind the challenge has ended the session.
            return
        operation.challenged = False
        expected = Expected.AUTH_CANCELLED if data is None else Expected.AUTH
        line = b"*" if data is None else self._secretly(data)
        shown = None if data is None else b""
        self._conversation.write(Verb.SASL_RESPONSE, line + b"\r\n", expected, operation, shown)

    def _secretly(self, response: bytes) -> bytes:
        """Encode a response, and know it again should the peer quote it."""
        line = b64encode(response)
        self._conversation.secrets += (line,)
        return line

    def _on_challenged(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        assert isinstance(operation, Authenticate)
        conversation = self._conversation
        command = f"AUTH {operation.mechanism}"
        operation.rounds += 1
        if operation.rounds > SASL_ROUNDS:
            text = f"the server sent more than {SASL_ROUNDS} challenges"
            conversation.end(ProtocolError(text, command=command))
            return
        operation.challenged = True
        try:
            challenge = b64decode(reply.octets[-1].strip(), validate=True)
        except Base64Error:
            operation.given_up = ProtocolError("the challenge is not base64", command=command)
            self.respond(None)
        else:
            conversation.events.append(ChallengeReceived(operation, challenge))

    def _on_auth_ended(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        assert isinstance(operation, Authenticate)
        self.current = None
        self._conversation.secrets = ()
        if reply.is_positive:
            self.succeeded = True
        self._conversation.enter(State.READY)
        self._ended(operation, reply, operation.given_up)

    #: Which effects of replies this part carries out, and how.
    _ACTS: Final = (
        (Effect.CHALLENGED, _on_challenged),
        (Effect.AUTH_ENDED, _on_auth_ended),
    )
