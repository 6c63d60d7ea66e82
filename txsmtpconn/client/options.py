"""What a connection may be told, checked when it is told.

The names are those of Nodemailer's smtp-connection in Python's spelling; durations are seconds.
Every option is either obeyed or refused.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from types import MappingProxyType
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.logger import Logger

from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.custom import CustomAuth
from txsmtpconn.client.proxy import ProxyOptions, check
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.tls import TLSOptions, reference_name
from txsmtpconn.sasl import Mechanism
from txsmtpconn.session.client.policy import Chunking, Pipelining, Security, Timeouts
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.dialect import LMTP, SMTP
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.path import client_name as encoded_name

SMTPS_PORT = 465
SUBMISSION_PORT = 587

#: Octets of the path of a unix socket, as unix(7) has it.
_SOCKET_PATH = 107

_DURATIONS = {
    "connection_timeout": 120.0,
    "dns_timeout": 30.0,
    "greeting_timeout": 30.0,
    "socket_timeout": 600.0,
    "tls_timeout": 30.0,
    "command_timeout": 300.0,
    "data_timeout": 120.0,
    "block_timeout": 180.0,
    "final_timeout": 600.0,
    "quit_timeout": 5.0,
}
_FLAGS = (
    "ignore_tls",
    "require_tls",
    "opportunistic_tls",
    "lmtp",
    "force_auth",
    "allow_insecure_auth",
    "transaction_log",
    "debug",
)

#: RFC 4422 section 3.1, with room for names that never were registered.
_MECHANISM = re.compile(r"[A-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Everything that one connection needs to know.  None stands for the default everywhere.

    Attributes:
        host: The server: a name or an IP address.
        port: By default 465 if `secure`, 24 for LMTP, else 587; a `path` has none.
        secure: TLS from the first octet (RFC 8314).  By default on port 465 only.
        ignore_tls: Never use STARTTLS.
        require_tls: Use STARTTLS even where it is not offered, and fail without it.
        opportunistic_tls: Go on in clear where STARTTLS is refused.
        tls: What to trust and what to show.
        servername: The name to expect in the certificate and to send as SNI; by default `host`.
        name: Our own name for EHLO, a domain or an address literal; by default this machine's,
            or `[127.0.0.1]` where that is not fully qualified.
        local_address: The IP address to connect from.
        connection_timeout: For all addresses of the host together.
        dns_timeout: For the host's addresses.
        greeting_timeout: For the greeting, from the connection on.
        socket_timeout: Without an octet in either direction.
        tls_timeout: For one TLS handshake.
        command_timeout: For the reply to a command.
        data_timeout: For the reply to DATA.
        block_timeout: For one chunk of mail data.
        final_timeout: For the reply to the end of mail data (RFC 5321 section 4.5.3.2.6).
        quit_timeout: For the reply to QUIT.
        lmtp: Speak LMTP (RFC 2033).
        auth: Credentials, for `login()` without arguments.
        auth_method: The SASL mechanism to use.
        force_auth: Log in although the server does not offer AUTH.
        allow_insecure_auth: Send credentials over a connection that is not under TLS.
        custom_auth: Mechanisms of the caller's by their names: a `sasl.Mechanism`, or a handler
            that is called with an `AuthDialogue`.  What the server offers of them comes first.
        proxy: The proxy to go through, as its URL or a `ProxyOptions`. The server's name is then
            the proxy's to look up, and where the proxy fails, connecting fails.
        logger: True prints to the console; or a `twisted.logger.Logger`.
        transaction_log: Log the conversation too, but for mail data.
        debug: Log the mail data as well.
        pipelining: "full", "transaction" or "off".
        chunking: "auto", "always" or "off".
        path: A unix socket to connect to, instead of a host's port.
        endpoint: An `IStreamClientEndpoint` to connect with, instead of host and port.
        transport: A connected socket or transport to use; we put TLS on it if `secure`.
        terms: No option: what each session is told of all this.

    Raises:
        ConfigError: A value is wrong, or two of them contradict each other.
    """

    host: str | None = None
    port: int | None = None
    secure: bool | None = field(default=None, kw_only=True)
    ignore_tls: bool | None = field(default=None, kw_only=True)
    require_tls: bool | None = field(default=None, kw_only=True)
    opportunistic_tls: bool | None = field(default=None, kw_only=True)
    tls: TLSOptions | None = field(default=None, kw_only=True)
    servername: str | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    local_address: str | None = field(default=None, kw_only=True)
    connection_timeout: float | None = field(default=None, kw_only=True)
    dns_timeout: float | None = field(default=None, kw_only=True)
    greeting_timeout: float | None = field(default=None, kw_only=True)
    socket_timeout: float | None = field(default=None, kw_only=True)
    tls_timeout: float | None = field(default=None, kw_only=True)
    command_timeout: float | None = field(default=None, kw_only=True)
    data_timeout: float | None = field(default=None, kw_only=True)
    block_timeout: float | None = field(default=None, kw_only=True)
    final_timeout: float | None = field(default=None, kw_only=True)
    quit_timeout: float | None = field(default=None, kw_only=True)
    lmtp: bool | None = field(default=None, kw_only=True)
    auth: Credentials | None = field(default=None, kw_only=True)
    auth_method: str | None = field(default=None, kw_only=True)
    force_auth: bool | None = field(default=None, kw_only=True)
    allow_insecure_auth: bool | None = field(default=None, kw_only=True)
    custom_auth: CustomAuth | None = field(default=None, kw_only=True, hash=False)
    proxy: ProxyOptions | str | None = field(default=None, kw_only=True)
    logger: Logger | bool | None = field(default=None, kw_only=True)
    transaction_log: bool | None = field(default=None, kw_only=True)
    debug: bool | None = field(default=None, kw_only=True)
    pipelining: str | None = field(default=None, kw_only=True)
    chunking: str | None = field(default=None, kw_only=True)
    path: str | None = field(default=None, kw_only=True)
    endpoint: Any = field(default=None, kw_only=True)
    transport: Any = field(default=None, kw_only=True)
    terms: Terms = field(init=False, repr=False, compare=False)

    # Not options: the checks below, in the order in which they rest on each other.

    def __post_init__(self) -> None:
        for option in _FLAGS:
            self._settle(option, _flag(option, getattr(self, option)))
        for option, default in _DURATIONS.items():
            self._settle(option, _duration(option, getattr(self, option), default))
        self._settle_road()
        self._settle_security()
        self._settle_names()
        self._settle_proxy()
        self._settle_auth()
        self._settle("pipelining", _choice("pipelining", self.pipelining or "full", Pipelining))
        self._settle("chunking", _choice("chunking", self.chunking or "auto", Chunking))
        if not isinstance(self.logger, (bool, type(None))) and not hasattr(self.logger, "emit"):
            raise ConfigError("option logger is True, False or a twisted.logger.Logger")
        self._settle("terms", self._terms())

    def _settle(self, option: str, value: object) -> None:
        object.__setattr__(self, option, value)

    def _settle_road(self) -> None:
        """Check what leads to the server."""
        roads = [
            road
            for road in ("path", "endpoint", "transport", "proxy")
            if getattr(self, road) is not None
        ]
        if len(roads) > 1:
            raise ConfigError(f"options {' and '.join(roads)} exclude each other")
        if self.path is not None and self.port is not None:
            raise ConfigError("options path and port exclude each other")
        if self.path is not None and (
            not isinstance(self.path, str) or not self.path or "\0" in self.path
        ):
            raise ConfigError(f"option path is the path of a unix socket, not {self.path!a}")
        if self.path is not None and len(os.fsencode(self.path)) > _SOCKET_PATH:
            # The kernel would refuse it in a manner that Twisted does not expect.
            raise ConfigError(f"option path is longer than {_SOCKET_PATH} octets")
        if self.endpoint is not None and not IStreamClientEndpoint.providedBy(self.endpoint):
            raise ConfigError("option endpoint is no IStreamClientEndpoint")
        if self.transport is not None and not (
            isinstance(self.transport, socket.socket) or ITransport.providedBy(self.transport)
        ):
            raise ConfigError("option transport is neither a connected socket nor an ITransport")
        if self.local_address is not None:
            if roads and roads != ["proxy"]:
                raise ConfigError(f"options local_address and {roads[0]} exclude each other")
            _address(self.local_address)

    def _settle_security(self) -> None:
        """Check the TLS options, and give port and `secure` their values."""
        port = self.port
        if port is not None and (
            isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536
        ):
            raise ConfigError(f"option port is a number from 1 to 65535, not {port!r}")
        if self.secure is None:
            self._settle("secure", port == SMTPS_PORT)
        elif not isinstance(self.secure, bool):
            raise ConfigError(f"option secure is True or False, not {self.secure!r}")
        if port is None and self.path is None:
            default = LMTP.port if self.lmtp else SUBMISSION_PORT
            self._settle("port", SMTPS_PORT if self.secure and not self.lmtp else default)
        asked = [
            option
            for option in ("ignore_tls", "require_tls", "opportunistic_tls")
            if getattr(self, option)
        ]
        if len(asked) > 1:
            raise ConfigError(f"options {' and '.join(asked)} contradict each other")
        if self.tls is None:
            self._settle("tls", _DEFAULT_TLS)
        elif not isinstance(self.tls, TLSOptions):
            raise ConfigError("option tls is a TLSOptions")

    def _settle_names(self) -> None:
        """Check the host, the name in its certificate and our own name."""
        host = self.host
        if host is None:
            host = "localhost"
        if not isinstance(host, str):
            raise ConfigError(f"option host is text, not {type(host).__name__}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not host.isprintable() or " " in host:
            raise ConfigError(f"{host!a} is not a host name")
        reference_name(host)
        self._settle("host", host)
        if self.servername is not None:
            if not isinstance(self.servername, str):
                raise ConfigError("option servername is text")
            reference_name(self.servername)
        if self.name is None:
            self._settle("name", _own_name())
            return
        try:
            encoded_name(self.name)
        except (LocalProtocolError, TypeError, AttributeError) as reason:
            raise ConfigError(f"option name: {reason}") from None

    def _settle_proxy(self) -> None:
        """Check that the proxy is one, and can be asked for this server."""
        if self.proxy is None:
            return
        proxy = self.proxy
        if not isinstance(proxy, ProxyOptions):
            proxy = ProxyOptions.from_url(proxy)
        check(proxy, self.host or "", self.port or 0)
        self._settle("proxy", proxy)

    def _settle_auth(self) -> None:
        if self.auth is not None and not isinstance(self.auth, Credentials):
            raise ConfigError("option auth is a Credentials")
        if self.custom_auth is not None:
            self._settle("custom_auth", _custom(self.custom_auth))
        if self.auth_method is None:
            return
        if not isinstance(self.auth_method, str) or not self.auth_method.strip():
            raise ConfigError("option auth_method is the name of a SASL mechanism")
        self._settle("auth_method", self.auth_method.strip().upper())

    def _terms(self) -> Terms:
        """Return what each session is told: once, as it is the same for all of them."""
        return Terms(
            name=encoded_name(self.name or _own_name()),
            dialect=LMTP if self.lmtp else SMTP,
            security=self._security(),
            auth_required=self.auth is not None or bool(self.force_auth),
            timeouts=Timeouts(
                greeting=_set(self.greeting_timeout),
                tls=_set(self.tls_timeout),
                command=_set(self.command_timeout),
                data=_set(self.data_timeout),
                block=_set(self.block_timeout),
                mark=_set(self.final_timeout),
                quit=_set(self.quit_timeout),
                inactivity=_set(self.socket_timeout),
            ),
            pipelining=Pipelining(self.pipelining),
            chunking=Chunking(self.chunking),
        )

    def _security(self) -> Security:
        if self.secure:
            return Security.IMPLICIT
        if self.ignore_tls:
            return Security.IGNORED
        if self.require_tls:
            return Security.REQUIRED
        return Security.OPPORTUNISTIC if self.opportunistic_tls else Security.OFFERED

    @property
    def reference_name(self) -> str:
        """The name that the server's certificate must have."""
        return reference_name(self.servername or self.host or "localhost")


_DEFAULT_TLS = TLSOptions()


def _set(value: float | None) -> float:
    """Return an option that `__post_init__` has given a value."""
    assert value is not None
    return value


def _flag(option: str, value: object) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ConfigError(f"option {option} is True or False, not {value!r}")
    return value


def _duration(option: str, value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigError(f"option {option} is a number of seconds above 0, not {value!r}")
    return float(value)


def _choice(option: str, value: object, kind: type[Enum]) -> str:
    try:
        return str(kind(value).value)
    except ValueError:
        allowed = ", ".join(repr(each.value) for each in kind)
        raise ConfigError(f"option {option} is one of {allowed}, not {value!r}") from None


def _custom(given: object) -> CustomAuth:
    if not isinstance(given, Mapping):
        raise ConfigError("option custom_auth is a mapping from names of mechanisms to handlers")
    found: dict[str, Any] = {}
    for name, handler in given.items():
        key = name.strip().upper() if isinstance(name, str) else ""
        if not _MECHANISM.fullmatch(key):
            raise ConfigError(f"option custom_auth: {name!a} is not the name of a mechanism")
        if key in found:
            raise ConfigError(f"option custom_auth has {key} twice")
        if not callable(handler) and not isinstance(handler, Mechanism):
            raise ConfigError(f"option custom_auth: {key} is neither a handler nor a Mechanism")
        found[key] = handler
    return MappingProxyType(found)


def _address(local_address: object) -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, str(local_address).partition("%")[0])
        except (OSError, ValueError):
            continue
        return
    raise ConfigError(f"option local_address is an IP address, not {local_address!a}")


def _own_name() -> str:
    """Return this machine's name if the world can know it by that, else an address literal.

    No resolver is asked: it could block the reactor for a minute.
    """
    name = socket.gethostname()
    if "." in name:
        try:
            encoded_name(name)
        except LocalProtocolError:
            pass
        else:
            return name
    return "[127.0.0.1]"


def make_options(
    options: ConnectionOptions | str | None, more: Mapping[str, Any]
) -> ConnectionOptions:
    """Return the options that `connect` was given.

    Args:
        options: Ready options, a URL, or None.
        more: Options by name; beside a URL those that it does not have.

    Raises:
        ConfigError: Something is wrong with them, or one is given twice.
    """
    given: dict[str, Any] = {}
    if isinstance(options, str):
        from txsmtpconn.client.url import read_url

        given = read_url(options)
    elif isinstance(options, ConnectionOptions):
        if more:
            raise ConfigError("options are given as an object or by name, not in both ways")
        return options
    elif options is not None:
        raise ConfigError(f"options are ConnectionOptions or a URL, not {type(options).__name__}")
    for name, value in more.items():
        if name not in _NAMES:
            raise ConfigError(f"unknown option {name!a}")
        if name in given and value is not None:
            raise ConfigError(f"option {name} is given twice, in the URL and by name")
        given.setdefault(name, value)
    return ConnectionOptions(**given)


_NAMES = frozenset(each.name for each in fields(ConnectionOptions) if each.init)
