"""Well-known services: looked up by name, domain or address; never in clear."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from txsmtpconn import ConfigError, ConnectionOptions, Credentials, SMTPTransport
from txsmtpconn.transport import services
from txsmtpconn.transport.services import SERVICES, Service, find


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_each_is_found_by_all_its_names(service: Service) -> None:
    """In any case, with or without what stands between the words; no two share a name."""
    for name in (service.name, *service.also):
        assert find(name) is service
        assert find(f" {name.upper()} ") is service
        assert find(name.replace(" ", "-").lower()) is service
    for domain in service.domains:
        assert find(domain) is service
        assert find(f"Some.One@{domain.upper()}") is service


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_each_is_reached_under_tls_only(service: Service) -> None:
    """Implicit TLS on 465, or STARTTLS that is required, with verification."""
    options = ConnectionOptions(**service.options)
    assert options.secure or options.require_tls
    assert options.secure == (options.port == 465)
    assert options.tls is not None
    assert options.tls.verify


def test_each_has_a_source_with_a_date() -> None:
    """A fact that nobody can check again is none."""
    text = Path(services.__file__).read_text("utf-8")
    table = text[text.index("SERVICES: tuple") : text.index("# docs.aws")]
    entries = re.findall(r"^    # (.+)\n    (?:Service|_by_starttls)\(", table, re.MULTILINE)
    assert len(entries) == len(SERVICES) >= 20
    assert all(re.search(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}\b", entry) for entry in entries)
    assert "NONE IS VERIFIED" in text


def test_what_is_not_known_is_not_guessed() -> None:
    """Neither a part of a name nor a domain that only ends in one."""
    for text in ("", "mail", "gmail.com.evil.test", "x@evilgmail.com", "x@gmail", "@", "ses"):
        assert find(text) is None


def test_amazon_has_a_server_in_each_region() -> None:
    """Named with it; a region that is none of a region's form is none."""
    found = find("SES-eu-west-1")
    assert found is not None
    assert found.host == "email-smtp.eu-west-1.amazonaws.com"
    assert find("ses-us-gov-east-1") is not None
    assert find("ses-evil.test/x-1") is None
    assert find("ses-us-east-1.evil") is None


def test_a_transport_to_a_service() -> None:
    """`service` gives host, port and security; what contradicts it is refused."""
    auth = Credentials("someone@gmail.com", "secret")
    transport = SMTPTransport(Clock(), service="someone@gmail.com", auth=auth, pool=True)
    options = transport.options
    assert (options.host, options.port, options.secure) == ("smtp.gmail.com", 465, True)
    assert options.auth is auth
    assert SMTPTransport(Clock(), service="icloud").options.require_tls
    with pytest.raises(ConfigError, match="not known"):
        SMTPTransport(Clock(), service="no such thing")
    with pytest.raises(ConfigError, match="contradicts"):
        SMTPTransport(Clock(), service="gmail", host="evil.test")
    with pytest.raises(ConfigError, match="contradicts"):
        SMTPTransport(Clock(), "smtp://evil.test", service="gmail")
    with pytest.raises(ConfigError, match="both ways"):
        SMTPTransport(Clock(), ConnectionOptions("x.test"), service="gmail")
