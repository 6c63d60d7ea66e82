"""The server's Protocol: a `ServerSession` on a transport.

One method writes (`_flush`), and it alone arms the timer; one loop (`_advance`) turns the session's
events into hooks and sinks. A hook that has not decided yet leaves the loop, and its answer enters
it again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
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

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConnectionLostError, DeadlineError
from txsmtpconn.net.deadline import Deadline
from txsmtpconn.net.transcript import Transcript, announce, next_session_id
from txsmtpconn.sasl import SERVER_MECHANISMS, Challenge, Finished, SASLError, ServerMechanism
from txsmtpconn.server.authentication import NotBelieved, identity_of
from txsmtpconn.server.consultation import Consultation
from txsmtpconn.server.hooks import (
    DiscardingSink,
    FinalAnswer,
    MessageSink,
    SMTPRejection,
    settled,
)
from txsmtpconn.server.intake import Intake
from txsmtpconn.server.session import Session, tls_facts
from txsmtpconn.session import server_events as events
from txsmtpconn.session import server_replies as replies
from txsmtpconn.session.server import ServerSession
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
        refusal: What to say instead of a greeting; None to serve the client.

    Attributes:
        session: What hooks see of the client; there once the connection is made.
    """

    _log = Logger()

    def __init__(self, factory: SMTPServerFactory, refusal: Reply | None = None) -> None:
        self.factory: SMTPServerFactory = factory
        self.session: Session
        self._refusal = refusal
        self._clock = factory.clock
        self._hooks = factory.hooks
        self._id = next_session_id()
        logger = factory.logger
        trace = None
        if logger is not None and factory.options.transaction_log:
            trace = Transcript(logger, self._id, content=factory.options.debug)
        self._smtp = ServerSession(factory.rules, trace=trace)
        self._deadline = Deadline(self._clock, self._timer_fired)
        self._application = Consultation(self._declined, self._advance, self._broken)
        self._intake: Intake | None = None
        self._data_refusal: Reply = replies.LOCAL_ERROR
        self._mechanism: ServerMechanism | None = None
        self._awaiting_handshake = False
        self._sink_busy = False
        self._output_blocked = False
        self._reading_paused = False
        self._advancing = False
        self._leaving = False
        self._served = False
        self._gone = False

    # -- the transport's calls

    def connectionMade(self) -> None:
        """Greet the client, once TLS is up where it comes first."""
        transport = self._transport
        now = self._clock.seconds()
        self.session = Session(self._smtp, self._id, transport.getPeer(), transport.getHost(), now)
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
        self._smtp.receive_data(data, self._clock.seconds())
        self._advance()

    def handshakeCompleted(self) -> None:
        """Go on in TLS, if it was we who asked for it."""
        if not self._awaiting_handshake:
            return
        self._awaiting_handshake = False
        self.session.tls = tls_facts(self._transport)
        self._smtp.tls_established(self._clock.seconds())
        self._advance()

    def readConnectionLost(self) -> None:
        """Answer what has come; the client sends nothing more, but may still read."""
        self._smtp.input_ended()
        self._advance()

    def writeConnectionLost(self) -> None:
        """Do nothing: it was we who closed this half."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything, once."""
        self._gone = True
        self._deadline.cancel()
        if self._intake is not None and not self._intake.is_open:
            # The message is complete. Whether it is taken is for the sink to decide still; the
            # client will send it again (RFC 1047).
            self._application.leave()
        else:
            self._application.withdraw()
        if self._intake is not None:
            self._intake.abort(ConnectionLostError("the client left before the end of its message"))
        self.factory.connection_closed(self)
        announce(self.factory.logger, "{session_id} closed", session_id=self._id)
        self._call_on_close()

    # -- the transport as a consumer of replies

    def pauseProducing(self) -> None:
        """Answer nothing more for now: the client does not read."""
        self._output_blocked = True
        self._smtp.output_blocked(self._clock.seconds())

    def resumeProducing(self) -> None:
        """Go on: the client has read."""
        self._output_blocked = False
        self._smtp.output_flowing(self._clock.seconds())
        self._advance()

    def stopProducing(self) -> None:
        """Do nothing: `connectionLost` follows."""

    # -- the factory's calls

    def shut_down(self) -> None:
        """End the session as soon as the message under way, if any, is answered for."""
        self._smtp.shut_down(self._clock.seconds())
        if self._smtp.closing:
            self._application.withdraw()
        self._advance()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abortConnection()

    # -- the loop

    @property
    def _transport(self) -> Any:
        return self.transport

    def _advance(self) -> None:
        """Act on all that the session has to tell, then write what it has to say."""
        if self._advancing or self._gone:
            return
        self._advancing = True
        now = self._clock.seconds()
        try:
            while not (self._output_blocked or self._sink_busy):
                event = self._smtp.next_event(now)
                if event is None:
                    break
                self._act(event, now)
        finally:
            self._advancing = False
        self._flush(now)

    def _flush(self, now: float) -> None:
        """Write, arm the timer, and close or stop reading if it is time to."""
        smtp, transport = self._smtp, self._transport
        data = smtp.data_to_send()
        if data:
            transport.write(data)
        self._deadline.set(smtp.next_deadline())
        if smtp.aborting:
            transport.abortConnection()
        elif smtp.closing:
            self._leave()
        elif smtp.waiting_octets > WAITING_OCTETS:
            if not self._reading_paused:
                self._reading_paused = True
                transport.pauseProducing()
        elif self._reading_paused:
            self._reading_paused = False
            transport.resumeProducing()

    def _leave(self) -> None:
        """Close behind the last reply.

        Where the client may still be sending, only our half is closed: data nobody reads would
        make the kernel answer with a reset, which takes our last words away from the client.
        """
        if self._leaving:
            return
        self._leaving = True
        transport = self._transport
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
        self._smtp.handle_timer(self._clock.seconds())
        if self._sink_busy:
            self._give_up_on_sink(DeadlineError("the message was not taken in time"))
        self._advance()

    # -- events

    def _act(self, event: events.Event, now: float) -> None:
        match event:
            case events.DataReceived():
                self._write_data(event.data)
            case events.DataStarted():
                self._ask_for_sink(event.envelope)
            case events.DataEnded():
                self._finish_data()
            case events.DataRefused():
                self._abort_data(SMTPRejection.of(event.reply))
            case events.AuthStarted():
                self._mechanism = SERVER_MECHANISMS[event.mechanism]()
                self._step(event.initial, now)
            case events.AuthContinued():
                self._step(event.response, now)
            case events.AuthAbandoned():
                self._mechanism = None
            case _:
                self._act_on_client(event, now)

    def _act_on_client(self, event: events.Event, now: float) -> None:
        match event:
            case events.RcptReceived():
                self._consult(self._hooks.on_rcpt_to, event.address, event.parameters)
            case events.MailReceived():
                self._consult(self._hooks.on_mail_from, event.address, event.parameters)
            case events.Connected():
                self._connected()
            case events.Secured():
                self._consult(self._hooks.on_secure)
            case events.TLSRequested():
                self._flush(now)
                self._start_tls()
            case events.AnswerOverdue():
                self._answer_overdue()

    def _consult(self, hook: Callable[..., Any] | None, *arguments: Any) -> None:
        """Let a hook decide about the question in hand; who has none consents."""
        if hook is None:
            self._reply(None)
        else:
            self._application.ask(hook, self.session, *arguments, then=self._consent)

    def _consent(self, answer: object) -> None:
        if answer is None or answer is True:
            self._reply(None)
        elif isinstance(answer, Reply):
            self._reply(answer)
        else:
            raise TypeError(f"a hook answers with None or a Reply, not with {type(answer)}")

    def _declined(self, reply: Reply) -> None:
        self._mechanism = None
        if self._intake is not None and not self._intake.is_open:
            self._intake = None
        self._reply(reply)

    def _reply(self, reply: Reply | None) -> None:
        if self._smtp.has_question:
            self._smtp.reply(reply, self._clock.seconds())

    def _broken(self, failure: Failure) -> None:
        """Drop the client where we ourselves have failed; going on could only do harm."""
        self._log.failure("the session is broken", failure=failure)
        if not self._gone:
            self._transport.abortConnection()

    def _connected(self) -> None:
        if self._refusal is not None:
            self._reply(self._refusal)
        else:
            self._served = True
            self._consult(self._hooks.on_connect)

    def _start_tls(self) -> None:
        self._awaiting_handshake = True
        context = self.factory.options.tls
        if context is not None:
            self._transport.startTLS(context)
        elif not ISSLTransport.providedBy(self._transport):
            self._log.error("implicit_tls without a certificate needs a TLS listener")
            self._transport.abortConnection()

    def _answer_overdue(self) -> None:
        self._application.withdraw()
        if self._intake is not None and not self._intake.is_open:
            self._intake = None
        self._log.error("{session_id}: a server hook has not answered in time", session_id=self._id)
        self._reply(replies.LOCAL_ERROR)

    # -- authentication

    def _step(self, response: bytes | None, now: float) -> None:
        """Take the SASL dialogue one step on."""
        mechanism = self._mechanism
        assert mechanism is not None
        try:
            outcome = mechanism.step(response)
        except SASLError:
            self._declined(replies.AUTH_MALFORMED)
            return
        if isinstance(outcome, Challenge):
            self._smtp.challenge(outcome.octets, now)
            return
        self._mechanism = None
        on_auth = self._hooks.on_auth
        assert on_auth is not None
        self._application.ask(
            on_auth, self.session, outcome, then=partial(self._authenticated, outcome)
        )

    def _authenticated(self, credentials: Finished, answer: object) -> None:
        try:
            identity = identity_of(credentials, answer)
        except NotBelieved as rejection:
            self._reply(rejection.reply)
        else:
            if self._smtp.has_question:
                self._smtp.authenticated(identity, self._clock.seconds())

    # -- mail data

    def _ask_for_sink(self, envelope: Envelope) -> None:
        if self._hooks.on_data is None:
            self._take_sink(None)
        else:
            self._application.ask(
                self._hooks.on_data,
                self.session,
                envelope,
                then=self._take_sink,
                unwanted=_abort_unwanted,
            )

    def _take_sink(self, sink: MessageSink | None) -> None:
        if not self._smtp.has_question:
            _abort_unwanted(sink)
            return
        self._intake = Intake(
            DiscardingSink() if sink is None else sink,
            busy=self._sink_is_busy,
            gave_up=self._sink_gave_up,
        )
        self._reply(None)

    def _sink_is_busy(self, busy: bool) -> None:
        self._sink_busy = busy
        now = self._clock.seconds()
        if busy:
            self._smtp.hold_data(now)
        else:
            self._smtp.take_data(now)
            self._advance()

    def _sink_gave_up(self) -> None:
        self._give_up_on_sink(SMTPRejection.of(replies.LOCAL_ERROR))
        self._advance()

    def _write_data(self, data: bytes) -> None:
        if self._intake is None:
            return
        try:
            self._intake.write(data)
        except Exception as reason:  # noqa: BLE001 - the application's; the client is told 451
            self._give_up_on_sink(reason, self._application.refusal_of(Failure()))

    def _give_up_on_sink(self, reason: Exception, reply: Reply = replies.LOCAL_ERROR) -> None:
        """Refuse the message under way: its sink cannot take it."""
        self._data_refusal = reply
        self._abort_data(reason)
        self._smtp.refuse_data(reply)
        self._smtp.take_data(self._clock.seconds())

    def _abort_data(self, reason: Exception) -> None:
        intake, self._intake = self._intake, None
        self._sink_busy = False
        if intake is not None:
            intake.abort(reason)

    def _finish_data(self) -> None:
        if self._intake is None:
            self._reply(self._data_refusal)
        else:
            self._application.ask(self._intake.finish, then=self._finished)

    def _finished(self, answer: FinalAnswer) -> None:
        self._intake = None
        if not self._smtp.has_question:
            return
        if answer is None or isinstance(answer, Reply):
            self._reply(answer)
            return
        answers = [each.reply if isinstance(each, SMTPRejection) else each for each in answer]
        self._smtp.reply_each(answers, self._clock.seconds())

    # -- the end

    def _call_on_close(self) -> None:
        if self._served and self._hooks.on_close is not None:
            self._at_close(self._hooks.on_close, self.session)
        for cleanup in self.session.take_cleanups():
            self._at_close(cleanup)

    def _at_close(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            result = settled(function(*arguments))
        except Exception:  # noqa: BLE001 - the application's; the client is gone
            self._log.failure("on_close failed")
        else:
            if isinstance(result, Deferred):
                result.addErrback(lambda failure: self._log.failure("on_close failed", failure))


def _abort_unwanted(sink: MessageSink | None) -> None:
    """Tell a sink that came too late that there is no message for it."""
    if sink is not None:
        sink.abort(ConnectionLostError("the client left before the sink was there"))
