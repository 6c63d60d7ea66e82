"""`SMTPConnection`: one connection to one server, as a Twisted protocol with Deferreds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITLSTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsmtpconn.client.authentication import Login
from txsmtpconn.client.calls import Call, Farewell, expect_success, restated
from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.introducing import introducing
from txsmtpconn.client.line import QUIT, Line, abort
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.sending import BeforeMark, Sending
from txsmtpconn.client.waiters import Waiters
from txsmtpconn.envelope import Envelope, variant
from txsmtpconn.errors import (
    ConfigError,
    ConnectionLostError,
    EnvelopeError,
    MessageError,
    SMTPError,
    SocketError,
    TLSError,
)
from txsmtpconn.net.clock import default_reactor
from txsmtpconn.net.openssl import is_of_tls, told_by_openssl
from txsmtpconn.net.streams import message_source
from txsmtpconn.net.tls import Guarded, has_finished_handshake
from txsmtpconn.net.transcript import Transcript, logger_for, next_session_id
from txsmtpconn.outcome import SendResult
from txsmtpconn.session.client.session import ClientSession
from txsmtpconn.session.client.transaction import Noop, Operation, Reset
from txsmtpconn.wire.attributes import Attributes
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.reply import Reply


@implementer(IHandshakeListener, IPushProducer)
class SMTPConnection(Protocol):
    """A connection to an SMTP or LMTP server.

    Calls may be made at any time and need not wait for each other: they are carried out in order,
    and `send()` calls that follow each other share round trips.  A method that returns a Deferred
    never raises; each Deferred fires exactly once, also when the connection dies, and can be
    cancelled without harm to anybody else's message.

    Args:
        reactor: The reactor of the transport; None for the process's.
        options: What the connection was told.
        clock: Where the time comes from; by default the reactor.

    Attributes:
        id: Names the session in log events.
    """

    _handshaking = False
    _closing = False
    _ended = False
    _cause: SMTPError | None = None
    _producing = False
    # Who wait for QUIT, once somebody has asked for it.
    _quits: Waiters[None] | None = None

    def __init__(
        self, reactor: Any, options: ConnectionOptions, *, clock: IReactorTime | None = None
    ) -> None:
        if reactor is None:
            reactor = default_reactor()
        self.id = next_session_id()
        self._options = options
        self._reactor = reactor
        logger = logger_for(options.logger)
        trace = None
        if logger is not None and (options.transaction_log or options.debug):
            trace = Transcript(logger, self.id, content=bool(options.debug))
        self._session = session = ClientSession(options.terms, trace)
        self._line = Line(session, reactor if clock is None else clock, self)
        if logger is not None:
            self._line.note = partial(logger.info, session_id=self.id)
        self._ready: Waiters[None] = Waiters()
        self._closed: Waiters[None] = Waiters()

    # -- what the connection is

    @property
    def secure(self) -> bool:
        """Whether a handshake of ours completed and the server is who it should be."""
        return self._session.secure

    @property
    def authenticated(self) -> bool:
        """Whether a login succeeded on this connection, which is not over."""
        return self._session.authenticated and not self._line.over

    @property
    def allows_auth(self) -> bool:
        """Whether the server offers AUTH now."""
        return bool(self._session.extensions.auth)

    @property
    def extensions(self) -> Extensions:
        """What the server offers now."""
        return self._session.extensions

    @property
    def max_size(self) -> int | None:
        """Octets of the largest message that the server takes; None where it set no limit."""
        return self._session.extensions.size

    @property
    def last_reply(self) -> Reply | None:
        """The server's last reply."""
        return self._session.last_reply

    def __repr__(self) -> str:
        state = self._session.state.name.lower()
        return f"<SMTPConnection {self.id} {state}{' secure' if self.secure else ''}>"

    # -- what can be asked of it

    def when_ready(self) -> Deferred[SMTPConnection]:
        """Return a Deferred of your own that fires when mail can be sent.

        By then the greeting, EHLO or LHLO and, where it is wanted, STARTTLS are done.
        """
        return self._ready.wait().addCallback(lambda _: self)

    def when_closed(self) -> Deferred[None]:
        """Return a Deferred of your own that fires when the connection is gone.

        It errbacks where the end was neither asked for by `quit()` or `close()` nor agreed upon.
        """
        return self._closed.wait()

    def login(self, credentials: Credentials | None = None) -> Deferred[Reply]:
        """Authenticate (RFC 4954), with `options.auth` unless credentials are given.

        Errbacks:
            NoCredentialsError: There are none.
            AuthenticationError: They were refused, no mechanism fits, or they would have had to
                go in clear.  The connection lives on and may try again.
            OAuth2Error: The token provider has no token.  The connection lives on.
            ConfigError: What was given is no `Credentials`, or needs a library that is missing.
        """
        options = self._options
        given: object = credentials
        if given is not None and not isinstance(given, Credentials):
            # Never the value: it may be the secret itself.
            text = f"credentials are Credentials, not {type(given).__name__}"
            return fail(ConfigError(text, command="API"))
        login = Login(
            self._line,
            options.auth if credentials is None else credentials,
            preferred=options.auth_method,
            force=bool(options.force_auth),
            allow_insecure=bool(options.allow_insecure_auth),
            custom=options.custom_auth,
            host=options.servername or options.host or "",
            port=options.port or 0,
            reactor=self._reactor,
        )
        deferred = login.deferred
        assert deferred is not None
        self._line.enter(login)
        return deferred

    def send(
        self, envelope: Envelope, message: object, *, before_mark: BeforeMark | None = None
    ) -> Deferred[SendResult]:
        """Send a message.

        Args:
            envelope: From whom, to whom.
            message: Any kind that `net.streams.message_source` takes.
            before_mark: Called when all but the end mark of the message has left; the mark follows
                when the Deferred fires, and never does when it errbacks.

        Returns:
            A Deferred that fires with the result if anyone's mail was accepted.

        Errbacks:
            SMTPError: It was not; `delivery` and `recipients` say what is known.
        """
        try:
            if not isinstance(envelope, Envelope):
                raise EnvelopeError(
                    f"an envelope is an Envelope, not {type(envelope).__name__}", command="API"
                )
            source = message_source(message)
            if source.smtputf8 and envelope.smtputf8 is None:
                envelope = variant(envelope, smtputf8=True)
        except SMTPError as error:
            return fail(error)
        except Exception as reason:  # noqa: BLE001 - a caller's object may raise anything
            unreadable = MessageError("the message cannot be read", command="API")
            unreadable.__cause__ = reason
            return fail(unreadable)
        sending = Sending(self._line, envelope, source, before_mark)
        deferred = sending.deferred
        assert deferred is not None
        self._line.enter(sending)
        return deferred

    def reset(self) -> Deferred[Reply]:
        """Let the server forget a mail transaction (RSET)."""
        return self._call(Reset(), expect_success("RSET"))

    def noop(self) -> Deferred[Reply]:
        """Ask for a sign of life (NOOP)."""
        return self._call(Noop(), expect_success("NOOP"))

    def xclient(self, **attributes: str | None) -> Deferred[None]:
        """Have the server take us for somebody else (Postfix's XCLIENT_README).

        The session begins anew, in the same TLS: by the time it fires, EHLO has been said again,
        `extensions` are what that client is offered, and a login is over. Await it before you ask
        for anything else.

        Args:
            **attributes: ``name addr port proto helo login destaddr destport``, as far as the
                server lists them; None for what is not known.

        Errbacks:
            ConfigError: The server does not offer XCLIENT, or not one of the attributes, or a value
                is not what it should be. Nothing was said.
            ProtocolError: It was refused.
        """
        return self._introduce("XCLIENT", attributes)

    def xforward(self, **attributes: str | None) -> Deferred[None]:
        """Tell the server where the next message comes from (Postfix's XFORWARD_README).

        It holds for one mail transaction: say it before each `send`, whose envelope must fit into
        one.

        Args:
            **attributes: ``name addr port proto helo ident source``, as far as the server lists
                them; None for what is not known.

        Errbacks:
            ConfigError, ProtocolError: As with `xclient`.
        """
        return self._introduce("XFORWARD", attributes)

    def _introduce(self, verb: str, attributes: Attributes) -> Deferred[None]:
        try:
            operation = introducing(verb, attributes, self._session.extensions)
        except ConfigError as error:
            return fail(error)
        return self._call(operation, expect_success(verb)).addCallback(lambda _: None)

    def quit(self) -> Deferred[None]:
        """Take leave when all that was asked for before is done.

        It fires at the server's reply, or after `quit_timeout` without one, or when the connection
        ends in another way, and never errbacks for any of that: mail that was delivered stays so.
        """
        if self._ended:
            return succeed(None)
        if self._quits is not None:
            return self._quits.wait()
        quits = self._quits = Waiters()
        deferred = quits.wait()
        self._line.enter(Farewell(self._line, quits.fire))
        return deferred

    def close(self) -> None:
        """Drop the connection now; what was under way fails.  Does nothing a second time."""
        if self._closing:
            return
        self._closing = True
        if not self._ended:
            self._line.end(ConnectionLostError("the connection was closed", command="API"))
        elif self._line.transport is not None:
            abort(self._line.transport)

    def _call(self, operation: Operation, judge: Callable[[Reply | None], Any]) -> Deferred[Any]:
        call = Call(self._line, operation, judge)
        deferred = call.deferred
        self._line.enter(call)
        return deferred

    # -- what the transport says

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if self._ended:
            abort(transport)
            return
        for option in ("setTcpNoDelay", "setTcpKeepAlive"):
            try:
                getattr(transport, option)(True)
            except (AttributeError, OSError):
                # A unix socket, or a transport of the caller's.
                pass
        self._note("{session_id} connected")
        self._line.connected(transport)

    def dataReceived(self, data: bytes) -> None:
        line = self._line
        line.take(self._session.receive_data(data, line.now()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # The transport has let go of its producer, and under TLS can no longer be told to.
        self._producing = False
        line = self._line
        if not self._ended:
            line.end(self._explained(reason.value))
        line.closed()
        if self._cause is None or self._closing:
            self._closed.fire(None)
        else:
            self._closed.fail(self._cause)

    def handshakeCompleted(self) -> None:
        if not self._handshaking:
            # The TLS of a proxy, or one that is over.
            return
        self._handshaking = False
        tls = self._options.tls
        assert tls is not None
        try:
            tls.check(self.transport, self._options.reference_name)
        except TLSError as error:
            # Without the frames that raised it: they know this connection, which keeps the error.
            self._line.end(restated(error))
            return
        self._note("{session_id} secured by TLS")
        self._line.take(self._session.tls_established(self._line.now(), verified=tls.verifies))

    def pauseProducing(self) -> None:
        self._line.pause()

    def resumeProducing(self) -> None:
        self._line.resume()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` tells why."""

    # -- what the session wants

    def start_tls(self) -> None:
        """Begin a handshake on the transport, or wait for that of the caller's TLS endpoint."""
        transport: Any = self.transport
        self._handshaking = True
        if ISSLTransport.providedBy(transport):
            if not self._options.secure:
                # TLS within TLS: Twisted would start it beneath the one that is there.
                self._line.end(TLSError("the transport is under TLS already", command="STARTTLS"))
            elif has_finished_handshake(transport):
                # It was told to another protocol before the transport became ours.
                self.handshakeCompleted()
            return
        if not ITLSTransport.providedBy(transport):
            self._line.end(TLSError("the transport cannot start TLS", command="STARTTLS"))
            return
        tls = self._options.tls
        assert tls is not None
        try:
            connections = Guarded(tls.client_connections(self._options.reference_name))
        except SMTPError as error:
            self._line.end(error)
            return
        # An adopted socket is a server's to Twisted, which would take the wrong side in TLS.
        starting: Any = transport
        starting.startTLS(connections, getattr(transport, "_tlsClientDefault", True))
        if connections.failure is not None:
            failed = TLSError("the connection creator failed", command="STARTTLS")
            failed.__cause__ = connections.failure
            self._line.end(failed)

    def session_ready(self) -> None:
        """Take note that mail may be sent."""
        transport: Any = self.transport
        if hasattr(transport, "registerProducer"):
            self._producing = True
            transport.registerProducer(self, True)
        self._note("{session_id} ready")
        self._ready.fire(None)

    def session_ended(self, cause: SMTPError | None) -> None:
        """Close the transport as the end deserves, and tell everybody."""
        self._ended = True
        self._cause = cause
        transport: Any = self._line.transport
        if transport is not None:
            self._close_transport(transport, cause)
        self._note("{session_id} ended: {reason}", reason=str(cause or "quit"))
        self._ready.fail(cause or QUIT)
        if self._quits is not None:
            self._quits.fire(None)
        if transport is None:
            self._closed.fire(None)

    def _note(self, text: str, **fields: str) -> None:
        if self._line.note is not None:
            self._line.note(text, **fields)

    def _close_transport(self, transport: Any, cause: SMTPError | None) -> None:
        if self._producing:
            self._producing = False
            transport.unregisterProducer()
        if cause is None:
            # Nothing is owed any more; but a peer that does not close its side, or does not read,
            # must not keep ours open.
            self._line.close_within(self._options.terms.timeouts.quit)
        else:
            abort(transport)

    def _explained(self, reason: BaseException | None) -> SMTPError | None:
        """Return why a connection was lost; None where it was just closed."""
        if isinstance(reason, SMTPError):
            # The transport knows better: it is a proxy's.
            return reason
        during = "CONN" if self._options.secure else "STARTTLS"
        error: SMTPError
        if reason is not None and is_of_tls(reason):
            error = TLSError(told_by_openssl(reason, self.transport), command=during)
        elif self._handshaking:
            error = TLSError("the connection was lost during the TLS handshake", command=during)
        elif isinstance(reason, (ConnectionDone, ConnectionLost, ConnectionAborted)):
            return None
        else:
            error = SocketError(f"the connection failed: {type(reason).__name__}")
        error.__cause__ = reason
        return error
