"""MTA-STS without a network: records, policies, and what is kept of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn import ConfigError
from txsmtpconn.transport.nexthop.sts import (
    MAX_AGE,
    POLICY_OCTETS,
    Mode,
    STSPolicy,
    parse_policy,
    record_id,
)
from txsmtpconn.transport.nexthop.stsstore import KeptPolicy, STSStore

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.a.test\r\nmx: *.b.test\r\nmax_age: 86400\r\n"


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1 ; x=y;\tid=7 ; z=1"], "7"),
        ([b"v=STSv1; id=1; id=2"], "1"),
        ([b"v=STSv1; id = 7"], None),
        ([b"v=STSv1; id=1; what is this"], None),
        ([b"v=STSv1; id=1;; x=y"], None),
        ([b"v=STSv1; id=1; x=a=b"], None),
        ([b"v=STSv1; id=a-b; id=1"], None),
        ([b"v=spf1 -all", b"v=STSv1; id=2;"], "2"),
        ([b"v=STSv1; id=1;", b"v=STSv1; id=1;"], None),
        ([b"v=STSv1; id="], None),
        ([b"v=STSv1; id=a-b;"], None),
        ([b"v=STSv1; id=" + b"1" * 33], None),
        ([b"v=STSv10; id=1;"], None),
        ([b"V=STSv1; id=1;"], None),
        ([b" v=STSv1; id=1;"], None),
        ([b"v=STSv1; id=\xff;"], None),
        ([b"v=STSv1"], None),
        ([b"v=STSv1;"], None),
        ([], None),
    ],
)
def test_the_record(records: list[bytes], found: str | None) -> None:
    """RFC 8461 section 3.1: exactly one, with an id."""
    assert record_id(records) == found


def test_a_policy_is_read() -> None:
    """Section 3.2; and what is kept of it is read as the same."""
    policy = parse_policy(POLICY)
    assert policy == STSPolicy(Mode.ENFORCE, ("mx.a.test", "*.b.test"), 86400)
    assert parse_policy("\n".join(policy.lines()).encode()) == policy


@pytest.mark.parametrize(
    "octets",
    [
        POLICY.replace(b"\r\n", b"\n"),
        POLICY + b"\r\n\r\n",
        POLICY + b"future: whatever\r\n",
        POLICY + b"mode: none\r\n",
        POLICY.replace(b": ", b" :\t"),
        POLICY.replace(b"mx.a.test", b"MX.A.Test"),
    ],
    ids=["LF", "empty lines", "unknown field", "second field", "white space", "case"],
)
def test_policies_may_differ_in_form(octets: bytes) -> None:
    """Without meaning anything else."""
    assert parse_policy(octets) == parse_policy(POLICY)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        POLICY.replace(b"STSv1", b"STSv2"),
        POLICY.replace(b"version: STSv1\r\n", b""),
        POLICY.replace(b"enforce", b"Enforce"),
        POLICY.replace(b"mode: enforce\r\n", b""),
        POLICY.replace(b"86400", b"-1"),
        POLICY.replace(b"86400", str(MAX_AGE + 1).encode()),
        POLICY.replace(b"86400", b"1" * 11),
        POLICY.replace(b"max_age: 86400\r\n", b""),
        POLICY.replace(b"mx: mx.a.test\r\nmx: *.b.test\r\n", b""),
        POLICY.replace(b"mx.a.test", b"a..test"),
        POLICY.replace(b"mx.a.test", b"*"),
        POLICY.replace(b"mx.a.test", b"mx.*.test"),
        POLICY.replace(b"mx.a.test", b"192.0.2.1"),
        POLICY + b"\xff\xfe",
        POLICY + b"<html>",
        POLICY + b"x" * POLICY_OCTETS,
        POLICY + b"".join(b"mx: m%d.test\n" % n for n in range(1000)),
    ],
)
def test_what_is_no_policy_is_refused(octets: bytes) -> None:
    """A web server's page of errors is not to be taken for one."""
    with pytest.raises(ConfigError):
        parse_policy(octets)


def test_none_needs_no_exchange() -> None:
    """Section 3.2."""
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 0").mode is Mode.NONE


@given(st.binary(max_size=300))
def test_octets_of_any_kind_are_refused_or_read(octets: bytes) -> None:
    """A policy host may send anything."""
    for given_ in (octets, POLICY + octets):
        try:
            parse_policy(given_)
        except ConfigError:
            continue


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("mx.a.test", True),
        ("x.b.test", True),
        ("b.test", False),
        ("x.y.b.test", False),
        ("mx.a.test.evil.test", False),
        ("xb.test", False),
        ("a.test", False),
    ],
)
def test_a_star_is_one_label(host: str, admitted: bool) -> None:
    """Section 4.1."""
    assert parse_policy(POLICY).admits(host) is admitted


KEPT = KeptPolicy("1", parse_policy(POLICY), fetched=100.0, expires=200.0)


def test_a_policy_is_kept_until_it_expires() -> None:
    """And not a second longer."""
    store = STSStore()
    store.put("a.test", KEPT)
    assert store.get("a.test", 199.0) == KEPT
    assert store.get("a.test", 200.0) is None
    assert store.get("b.test", 100.0) is None
    store.close()


def test_a_file_outlives_the_process(tmp_path: Path) -> None:
    """And serves two at once."""
    path = tmp_path / "sts.sqlite"
    first, second = STSStore(path), STSStore(path)
    first.put("a.test", KEPT)
    assert second.get("a.test", 150.0) == KEPT
    first.close()
    second.close()
    third = STSStore(path)
    assert third.get("a.test", 150.0) == KEPT
    third.close()


def test_those_that_expire_first_go_first() -> None:
    """There is a limit."""
    store = STSStore(limit=2)
    for number, expires in enumerate((300.0, 200.0, 400.0)):
        store.put(f"d{number}.test", KeptPolicy("1", KEPT.policy, 100.0, expires))
    kept = [number for number in range(3) if store.get(f"d{number}.test", 150.0)]
    assert kept == [0, 2]
    store.close()


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    """By name."""
    path = tmp_path / "other"
    path.write_bytes(b"this is no database " * 100)
    with pytest.raises(ConfigError, match="other"):
        STSStore(path)
    with pytest.raises(ConfigError, match="missing"):
        STSStore(tmp_path / "missing" / "sts.sqlite")


def test_what_a_file_holds_is_checked_again(tmp_path: Path) -> None:
    """Whoever has written into it."""
    import sqlite3

    path = tmp_path / "sts.sqlite"
    store = STSStore(path)
    store.put("a.test", KEPT)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE mta_sts SET policy = 'mode: whatever'")
    database.close()
    assert store.get("a.test", 150.0) is None
    store.close()
    store.put("a.test", KEPT)
    assert store.get("a.test", 150.0) is None
