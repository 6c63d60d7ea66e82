"""`connect()`: from options or a URL to a session that is ready for mail."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IConnector
from twisted.python.failure import Failure

from txsmtpconn.client.factory import SMTPConnectionFactory
from txsmtpconn.client.options import ConnectionOptions, make_options
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.client.roads import connection_error, endpoint_for, leads_to_address
from txsmtpconn.errors import ConfigError, DeadlineError, SMTPError, SocketError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.clock import default_reactor
from txsmtpconn.net.patience import patiently


def connect(
    reactor: Any,
    options_or_url: ConnectionOptions | str | None = None,
    **options: Any,
) -> Deferred[SMTPConnection]:
    """Connect to a server and make the session ready: greeting, EHLO, STARTTLS, EHLO again.

    It never logs in.

    Args:
        reactor: The reactor to use; None for the process's.
        options_or_url: `ConnectionOptions`, or a URL such as ``"smtp://mail.example:587"``.
        **options: The fields of `ConnectionOptions` by name, alone or beside a URL.

    Returns:
        A Deferred that fires with the connection.  Cancelling it drops the connection.

    Errbacks:
        ConfigError: The options make no sense.
        DNSError, SocketError, DeadlineError: There is no way to the server.
        TLSError: The handshake failed, or the server is not who it should be.
        SMTPError: The server did not greet us as a server should.
    """
    try:
        made = make_options(options_or_url, options)
    except SMTPError as error:
        return fail(error)
    except TypeError as reason:
        return fail(ConfigError(str(reason)))
    return connect_with(default_reactor() if reactor is None else reactor, made)


def connect_with(reactor: Any, options: ConnectionOptions) -> Deferred[SMTPConnection]:
    """Do what `connect` does, with options that are ready."""
    if options.transport is None and leads_to_address(options):
        return _Dialled(reactor, options).dial()
    return Deferred.fromCoroutine(_connect(reactor, options))


async def _connect(reactor: Any, options: ConnectionOptions) -> SMTPConnection:
    if options.transport is not None:
        connection = SMTPConnection(reactor, options)
        _adopt(reactor, connection, options)
    else:
        connection = await _reach(reactor, options)
    try:
        return await connection.when_ready()
    except CancelledError:
        connection.close()
        raise _cancelled() from None
    except SMTPError:
        connection.close()
        raise


async def _reach(reactor: Any, options: ConnectionOptions) -> SMTPConnection:
    """Bring a transport up, within one deadline for all addresses of the host."""
    factory = SMTPConnectionFactory(reactor, options)
    assert options.connection_timeout is not None
    try:
        endpoint: Any = endpoint_for(reactor, options)
        connection = await patiently(
            reactor,
            options.connection_timeout,
            maybeDeferred(endpoint.connect, factory),
            late=partial(_out_of_time, options),
            cancelled=_cancelled,
        )
    except SMTPError:
        raise
    except Exception as reason:
        raise connection_error(Failure(), options) from reason
    if not isinstance(connection, SMTPConnection):
        # A wrapping endpoint may return its own protocol.
        connection = getattr(connection, "wrappedProtocol", connection)
    return connection  # type: ignore[no-any-return]


def _out_of_time(options: ConnectionOptions) -> SMTPError:
    return DeadlineError(f"no connection within {options.connection_timeout:g} s", command="CONN")


def _cancelled() -> SMTPError:
    return SendCancelled("connecting was cancelled", command="CONN")


def _adopt(reactor: Any, connection: SMTPConnection, options: ConnectionOptions) -> None:
    """Put a connection onto the socket or transport that the caller has connected."""
    transport = options.transport
    if not isinstance(transport, socket.socket):
        # A TLS transport has its protocol under another name.
        name = "wrappedProtocol" if hasattr(transport, "wrappedProtocol") else "protocol"
        setattr(transport, name, connection)
        connection.makeConnection(transport)  # type: ignore[no-untyped-call]
        return
    factory = _One(connection)
    try:
        reactor.adoptStreamConnection(transport.fileno(), transport.family, factory)
    except OSError as reason:
        raise SocketError("the socket cannot be used", command="CONN") from reason
    # The reactor has a duplicate; two would keep the connection open after we close ours.
    transport.close()


class _Dialled(SMTPConnectionFactory):
    """Connects to an address, where an endpoint could only stand between transport and connection.

    There is no coroutine either: this is the way of a message that has a connection of its own.
    """

    _connector: Any = None
    _connection: SMTPConnection | None = None
    _dialled: Deferred[SMTPConnection] | None = None

    def dial(self) -> Deferred[SMTPConnection]:
        """Return a Deferred that fires when the session is ready, or cannot be made so."""
        options = self._options
        local = options.local_address
        dialled = self._dialled = Deferred(lambda _: self._give_up(_cancelled()))
        self._timer = self._reactor.callLater(options.connection_timeout, self._expired)
        try:
            self._connector = self._reactor.connectTCP(
                options.host,
                options.port,
                self,
                timeout=None,  # ours runs
                bindAddress=None if local is None else (local, 0),
            )
        except Exception:  # noqa: BLE001 - as an endpoint does
            self._fail(connection_error(Failure(), options))
        return dialled

    def buildProtocol(self, addr: object) -> SMTPConnection:
        self._timer.cancel()
        self._connector = None
        connection = self._connection = SMTPConnection(self._reactor, self._options)
        connection.factory = self
        connection.when_ready().addCallbacks(self._succeed, self._break_off)
        return connection

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._connector = None
        self._fail(connection_error(reason, self._options))

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        # The reactor's connector and transport know each other, and nobody else knows them now.
        connector.transport = None

    def _expired(self) -> None:
        self._give_up(_out_of_time(self._options))

    def _give_up(self, reason: SMTPError) -> None:
        connecting = self._connection is None
        connector, self._connector = self._connector, None
        self._fail(reason)
        if connecting:
            connector.stopConnecting()

    def _break_off(self, failure: Failure) -> None:
        reason = failure.value
        assert isinstance(reason, SMTPError)
        self._fail(reason)

    def _succeed(self, connection: SMTPConnection) -> None:
        dialled, self._dialled, self._connection = self._dialled, None, None
        if dialled is not None:
            dialled.callback(connection)

    def _fail(self, reason: SMTPError) -> None:
        """Tell of a failure, unless one was told of that has led to this one."""
        dialled, self._dialled = self._dialled, None
        connection, self._connection = self._connection, None
        if self._timer.active():
            self._timer.cancel()
        if connection is not None:
            connection.close()
        if dialled is not None:
            dialled.errback(reason)


class _One(SMTPConnectionFactory):
    """Hands out one connection that is there already."""

    def __init__(self, connection: SMTPConnection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: object) -> SMTPConnection:
        return self._connection
