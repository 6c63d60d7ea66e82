"""The stub resolver against name servers on loopback: good ones, silent ones, and liars."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import protocol, reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.names import dns

from tests.interop.peers.nameserver import Records, datagram_server, nameserver
from txsmtpconn import ConfigError, DNSError
from txsmtpconn.transport.nexthop import stub
from txsmtpconn.transport.nexthop.records import MX, RecordType
from txsmtpconn.transport.nexthop.stub import StubResolver


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Seconds that a server has, so that one which does not answer costs little."""
    monkeypatch.setattr(stub, "_ROUNDS", (0.1, 0.2))


def resolver(*ports: int, **options: Any) -> StubResolver:
    """Return a resolver that asks these ports of loopback."""
    return StubResolver(reactor, [("127.0.0.1", port) for port in ports], **options)


@pytest.fixture
def records():
    """A zone."""
    records = Records()
    records.put("a.test", dns.Record_MX(10, b"mx.a.test"))
    return records


async def test_an_answer_and_a_denial(records):
    """Over UDP; names that are not there are not there."""
    async with nameserver(records) as port:
        answer = await resolver(port).lookup("a.test", RecordType.MX)
        assert answer.records == (MX(10, "mx.a.test"),)
        assert (await resolver(port).lookup("a.test", RecordType.A)).records == ()
        assert not (await resolver(port).lookup("b.test", RecordType.MX)).exists


async def test_what_does_not_fit_a_datagram_comes_over_tcp(records):
    """A thousand mail exchanges."""
    many = [dns.Record_MX(number, b"mx%d.a.test" % number) for number in range(1000)]
    records.put("big.test", *many)
    async with nameserver(records) as port:
        answer = await resolver(port).lookup("big.test", RecordType.MX)
    assert len(answer.records) == 1000


async def test_a_server_that_fails_is_not_the_last(records):
    """Dead ports, silence and SERVFAIL; the next one knows."""
    failing = Records()
    failing.fail("a.test", dns.MX)
    async with (
        nameserver(records) as good,
        nameserver(failing) as bad,
        datagram_server(lambda _: []) as silent,
    ):
        answer = await resolver(1, silent, bad, good).lookup("a.test", RecordType.MX)
    assert answer.records


async def test_a_server_that_cannot_be_reached_is_not_the_last(records):
    """The kernel says at once that there is no way to it; its port is closed."""
    async with nameserver(records) as good:
        before = set(reactor.getReaders())
        servers = [("255.255.255.255", 53), ("127.0.0.1", good)]
        answer = await StubResolver(reactor, servers).lookup("a.test", RecordType.MX)
        assert set(reactor.getReaders()) == before
    assert answer.records


@pytest.mark.parametrize("kind", ["silent", "failing", "dead"])
async def test_where_nobody_answers_it_is_for_now(records, kind):
    """Not for good: mail waits."""
    records.fail("a.test", dns.MX)
    async with nameserver(records) as failing, datagram_server(lambda _: []) as silent:
        port = {"silent": silent, "failing": failing, "dead": 1}[kind]
        with pytest.raises(DNSError) as caught:
            await resolver(port).lookup("a.test", RecordType.MX)
    assert (caught.value.is_transient, caught.value.enhanced_code) == (True, "4.4.3")
    # Who fails fails at once; only who is silent is asked again.
    assert len(records.asked) == (1 if kind == "failing" else 0)


def forged(datagram: bytes, *, number: int = 0, name: bytes | None = None) -> bytes:
    """Return an answer to a question, with a lie in it."""
    message = dns.Message()
    message.fromStr(datagram)
    answer = dns.Message((message.id + number) & 0xFFFF, answer=1, authenticData=1)
    answer.queries = [dns.Query(name, dns.MX)] if name else message.queries
    record = dns.Record_MX(1, b"evil.test")
    answer.answers = [dns.RRHeader("a.test", dns.MX, ttl=60, payload=record)]
    return answer.toStr()


@pytest.mark.parametrize(
    "lie",
    [
        lambda datagram: [forged(datagram, number=1)],
        lambda datagram: [forged(datagram, name=b"b.test")],
        lambda datagram: [b"", b"x" * 500, forged(datagram)[:20]],
        lambda datagram: [datagram],
        lambda datagram: [forged(datagram)[:-3]],
    ],
    ids=["number", "question", "garbage", "echo", "cut off"],
)
async def test_what_answers_another_question_is_no_answer(lie):
    """DNS lies: it is passed over, and the real one still counts."""
    async with datagram_server(lie) as port:
        with pytest.raises(DNSError):
            await resolver(port).lookup("a.test", RecordType.MX)
    async with datagram_server(lambda octets: [*lie(octets), forged(octets)]) as port:
        assert (await resolver(port).lookup("a.test", RecordType.MX)).records


async def test_another_host_cannot_answer():
    """Though it knows number and question: its datagram is not from where we asked."""
    forger = reactor.listenUDP(0, protocol.DatagramProtocol(), interface="127.0.0.1")

    class Overheard(protocol.DatagramProtocol):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            forger.write(forged(datagram), addr)

    port = reactor.listenUDP(0, Overheard(), interface="127.0.0.1")
    with pytest.raises(DNSError):
        await resolver(port.getHost().port).lookup("a.test", RecordType.MX)
    await port.stopListening()
    await forger.stopListening()


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_spoofed_bit_is_believed_from_the_trusted_only(trusted):
    """AD from a resolver that nobody declared to be trusted is nothing."""
    async with datagram_server(lambda octets: [forged(octets)]) as port:
        answer = await resolver(port, trusted=trusted).lookup("a.test", RecordType.MX)
    assert answer.secure is trusted


async def test_the_query_asks_for_the_bit():
    """RFC 6840 section 5.7: a resolver need not say AD to who does not ask."""
    asked: list[dns.Message] = []

    def note(octets: bytes) -> list[bytes]:
        message = dns.Message()
        message.fromStr(octets)
        asked.append(message)
        return [forged(octets)]

    async with datagram_server(note) as port:
        await resolver(port).lookup("a.test", RecordType.MX)
        await resolver(port).lookup("a.test", RecordType.MX)
    assert all(message.authenticData and message.recDes for message in asked)
    assert asked[0].id != asked[1].id


async def test_cancelling_closes_the_port():
    """Nothing is left: the fixture that looks for delayed calls says so."""
    async with datagram_server(lambda _: []) as port:
        waiting: Deferred[Any] = resolver(port).lookup("a.test", RecordType.MX)
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting


def test_the_servers_of_the_system(tmp_path, monkeypatch):
    """resolv.conf(5), as it is at the time; without one, this machine."""
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(stub, "_RESOLV_CONF", path)
    asking = StubResolver(reactor)
    assert asking.servers == (("127.0.0.1", 53),)
    path.write_text(
        "# a remark\nsearch a.test\nnameserver 192.0.2.53\nnameserver nonsense\n"
        "nameserver 2001:db8::53\nnameserver\nnameserver 192.0.2.54\nnameserver 192.0.2.55\n"
    )
    assert asking.servers == (("192.0.2.53", 53), ("2001:db8::53", 53), ("192.0.2.54", 53))
    assert not asking.trusted


@pytest.mark.parametrize("servers", [[], "dns.test", [("127.0.0.1", 0)], [("127.0.0.1", "53")]])
def test_what_is_no_server_is_refused(servers):
    """A name would have to be resolved first."""
    with pytest.raises(ConfigError):
        StubResolver(reactor, servers)
