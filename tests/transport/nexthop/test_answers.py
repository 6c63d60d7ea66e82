"""What is made of a DNS message, from a server that may err or lie."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns

from txsmtpconn.transport.nexthop.answers import read_answer, read_message
from txsmtpconn.transport.nexthop.records import MX, NO_HOST, SRV, TLSA, Answer, RecordType


def query(name: str = "a.test", kind: int = RecordType.MX) -> dns.Message:
    """Return a question."""
    message = dns.Message(4711, recDes=1)
    message.addQuery(name.encode(), kind)
    return message


def reply(
    asked: dns.Message, *records: Any, ttl: int = 300, owner: str | None = None, **flags: int
) -> dns.Message:
    """Return an answer with these records."""
    message = dns.Message(asked.id, answer=1, recDes=1, recAv=1, **flags)
    message.queries = asked.queries
    name = owner or asked.queries[0].name.name.decode()
    message.answers = [
        dns.RRHeader(name, record.TYPE, ttl=ttl, payload=record) for record in records
    ]
    return message


def read(message: dns.Message, kind: RecordType = RecordType.MX, **options: bool) -> Any:
    """Return what it says, after a way over the wire."""
    asked = query(message.queries[0].name.name.decode(), kind)
    arrived = read_message(message.toStr(), asked)
    assert arrived is not None
    return read_answer(arrived, "a.test", kind, trusted=options.get("trusted", False))


def test_mail_exchanges() -> None:
    """In one spelling; what is no host is known to be none."""
    message = reply(
        query(),
        dns.Record_MX(10, b"MX.A.Test"),
        dns.Record_MX(20, b"bad host.test"),
        dns.Record_MX(30, b"192.0.2.1"),
        dns.Record_MX(0, b""),
    )
    assert read(message).records == (
        MX(10, "mx.a.test"),
        MX(20, NO_HOST),
        MX(30, NO_HOST),
        MX(0, "."),
    )


def test_records_of_every_kind() -> None:
    """That mail needs."""
    cases: list[tuple[RecordType, Any, Any]] = [
        (RecordType.A, dns.Record_A("192.0.2.1"), "192.0.2.1"),
        (RecordType.AAAA, dns.Record_AAAA("2001:db8::1"), "2001:db8::1"),
        (RecordType.TXT, dns.Record_TXT(b"v=STSv1; ", b"id=1"), b"v=STSv1; id=1"),
        (RecordType.SRV, dns.Record_SRV(1, 2, 465, b"S.test"), SRV(1, 2, 465, "s.test")),
    ]
    for kind, record, value in cases:
        assert read(reply(query(kind=kind), record), kind).records == (value,)


@pytest.mark.parametrize(
    ("octets", "records"),
    [
        (b"\x03\x01\x01" + b"d" * 32, (TLSA(3, 1, 1, b"d" * 32),)),
        (b"\x03\x01\x01", ()),
        (b"", ()),
    ],
)
def test_tlsa_records(octets: bytes, records: tuple[TLSA, ...]) -> None:
    """Which the library does not know; what is too short is none."""
    message = reply(query(kind=RecordType.TLSA))
    payload = dns.UnknownRecord(octets)
    message.answers = [dns.RRHeader("a.test", RecordType.TLSA, ttl=1, payload=payload)]
    assert read(message, RecordType.TLSA).records == records


def test_aliases_are_followed() -> None:
    """And nothing counts that is not at their end."""
    message = reply(query(), dns.Record_CNAME(b"b.test"))
    for name, record in (
        ("b.test", dns.Record_MX(1, b"mx.b.test")),
        ("c.test", dns.Record_MX(2, b"lie.test")),
    ):
        message.answers.append(dns.RRHeader(name, record.TYPE, ttl=60, payload=record))
    answer = read(message)
    assert (answer.name, answer.records, answer.ttl) == ("b.test", (MX(1, "mx.b.test"),), 60.0)


def test_an_alias_may_be_asked_for_itself() -> None:
    """It has a name at its end, and no records."""
    asked = query(kind=RecordType.CNAME)
    message = reply(asked, dns.Record_CNAME(b"b.test"), authenticData=True)
    answer = read(message, RecordType.CNAME, trusted=True)
    assert (answer.name, answer.records, answer.exists, answer.secure) == ("b.test", (), True, True)


def test_aliases_that_go_round_lead_nowhere() -> None:
    """F38."""
    message = reply(query(), dns.Record_CNAME(b"b.test"))
    back = dns.Record_CNAME(b"a.test")
    message.answers.append(dns.RRHeader("b.test", back.TYPE, ttl=60, payload=back))
    assert "nowhere" in read(message)


def test_nothing_is_an_answer() -> None:
    """Of two kinds: no such name, and no such record; each for as long as SOA says."""
    soa = dns.Record_SOA(b"ns.test", b"x.test", minimum=30)
    for code, exists in ((0, True), (3, False)):
        message = reply(query(), rCode=code)
        message.authority = [dns.RRHeader("test", soa.TYPE, ttl=900, payload=soa)]
        answer = read(message)
        assert (answer.records, answer.exists, answer.ttl) == ((), exists, 30.0)


@pytest.mark.parametrize("code", [1, 2, 4, 5, 9])
def test_a_failure_is_none(code: int) -> None:
    """SERVFAIL does not mean that there is nothing."""
    assert isinstance(read(reply(query(), rCode=code)), str)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("bit", [0, 1])
def test_the_bit_is_believed_from_the_trusted_only(bit: int, trusted: bool) -> None:
    """A spoofed AD bit from any other resolver is nothing."""
    message = reply(query(), dns.Record_MX(1, b"mx.test"), authenticData=bit)
    assert read(message, trusted=trusted).secure is (trusted and bool(bit))


def test_another_question_is_not_ours() -> None:
    """Nor another number, another kind, a query, or what breaks off in the middle."""
    good = reply(query(), dns.Record_MX(1, b"mx.test"), dns.Record_MX(2, b"mx2.test"))
    octets = good.toStr()
    assert read_message(octets, query()) is not None
    assert read_message(octets, query("b.test")) is None
    assert read_message(octets, query(kind=RecordType.A)) is None
    other = query()
    other.id += 1
    assert read_message(octets, other) is None
    assert read_message(query().toStr(), query()) is None
    for length in range(len(octets)):
        assert read_message(octets[:length], query()) is None


def test_case_does_not_matter() -> None:
    """Of names: some resolvers play with it."""
    assert read_message(reply(query("A.test")).toStr(), query()) is not None


@given(st.binary(max_size=200))
def test_octets_of_any_kind_are_taken(octets: bytes) -> None:
    """Garbage is no message; behind a good header it is none or one, and never an accident."""
    assert read_message(octets, query()) is None
    start = reply(query(), dns.Record_MX(1, b"mx.test")).toStr()
    arrived = read_message(start[: len(start) - 12] + octets, query())
    if arrived is not None:
        assert isinstance(
            read_answer(arrived, "a.test", RecordType.MX, trusted=False), (Answer, str)
        )
