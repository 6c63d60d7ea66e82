"""What answers the end of mail data: one reply, one for each recipient (LMTP), or both (PRDR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from txsmtpconn.errors import ConnectionLostError, ProtocolError, SMTPError
from txsmtpconn.session.client.conversation import Conversation, carrier
from txsmtpconn.session.client.tables import Effect, Expected
from txsmtpconn.session.client.transaction import Transaction
from txsmtpconn.wire.reply import Reply


@carrier
class Verdicts:
    """The part of a client session that hears what became of mail.

    Args:
        conversation: The line to the peer.
        reply_per_recipient: Whether the end mark is answered for each accepted recipient.
        end: Ends a transaction, with the reason if the replies do not decide.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        reply_per_recipient: bool,
        end: Callable[[Transaction, SMTPError | None], None],
    ) -> None:
        self._conversation = conversation
        self._reply_per_recipient = reply_per_recipient
        self._end = end
        conversation.parts[Verdicts] = self

    def _on_mark_answered(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        operation.final_replies.append(reply)
        if self._reply_per_recipient and self._goes_on(reply, operation):
            self._conversation.expect(Expected.MARK, operation, first=True)
        else:
            self._conclude(reply, operation)

    def _on_mark_divided(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        """draft-hall-prdr section 4.5: each recipient's reply follows, and then one for all."""
        if not operation.prdr:
            text = "the server answers for each recipient, which was not asked for"
            error = ProtocolError(text, reply=reply, command="DATA")
            self._end(operation, error)
            self._conversation.end(error)
            return
        operation.divided = operation.reply_per_recipient = True
        self._conversation.expect(Expected.VERDICT, operation, first=True)

    def _on_verdict(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        if len(operation.final_replies) == operation.accepted:
            operation.overall = reply
            self._conclude(reply, operation)
            return
        operation.final_replies.append(reply)
        if reply.code == 421:
            self._conclude(reply, operation)
        else:
            self._conversation.expect(Expected.VERDICT, operation, first=True)

    def _goes_on(self, reply: Reply, operation: Transaction) -> bool:
        """Tell whether more recipients have an answer coming; take note of this one's."""
        if reply.code < 300:
            operation.was_accepted = True
            if operation.mail_refused or operation.refusal is not None:
                return False
        return reply.code != 421 and len(operation.final_replies) < operation.accepted

    def _conclude(self, reply: Reply, operation: Transaction) -> None:
        """End a transaction with the last reply that it gets."""
        error: SMTPError | None = None
        if reply.code < 300:
            # A last word behind 353 may be friendly though every recipient was refused: the peer
            # may keep the transaction open then, as after any chunk that it has no use for.
            if not operation.divided or any(each.code < 300 for each in operation.final_replies):
                operation.was_accepted = True
            if operation.mail_refused or operation.refusal is not None:
                text = "the server took a message that it had refused"
                error = ProtocolError(text, reply=reply, command="DATA")
        elif reply.code == 421:
            text = "the server closed the session"
            error = ConnectionLostError(text, reply=reply, command="DATA")
        self._end(operation, error)
        if error is not None:
            self._conversation.end(error)

    #: Which effects of replies this part carries out, and how.
    ACTS: Final = (
        (Effect.MARK_ANSWERED, _on_mark_answered),
        (Effect.MARK_DIVIDED, _on_mark_divided),
        (Effect.VERDICT, _on_verdict),
    )
