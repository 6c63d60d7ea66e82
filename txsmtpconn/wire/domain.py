"""Domains and address literals (RFC 5321 sections 4.1.2 and 4.1.3), and IDNA."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import idna

from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.limits import DOMAIN, LABEL
from txsmtpconn.wire.text import forbidden_character

# sub-domain = Let-dig [Ldh-str]. Atomic: there is one way to match a label, and none to try
# again. A repeated group is so by (?>...) throughout: up to Python 3.11.4, "(...)*+" matches what
# "(...)*" does not (CPython issue 106052).
_LABEL = rf"(?!-)[A-Za-z0-9-]{{1,{LABEL}}}+(?<!-)"

#: Domain = sub-domain *("." sub-domain), as a pattern to build upon.
DOMAIN_PATTERN = rf"{_LABEL}(?>(?:\.{_LABEL})*)"

_DOMAIN = re.compile(DOMAIN_PATTERN)
# RFC 5321 section 4.1.3: "[" Standardized-tag ":" 1*dcontent "]". The grammar would let
# "@", angle brackets and quotes into dcontent; no literal in use has them, and a
# lenient peer would end the path at them, so they are refused here.
_GENERAL_LITERAL = re.compile(r"([A-Za-z0-9-]*[A-Za-z0-9]):[!#-;=?A-Z^-~]+")


def ascii_domain(domain: str) -> str:
    """Check a domain or address literal; give it in ASCII.

    Labels in other scripts become A-labels (IDNA 2008 with the mappings of UTS 46); a
    domain in ASCII is returned as given.

    Raises:
        LocalProtocolError: the message says what is wrong, but not with which value.
    """
    if domain.startswith("["):
        _check_literal(domain)
        return domain
    if _DOMAIN.fullmatch(domain) and len(domain) <= DOMAIN:
        return domain
    if domain.isascii():
        raise LocalProtocolError(_fault(domain))
    return _a_labels(domain)


def unicode_domain(domain: str) -> str:
    """Give a domain that :func:`ascii_domain` let pass with U-labels, normalised."""
    return domain if domain.isascii() else idna.decode(_a_labels(domain))


def _fault(domain: str) -> str:
    """Say why an ASCII string is no domain."""
    if not domain:
        return "the domain is empty"
    if len(domain) > DOMAIN:
        return f"the domain is longer than {DOMAIN} octets"
    character = forbidden_character(domain)
    if character is not None:
        return f"the domain contains {character}"
    return "the domain is not made of labels of letters, digits and inner hyphens"


@lru_cache(maxsize=1024)
def _a_labels(domain: str) -> str:
    # UTS 46 maps invisible characters to nothing, so that an address that looks like
    # another would reach it: they are refused before. The length is checked before
    # too, since IDNA's own work is not linear in it.
    character = forbidden_character(domain)
    if character is not None:
        raise LocalProtocolError(f"the domain contains {character}")
    if len(domain.encode("utf-8")) > DOMAIN:
        raise LocalProtocolError(f"the domain is longer than {DOMAIN} octets")
    try:
        encoded = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # idna.IDNAError is one
        raise LocalProtocolError("the domain is not an internationalized domain name") from None
    if not _DOMAIN.fullmatch(encoded) or len(encoded) > DOMAIN:
        raise LocalProtocolError("the domain has no form in ASCII")
    return encoded


def _check_literal(literal: str) -> None:
    content = literal[1:-1]
    if len(literal) > DOMAIN:
        raise LocalProtocolError(f"the address literal is longer than {DOMAIN} octets")
    if not literal.endswith("]"):
        raise LocalProtocolError("the address literal does not end")
    try:
        if content[:5].lower() == "ipv6:":
            if "%" in content:  # a zone means nothing to another host
                raise LocalProtocolError("the address literal has a zone")
            ipaddress.IPv6Address(content[5:])
        elif not _GENERAL_LITERAL.fullmatch(content):
            ipaddress.IPv4Address(content)
    except ipaddress.AddressValueError:
        raise LocalProtocolError("the address literal is not an address") from None
