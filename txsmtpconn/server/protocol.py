"""The server's Protocol: a `ServerSession` on a transport.

One method writes (`_flush`); one loop (`_proceed`) hands the session's events to the conversation
with the application. A hook that has not decided yet ends the loop, and its answer enters it again.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txsmtpconn.net.deadline import Deadline
from txsmtpconn.net.tls import let_go
from txsmtpconn.net.transcript import Transcript, announce, next_session_id
from txsmtpconn.server.conversation import Conversation
from txsmtpconn.server.outlet import Outlet
from txsmtpconn.server.session import Session, tls_facts
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.session.trace import Trace
from txsmtpconn.wire.attributes import Attributes
from txsmtpconn.wire.reply import Reply

if TYPE_CHECKING:
    from txsmtpconn.server.factory import SMTPServerFactory

#: Octets that may wait for a hook or a sink before we stop reading from the transport.
WAITING_OCTETS = 64 * 1024


@implementer(IHandshakeListener, IHalfCloseableProtocol, IPushProducer)
class SMTPServerProtocol(Protocol):
    """One client's connection.

    Args:
        factory: Gives options, hooks, rules and clock, and is told of the end.
        turned_away: What to say instead of a greeting; None to serve the client.

    Attributes:
        session: What hooks see of the client; there once the connection is made.
        addresses: The client's address and the one it came to, where the connection's own are
            those of a load balancer.
    """

    _log = Logger()

    addresses: tuple[Any, Any] | None = None

    def __init__(self, factory: SMTPServerFactory, turned_away: Reply | None = None) -> None:
        self.factory: SMTPServerFactory = factory
        self.session: Session
        self._turned_away = turned_away
        self._now = factory.clock.seconds
        self._id = next_session_id()
        logger = factory.logger
        trace: Trace | None = None
        if logger is not None and factory.options.transaction_log:
            trace = Transcript(logger, self._id, content=factory.options.debug)
        self._smtp = self.make_session(trace)
        self._deadline = Deadline(factory.clock, self._timer_fired)
        self._patience = inf
        self._conversation: Conversation
        self._outlet: Outlet
        self._awaiting_handshake = False
        self._output_blocked = False
        self._reading_paused = False
        self._advancing = False
        self._leaving = False
        self._gone = False

    def make_session(self, trace: Trace | None) -> ServerSession:
        """Make the session; called once, by `__init__`."""
        return ServerSession(self.factory.rules, consents=self.factory.consents, trace=trace)

    @property
    def is_served(self) -> bool:
        """Whether it is not one that is only shown out."""
        return self._turned_away is None

    # -- the transport's calls

    def connectionMade(self) -> None:
        """Greet the client, once TLS is up where it comes first."""
        transport = self._transport
        now = self._now()
        peer, host = self.addresses or (transport.getPeer(), transport.getHost())
        self._smtp.rules = self.factory.policy.rules_for(peer)
        self.session = Session(self._smtp, self._id, peer, host, now)
        self._conversation = Conversation(
            self._smtp,
            self.session,
            self.factory.hooks,
            self.factory.clock,
            self.factory.guessing,
            go_on=self._advance,
            start_tls=self._start_tls,
            introduced=self._introduced,
            broken=self._broken,
            turned_away=self._turned_away,
        )
        self._outlet = Outlet(transport, self.factory.outbox)
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        announce(
            self.factory.logger,
            "{session_id} connection from {peer}",
            session_id=self._id,
            peer=self.session.peer,
        )
        self.factory.connection_opened(self)
        implicit_tls = self.factory.options.implicit_tls
        self._smtp.connection_made(now, implicit_tls=implicit_tls)
        transport.registerProducer(self, True)
        if implicit_tls:
            self._start_tls()
        self._advance()

    def dataReceived(self, data: bytes) -> None:
        """Take octets."""
        now = self._now()
        self._smtp.receive_data(data, now)
        self._proceed(now)

    def handshakeCompleted(self) -> None:
        """Go on in TLS, if it was we who asked for it."""
        if self._gone or not self._awaiting_handshake:
            return
        self._awaiting_handshake = False
        self.session.tls = tls_facts(self._transport)
        self._smtp.tls_established(self._now())
        self._conversation.log_out()
        self._advance()

    def readConnectionLost(self) -> None:
        """Answer what has come; the client sends nothing more, but may still read."""
        if self._leaving:
            # Our half is closed already, and Twisted leaves it to us to close the whole.
            self._transport.loseConnection()
            return
        self._smtp.input_ended()
        self._advance()

    def writeConnectionLost(self) -> None:
        """Do nothing: it was we who closed this half."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything, once."""
        # Nothing that is acted on now finds anybody to answer.
        self._gone = self._output_blocked = True
        self._deadline.cancel()
        self._outlet.close()
        announce(self.factory.logger, "{session_id} closed", session_id=self._id)
        self._conversation.client_left()
        # Last, as it may end a `drain`: by then the application has heard of the client's end.
        self.factory.connection_closed(self)
        # These know us as we know them; let go, nothing is left for the collector of cycles.
        let_go(self.transport)
        del self._deadline, self._conversation, self._outlet, self.transport

    # -- the transport as a consumer of replies

    def pauseProducing(self) -> None:
        """Answer nothing more for now: the client does not read."""
        if self._gone:
            return
        self._output_blocked = True
        self._smtp.output_blocked(self._now())
        self._lose_patience()

    def resumeProducing(self) -> None:
        """Go on: the client has read."""
        self._output_blocked = False
        self._smtp.output_flowing(self._now())
        self._advance()

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    # -- the factory's calls

    def shut_down(self) -> None:
        """End the session as soon as the message under way, if any, is answered for."""
        if self._gone:
            return
        self._smtp.shut_down(self._now())
        if self._smtp.closing:
            self._conversation.withdraw()
        self._advance()

    def abort(self) -> None:
        """Close the connection at once."""
        if not self._gone:
            self._transport.abortConnection()

    # -- the loop

    @property
    def _transport(self) -> Any:
        return self.transport

    def _advance(self) -> None:
        self._proceed(self._now())

    def _proceed(self, now: float) -> None:
        """Act on all that the session has to tell, then write what it has to say."""
        if self._advancing or self._gone:
            return
        self._advancing = True
        conversation = self._conversation
        try:
            while not (self._output_blocked or conversation.sink_busy):
                event = self._smtp.next_event(now)
                if event is None:
                    break
                conversation.act(event)
        finally:
            self._advancing = False
        if not self._gone:
            self._flush()

    def _flush(self) -> None:
        """Write, see to the timer, and close or stop reading if it is time to."""
        smtp = self._smtp
        data = smtp.data_to_send()
        if data:
            self._outlet.write(data)
        if smtp.patience < self._patience:
            self._lose_patience()
        if smtp.closing:
            if smtp.aborting:
                self._transport.abortConnection()
            else:
                self._leave()
        elif (
            self._reading_paused
            or self._output_blocked
            or self._conversation.sink_busy
            or smtp.question is not None
        ):
            # Only then can more than a line be waiting.
            self._read_or_wait(smtp.waiting_octets > WAITING_OCTETS)

    def _lose_patience(self) -> None:
        """Arm the timer anew: the timeout that runs now is shorter than the one it was armed for.

        Where it is not, its end only moves away, and the timer sees for itself when it fires.
        """
        self._patience = self._smtp.patience
        self._deadline.set(self._smtp.next_deadline())

    def _read_or_wait(self, enough: bool) -> None:
        """Read on, unless enough waits for the application."""
        if enough is self._reading_paused:
            return
        self._reading_paused = enough
        if enough:
            self._transport.pauseProducing()
        else:
            self._transport.resumeProducing()

    def _leave(self) -> None:
        """Close behind the last reply.

        Where the client may still be sending, only our half is closed: data nobody reads would
        make the kernel answer with a reset, which takes our last words away from the client.
        """
        if self._leaving:
            return
        self._leaving = True
        transport = self._transport
        self._outlet.flush()
        transport.unregisterProducer()
        if self._reading_paused:
            self._reading_paused = False
            transport.resumeProducing()
        linger = ITCPTransport.providedBy(transport) and not self._smtp.secure
        if linger and not self._smtp.input_over:
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    def _timer_fired(self) -> None:
        self._patience = inf
        if self._smtp.handle_timer(self._now()):
            self._conversation.overdue()
        self._advance()

    def _start_tls(self) -> None:
        self._awaiting_handshake = True
        self._flush()
        self._outlet.wrap()
        context = self.factory.options.tls
        if context is not None:
            self._transport.startTLS(context)
        elif not ISSLTransport.providedBy(self._transport):
            self._log.error("implicit_tls without a certificate needs a TLS listener")
            self._transport.abortConnection()

    def _introduced(self, attributes: Attributes) -> Reply | None:
        """Take the client for another; return why that one is not served, if it is not."""
        session = self.session
        before = session.peer
        session.introduce(attributes)
        announce(
            self.factory.logger,
            "{session_id} speaks for {peer}",
            session_id=self._id,
            peer=session.peer,
        )
        self._smtp.rules = self.factory.policy.rules_for(session.peer)
        return self.factory.client_introduced(before, session.peer)

    def _broken(self, failure: Failure) -> None:
        """Drop the client where we ourselves have failed; going on could only do harm."""
        self._log.failure("the session is broken", failure=failure)
        if not self._gone:
            self._transport.abortConnection()
