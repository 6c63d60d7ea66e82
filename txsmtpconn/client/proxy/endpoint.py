"""An endpoint that connects by way of a proxy, and by no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from txsmtpconn.client.hosts import failure_words
from txsmtpconn.client.proxy.handshake import Handshake
from txsmtpconn.client.proxy.negotiator import Negotiator, NegotiatorFactory
from txsmtpconn.client.proxy.options import ProxyOptions
from txsmtpconn.errors import DeadlineError, ProxyError, SMTPError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.patience import patiently
from txsmtpconn.net.tls import TLSOptions, reference_name

_DEFAULT_TLS = TLSOptions()


@dataclass(frozen=True, slots=True)
class Route:
    """What one kind of proxy is told of the way to go.

    Attributes:
        reactor: The reactor to use.
        proxy: The proxy.
        road: Connects to the proxy itself, as the options say.
        host: The server: an IP address without brackets, or a name in ASCII, not to be looked up
            on this side.
        port: The server's.
        timeout: Seconds in which the tunnel has to be open.
    """

    reactor: Any
    proxy: ProxyOptions
    road: IStreamClientEndpoint
    host: str
    port: int
    timeout: float


@implementer(IStreamClientEndpoint)
class ProxyEndpoint:
    """Connects to the proxy of a route, and has it open a tunnel to the server.

    Args:
        route: The way to go.
        handshake: Makes what is said to the proxy, anew for each connection.
        tls: Whether the proxy is spoken to under TLS.
    """

    def __init__(self, route: Route, handshake: Callable[[], Handshake], *, tls: bool) -> None:
        self._route = route
        self._handshake = handshake
        self._tls = tls

    def __repr__(self) -> str:
        route = self._route
        return f"<ProxyEndpoint to {route.host} port {route.port} by {route.proxy}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        """Connect; the Deferred fires when the tunnel is open, and can be cancelled until then.

        Errbacks:
            ProxyError: The proxy cannot be reached, refused, or is none.
            DeadlineError: There was no tunnel in time.
            ConfigError: This kind of proxy cannot be asked for that.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, target: IProtocolFactory) -> Any:
        route = self._route
        try:
            return await patiently(
                route.reactor,
                route.timeout,
                Deferred.fromCoroutine(self._open(target)),
                late=self._late,
                cancelled=_cancelled,
            )
        except (SMTPError, error.NoProtocol):
            raise
        except (error.TimeoutError, error.TCPTimedOutError) as reason:
            raise self._late() from reason
        except error.DNSLookupError as reason:
            raise self._unreachable("the proxy's name does not resolve") from reason
        except Exception as reason:
            raise self._unreachable(failure_words(reason)) from reason

    async def _open(self, target: IProtocolFactory) -> Any:
        route = self._route
        negotiator = Negotiator(
            self._handshake(),
            route.reactor,
            tls=(route.proxy.tls or _DEFAULT_TLS) if self._tls else None,
            name=reference_name(route.proxy.host),
            target=target,
        )
        try:
            await maybeDeferred(route.road.connect, NegotiatorFactory(negotiator, target))
        except BaseException:
            # Should the road come to its end all the same, nobody is to walk on.
            negotiator.give_up()
            raise
        try:
            return await negotiator.opened
        except ProxyError as reason:
            # There may be several on the way, or one that nobody remembers having set.
            raise ProxyError(f"{route.proxy}: {reason.message}", command="CONN") from reason

    def _late(self) -> SMTPError:
        proxy, seconds = self._route.proxy, self._route.timeout
        return DeadlineError(
            f"{proxy}: the proxy opened no tunnel in {seconds:g} s", command="CONN"
        )

    def _unreachable(self, words: str) -> SMTPError:
        return ProxyError(f"{self._route.proxy}: {words}", command="CONN")


def _cancelled() -> SMTPError:
    return SendCancelled("connecting was cancelled", command="CONN")
