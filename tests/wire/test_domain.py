"""Domains, address literals and IDNA; mailboxes and names are tested in test_path.py."""

from __future__ import annotations

import pytest

from txsmtpconn.wire.domain import ascii_domain, unicode_domain
from txsmtpconn.wire.errors import LocalProtocolError


def test_a_domain_goes_both_ways() -> None:
    """A-labels for the wire without SMTPUTF8, normalised U-labels with it."""
    assert ascii_domain("Bücher.test") == "xn--bcher-kva.test"
    assert unicode_domain("Bücher.test") == "bücher.test"
    assert ascii_domain("Example.ORG") == "Example.ORG"
    assert unicode_domain("Example.ORG") == "Example.ORG"
    assert ascii_domain("[IPv6:::1]") == "[IPv6:::1]"


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("", "empty"),
        ("a" * 256, "longer than 255"),
        ("a\tb", r"U\+0009"),
        ("a/b", "labels"),
        ("ü\u200b", r"U\+200B"),
        ("ü" * 200, "longer than 255"),
        ("faß..test", "internationalized"),
        ("ü_b.test", "internationalized"),
        ("\u0300.test", "internationalized"),
        ("xn--\xfc.test", "internationalized"),
        ("ü.test.", "no form in ASCII"),
        ("[", "does not end"),
        ("[::1]", "not an address"),
    ],
)
def test_what_is_no_domain_is_refused(domain: str, reason: str) -> None:
    """With the reason, and without the value: the caller shows that in its own words."""
    with pytest.raises(LocalProtocolError, match=reason):
        ascii_domain(domain)


def test_a_long_domain_costs_no_idna() -> None:
    """CVE-2024-3651: IDNA is slow on long labels, so they do not get there."""
    with pytest.raises(LocalProtocolError, match="longer than 255"):
        ascii_domain("\u0660" * 10**6)
