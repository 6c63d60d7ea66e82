"""The way to a host: its name looked up within a deadline, its addresses tried in a race."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, TypeVar

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IHostResolution,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from zope.interface import directlyProvides, implementer, providedBy

from txsmtpconn.net.addresses import address_endpoint
from txsmtpconn.net.tls import reference_name

_T = TypeVar("_T")


def host_endpoint(
    reactor: Any,
    host: str,
    port: int,
    *,
    timeout: float,
    dns_timeout: float,
    local_address: str | None = None,
) -> IStreamClientEndpoint:
    """Return the endpoint of a host, tried at all its addresses (RFC 8305).

    Args:
        reactor: The reactor to use.
        host: A name or an IP address.
        port: Its port.
        timeout: Seconds for one address.
        dns_timeout: Seconds for the addresses of a name.
        local_address: The IP address to connect from.
    """
    if is_dialled(host):
        return address_endpoint(reactor, host, port, timeout=timeout, local_address=local_address)
    return _NamedHost(
        reactor, host, port, timeout=timeout, dns_timeout=dns_timeout, local_address=local_address
    )


@lru_cache(maxsize=64)
def is_dialled(host: str) -> bool:
    """Tell whether a host is an address that needs no look-up, and no zone."""
    return isIPAddress(host) or ("%" not in host and isIPv6Address(host))


def failure_words(reason: BaseException | None) -> str:
    """Say why there is no connection: in the socket's words, or by the name of what was raised."""
    if isinstance(reason, error.ConnectionRefusedError):
        return "connection refused"
    if isinstance(reason, error.NoRouteError):
        return "no route to host"
    if not isinstance(reason, error.ConnectError):
        return type(reason).__name__
    number = getattr(reason, "osError", None)
    return os.strerror(number).lower() if isinstance(number, int) else "cannot connect"


class _NamedHost(HostnameEndpoint):
    """A host by its name, with a deadline for its resolution that ends with the attempt.

    The name goes to the resolver in the spelling that TLS will have.  Twisted would refuse some: an
    upper-case U-label, and an underscore, of which the networks of containers are full.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        *,
        timeout: float,
        dns_timeout: float,
        local_address: str | None,
    ) -> None:
        host = name = host if host.isascii() else reference_name(host)
        self._resolver: _BoundedResolver | None = None
        if IReactorPluggableNameResolver.providedBy(reactor):
            self._resolver = _BoundedResolver(reactor, name, dns_timeout)
            reactor = _PatientReactor(reactor, self._resolver)
            host = _NO_NAME if "_" in name else name
        super().__init__(
            reactor,
            host,
            port,
            timeout=timeout,
            bindAddress=local_address,
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
