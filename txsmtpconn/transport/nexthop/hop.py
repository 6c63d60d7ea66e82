"""Where mail is to go next, as it is written: a domain's exchanges, a host, a service."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import is_address, reference_name
from txsmtpconn.wire.domain import ascii_domain
from txsmtpconn.wire.errors import LocalProtocolError

SMTP_PORT = 25

_TEXT = re.compile(
    r"(?:(?P<scheme>mx|srv):)?(?:\[(?P<host>[^]\[]+)\]|(?P<domain>[^]\[:/\s]+))(?::(?P<port>\d{1,5}))?"
)


class Road(Enum):
    """How a name leads to hosts."""

    #: By its mail exchanges (RFC 5321 section 5.1).
    MX = "mx"
    #: It is the host's own, or an address.
    HOST = "host"
    #: By its submission service (RFC 6186, RFC 8314 section 5.1).
    SRV = "srv"


@dataclass(frozen=True, slots=True)
class NextHop:
    """A place to which mail goes.

    Attributes:
        road: How to get there.
        name: A domain in A-labels, a host's name, or an IP address.
        port: At its hosts; None where SRV records tell.
    """

    road: Road
    name: str
    port: int | None = SMTP_PORT

    def __str__(self) -> str:
        port = "" if self.port in (None, SMTP_PORT) else f":{self.port}"
        if self.road is Road.HOST:
            return f"[{self.name}]{port}"
        return f"{'srv:' if self.road is Road.SRV else ''}{self.name}{port}"

    @classmethod
    def of(cls, domain: str, port: int = SMTP_PORT) -> NextHop:
        """Return the next hop of a recipient's domain or address literal.

        Args:
            domain: As it is in a mailbox.
            port: At its hosts.

        Raises:
            ConfigError: It is an address literal of no kind that we know.
        """
        if not domain.startswith("["):
            return cls(Road.MX, ascii_domain(domain).lower(), port)
        literal = domain[1:-1]
        if literal[:5].lower() == "ipv6:":
            literal = str(IPv6Address(literal[5:]))
        if not is_address(literal):
            raise ConfigError(f"{domain} is no address that mail can be sent to")
        return cls(Road.HOST, literal, port)

    @classmethod
    def parse(cls, text: str, port: int = SMTP_PORT) -> NextHop:
        """Read a next hop.

        ``example.org`` or ``mx:example.org`` are the exchanges of a domain, ``[relay.example]``,
        ``[192.0.2.1]`` and ``[2001:db8::1]`` a host, each with or without ``:PORT``;
        ``srv:example.org`` is the submission service of a domain.

        Args:
            text: It.
            port: Where none is written.

        Raises:
            ConfigError: It is nothing of that.
        """
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None or (found["host"] and found["scheme"]):
            raise ConfigError(f"a next hop is example.org, [host] or srv:example.org, not {text!a}")
        port = port if found["port"] is None else int(found["port"])
        if not 0 < port < 65536:
            raise ConfigError(f"a port is 1 to 65535, not {port}")
        if found["host"]:
            host = re.sub("(?i)^ipv6:", "", found["host"])
            return cls(Road.HOST, reference_name(host), port)
        try:
            domain = ascii_domain(found["domain"].rstrip(".")).lower()
        except LocalProtocolError as reason:
            raise ConfigError(f"next hop {text!a}: {reason}") from None
        if found["scheme"] != "srv":
            return cls(Road.MX, domain, port)
        if found["port"] is not None:
            raise ConfigError(f"next hop {text!a}: its SRV records tell the port")
        return cls(Road.SRV, domain, None)
