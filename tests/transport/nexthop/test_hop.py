"""Next hops as they are written, and where a recipient's domain leads."""

from __future__ import annotations

import pytest

from txsmtpconn import ConfigError
from txsmtpconn.transport.nexthop.hop import NextHop, Road


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("example.org", NextHop(Road.MX, "example.org", 25)),
        ("mx:Example.ORG.", NextHop(Road.MX, "example.org", 25)),
        ("example.org:2525", NextHop(Road.MX, "example.org", 2525)),
        ("bücher.example", NextHop(Road.MX, "xn--bcher-kva.example", 25)),
        ("[relay.example]", NextHop(Road.HOST, "relay.example", 25)),
        ("[relay.example]:587", NextHop(Road.HOST, "relay.example", 587)),
        ("[192.0.2.1]", NextHop(Road.HOST, "192.0.2.1", 25)),
        ("[2001:db8::1]:26", NextHop(Road.HOST, "2001:db8::1", 26)),
        ("[IPv6:2001:db8::1]", NextHop(Road.HOST, "2001:db8::1", 25)),
        ("srv:example.org", NextHop(Road.SRV, "example.org", None)),
    ],
)
def test_a_next_hop_is_read(text: str, hop: NextHop) -> None:
    """And what it is written as is read as the same."""
    assert NextHop.parse(text) == hop
    assert NextHop.parse(str(hop)) == hop


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a b",
        "mx:[a.test]",
        "srv:a.test:587",
        "a.test:0",
        "a.test:65536",
        "http://a.test",
        "[a_b\r\n]",
        "-a.test",
        "[a..b]",
        None,
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    """With an error that says what would be one."""
    with pytest.raises(ConfigError):
        NextHop.parse(text)


@pytest.mark.parametrize(
    ("domain", "hop"),
    [
        ("Example.ORG", NextHop(Road.MX, "example.org")),
        ("bücher.example", NextHop(Road.MX, "xn--bcher-kva.example")),
        ("[192.0.2.1]", NextHop(Road.HOST, "192.0.2.1")),
        ("[IPv6:2001:DB8::1]", NextHop(Road.HOST, "2001:db8::1")),
    ],
)
def test_a_recipients_domain_leads_somewhere(domain: str, hop: NextHop) -> None:
    """Names in one spelling, so that two recipients of one domain go together."""
    assert NextHop.of(domain) == hop


def test_a_general_address_literal_leads_nowhere() -> None:
    """RFC 5321 section 4.1.3 has them; nobody knows any."""
    with pytest.raises(ConfigError):
        NextHop.of("[x400:c=us]")
