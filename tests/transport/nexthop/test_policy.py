"""TLS policies as they are written."""

from __future__ import annotations

import pytest

from txsmtpconn import ConfigError
from txsmtpconn.transport.nexthop.policy import MAY, Level, PolicyTable, TLSPolicy

DIGEST = "ab" * 32


@pytest.mark.parametrize("level", [each for each in Level if each is not Level.FINGERPRINT])
def test_every_level_is_read_by_its_name(level: Level) -> None:
    """And written as it is read."""
    policy = TLSPolicy.parse(level.value)
    assert policy.level is level
    assert TLSPolicy.parse(str(policy)) == policy


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("secure match=a.test:.b.test", TLSPolicy("secure", ["a.test", ".b.test"])),
        ("verify match=nexthop|hostname", TLSPolicy("verify", ["nexthop", "hostname"])),
        ("secure  match=a.test match=b.test", TLSPolicy("secure", ["a.test", "b.test"])),
        (
            f"fingerprint match={DIGEST}|{'CD:' * 63}CD",
            TLSPolicy("fingerprint", [DIGEST, "CD:" * 63 + "CD"]),
        ),
    ],
)
def test_names_and_digests_are_read(text: str, policy: TLSPolicy) -> None:
    """As Postfix's tables have them."""
    assert TLSPolicy.parse(text) == policy
    assert TLSPolicy.parse(str(policy)) == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tls",
        "May",
        "may match=a.test",
        "secure match=",
        "secure match=a..b",
        "secure ciphers=high",
        "fingerprint",
        "fingerprint match=abcd",
        "fingerprint match=" + "zz" * 32,
        "dane match=a.test",
        "secure match=a b",
    ],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    """A typing error must not turn into mail in clear."""
    with pytest.raises(ConfigError):
        TLSPolicy.parse(text)


def test_the_usual_names() -> None:
    """`verify` believes DNS, `secure` does not."""
    assert TLSPolicy("verify").names(host="mx.b.test", domain="a.test") == ("mx.b.test",)
    assert TLSPolicy("secure").names(host="mx.b.test", domain="a.test") == ("a.test", ".a.test")
    mixed = TLSPolicy("secure", ["hostname", "c.test"])
    assert mixed.names(host="mx.b.test", domain="a.test") == ("mx.b.test", "c.test")


def test_the_longest_row_counts() -> None:
    """A domain's own before its parent's, and the default last."""
    table = PolicyTable(
        "encrypt", {"A.test": "none", ".a.test": "verify", ".b.a.test": TLSPolicy("secure")}
    )
    levels = {
        "a.test": Level.NONE,
        "x.a.test": Level.VERIFY,
        "b.a.test": Level.VERIFY,
        "x.b.a.test": Level.SECURE,
        "ca.test": Level.ENCRYPT,
        "test": Level.ENCRYPT,
    }
    assert {domain: table[domain].level for domain in levels} == levels


def test_a_table_is_read() -> None:
    """Lines, remarks, and a default."""
    table = PolicyTable.parse(
        "# partners\nbücher.example  secure  # by contract\n\n"
        ".example.org dane+mta-sts\n* encrypt\n"
    )
    assert table["xn--bcher-kva.example"].level is Level.SECURE
    assert table["mail.example.org"].level is Level.DANE_MTA_STS
    assert table["example.org"].level is Level.ENCRYPT
    assert PolicyTable.parse("")["any.test"] == MAY


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a.test may\nb.test\n", "line 2"),
        ("a.test may\nA.test none\n", "line 2"),
        ("* may\n* none", "line 2"),
        ("a..test may", "line 1"),
    ],
)
def test_a_bad_line_is_named(text: str, line: str) -> None:
    """By its number."""
    with pytest.raises(ConfigError, match=line):
        PolicyTable.parse(text)


def test_a_row_has_the_name_of_a_domain() -> None:
    """Not an address with an @ in it."""
    with pytest.raises(ConfigError, match="domain"):
        PolicyTable("may", {"user@a.test": "none"})
