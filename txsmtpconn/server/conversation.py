"""What a session's events mean to the application: hooks asked, messages fed to sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.errors import ConnectionLostError, DeadlineError
from txsmtpconn.server.consultation import Consultation
from txsmtpconn.server.dialogue import Dialogue
from txsmtpconn.server.guessing import Guessing
from txsmtpconn.server.hooks import (
    DiscardingSink,
    FinalAnswer,
    Hook,
    Hooks,
    MessageSink,
    SMTPRejection,
    as_reply,
    settled,
)
from txsmtpconn.server.intake import Intake
from txsmtpconn.server.session import Session
from txsmtpconn.session.server import events, replies
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.wire.attributes import Attributes
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply


def consents(hooks: Hooks) -> frozenset[type[events.Question]]:
    """Return the questions that an application with such hooks has no opinion about."""
    asked = {
        events.Secured: hooks.on_secure,
        events.MailReceived: hooks.on_mail_from,
        events.RcptReceived: hooks.on_rcpt_to,
    }
    return frozenset(question for question, hook in asked.items() if hook is None)


class Conversation:
    """The application's side of one session.

    Args:
        smtp: The session whose events are acted on, and which is told the answers.
        session: What hooks see of it.
        hooks: The application.
        clock: Where the time comes from.
        guessing: Who has failed to authenticate before.
        go_on: Called when there may be more to do than before.
        start_tls: Called when the client was told to begin the handshake.
        introduced: Called with what XCLIENT says of whom the client speaks for; it returns the
            reply that refuses that one, or None.
        broken: Called when acting on a late answer failed: a fault of ours.
        turned_away: What to say instead of a greeting; None to serve the client.

    Attributes:
        sink_busy: Whether the sink wants no more mail data for now.
    """

    _log = Logger()

    def __init__(
        self,
        smtp: ServerSession,
        session: Session,
        hooks: Hooks,
        clock: IReactorTime,
        guessing: Guessing,
        *,
        go_on: Callable[[], None],
        start_tls: Callable[[], None],
        introduced: Callable[[Attributes], Reply | None],
        broken: Callable[[Failure], None],
        turned_away: Reply | None,
    ) -> None:
        self.sink_busy = False
        self._smtp = smtp
        self._session = session
        self._hooks = hooks
        self._clock = clock
        self._go_on = go_on
        self._start_tls = start_tls
        self._introduced = introduced
        self._turned_away = turned_away
        self._application = Consultation(self._declined, go_on, broken)
        self._intake: Intake | None = None
        self._data_refusal: Reply = replies.LOCAL_ERROR
        self._dialogue = Dialogue(smtp, session, hooks, clock, self._application, guessing)
        self._served = False

    def withdraw(self) -> None:
        """Wait for no answer any more: the session has come to its end."""
        self._application.withdraw()

    def overdue(self) -> None:
        """Give up on a sink that has been busy for too long."""
        if self.sink_busy:
            self._give_up_on_sink(DeadlineError("the message was not taken in time"))

    def client_left(self) -> None:
        """Let go of everything: the connection is gone."""
        intake = self._intake
        if intake is not None and not intake.is_open:
            # The message is complete. Whether it is taken is for the sink to decide still; the
            # client will send it again (RFC 1047).
            self._application.leave()
        else:
            self._application.withdraw()
        if intake is not None:
            intake.abort(ConnectionLostError("the client left before the end of its message"))
        self._call_on_close()
        self._application.end()

    def log_out(self) -> None:
        """Let the application know that the client is nobody that it has authenticated as."""
        for logout in self._session.take_logouts():
            self._at_close(logout)

    def act(self, event: events.Event) -> None:
        """Act on what the session reports."""
        _ACTED_ON[type(event)](self, event)

    def _mail_received(self, event: events.MailReceived) -> None:
        self._consult(self._hooks.on_mail_from, event.address, event.parameters)

    def _rcpt_received(self, event: events.RcptReceived) -> None:
        self._consult(self._hooks.on_rcpt_to, event.address, event.parameters)

    def _secured(self, event: events.Secured) -> None:
        self._consult(self._hooks.on_secure)

    def _client_introduced(self, event: events.ClientIntroduced) -> None:
        self.log_out()
        self._turned_away = self._introduced(event.attributes)
        self._reply(None)

    def _tls_requested(self, event: events.TLSRequested) -> None:
        self._start_tls()

    def _auth_started(self, event: events.AuthStarted) -> None:
        self._dialogue.begin(event.mechanism, event.initial)

    def _auth_continued(self, event: events.AuthContinued) -> None:
        self._dialogue.go_on(event.response)

    def _auth_abandoned(self, event: events.AuthAbandoned) -> None:
        self._dialogue.abandon()

    def _consult(self, hook: Hook | None, *arguments: Any) -> None:
        """Let a hook decide about the question in hand; who has none consents."""
        if hook is None:
            self._reply(None)
        else:
            self._application.ask(hook, self._session, *arguments, then=self._consent)

    def _consent(self, answer: object) -> None:
        if answer is None or answer is True:
            self._reply(None)
        else:
            self._answer_with([answer])

    def _answer_with(self, answers: Sequence[object], *, each: bool = False) -> None:
        """Give the application's words to the client; where they make no sense, 451."""
        try:
            told = [as_reply(answer) for answer in answers]
            if each:
                self._smtp.reply_each(told, self._clock.seconds())
            else:
                self._reply(told[0])
        except (TypeError, LocalProtocolError):
            self._reply(self._application.refusal_of(Failure()))

    def _declined(self, reply: Reply) -> None:
        if self._intake is not None and not self._intake.is_open:
            self._intake = None
        if not self._dialogue.declined(reply):
            self._reply(reply)

    def _reply(self, reply: Reply | None) -> None:
        if self._smtp.question is not None:
            self._smtp.reply(reply, self._clock.seconds())

    def _connected(self, event: events.Connected) -> None:
        if self._turned_away is not None:
            self._reply(self._turned_away)
        else:
            self._served = True
            self._consult(self._hooks.on_connect)

    def _answer_overdue(self, event: events.AnswerOverdue) -> None:
        self._application.withdraw()
        self._dialogue.abandon()
        if self._intake is not None and not self._intake.is_open:
            self._intake = None
        self._log.error(
            "{session_id}: a server hook has not answered in time", session_id=self._session.id
        )
        self._reply(replies.LOCAL_ERROR)

    # -- mail data

    def _data_started(self, event: events.DataStarted) -> None:
        if self._hooks.on_data is None:
            self._take_sink(None)
        else:
            self._application.ask(
                self._hooks.on_data,
                self._session,
                event.envelope,
                then=self._take_sink,
                unwanted=_abort_unwanted,
            )

    def _take_sink(self, sink: MessageSink | None) -> None:
        if self._smtp.question is None:
            _abort_unwanted(sink)
            return
        intake = self._intake = Intake(DiscardingSink() if sink is None else sink)
        self._smtp.reply(None, self._clock.seconds())
        try:
            intake.begin(self._sink_is_busy, self._sink_gave_up)
        except Exception as reason:  # noqa: BLE001 - the application's; the client is told 451
            self._give_up_on_sink(reason, self._application.refusal_of(Failure()))

    def _sink_is_busy(self, busy: bool) -> None:
        self.sink_busy = busy
        now = self._clock.seconds()
        if busy:
            self._smtp.hold_data(now)
        else:
            self._smtp.take_data(now)
            self._go_on()

    def _sink_gave_up(self) -> None:
        self._give_up_on_sink(SMTPRejection.of(replies.LOCAL_ERROR))
        self._go_on()

    def _data_received(self, event: events.DataReceived) -> None:
        if self._intake is None:
            return
        try:
            self._intake.write(event.data)
        except Exception as reason:  # noqa: BLE001 - the application's; the client is told 451
            self._give_up_on_sink(reason, self._application.refusal_of(Failure()))

    def _give_up_on_sink(self, reason: Exception, reply: Reply = replies.LOCAL_ERROR) -> None:
        """Refuse the message under way: its sink cannot take it."""
        self._data_refusal = reply
        self._abort_data(reason)
        if not self._smtp.closing:  # else the mail data has ended with the session
            self._smtp.refuse_data(reply)
            self._smtp.take_data(self._clock.seconds())

    def _data_refused(self, event: events.DataRefused) -> None:
        self._abort_data(SMTPRejection.of(event.reply))

    def _abort_data(self, reason: Exception) -> None:
        intake, self._intake = self._intake, None
        self.sink_busy = False
        if intake is not None:
            intake.abort(reason)

    def _data_ended(self, event: events.DataEnded) -> None:
        if self._intake is None:
            self._reply(self._data_refusal)
        else:
            self._application.ask(self._intake.finish, then=self._finished)

    def _finished(self, answer: FinalAnswer) -> None:
        self._intake = None
        if self._smtp.question is None:
            return
        if answer is None:
            self._smtp.reply(None, self._clock.seconds())
        elif isinstance(answer, Reply):
            self._answer_with([answer])
        else:
            self._answer_with(answer, each=True)

    # -- the end

    def _call_on_close(self) -> None:
        if self._served and self._hooks.on_close is not None:
            self._at_close(self._hooks.on_close, self._session)
        self.log_out()
        for cleanup in self._session.take_cleanups():
            self._at_close(cleanup)

    def _at_close(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            result = settled(function(*arguments))
        except Exception:  # noqa: BLE001 - the application's; the client is gone
            self._log.failure("on_close failed")
        else:
            if isinstance(result, Deferred):
                result.addErrback(lambda failure: self._log.failure("on_close failed", failure))

    #: An event -> who acts on it.
    ACTED_ON: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {
        events.Connected: _connected,
        events.Secured: _secured,
        events.ClientIntroduced: _client_introduced,
        events.MailReceived: _mail_received,
        events.RcptReceived: _rcpt_received,
        events.DataStarted: _data_started,
        events.DataReceived: _data_received,
        events.DataEnded: _data_ended,
        events.DataRefused: _data_refused,
        events.AuthStarted: _auth_started,
        events.AuthContinued: _auth_continued,
        events.AuthAbandoned: _auth_abandoned,
        events.TLSRequested: _tls_requested,
        events.AnswerOverdue: _answer_overdue,
    }


_ACTED_ON: Final = Conversation.ACTED_ON


def _abort_unwanted(sink: MessageSink | None) -> None:
    """Tell a sink that came too late that there is no message for it."""
    if sink is not None:
        sink.abort(ConnectionLostError("the client left before the sink was there"))
