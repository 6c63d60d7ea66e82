"""The road to a server: which endpoint, and what its failures are called."""

from __future__ import annotations

import os
import socket
from typing import Any, TypeVar

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.interfaces import (
    IHostResolution,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.errors import DeadlineError, DNSError, SMTPError, SocketError, TLSError
from txsmtpconn.net.tls import reference_name

_T = TypeVar("_T")


def endpoint_for(reactor: Any, options: ConnectionOptions) -> IStreamClientEndpoint:
    """Return the endpoint that the options name.

    A host is tried at all its addresses, the two families in a race (RFC 8305).
    """
    if options.endpoint is not None:
        return options.endpoint  # type: ignore[no-any-return]
    assert options.connection_timeout is not None
    if options.path is not None:
        return UNIXClientEndpoint(reactor, options.path, timeout=options.connection_timeout)
    assert options.host is not None
    assert options.port is not None
    to_address = _endpoint_for_address(options.host)
    if to_address is not None:
        # There is nothing to resolve, and no family to race another.
        return to_address(  # type: ignore[no-any-return]
            reactor,
            options.host,
            options.port,
            timeout=options.connection_timeout,
            bindAddress=None if options.local_address is None else (options.local_address, 0),
        )
    return _NamedHost(reactor, options)


def leads_to_address(options: ConnectionOptions) -> bool:
    """Tell whether the options name an IP address and a port: nothing to resolve, no race."""
    return (
        options.endpoint is None
        and options.path is None
        and _endpoint_for_address(options.host or "") is not None
    )


def _endpoint_for_address(host: str) -> Any:
    """Return the kind of endpoint for a host that is an address; None for a name, or a zone."""
    if isIPAddress(host):
        return TCP4ClientEndpoint
    if "%" not in host and isIPv6Address(host):
        return TCP6ClientEndpoint
    return None


def connection_error(failure: Failure, options: ConnectionOptions) -> SMTPError:
    """Return our error for whatever kept a connection from being made."""
    reason = failure.value
    if isinstance(reason, SMTPError):
        return reason
    where = _where(options)
    found: SMTPError
    if isinstance(reason, (error.DNSLookupError, socket.gaierror, UnicodeError)):
        found = DNSError(f"{where}: the name does not resolve", command="CONN")
    elif isinstance(reason, (error.TimeoutError, error.TCPTimedOutError)):
        found = DeadlineError(f"{where}: no connection in time", command="CONN")
    elif isinstance(reason, (SSL.Error, VerificationError)):
        found = TLSError(f"{where}: the TLS handshake failed", command="CONN")
    elif isinstance(reason, error.ConnectError):
        found = SocketError(f"{where}: {_words(reason)}", command="CONN")
    else:
        found = SocketError(f"{where}: {type(reason).__name__}", command="CONN")
    found.__cause__ = reason
    return found


def _where(options: ConnectionOptions) -> str:
    if options.endpoint is not None:
        return "the endpoint"
    if options.path is not None:
        return repr(options.path)
    return f"{options.host}:{options.port}"


def _words(reason: error.ConnectError) -> str:
    if isinstance(reason, error.ConnectionRefusedError):
        return "connection refused"
    if isinstance(reason, error.NoRouteError):
        return "no route to host"
    number = getattr(reason, "osError", None)
    return os.strerror(number).lower() if isinstance(number, int) else "cannot connect"


class _NamedHost(HostnameEndpoint):
    """A host by its name, with a deadline for its resolution that ends with the attempt.

    The name goes to the resolver in the spelling that TLS will have.  Twisted would refuse some: an
    upper-case U-label, and an underscore, of which the networks of containers are full.
    """

    def __init__(self, reactor: Any, options: ConnectionOptions) -> None:
        assert options.host is not None
        assert options.port is not None
        assert options.dns_timeout is not None
        assert options.connection_timeout is not None
        host = name = options.host if options.host.isascii() else reference_name(options.host)
        self._resolver: _BoundedResolver | None = None
        if IReactorPluggableNameResolver.providedBy(reactor):
            self._resolver = _BoundedResolver(reactor, name, options.dns_timeout)
            reactor = _PatientReactor(reactor, self._resolver)
            host = _NO_NAME if "_" in name else name
        super().__init__(
            reactor,
            host,
            options.port,
            timeout=options.connection_timeout,
            bindAddress=options.local_address,
        )

    def connect(
        self,
        protocolFactory: IProtocolFactory,  # noqa: N803
    ) -> Deferred[Any]:
        connecting = super().connect(protocolFactory)
        return connecting if self._resolver is None else connecting.addBoth(self._resolver.over)


#: Stands in where Twisted must not see the name, and is never looked up.
_NO_NAME = "host.invalid"


class _PatientReactor:
    """A reactor with a name resolver of its own; in all else the one that it stands for."""

    def __init__(self, reactor: Any, resolver: _BoundedResolver) -> None:
        self._reactor = reactor
        self.nameResolver = resolver
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class _BoundedResolver:
    """Ends a resolution that takes too long with the addresses that it has found so far."""

    def __init__(self, reactor: Any, name: str, seconds: float) -> None:
        self._reactor = reactor
        self._name = name
        self._seconds = seconds
        self._receivers: list[_BoundedReceiver] = []

    def resolveHostName(  # noqa: N802
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        *arguments: Any,
        **options: Any,
    ) -> IHostResolution:
        receiver = _BoundedReceiver(resolutionReceiver)
        receiver.deadline = self._reactor.callLater(self._seconds, receiver.resolutionComplete)
        self._receivers.append(receiver)
        return self._reactor.nameResolver.resolveHostName(  # type: ignore[no-any-return]
            receiver, self._name, *arguments, **options
        )

    def over(self, outcome: _T) -> _T:
        """Wait for nothing any more: the attempt has had its outcome, which is passed on."""
        for receiver in self._receivers:
            receiver.forget()
        self._receivers.clear()
        return outcome


@implementer(IResolutionReceiver)
class _BoundedReceiver:
    """Passes a resolution on until it is complete, or is said to be."""

    deadline: Any = None

    def __init__(self, receiver: Any) -> None:
        self._receiver: Any = receiver

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N802, N803
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:  # noqa: N802
        if self._receiver is not None:
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:  # noqa: N802
        receiver = self._receiver
        self.forget()
        if receiver is not None:
            receiver.resolutionComplete()

    def forget(self) -> None:
        """Pass nothing on any more."""
        self._receiver = None
        if self.deadline is not None and self.deadline.active():
            self.deadline.cancel()
