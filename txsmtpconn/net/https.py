"""One request to one HTTPS server: verified, bounded in octets and in time, and never redirected.

HTTP itself is Twisted's. What is here is what a request with a secret in it needs: not an octet of
it leaves before the server has shown who it is, by the same check as everywhere else in this
library; whatever the server then sends, there is a limit; and the secret goes to the server that
was named, not to one that this server names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHandshakeListener,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from txsmtpconn.errors import ConfigError, DeadlineError, ProtocolError, SMTPError, TLSError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.openssl import is_of_tls, told_by_openssl
from txsmtpconn.net.patience import patiently
from txsmtpconn.net.tls import Guarded, TLSOptions, reference_name


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: The status code; 3xx too, as no redirection is followed.
        octets: The content.
        media_type: What the content is said to be, without parameters, in lower case.
    """

    status: int
    octets: bytes = field(repr=False)
    media_type: str = ""


class HTTPS:
    """Makes requests, each over a connection of its own.

    Args:
        reactor: The reactor.
        tls: What to trust; a certificate is always verified.
        endpoint: What to connect with instead of a direct connection.
        timeout: Seconds for a whole request.
        limit: Octets of a whole answer, header included.

    Raises:
        ConfigError: The TLS options switch the verification off, or a file of theirs is wrong.
    """

    def __init__(
        self,
        reactor: Any,
        tls: TLSOptions,
        *,
        endpoint: IStreamClientEndpoint | None = None,
        timeout: float,
        limit: int,
    ) -> None:
        if not tls.verify:
            raise ConfigError("HTTPS is always verified: TLS option verify cannot be False")
        if tls.connection_creator is None:
            tls.context()
        self._reactor = reactor
        self._tls = tls
        self._endpoint = endpoint
        self._timeout = timeout
        self._limit = limit

    def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
    ) -> Deferred[Answer]:
        """Make a request.

        Args:
            method: GET or POST.
            url: What `https_url` has found good.
            headers: Fields besides those that HTTP itself needs.
            content: What to send, if anything.

        Returns:
            A Deferred with the answer, whatever its status. Cancelling it drops the connection.

        Errbacks:
            TLSError: The server is not who it should be.
            ProtocolError: The answer is over the limit.
            DeadlineError: It took too long.
            Exception: Whatever else Twisted finds wrong; nothing in it is secret.
        """
        endpoint = _Checked(self._reactor, self._tls, self._way_to, self._limit)
        fetching = self._fetch(endpoint, method, url, headers, content)
        return Deferred.fromCoroutine(
            patiently(
                self._reactor,
                self._timeout,
                Deferred.fromCoroutine(fetching),
                late=lambda: DeadlineError(f"no answer within {self._timeout:g} s", command="CONN"),
                cancelled=lambda: SendCancelled("the request was cancelled", command="API"),
            )
        )

    async def _fetch(
        self,
        endpoint: _Checked,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
    ) -> Answer:
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        pool.retryAutomatically = False
        agent = Agent.usingEndpointFactory(self._reactor, endpoint, pool)
        fields = Headers()
        for name, value in headers.items():
            fields.setRawHeaders(name, [value])
        body = None if content is None else _Content(content)
        collector = _Collector()
        try:
            response = await agent.request(
                method.encode("ascii"), url.encode("ascii"), fields, body
            )
            response.deliverBody(collector)
            return Answer(response.code, await collector.whole, _media_type(response.headers))
        except Exception:
            # What the check or the limit found is why, whatever HTTP makes of it.
            if endpoint.objection is not None:
                raise endpoint.objection from None
            raise
        finally:
            endpoint.drop()

    def _way_to(self, host: str, port: int) -> IStreamClientEndpoint:
        if self._endpoint is not None:
            return self._endpoint
        return HostnameEndpoint(self._reactor, host, port, timeout=self._timeout)


def _media_type(headers: Headers) -> str:
    told = headers.getRawHeaders("content-type") or [""]
    return told[0].partition(";")[0].strip().lower()


def https_url(url: object, what: str) -> SplitResult:
    """Return the parts of a URL that a request can go to.

    Raises:
        ConfigError: It is no https URL, or holds a user, a fragment or what is not ASCII. Nothing
            of it is shown.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        good = (
            parts is not None
            and parts.scheme == "https"
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and "@" not in parts.netloc
            and "#" not in str(url)
            and str(url).isascii()
            and str(url).isprintable()
            and " " not in str(url)
        )
    except ValueError:
        parts, good = None, False
    if parts is None or not good:
        raise ConfigError(f"{what} is an https URL")
    reference_name(parts.hostname or "")
    return parts


@implementer(IBodyProducer)
class _Content:
    """What a request holds, in one piece."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length = len(octets)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._octets)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is said."""

    def resumeProducing(self) -> None:
        """All is said."""

    def stopProducing(self) -> None:
        """All is said."""


class _Collector(Protocol):
    """Takes an answer's content in."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self.whole: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._octets += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # A server that tells no length ends its answer by closing; what it says is then checked by
        # whoever reads it.
        if reason.check(ResponseDone, PotentialDataLoss) is None:
            self.whole.errback(reason)
        else:
            self.whole.callback(bytes(self._octets))


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Checked:
    """An endpoint that gives a connection away only when the server has proved itself.

    Attributes:
        objection: Why the request fails, where that was not found by HTTP.
        tls: What to trust.
        left: Octets that the server may still send.
    """

    objection: SMTPError | None = None
    _gate: _Gate | None = None

    def __init__(
        self,
        clock: IReactorTime,
        tls: TLSOptions,
        way_to: Callable[[str, int], IStreamClientEndpoint],
        limit: int,
    ) -> None:
        self._clock = clock
        self.tls = tls
        self._way_to = way_to
        self.left = limit

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:  # noqa: N802 - Twisted's name
        self._host, self._port = uri.host.decode("ascii"), uri.port
        return self

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        name = reference_name(self._host)
        creator = Guarded(self.tls.client_connections(name))
        gate = self._gate = _Gate(self, factory, name)
        guarded = TLSMemoryBIOFactory(
            creator, True, Factory.forProtocol(lambda: gate), clock=self._clock
        )
        await self._way_to(self._host, self._port).connect(guarded)
        if creator.failure is not None:
            self.object(TLSError("the connection creator failed", command="CONN"))
        return await gate.opened

    def object(self, reason: SMTPError) -> None:
        """Note what is wrong, and let go of the server."""
        if self.objection is None:
            self.objection = reason
        self.drop()

    def drop(self) -> None:
        """Let go of the connection, if there is one."""
        if self._gate is not None:
            self._gate.drop()


@implementer(IHandshakeListener)
class _Gate(Protocol):
    """Stands before an HTTP protocol until the server's identity is verified, and counts octets."""

    _inner: Any = None
    _lost = False

    def __init__(self, owner: _Checked, factory: IProtocolFactory, name: str) -> None:
        self._owner = owner
        self._inner_factory = factory
        self._name = name
        self.opened: Deferred[Any] = Deferred(lambda _: self.drop())

    def handshakeCompleted(self) -> None:
        if self._owner.objection is not None or self.opened.called:
            return
        try:
            self._owner.tls.check(self.transport, self._name)
        except TLSError as reason:
            self._owner.object(reason)
            return
        transport: Any = self.transport
        inner = self._inner_factory.buildProtocol(_address(transport))
        assert inner is not None
        self._inner = inner
        inner.makeConnection(transport)
        self.opened.callback(inner)

    def dataReceived(self, data: bytes) -> None:
        self._owner.left -= len(data)
        if self._owner.left < 0:
            self._owner.object(ProtocolError("the answer is too long"))
        elif self._inner is not None:
            self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self.opened.called:
            if reason.value is not None and is_of_tls(reason.value):
                told = told_by_openssl(reason.value, self.transport)
                self._owner.object(TLSError(told, command="CONN"))
            self.opened.errback(reason)

    def drop(self) -> None:
        """Close the connection now."""
        transport: Any = self.transport
        if transport is not None and not self._lost:
            transport.abortConnection()


def _address(transport: Any) -> IAddress:
    address: IAddress = transport.getPeer()
    return address
