"""MTA-STS (RFC 8461): the policies of domains, discovered, fetched, kept, and renewed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.client.proxy import ProxyOptions
from txsmtpconn.client.waiters import Waiters
from txsmtpconn.errors import DNSError
from txsmtpconn.net.clock import default_reactor
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.transport.nexthop.addresses import AddressBook
from txsmtpconn.transport.nexthop.cache import CachingResolver
from txsmtpconn.transport.nexthop.networks import Reach
from txsmtpconn.transport.nexthop.records import RecordType, Resolver
from txsmtpconn.transport.nexthop.reporting import Failed, PolicyApplied, PolicyType, TLSReports
from txsmtpconn.transport.nexthop.sts import STSPolicy, record_id
from txsmtpconn.transport.nexthop.stsfetch import Fetcher, FetchError
from txsmtpconn.transport.nexthop.stsstore import KeptPolicy, STSStore
from txsmtpconn.transport.nexthop.stub import StubResolver

#: Seconds after which a policy that holds for longer is fetched anew all the same, lest it expire
#: while nobody can reach the policy host (section 10.2).
_RENEWAL = 86_400.0

#: Seconds until another attempt, after one that failed (section 3.3).
_PAUSE = 300.0

#: Domains whose failures are remembered.
_FAILURES = 10_000


class MTASTS:
    """Knows the policies of domains: give one to `SMTPTransport.to_mx` as ``mta_sts``.

    One may serve several transports.

    Args:
        reactor: The reactor to use; None for the process's.
        path: A file in which policies outlive the process; None for memory.
        resolver: Where to ask; by default the servers of ``/etc/resolv.conf``.
        tls: Whom to trust in HTTPS; by default the platform's authorities.
        tls_reports: Where failures to get a policy are counted.
        allow_networks: Networks in which policy hosts may be although `networks.REFUSED` has them.
        refuse_networks: Networks in which they must not be, besides those.
        proxy: What to go through to the policy hosts, as its URL or a `ProxyOptions`. Nothing is
            fetched past it; DNS is asked on this side.
        port: Where policy hosts listen: 443, but in tests.
        now: The time, in seconds since the epoch.

    Attributes:
        proxy: What policies are fetched through; None for nothing.

    Raises:
        ConfigError: Something of that is wrong.
    """

    log = Logger(namespace="txsmtpconn.transport")

    def __init__(
        self,
        reactor: Any = None,
        *,
        path: str | Path | None = None,
        resolver: Resolver | None = None,
        tls: TLSOptions | None = None,
        tls_reports: TLSReports | None = None,
        allow_networks: Iterable[str] = (),
        refuse_networks: Iterable[str] = (),
        proxy: ProxyOptions | str | None = None,
        port: int = 443,
        now: Callable[[], float] = time.time,
    ) -> None:
        reactor = default_reactor() if reactor is None else reactor
        self._resolver = CachingResolver(resolver or StubResolver(reactor), reactor)
        reach = Reach(allow=allow_networks, refuse=refuse_networks)
        book = AddressBook(self._resolver, reach)
        if proxy is not None and not isinstance(proxy, ProxyOptions):
            proxy = ProxyOptions.from_url(proxy)
        self.proxy = proxy
        self._fetcher = Fetcher(reactor, book, tls or TLSOptions(), port, self.proxy)
        self._store = STSStore(path)
        self._reports = tls_reports
        self._now = now
        self._fetching: dict[str, tuple[Deferred[Any], Waiters[STSPolicy | None]]] = {}
        self._failed: dict[str, float] = {}

    def policy_of(self, domain: str) -> Deferred[STSPolicy | None]:
        """Return what a domain has published, None if nothing is known; it never errbacks.

        Args:
            domain: In A-labels and lower case.
        """
        return Deferred.fromCoroutine(self._policy_of(domain))

    async def _policy_of(self, domain: str) -> STSPolicy | None:
        now = self._now()
        kept = self._store.get(domain, now)
        try:
            answer = await self._resolver.lookup(f"_mta-sts.{domain}", RecordType.TXT)
            # RFC 8461 section 3.1: what is no string of octets cannot be a record of ours.
            published = record_id(text for text in answer.records if isinstance(text, bytes))
        except DNSError:
            published = None
        if published is None:
            # Section 5.1: who can suppress the record cannot undo what is known.
            return None if kept is None else kept.policy
        if kept is not None and kept.id == published:
            if kept.fetched + _RENEWAL <= now:
                self._fetch(domain, published)
            return kept.policy
        found = await self._fetch(domain, published)
        return found if found is not None or kept is None else kept.policy

    def _fetch(self, domain: str, published: str) -> Deferred[STSPolicy | None]:
        """Fetch a policy, once for all who want it, and not too often."""
        under_way = self._fetching.get(domain)
        if under_way is not None:
            return under_way[1].wait()
        if self._failed.get(domain, 0.0) > self._now():
            return succeed(None)
        waiters: Waiters[STSPolicy | None] = Waiters()
        waiting = waiters.wait()
        fetching = self._fetcher.fetch(domain)
        self._fetching[domain] = (fetching, waiters)
        fetching.addCallback(self._fetched, domain, published)
        fetching.addErrback(self._not_fetched, domain)
        fetching.addCallback(self._told, domain, waiters)
        return waiting

    def _fetched(self, policy: STSPolicy, domain: str, published: str) -> STSPolicy:
        now = self._now()
        self._failed.pop(domain, None)
        self._store.put(domain, KeptPolicy(published, policy, now, now + policy.max_age))
        return policy

    def _not_fetched(self, failure: Failure, domain: str) -> None:
        if len(self._failed) >= _FAILURES:
            del self._failed[next(iter(self._failed))]
        self._failed[domain] = self._now() + _PAUSE
        reason = failure.value
        self.log.info("MTA-STS policy of {domain}: {reason}", domain=domain, reason=str(reason))
        if self._reports is not None and isinstance(reason, FetchError):
            failed = Failed(reason.kind, f"mta-sts.{domain}", reason=str(reason))
            self._reports.failed(domain, PolicyApplied(PolicyType.STS, domain), failed)

    def _told(
        self, policy: STSPolicy | None, domain: str, waiters: Waiters[STSPolicy | None]
    ) -> None:
        del self._fetching[domain]
        waiters.fire(policy)

    def close(self) -> None:
        """Fetch nothing more, and give the file back."""
        for fetching, _ in list(self._fetching.values()):
            fetching.cancel()
        self._resolver.close()
        self._store.close()
