"""Postfix through Tinyproxy, microsocks, Dante and Twisted's SOCKS 4a, named and found by MX."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.names import dns
from twisted.protocols.portforward import ProxyFactory
from twisted.protocols.socks import SOCKSv4Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.interop.mail import BODY, connected, marker, message, to_mx, trusting
from tests.interop.peers.arrived import wait_for
from tests.interop.peers.dovecot import PASSWORD, USER
from tests.interop.peers.nameserver import Records, nameserver
from tests.interop.peers.process import free_ports
from tests.interop.peers.proxies import PASSWORD as PROXY_PASSWORD
from tests.interop.peers.proxies import USER as PROXY_USER
from tests.interop.peers.unbound import tlsa
from tests.interop.peers.web import PolicyHost, Web
from txsmtpconn import (
    Credentials,
    DeadlineError,
    Delivery,
    Envelope,
    ProxyError,
    SMTPTransport,
    TLSError,
)
from txsmtpconn.transport.nexthop import MTASTS, StubResolver

LOGIN = f"{quote(PROXY_USER)}:{quote(PROXY_PASSWORD, safe='')}"
ENVELOPE = Envelope("a@a.test", ["u@a.test"])
KINDS = ["http", "https", "socks5", "socks5+login", "socks4a", "socks4"]
#: What a proxy notes of a connection: those that tell the name were told it.
NOTED = {
    "http": 'Established connection to host "localhost"',
    "https": 'Established connection to host "localhost"',
    "socks5": "pass(1): tcp/connect [",
    "socks5+login": "connected to localhost:",
    "socks4": "pass(1): tcp/connect [",
}


@pytest.fixture
def proxied(tinyproxy, microsocks, dante, certificate_zoo):
    """A function that opens a proxy of a kind to one port, and yields its URL and what it logs."""

    @asynccontextmanager
    async def opened(kind: str, port: int) -> AsyncIterator[tuple]:
        from twisted.internet import reactor

        if kind == "http":
            proxy = tinyproxy(port)
            yield f"http://127.0.0.1:{proxy.port}", proxy
        elif kind == "https":
            # Tinyproxy speaks no TLS; what is in front of it is as thin as can be.
            proxy = tinyproxy(port, "BasicAuth pr0xy s3cret-word")
            front = TLSMemoryBIOFactory(
                certificate_zoo.server_options(), False, ProxyFactory("127.0.0.1", proxy.port)
            )
            listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(front)
            try:
                place = f"pr0xy:s3cret%2Dword@localhost:{listening.getHost().port}"
                yield f"https://{place}?tls.ca_file={certificate_zoo.ca}", proxy
            finally:
                await listening.stopListening()
        elif kind == "socks5+login":
            proxy = microsocks(port, "-u", PROXY_USER, "-P", PROXY_PASSWORD)
            yield f"socks5://{LOGIN}@127.0.0.1:{proxy.port}", proxy
        elif kind == "socks4a":
            # Dante takes the address for one.
            socks = SOCKSv4Factory(None)
            listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(socks)
            try:
                yield f"socks4a://127.0.0.1:{listening.getHost().port}", None
            finally:
                await listening.stopListening()
        else:
            proxy = dante(port)
            yield f"{kind}://127.0.0.1:{proxy.port}", proxy

    return opened


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["clear", "starttls", "implicit"])
async def test_mail_arrives_through_every_kind_of_proxy(
    postfix, certificate_zoo, proxied, kind, way
):
    """Octet for octet, after a login where there is one, with the server's certificate checked."""
    port = {"clear": postfix.mx, "starttls": postfix.submission, "implicit": postfix.submissions}
    options = {"tls": trusting(certificate_zoo)}
    if way == "clear":
        options["ignore_tls"] = True
    else:
        options |= {"secure": way == "implicit", "require_tls": way == "starttls"}
        options["auth"] = Credentials(USER, PASSWORD)
    if kind == "socks4":
        options["host"] = "127.0.0.1"
    mark = marker()
    big = BODY + b"a line of mail data\r\n" * 50_000
    async with (
        proxied(kind, port[way]) as (url, proxy),
        connected(port[way], proxy=url, **options) as connection,
    ):
        assert connection.secure is (way != "clear")
        assert connection.transport.getPeer().port != port[way]
        if way != "clear":
            await connection.login()
        sent = [connection.send(ENVELOPE, message(mark, body)) for body in (BODY, big)]
        for each in sent:
            assert (await each).accepted == ["u@a.test"]
        assert proxy is None or NOTED[kind] in proxy.log()
    arrived = await wait_for(postfix.messages, mark, 2)
    assert sorted((each.data for each in arrived), key=len) == [
        message(mark, BODY),
        message(mark, big),
    ]


@pytest.mark.parametrize("kind", ["http", "socks5", "socks4"])
async def test_what_a_proxy_forbids_is_eproxy(postfix, proxied, kind):
    """In its words; and Postfix, which is there to be connected to, hears nothing."""
    async with proxied(kind, 1) as (url, _):
        with pytest.raises(ProxyError, match="refused"):
            async with connected(postfix.mx, host="127.0.0.1", proxy=url):
                pass


@pytest.mark.parametrize("kind", ["http", "socks5", "socks5+login", "socks4a"])
async def test_a_server_that_is_not_there_is_eproxy(proxied, kind):
    """The proxy says so, each in its way."""
    (nobody,) = free_ports()
    async with proxied(kind, nobody) as (url, _):
        with pytest.raises(ProxyError):
            async with connected(nobody, proxy=url, connection_timeout=20):
                pass


async def test_a_wrong_password_is_refused_and_not_repeated(postfix, microsocks, tinyproxy):
    """407 with what was asked for, and RFC 1929's status."""
    socks = microsocks(postfix.mx, "-u", PROXY_USER, "-P", PROXY_PASSWORD)
    http = tinyproxy(postfix.mx, "BasicAuth pr0xy right")
    for url, words in [
        (f"socks5://{PROXY_USER}:hunter2@127.0.0.1:{socks.port}", "user or password"),
        (f"socks5://127.0.0.1:{socks.port}", "wants a login"),
        (f"http://{PROXY_USER}:hunter2@127.0.0.1:{http.port}", "40"),
        (f"http://127.0.0.1:{http.port}", "407"),
    ]:
        with pytest.raises(ProxyError, match=words) as caught:
            async with connected(postfix.mx, proxy=url):
                pass
        assert "hunter2" not in repr(caught.value)


async def test_a_certificate_for_another_server_is_refused_behind_a_proxy(
    postfix, certificate_zoo, tinyproxy, logged_failures
):
    """The proxy may connect to whom it likes; we say who it has to be."""
    proxy = tinyproxy(postfix.submissions)
    with pytest.raises(TLSError):
        async with connected(
            postfix.submissions,
            proxy=f"http://127.0.0.1:{proxy.port}",
            secure=True,
            servername="elsewhere.test",
            tls=trusting(certificate_zoo),
        ):
            pass
    logged_failures.clear()


async def test_a_pool_and_verify_go_through_the_proxy(postfix, certificate_zoo, dante):
    """Dante has a line for each connection, and there are as many as there should be."""
    from twisted.internet import reactor

    proxy = dante(postfix.submission)
    transport = SMTPTransport(
        reactor,
        host="localhost",
        port=postfix.submission,
        proxy=f"socks5://127.0.0.1:{proxy.port}",
        auth=Credentials(USER, PASSWORD),
        tls=trusting(certificate_zoo),
        pool=True,
    )
    mark = marker()
    assert await transport.verify()
    sent = [transport.send(ENVELOPE, message(mark)) for _ in range(10)]
    for each in sent:
        assert (await each).accepted
    await transport.close()
    await wait_for(postfix.messages, mark, 10)
    passed = proxy.log().count("pass(1): tcp/connect [")
    assert 2 <= passed <= 6


#: How each proxy notes that it was asked for an address.
BY_ADDRESS = {
    "http": "CONNECT 127.0.0.1:{port} ",
    "https": "CONNECT 127.0.0.1:{port} ",
    "socks5": "127.0.0.1.{port}",
    "socks5+login": "connected to 127.0.0.1:{port}",
}


@pytest.mark.parametrize("kind", BY_ADDRESS)
async def test_mail_to_an_exchange_goes_through_the_proxy(
    postfix, unbound, certificate_zoo, proxied, kind
):
    """To the address that was looked up here, and under the TLS that its TLSA record wants."""
    record = tlsa(certificate_zoo["server"].certificate)
    zone = f"@ MX 10 mx\nmx A 127.0.0.1\n_{postfix.mx}._tcp.mx {record}\n"
    dnssec = f"127.0.0.1:{unbound({'a.test': zone})}"
    mark = marker()
    async with (
        proxied(kind, postfix.mx) as (url, proxy),
        to_mx(
            certificate_zoo, postfix.mx, policies="dane-only", dnssec=dnssec, proxy=url
        ) as transport,
    ):
        assert (await transport.send(ENVELOPE, message(mark))).accepted == ["u@a.test"]
        assert BY_ADDRESS[kind].format(port=postfix.mx) in proxy.log()
    (arrived,) = await wait_for(postfix.messages, mark, 1)
    assert arrived.data == message(mark)


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_mail_to_an_exchange_never_goes_past_the_proxy(
    postfix, unbound, certificate_zoo, proxied, kind
):
    """One that forbids it; Postfix, which would take it, hears nothing."""
    dnssec = f"127.0.0.1:{unbound({'a.test': f'@ MX 10 mx{chr(10)}mx A 127.0.0.1{chr(10)}'})}"
    mark, before = marker(), postfix.log.read_text().count(" connect from ")
    async with (
        proxied(kind, 1) as (url, _),
        to_mx(certificate_zoo, postfix.mx, dnssec=dnssec, proxy=url) as transport,
    ):
        with pytest.raises(ProxyError) as caught:
            await transport.send(ENVELOPE, message(mark))
    assert caught.value.delivery is Delivery.NOT_SENT
    assert postfix.log.read_text().count(" connect from ") == before


@pytest.mark.parametrize("kind", ["http", "socks5+login"])
async def test_an_mta_sts_policy_is_fetched_through_the_proxy(
    postfix, certificate_zoo, tinyproxy, microsocks, kind
):
    """By HTTPS in a tunnel; then it counts: an exchange that it does not name gets nothing."""
    from twisted.internet import reactor

    records = Records()
    records.put("_mta-sts.wild.test", dns.Record_TXT(b"v=STSv1; id=1"))
    for host in ("mta-sts.wild.test", "mx.test", "other.test"):
        records.put(host, dns.Record_A("127.0.0.1"))
    records.put("wild.test", dns.Record_MX(10, b"other.test"), dns.Record_MX(20, b"mx.test"))
    tls = certificate_zoo.server_options("wildcard")
    listening = reactor.listenSSL(0, Web(PolicyHost()), tls, interface="127.0.0.1")
    port = listening.getHost().port
    if kind == "http":
        proxy = tinyproxy(postfix.mx, f"ConnectPort {port}")
        url = f"http://127.0.0.1:{proxy.port}"
    else:
        proxy = microsocks(0, "-u", PROXY_USER, "-P", PROXY_PASSWORD)
        url = f"socks5://{LOGIN}@127.0.0.1:{proxy.port}"
    mark, place = marker(), BY_ADDRESS[kind]
    try:
        async with nameserver(records) as dns_port:
            resolver = StubResolver(reactor, [("127.0.0.1", dns_port)])
            known = MTASTS(
                reactor,
                resolver=resolver,
                tls=trusting(certificate_zoo),
                port=port,
                allow_networks=["127.0.0.0/8"],
                proxy=url,
            )
            async with to_mx(
                certificate_zoo,
                postfix.mx,
                next_hop="wild.test",
                policies="mta-sts",
                mta_sts=known,
                resolver=resolver,
                proxy=url,
            ) as transport:
                sent = await transport.send(ENVELOPE, message(mark))
            known.close()
    finally:
        await listening.stopListening()
    assert sent.accepted == ["u@a.test"]
    await wait_for(postfix.messages, mark, 1)
    log = proxy.log()
    assert log.index(place.format(port=port)) < log.index(place.format(port=postfix.mx))
    assert log.count(place.format(port=postfix.mx)) == 1


async def test_a_proxy_that_is_a_mail_server_is_no_proxy(postfix):
    """Postfix at the proxy's address greets, and is asked for no mail."""
    for kind in ("http", "socks5", "socks4a"):
        with pytest.raises((ProxyError, DeadlineError)):
            async with connected(
                postfix.mx, proxy=f"{kind}://127.0.0.1:{postfix.mx}", connection_timeout=5
            ):
                pass
