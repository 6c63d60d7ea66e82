"""Fetching an MTA-STS policy (RFC 8461 section 3.3): HTTPS, verified, and nothing more than that.

No redirect is followed, no more is read than a policy may have, and nothing takes longer than a
minute. Where the policy host is, our own resolver says, and addresses that are refused to mail
exchanges are refused to policy hosts as well: whoever publishes the domain decides on them, too.
Where there is a proxy, it is asked for those addresses, and nothing goes past it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from txsmtpconn.client import proxy
from txsmtpconn.client.proxy import ProxyOptions
from txsmtpconn.errors import ConfigError, ProxyError, SMTPError, TLSError
from txsmtpconn.net.addresses import address_endpoint
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.https import HTTPS
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.transport.nexthop.addresses import AddressBook
from txsmtpconn.transport.nexthop.sts import POLICY_OCTETS, STSPolicy, parse_policy

#: Seconds for all of it (section 3.3).
FETCH_TIMEOUT = 60.0

#: Seconds to connect to one address.
_CONNECT = 10.0

#: Octets of an HTTP header, besides the policy's own.
_HEADER = 16 * 1024

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
        tls: Whom to trust.
        port: Where policy hosts listen.
        way: The proxy to go through, if there is one.

    Raises:
        ConfigError: The TLS options switch the verification off, a file of theirs is wrong, or the
            proxy is none.
    """

    def __init__(
        self,
        reactor: Any,
        book: AddressBook,
        tls: TLSOptions,
        port: int,
        way: ProxyOptions | None,
    ) -> None:
        self._reactor = reactor
        self._book = book
        self._tls = tls
        self._port = port
        self._way = way
        if way is not None:
            # It is asked for addresses; which, is known later.
            proxy.check(way, "192.0.2.1", port)
        self._client("")

    def fetch(self, domain: str) -> Deferred[STSPolicy]:
        """Fetch the policy of a domain.

        Errbacks:
            FetchError: There is none to be had.
            SendCancelled: The Deferred was cancelled.
        """
        return Deferred.fromCoroutine(self._fetch(domain))

    async def _fetch(self, domain: str) -> STSPolicy:
        port = "" if self._port == 443 else f":{self._port}"
        url = f"https://mta-sts.{domain}{port}/.well-known/mta-sts.txt"
        try:
            answer = await self._client(f"mta-sts.{domain}").fetch("GET", url, headers={})
        except SendCancelled:
            raise
        except TLSError as reason:
            raise FetchError(WEBPKI_INVALID, str(reason)) from reason
        except SMTPError as reason:
            raise FetchError(FETCH_ERROR, str(reason)) from reason
        except Exception as reason:
            raise FetchError(FETCH_ERROR, f"HTTPS failed: {type(reason).__name__}") from reason
        if answer.status != 200:
            # Section 3.3: a redirect is no policy either.
            raise FetchError(FETCH_ERROR, f"the policy host says {answer.status}")
        if answer.media_type != "text/plain":
            # Section 3.2: it may be a page that anybody can write to.
            raise FetchError(FETCH_ERROR, "the policy host sends no plain text")
        try:
            return parse_policy(answer.octets)
        except ConfigError as reason:
            raise FetchError(POLICY_INVALID, str(reason)) from reason

    def _client(self, host: str) -> HTTPS:
        return HTTPS(
            self._reactor,
            self._tls,
            endpoint=_Road(self._reactor, self._book, host, self._port, self._way),
            timeout=FETCH_TIMEOUT,
            limit=POLICY_OCTETS + _HEADER,
        )


@implementer(IStreamClientEndpoint)
class _Road:
    """A host at its addresses, one after the other."""

    def __init__(
        self, reactor: Any, book: AddressBook, host: str, port: int, way: ProxyOptions | None
    ) -> None:
        self._reactor = reactor
        self._book = book
        self._host = host
        self._port = port
        self._way = way

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        last: Exception | None = None
        for address in (await self._book.find(self._host)).found:
            try:
                return await self._endpoint(address).connect(factory)
            except SendCancelled:
                raise
            except (ConnectError, SMTPError) as reason:
                last = reason
        assert last is not None
        if self._way is not None:
            # What became of it is told to whoever publishes the domain: our proxy's name is not.
            raise ProxyError("the proxy opened no way to the policy host") from last
        raise last

    def _endpoint(self, address: str) -> IStreamClientEndpoint:
        if self._way is None:
            return address_endpoint(self._reactor, address, self._port, timeout=_CONNECT)
        return proxy.endpoint(self._reactor, self._way, address, self._port, timeout=_CONNECT)
