"""DANE with a validating Unbound, signed zones, Postfix, and servers of ours."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest
from twisted.internet import reactor

from tests.interop.mail import marker, message, to_mx
from tests.interop.peers.arrived import wait_for
from tests.interop.peers.unbound import tlsa
from txsmtpconn import DNSError, Envelope, RequireTLSError, TLSError
from txsmtpconn.transport.nexthop import MX, PolicyType, RecordType, StubResolver, TLSReports

EXCHANGE = "@ MX 10 mx\nmx A 127.0.0.1\nalias CNAME mx\n"
TO = Envelope("a@client.test", ["u@a.test"])


@asynccontextmanager
async def delivering(resolver: int, port: int, zoo: Any, policy: str, **options: Any):
    """A transport that asks this resolver, and finds all exchanges at this port."""
    options.setdefault("dnssec", f"127.0.0.1:{resolver}")
    async with to_mx(zoo, port, policies=policy, **options) as transport:
        yield transport


async def test_what_is_validated_is_known_as_such(unbound):
    """Records, aliases and denials of a signed zone; an unsigned one is just not secure."""
    port = unbound({"a.test": EXCHANGE, "plain.test": EXCHANGE}, unsigned=frozenset({"plain.test"}))
    trusted = StubResolver(reactor, [("127.0.0.1", port)], trusted=True)
    answer = await trusted.lookup("a.test", RecordType.MX)
    assert (answer.records, answer.secure) == ((MX(10, "mx.a.test"),), True)
    alias = await trusted.lookup("alias.a.test", RecordType.A)
    assert (alias.name, alias.records, alias.secure) == ("mx.a.test", ("127.0.0.1",), True)
    nothing = await trusted.lookup("_25._tcp.mx.a.test", RecordType.TLSA)
    assert (nothing.exists, nothing.records, nothing.secure) == (False, (), True)
    assert (await trusted.lookup("mx.a.test", RecordType.AAAA)).secure
    plain = await trusted.lookup("plain.test", RecordType.MX)
    assert (plain.records, plain.secure) == ((MX(10, "mx.plain.test"),), False)
    untrusted = StubResolver(reactor, [("127.0.0.1", port)])
    assert not (await untrusted.lookup("a.test", RecordType.MX)).secure


async def test_a_forged_record_is_no_answer(unbound):
    """Its signature is not good: SERVFAIL, and mail waits."""
    port = unbound({"a.test": EXCHANGE}, altered={"A\t127.0.0.1": "A\t127.0.0.66"})
    trusted = StubResolver(reactor, [("127.0.0.1", port)], trusted=True)
    with pytest.raises(DNSError) as caught:
        await trusted.lookup("mx.a.test", RecordType.A)
    assert caught.value.is_transient
    assert (await trusted.lookup("a.test", RecordType.MX)).secure


@pytest.mark.parametrize("policy", ["dane", "dane-only", "dane+mta-sts"])
async def test_mail_to_postfix_by_its_tlsa_record(postfix, unbound, certificate_zoo, policy):
    """All of it validated, the certificate matched, and counted."""
    record = tlsa(certificate_zoo["server"].certificate)
    port = unbound({"a.test": f"{EXCHANGE}_{postfix.mx}._tcp.mx {record}\n"})
    reports = TLSReports("we", "postmaster@client.test")
    mark = marker()
    async with delivering(
        port, postfix.mx, certificate_zoo, policy, tls_reports=reports
    ) as transport:
        result = await transport.send(TO, message(mark))
    assert result.accepted == ["u@a.test"]
    await wait_for(postfix.messages, mark)
    ((applied, counts),) = reports.counts("a.test").items()
    assert (applied.kind, counts.successful, counts.failed) == (PolicyType.TLSA, 1, 0)


async def test_a_record_that_does_not_match_stops_the_mail(postfix, unbound, certificate_zoo):
    """Though the certificate is good by every authority that we trust."""
    record = tlsa(certificate_zoo["expired"].certificate)
    port = unbound({"a.test": f"{EXCHANGE}_{postfix.mx}._tcp.mx {record}\n"})
    async with delivering(port, postfix.mx, certificate_zoo, "dane") as transport:
        with pytest.raises(TLSError) as caught:
            await transport.send(TO, message(marker()))
    assert caught.value.is_transient


async def test_a_forged_tlsa_record_stops_the_mail(postfix, unbound, certificate_zoo):
    """Whoever changes it can do without a certificate no more than whoever removes it."""
    record = tlsa(certificate_zoo["server"].certificate)
    port = unbound(
        {"a.test": f"{EXCHANGE}_{postfix.mx}._tcp.mx {record}\n"},
        altered={"TLSA\t3 1 1": "TLSA\t3 1 2"},
    )
    async with delivering(port, postfix.mx, certificate_zoo, "dane") as transport:
        with pytest.raises(DNSError) as caught:
            await transport.send(TO, message(marker()))
    assert caught.value.is_transient


async def test_an_alias_of_an_unsigned_name_has_records_of_its_own(
    postfix, unbound, certificate_zoo
):
    """RFC 7672 section 2.2.2: a signed name counts, wherever its CNAME leads."""
    record = tlsa(certificate_zoo["expired"].certificate)
    signed = f"@ MX 10 mx\nmx CNAME mx.plain.test.\n_{postfix.mx}._tcp.mx {record}\n"
    port = unbound({"a.test": signed, "plain.test": EXCHANGE}, unsigned=frozenset({"plain.test"}))
    trusted = StubResolver(reactor, [("127.0.0.1", port)], trusted=True)
    end = await trusted.lookup("mx.a.test", RecordType.A)
    assert (end.name, end.records, end.secure) == ("mx.plain.test", ("127.0.0.1",), False)
    alias = await trusted.lookup("mx.a.test", RecordType.CNAME)
    assert (alias.name, alias.secure) == ("mx.plain.test", True)
    async with delivering(port, postfix.mx, certificate_zoo, "dane") as transport:
        with pytest.raises(TLSError):
            await transport.send(TO, message(marker()))


async def test_records_of_an_unsigned_zone_are_nothing(postfix, unbound, certificate_zoo):
    """`dane` goes on as `may`, though the record is wrong; `dane-only` does not go on."""
    record = tlsa(certificate_zoo["expired"].certificate)
    zone = {"a.test": f"{EXCHANGE}_{postfix.mx}._tcp.mx {record}\n"}
    port = unbound(zone, unsigned=frozenset(zone))
    async with delivering(port, postfix.mx, certificate_zoo, "dane") as transport:
        assert (await transport.send(TO, message(marker()))).accepted == ["u@a.test"]
    async with delivering(port, postfix.mx, certificate_zoo, "dane-only") as transport:
        with pytest.raises(TLSError):
            await transport.send(TO, message(marker()))


async def test_requiretls_is_not_for_a_server_without_it(postfix, unbound, certificate_zoo):
    """Postfix has no REQUIRETLS: the message is refused here, for good."""
    record = tlsa(certificate_zoo["server"].certificate)
    port = unbound({"a.test": f"{EXCHANGE}_{postfix.mx}._tcp.mx {record}\n"})
    demanding = Envelope("a@client.test", ["u@a.test"], requiretls=True)
    async with delivering(port, postfix.mx, certificate_zoo, "dane") as transport:
        with pytest.raises(RequireTLSError):
            await transport.send(demanding, message(marker()))


@pytest.mark.parametrize(
    ("policy", "arrives"),
    [
        ("none", True),
        ("may", True),
        ("encrypt", True),
        ("verify match=localhost", True),
        ("verify", False),
        ("secure", False),
    ],
)
async def test_mail_to_postfix_under_each_policy(
    postfix, unbound, certificate_zoo, policy, arrives
):
    """Its certificate names localhost and mx.test, not mx.a.test."""
    port = unbound({"a.test": EXCHANGE})
    async with delivering(port, postfix.mx, certificate_zoo, policy, pool=True) as transport:
        sending = transport.send(TO, message(marker()))
        if arrives:
            assert (await sending).accepted == ["u@a.test"]
        else:
            with pytest.raises(TLSError):
                await sending
