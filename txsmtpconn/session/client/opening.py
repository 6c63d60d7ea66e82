"""From the connection to a session that is ready: greeting, EHLO, STARTTLS and EHLO again."""

from __future__ import annotations

from typing import Final

from txsmtpconn.errors import ConnectionLostError, ProtocolError, TLSError
from txsmtpconn.session.client.conversation import Conversation, carrier
from txsmtpconn.session.client.events import Ready, TLSAgreed
from txsmtpconn.session.client.policy import Security
from txsmtpconn.session.client.rendering import client_greeting
from txsmtpconn.session.client.tables import Effect, Expected, State, Verb
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.client.transaction import Operation
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.extensions import EMPTY, Extensions
from txsmtpconn.wire.reply import Reply


@carrier
class Opening:
    """The first part of a client session.

    Args:
        conversation: The line to the peer.
        terms: Which verb opens the session, under which name, and when to turn to TLS.

    Attributes:
        introduction: The XCLIENT behind which the session begins anew, until it has done so.
    """

    __slots__ = (
        "_conversation",
        "_greeted",
        "_terms",
        "introduction",
    )

    def __init__(self, conversation: Conversation, terms: Terms) -> None:
        self.introduction: Operation | None = None
        self._greeted = False
        self._conversation = conversation
        self._terms = terms
        conversation.parts[Opening] = self

    def connection_made(self) -> None:
        """Await the greeting, behind a TLS handshake where the policy says so."""
        if self._terms.security is Security.IMPLICIT:
            self._upgrade()
        else:
            self._await_greeting()

    def tls_established(self, *, verified: bool) -> None:
        """Begin anew: nothing that was learnt in clear is kept (RFC 3207 section 4.2)."""
        conversation = self._conversation
        if conversation.state is not State.UPGRADING:
            raise LocalProtocolError("no TLS handshake was asked for")
        conversation.secure = True
        conversation.verified = verified
        conversation.extensions = EMPTY
        if self._greeted:
            self._say_hello()
        else:
            self._await_greeting()

    def _await_greeting(self) -> None:
        self._conversation.enter(State.GREETING)
        self._conversation.expect(Expected.GREETING, None)

    def _say_hello(self) -> None:
        self._conversation.enter(State.HELLO)
        self._conversation.write(Verb.HELLO, self._terms.hello, Expected.HELLO, None)

    def _upgrade(self) -> None:
        self._conversation.enter(State.UPGRADING)
        self._conversation.events.append(TLSAgreed())

    def _become_ready(self) -> None:
        conversation = self._conversation
        conversation.enter(State.READY)
        operation, self.introduction = self.introduction, None
        if operation is None:
            conversation.events.append(Ready(conversation.extensions))
        else:
            conversation.operation_ended(operation, conversation.last_reply, None)
        assert conversation.opened is not None
        conversation.opened()

    @property
    def _wants_tls(self) -> bool:
        conversation = self._conversation
        if conversation.secure or self._terms.security is Security.IGNORED:
            return False
        # A middlebox may have cut the offer out: where TLS is required, it is asked for anyway.
        return self._terms.security is Security.REQUIRED or conversation.extensions.starttls

    def _is_last_word(self, command: str) -> bool:
        """Tell whether nothing came behind the reply: it would answer what has not been asked."""
        conversation = self._conversation
        early = conversation.parser.residue.strip(b"\r\n")
        if early:
            text = "a reply came before its command"
            shown = conversation.readable(early)
            conversation.end(ProtocolError(text, response=shown, command=command))
        return not early

    def _on_greeted(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        self._greeted = True
        if self._is_last_word("CONN"):
            self._say_hello()

    def _on_introduced(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        """The peer takes us for another: of what it said before nothing holds, but TLS does."""
        self.introduction = operation
        self._conversation.extensions = EMPTY
        if self._is_last_word("XCLIENT"):
            self._say_hello()

    def _on_greeting_refused(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        self._conversation.end(ProtocolError("invalid greeting", reply=reply, command="CONN"))

    def _on_hello_accepted(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        conversation = self._conversation
        if expected is Expected.HELLO:
            conversation.extensions = Extensions.from_reply(reply)
        if not self._wants_tls:
            self._become_ready()
        elif self._is_last_word("EHLO"):
            conversation.enter(State.STARTTLS)
            conversation.write(Verb.STARTTLS, b"STARTTLS\r\n", Expected.STARTTLS, None)

    def _on_hello_unknown(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        """RFC 5321 section 3.2: HELO is the way out, where nothing that it lacks is needed."""
        conversation = self._conversation
        needs = None
        if self._terms.security is Security.REQUIRED and not conversation.secure:
            needs = "STARTTLS"
        elif self._terms.auth_required:
            needs = "AUTH"
        if self._terms.dialect.fallback is None:
            self._on_hello_refused(reply, operation, expected)
        elif needs is not None:
            text = f"EHLO failed, and HELO does not support {needs}, which is required"
            conversation.end(ConnectionLostError(text, reply=reply, command="EHLO"))
        elif self._is_last_word("EHLO"):
            line = client_greeting(self._terms.dialect.fallback, self._terms.name)
            conversation.write(Verb.HELO, line, Expected.HELO, None)

    def _on_hello_refused(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        verb = "HELO" if expected is Expected.HELO else self._terms.dialect.hello.decode()
        self._conversation.end(ProtocolError(f"{verb} was refused", reply=reply, command=verb))

    def _on_tls_agreed(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        residue = self._conversation.parser.residue
        if residue:
            # It came in clear, so anybody may have sent it (RFC 3207 section 4.2).
            error = ProtocolError(
                "something came behind the server's agreement to STARTTLS",
                response=self._conversation.readable(residue),
                command="STARTTLS",
            )
            self._conversation.end(error)
        else:
            self._upgrade()

    def _on_tls_refused(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        if self._terms.security is Security.OPPORTUNISTIC:
            self._become_ready()
        else:
            error = TLSError("STARTTLS was refused", reply=reply, command="STARTTLS")
            self._conversation.end(error)

    #: Which effects of replies this part carries out, and how.
    ACTS: Final = (
        (Effect.GREETED, _on_greeted),
        (Effect.INTRODUCED, _on_introduced),
        (Effect.GREETING_REFUSED, _on_greeting_refused),
        (Effect.HELLO_ACCEPTED, _on_hello_accepted),
        (Effect.HELLO_UNKNOWN, _on_hello_unknown),
        (Effect.HELLO_REFUSED, _on_hello_refused),
        (Effect.TLS_AGREED, _on_tls_agreed),
        (Effect.TLS_REFUSED, _on_tls_refused),
    )
