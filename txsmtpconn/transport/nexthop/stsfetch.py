"""Fetching an MTA-STS policy (RFC 8461 section 3.3): HTTPS, verified, and nothing more than that.

No redirect is followed, no more is read than a policy may have, and nothing takes longer than a
minute. Where the policy host is, our own resolver says, and addresses that are refused to mail
exchanges are refused to policy hosts as well: whoever publishes the domain decides on them, too.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from txsmtpconn.errors import ConfigError, SMTPError
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.transport.nexthop.addresses import AddressBook
from txsmtpconn.transport.nexthop.sts import POLICY_OCTETS, STSPolicy, parse_policy

#: Seconds for all of it (section 3.3).
FETCH_TIMEOUT = 60.0

#: Seconds to connect to one address.
_CONNECT = 10.0

FETCH_ERROR = "sts-policy-fetch-error"
WEBPKI_INVALID = "sts-webpki-invalid"
POLICY_INVALID = "sts-policy-invalid"


class FetchError(Exception):
    """There is no policy to be had.

    Attributes:
        kind: A result type of RFC 8460 section 4.3.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Fetcher:
    """Fetches policies.

    Args:
        reactor: The reactor.
        book: Finds the policy hosts.
        tls: Whom to trust: its `ca_file` counts; by default the platform's authorities.
        port: Where policy hosts listen.
    """

    def __init__(self, reactor: Any, book: AddressBook, tls: TLSOptions, port: int) -> None:
        self._reactor = reactor
        self._book = book
        self._trust = _trust(tls)
        self._port = port

    def fetch(self, domain: str) -> Deferred[STSPolicy]:
        """Fetch the policy of a domain.

        Errbacks:
            FetchError: There is none to be had.
        """
        return Deferred.fromCoroutine(self._fetch(domain)).addErrback(_explained)

    async def _fetch(self, domain: str) -> STSPolicy:
        port = "" if self._port == 443 else f":{self._port}"
        url = f"https://mta-sts.{domain}{port}/.well-known/mta-sts.txt"
        road = _Road(self._reactor, self._book, f"mta-sts.{domain}", self._port)
        whole = Deferred.fromCoroutine(self._get(url.encode("ascii"), road))
        try:
            octets = await whole.addTimeout(FETCH_TIMEOUT, self._reactor)
        finally:
            road.abandon()
        try:
            return parse_policy(octets)
        except ConfigError as reason:
            raise FetchError(POLICY_INVALID, str(reason)) from reason

    async def _get(self, url: bytes, road: _Road) -> bytes:
        roads = _OneRoad(road, self._trust)
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        agent = Agent.usingEndpointFactory(self._reactor, roads, pool=pool)
        response = await agent.request(b"GET", url)
        body = _Body()
        response.deliverBody(body)
        if response.code != 200:
            # Section 3.3: a redirect is no policy either.
            raise FetchError(FETCH_ERROR, f"the policy host says {response.code}")
        kinds = response.headers.getRawHeaders(b"content-type") or [b""]
        if kinds[0].partition(b";")[0].strip().lower() != b"text/plain":
            raise FetchError(FETCH_ERROR, "the policy host sends no plain text")
        return await body.whole


def _explained(failure: Failure) -> Failure:
    """Return a failure that has a name in reports."""
    reason = failure.value
    if isinstance(reason, FetchError):
        return failure
    if isinstance(reason, WaitedTooLong):
        told = FetchError(FETCH_ERROR, f"the policy host took more than {FETCH_TIMEOUT:g} s")
    elif isinstance(reason, SMTPError):
        told = FetchError(FETCH_ERROR, str(reason))
    elif _is_of_tls(reason):
        told = FetchError(WEBPKI_INVALID, "the policy host's certificate is not good")
    else:
        told = FetchError(FETCH_ERROR, f"the policy host: {type(reason).__name__}")
    told.__cause__ = reason
    return Failure(told)


def _is_of_tls(reason: BaseException | None) -> bool:
    from service_identity import VerificationError

    if isinstance(reason, ResponseFailed):
        return any(_is_of_tls(each.value) for each in reason.reasons)
    return isinstance(reason, (SSL.Error, VerificationError))


def _trust(tls: TLSOptions) -> Any:
    """Return what Twisted takes for whom to trust; None for the platform's."""
    if tls.ca_file is None:
        return None
    tls.context()  # It has read the file, and complained where there is no certificate in it.
    with open(tls.ca_file, "rb") as file:
        text = file.read()
    end = b"-----END CERTIFICATE-----"
    found = [part + end for part in text.split(end)[:-1]]
    return trustRootFromCertificates([Certificate.loadPEM(each) for each in found])


@implementer(IAgentEndpointFactory)
class _OneRoad:
    """Leads to one host, under TLS."""

    def __init__(self, road: _Road, trust: Any) -> None:
        self._road = road
        self._trust = trust

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:  # noqa: N802
        trust = {} if self._trust is None else {"trustRoot": self._trust}
        return wrapClientTLS(optionsForClientTLS(self._road.host, **trust), self._road)


@implementer(IStreamClientEndpoint)
class _Road:
    """A host at its addresses, one after the other.

    Attributes:
        host: Its name.
    """

    _transport: Any = None

    def __init__(self, reactor: Any, book: AddressBook, host: str, port: int) -> None:
        self._reactor = reactor
        self._book = book
        self.host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        last: ConnectError | None = None
        for address in (await self._book.find(self.host)).found:
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint = kind(self._reactor, address, self._port, timeout=_CONNECT)
            try:
                protocol: Any = await endpoint.connect(factory)
            except ConnectError as reason:
                last = reason
            else:
                self._transport = protocol.transport
                return protocol
        assert last is not None
        raise last

    def abandon(self) -> None:
        """Drop the connection, whatever the host would still like to say."""
        if self._transport is not None:
            self._transport.abortConnection()


class _Body(Protocol):
    """Takes a body that is not too long."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self.whole: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._octets += data
        if len(self._octets) > POLICY_OCTETS and not self.whole.called:
            text = f"the policy is longer than {POLICY_OCTETS} octets"
            self.whole.errback(FetchError(POLICY_INVALID, text))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # Without a length the end of the connection is the end, or somebody has cut it off.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(bytes(self._octets))
        else:
            self.whole.errback(reason)
