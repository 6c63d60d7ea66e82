"""MTA-STS with a policy host of the test's own: HTTPS under a test CA, good and bad."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.names import dns
from twisted.web.server import NOT_DONE_YET

from tests.interop.mail import to_mx
from tests.interop.peers.nameserver import Records, nameserver
from tests.interop.peers.web import POLICY, PolicyHost, Web
from txsmtpconn import Envelope, TLSError, TLSOptions, simple_server
from txsmtpconn.server import IncomingMessage
from txsmtpconn.transport.nexthop import stsfetch
from txsmtpconn.transport.nexthop.mtasts import MTASTS
from txsmtpconn.transport.nexthop.reporting import TLSReports
from txsmtpconn.transport.nexthop.sts import Mode
from txsmtpconn.transport.nexthop.stub import StubResolver

DOMAIN = "wild.test"  # whose policy host mta-sts.wild.test the certificate names


class Place:
    """A domain with a policy, and a clock for its age."""

    def __init__(self, records: Records, host: PolicyHost, dns_port: int, port: int, ca: Any):
        self.records = records
        self.host = host
        self.now = 1_000_000.0
        self.reports = TLSReports("we", "postmaster@client.test")
        self.resolver = StubResolver(reactor, [("127.0.0.1", dns_port)])
        self._port = port
        self._ca = ca
        self.publish("1")

    def publish(self, identifier: str) -> None:
        """Say that there is a policy with this id; none where it is empty."""
        name = f"_mta-sts.{DOMAIN}"
        self.records.table.pop((name, dns.TXT), None)
        if identifier:
            self.records.put(name, dns.Record_TXT(b"v=STSv1; id=" + identifier.encode()))

    def knower(self, **options: Any) -> MTASTS:
        """Return something that knows policies, at this place."""
        options.setdefault("allow_networks", ["127.0.0.0/8"])
        return MTASTS(
            reactor,
            resolver=self.resolver,
            tls=TLSOptions(ca_file=self._ca),
            tls_reports=self.reports,
            port=self._port,
            now=lambda: self.now,
            **options,
        )

    @property
    def faults(self) -> list[str]:
        """What has been counted."""
        return [
            failure.kind
            for counts in self.reports.counts(DOMAIN).values()
            for failure in counts.failures
        ]


@asynccontextmanager
async def place(zoo: Any, certificate: str = "wildcard") -> AsyncIterator[Place]:
    """A name server and a policy host."""
    records, host = Records(), PolicyHost()
    records.put(f"mta-sts.{DOMAIN}", dns.Record_A("127.0.0.1"))
    records.put(DOMAIN, dns.Record_MX(10, b"mx.test"))
    records.put("mx.test", dns.Record_A("127.0.0.2"))
    port = reactor.listenSSL(0, Web(host), zoo.server_options(certificate), interface="127.0.0.1")
    try:
        async with nameserver(records) as dns_port:
            yield Place(records, host, dns_port, port.getHost().port, zoo.ca)
    finally:
        await port.stopListening()


@asynccontextmanager
async def knowing(where: Place, **options: Any) -> AsyncIterator[MTASTS]:
    """Something that knows policies, and is closed."""
    knower = where.knower(**options)
    try:
        yield knower
    finally:
        knower.close()


async def test_a_policy_is_fetched_once_and_kept(certificate_zoo):
    """From the well-known place, by the name that the certificate has."""
    async with place(certificate_zoo) as where, knowing(where) as knower:
        first = await knower.policy_of(DOMAIN)
        assert (first.mode, first.mx) == (Mode.ENFORCE, ("mx.test",))
        assert await knower.policy_of(DOMAIN) == first
        assert where.host.asked == [(b"/.well-known/mta-sts.txt", b"mta-sts.wild.test")]
        assert await knower.policy_of("other.test") is None


async def test_many_who_ask_make_one_request(certificate_zoo):
    """However many messages wait for it."""
    async with place(certificate_zoo) as where, knowing(where) as knower:
        waiting = [knower.policy_of(DOMAIN) for _ in range(10)]
        found = [await each for each in waiting]
        assert len(set(found)) == len(where.host.asked) == 1


async def test_a_new_id_brings_a_new_policy(certificate_zoo):
    """RFC 8461 section 3.1."""
    async with place(certificate_zoo) as where:
        async with knowing(where) as knower:
            await knower.policy_of(DOMAIN)
        where.host.answer = lambda request: POLICY.replace(b"enforce", b"testing")
        where.publish("2")
        async with knowing(where) as knower:
            assert (await knower.policy_of(DOMAIN)).mode is Mode.TESTING


@pytest.mark.parametrize("certificate", ["wronghost", "expired", "selfsigned", "otherissuer"])
async def test_a_policy_host_must_be_the_one(certificate_zoo, certificate):
    """A wrong certificate: whoever it is, its policy is not the domain's."""
    async with place(certificate_zoo, certificate) as where, knowing(where) as knower:
        assert await knower.policy_of(DOMAIN) is None
        assert where.faults == ["sts-webpki-invalid"]
        assert where.host.asked == []


def redirected(request: Any) -> Any:
    """Answer with a redirect to the right place."""
    request.redirect(b"https://mta-sts.wild.test/.well-known/mta-sts.txt")
    return b""


def missing(request: Any) -> bytes:
    """Answer that there is nothing, with a good policy in the page."""
    request.setResponseCode(404)
    return POLICY


def a_page(request: Any) -> bytes:
    """Answer with HTML."""
    request.setHeader("content-type", "text/html")
    return POLICY


def endless(request: Any) -> Any:
    """Answer, and go on answering."""

    def more(*_: Any) -> None:
        if not gone:
            request.write(b"mx: x.test\n" * 1000)
            deferLater(reactor, 0.001).addCallback(more)

    gone: list[Any] = []
    request.notifyFinish().addBoth(gone.append)
    request.write(POLICY)
    more()
    return NOT_DONE_YET


def stalled(request: Any) -> Any:
    """Begin to answer."""
    request.notifyFinish().addErrback(lambda _: None)
    request.write(POLICY)
    return NOT_DONE_YET


def silent(request: Any) -> Any:
    """Do not answer."""
    request.notifyFinish().addErrback(lambda _: None)
    return NOT_DONE_YET


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (redirected, "sts-policy-fetch-error"),
        (missing, "sts-policy-fetch-error"),
        (a_page, "sts-policy-fetch-error"),
        (endless, "sts-policy-fetch-error"),
        (lambda request: POLICY + b"#" * 70_000, "sts-policy-invalid"),
        (lambda request: b"nonsense", "sts-policy-invalid"),
        (stalled, "sts-policy-fetch-error"),
        (silent, "sts-policy-fetch-error"),
    ],
    ids=["redirect", "404", "HTML", "endless", "huge", "nonsense", "stalled", "silent"],
)
async def test_what_a_policy_host_must_not_do(certificate_zoo, monkeypatch, answer, fault):
    """No redirect, no more than 64 KiB, no more than a minute; and what is known stays."""
    monkeypatch.setattr(stsfetch, "FETCH_TIMEOUT", 0.5)
    async with place(certificate_zoo) as where:
        where.host.answer = answer
        async with knowing(where) as knower:
            assert await knower.policy_of(DOMAIN) is None
            assert where.faults == [fault]
            # Not again for five minutes.
            assert await knower.policy_of(DOMAIN) is None
            assert len(where.host.asked) == 1
            where.now += 301
            where.host.answer = lambda request: POLICY
            assert (await knower.policy_of(DOMAIN)).mode is Mode.ENFORCE


async def test_what_is_known_outlives_the_record_and_the_host(certificate_zoo, tmp_path):
    """RFC 8461 section 5.1: whoever cuts both off gains nothing, until the policy expires."""
    path = tmp_path / "sts.sqlite"
    async with place(certificate_zoo) as where:
        async with knowing(where, path=path) as knower:
            known = await knower.policy_of(DOMAIN)
        where.host.answer = missing
        for identifier in ("", "2"):
            where.publish(identifier)
            async with knowing(where, path=path) as knower:
                assert await knower.policy_of(DOMAIN) == known
        where.records.fail(f"_mta-sts.{DOMAIN}", dns.TXT)
        async with knowing(where, path=path) as knower:
            assert await knower.policy_of(DOMAIN) == known
            where.now += 100_001
            assert await knower.policy_of(DOMAIN) is None


async def test_an_old_policy_is_renewed_before_it_expires(certificate_zoo):
    """Section 10.2: in the background, though its id is the same."""
    async with place(certificate_zoo) as where, knowing(where) as knower:
        known = await knower.policy_of(DOMAIN)
        where.now += 86_401
        assert await knower.policy_of(DOMAIN) == known
        for _ in range(200):
            if len(where.host.asked) == 2:
                break
            await deferLater(reactor, 0.01)
        assert len(where.host.asked) == 2
        where.now += 50_000
        assert await knower.policy_of(DOMAIN) == known


async def test_a_policy_host_on_loopback_is_not_asked(certificate_zoo):
    """It is where whoever publishes the domain says; our own services are not for them."""
    async with place(certificate_zoo) as where, knowing(where, allow_networks=[]) as knower:
        assert await knower.policy_of(DOMAIN) is None
        assert (where.faults, where.host.asked) == (["sts-policy-fetch-error"], [])


@pytest.mark.parametrize("certificate", ["server", "wronghost"])
async def test_mail_under_an_enforced_policy(certificate_zoo, certificate):
    """All of it: TXT, HTTPS, MX, STARTTLS and the exchange's certificate."""
    taken: list[Any] = []

    async def take(message: IncomingMessage) -> None:
        taken.append(await message.read())

    options = certificate_zoo.server_options(certificate)
    factory = simple_server(reactor, take, name="mx.test", tls=options)
    server = reactor.listenTCP(0, factory, interface="127.0.0.2")
    try:
        async with place(certificate_zoo) as where, knowing(where) as knower:
            port = server.getHost().port
            known = {"mta_sts": knower, "resolver": where.resolver}
            async with to_mx(certificate_zoo, port, policies="mta-sts", **known) as transport:
                sending = transport.send(
                    Envelope("a@client.test", ["b@wild.test"]), b"x: y\r\n\r\nz\r\n"
                )
                if certificate == "server":
                    assert (await sending).accepted == ["b@wild.test"]
                else:
                    with pytest.raises(TLSError):
                        await sending
    finally:
        await server.stopListening()
    assert len(taken) == (1 if certificate == "server" else 0)
