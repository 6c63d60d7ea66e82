"""What an operator can choose about a server."""

from __future__ import annotations

import math
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import (
    IOpenSSLContextFactory,
    IOpenSSLServerConnectionCreator,
)
from twisted.logger import Logger

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.networks import Networks
from txsmtpconn.net.server_tls import ServerTLS
from txsmtpconn.sasl import SECRET_MECHANISMS, SERVER_MECHANISMS, needs_tls
from txsmtpconn.server.policy import Policy, bare_line_ends_by_network
from txsmtpconn.session.dialect import LMTP, SMTP
from txsmtpconn.session.server.rules import (
    DEFAULT_EXTENSIONS,
    PROMISES,
    BareLineEnds,
    ServerRules,
    ServerTimeouts,
)
from txsmtpconn.session.server.tables import VERBS
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.limits import SECONDS_DIGITS
from txsmtpconn.wire.path import client_name

_WITH_CERTIFICATE = ("tls_key_file", "tls_sni", "tls_client_ca_file", "tls_client_certificates")
_NOT_NEGATIVE = (
    "minimum_rate",
    "greet_delay",
    "auth_delay",
    "auth_delay_most",
    "auth_failures_kept",
    "room_reserve",
)
#: Keywords and verbs.
_KNOWN = DEFAULT_EXTENSIONS | PROMISES | set(VERBS)
_POSITIVE = (
    "max_recipients",
    "max_errors",
    "max_unknown_commands",
    "max_idle_commands",
    "max_hold",
)
#: Told with EHLO, which has nine digits for it.
_TOLD_SECONDS = ("min_deliver_by", "max_hold")
_POSITIVE_OR_NONE = (
    "min_deliver_by",
    "max_size",
    "max_line",
    "max_recipient_domains",
    "max_messages",
    "max_clients",
    "max_clients_per_address",
    "max_auth_failures_per_address",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """A server's options; times are seconds, sizes octets, and None is no limit.

    Attributes:
        name: Our own domain or address literal; by default this host's name.
        banner: What follows it in the greeting.
        lmtp: Speak LMTP (RFC 2033): LHLO, and one final reply for each accepted recipient.
        max_size: Mail data of one message; None for no limit.
        room_in: A directory on whose disk there must be room for a message before it is taken: else
            452 is said at MAIL. None for no such check.
        room_reserve: Octets of that disk that mail may not use.
        max_hold: For how many seconds a message may be held (FUTURERELEASE).
        min_deliver_by: Seconds that we need at least to deliver a message or to return it
            (DELIVERBY); None where less may be asked for.
        max_recipients: Accepted recipients in one transaction (RFC 5321 wants at least 100).
        max_recipient_domains: Different domains of recipients in one session; None for no limit.
        max_messages: Mail transactions in one session; None for no limit.
        max_line: One line of mail data; None for no limit.
        max_clients: Connections at one time; None for no limit.
        max_clients_per_address: The same from one IP address. Unix sockets are not counted.
        max_errors: Refused commands in one session, before it ends with 421.
        max_unknown_commands: Verbs that nobody knows, before it ends with 421.
        max_idle_commands: Commands that bring no mail forward between two messages.
        max_auth_failures: Failed authentications in one session; the last one ends it.
        max_auth_failures_per_address: Failed authentications from one IP address (of IPv6 a /64),
            over all its sessions: after so many AUTH is refused. None for no limit.
        auth_failures_kept: For how long after the last one they are remembered.
        auth_delay: The reply to an address's second failure waits for so long, and that to each
            further one twice as long; 0 for none.
        auth_delay_most: But none waits longer than this.
        minimum_rate: Octets of mail data per second, on average; 0 for no limit.
        greet_delay: Wait with the greeting; a client that talks meanwhile is shown out.
        timeouts: Deadlines.
        tls: A ready server context: `CertificateOptions`, or whatever else `startTLS` takes. With
            it or `tls_cert_file`, STARTTLS is offered.
        tls_cert_file: A PEM file with our certificate and its chain. A new one is shown as soon as
            the files change.
        tls_key_file: Its key; by default it is in the same file.
        tls_sni: Host name, or ``"*."`` and a domain, to the certificate for clients that ask for
            it: its file, or a pair of its and its key's.
        tls_client_ca_file: A PEM file of authorities that sign clients' certificates.
        tls_client_certificates: "none", "ask" or "require"; "ask" if there are authorities.
        tls_minimum_version: "1.2" or "1.3".
        implicit_tls: TLS comes before the greeting. Without `tls` the listener does it, such as an
            ``ssl:`` endpoint.
        tls_required: Take neither mail nor AUTH in clear.
        auth_required: Take no mail without authentication.
        auth_mechanisms: SASL mechanisms, best first. SCRAM's and CRAM-MD5 need an
            `on_auth_secret` hook; the others are offered if there is an `on_auth` hook.
        allow_insecure_auth: Offer AUTH in clear too.
        bare_line_ends: What becomes of a CR or LF alone in mail data: "refuse", "normalise" or
            "allow". Only CRLF.CRLF ends it, whatever is chosen.
        bare_line_ends_for: What becomes of them in the mail of some: a mapping of these words to
            lists of networks (`net.networks`).
        proxy_networks: Networks of load balancers: their connections begin with a header of the
            PROXY protocol (version 1 or 2), or are closed.
        xclient_networks: Networks whose clients may say XCLIENT.
        xclient_login: Believe them that a client has authenticated, too (LOGIN).
        xforward_networks: Networks whose clients may say XFORWARD.
        promises: Extensions to offer whose work is done by whoever takes the message: BINARYMIME,
            REQUIRETLS, DELIVERBY, MT-PRIORITY, FUTURERELEASE; and PRDR, for a sink whose `finish`
            answers for each recipient where the envelope's `prdr` asks for it.
        disabled: Keywords and verbs to do without, such as CHUNKING, PIPELINING, EHLO.
        logger: Where to write about sessions; True is the console.
        transaction_log: Write each line, too; secrets are left out.
        debug: Write mail data, too.

    Raises:
        ConfigError: A value is not what it should be, or contradicts another.
    """

    name: str = ""
    banner: str = "ready"
    lmtp: bool = False
    max_size: int | None = 50 * 1024 * 1024
    room_in: str | Path | None = None
    room_reserve: int = 64 * 1024 * 1024
    max_hold: int = 30 * 86400
    min_deliver_by: int | None = None
    max_recipients: int = 1000
    max_recipient_domains: int | None = None
    max_messages: int | None = None
    max_line: int | None = None
    max_clients: int | None = 1000
    max_clients_per_address: int | None = 100
    max_errors: int = 100
    max_unknown_commands: int = 10
    max_idle_commands: int = 100
    max_auth_failures: int = 3
    max_auth_failures_per_address: int | None = 100
    auth_failures_kept: float = 3600.0
    auth_delay: float = 1.0
    auth_delay_most: float = 30.0
    minimum_rate: float = 500.0
    greet_delay: float = 0.0
    timeouts: ServerTimeouts = field(default_factory=ServerTimeouts)
    tls: Any = None
    tls_cert_file: str | Path | None = None
    tls_key_file: str | Path | None = None
    tls_sni: Mapping[str, Any] = field(default_factory=dict)
    tls_client_ca_file: str | Path | None = None
    tls_client_certificates: str | None = None
    tls_minimum_version: str = "1.2"
    implicit_tls: bool = False
    tls_required: bool = False
    auth_required: bool = False
    auth_mechanisms: Collection[str] = ("PLAIN", "LOGIN")
    allow_insecure_auth: bool = False
    bare_line_ends: BareLineEnds | str = BareLineEnds.REFUSE
    bare_line_ends_for: Mapping[Any, Any] = field(default_factory=dict)
    proxy_networks: Collection[str] | Networks = ()
    xclient_networks: Collection[str] | Networks = ()
    xclient_login: bool = False
    xforward_networks: Collection[str] | Networks = ()
    promises: Collection[str] = ()
    disabled: Collection[str] = ()
    logger: Logger | bool | None = None
    transaction_log: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        replace = object.__setattr__
        replace(self, "name", _own_name(self.name))
        for name in (*_POSITIVE, *_POSITIVE_OR_NONE, "max_auth_failures"):
            value = getattr(self, name)
            if value is None and name in _POSITIVE_OR_NONE:
                continue
            if type(value) is not int or value <= 0:
                raise ConfigError(f"{name} is a number above 0, not {value!r}")
            if name in _TOLD_SECONDS and value >= 10**SECONDS_DIGITS:
                raise ConfigError(f"{name} is a number of up to {SECONDS_DIGITS} digits")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} cannot be below 0")
        _check_timeouts(self.timeouts)
        if "\r" in self.banner or "\n" in self.banner or "\0" in self.banner:
            raise ConfigError("banner is one line of text")
        try:
            replace(self, "bare_line_ends", BareLineEnds(self.bare_line_ends))
        except ValueError:
            raise ConfigError(
                f"bare_line_ends is refuse, normalise or allow, not {self.bare_line_ends!r}"
            ) from None
        replace(self, "bare_line_ends_for", bare_line_ends_by_network(self.bare_line_ends_for))
        for name in ("proxy_networks", "xclient_networks", "xforward_networks"):
            replace(self, name, Networks.parse(getattr(self, name), name))
        replace(self, "disabled", _words("disabled", self.disabled, _KNOWN))
        replace(self, "promises", _words("promises", self.promises, PROMISES))
        mechanisms = _words("auth_mechanisms", self.auth_mechanisms, SERVER_MECHANISMS)
        replace(self, "auth_mechanisms", mechanisms)
        self._settle_tls()

    def _settle_tls(self) -> None:
        if self.tls_cert_file is None:
            for name in _WITH_CERTIFICATE:
                if getattr(self, name):
                    raise ConfigError(f"{name} needs tls_cert_file")
        else:
            if self.tls is not None:
                raise ConfigError("tls and tls_cert_file exclude each other")
            context = ServerTLS(
                self.tls_cert_file,
                self.tls_key_file,
                sni=self.tls_sni,
                client_ca_file=self.tls_client_ca_file,
                client_certificates=self.tls_client_certificates,
                minimum_version=self.tls_minimum_version,
            )
            object.__setattr__(self, "tls", context)
        if self.tls is not None and not (
            IOpenSSLServerConnectionCreator.providedBy(self.tls)
            or IOpenSSLContextFactory.providedBy(self.tls)
            or callable(getattr(self.tls, "getContext", None))
        ):
            raise ConfigError("tls is no context for a TLS server")
        if self.implicit_tls and self.tls is None and self.proxy_networks:
            raise ConfigError(
                "proxy_networks with implicit_tls needs a certificate: the header comes before TLS"
            )
        if self.tls_required and self.tls is None and not self.implicit_tls:
            raise ConfigError("tls_required needs a certificate: tls or tls_cert_file")

    def rules(self, *, can_authenticate: bool, knows_secrets: bool = False) -> ServerRules:
        """Return the policy of a session.

        Args:
            can_authenticate: Whether there is somebody to ask about credentials.
            knows_secrets: Whether there is somebody to ask for what is kept of passwords.

        Raises:
            ConfigError: Authentication is required, and nobody can be asked; or a mechanism cannot
                do without what is kept of passwords.
        """
        mechanisms = self._mechanisms(can_authenticate, knows_secrets)
        if self.auth_required and not mechanisms:
            raise ConfigError("auth_required needs an on_auth hook")
        shared = {rule.name for rule in fields(ServerRules)} & {own.name for own in fields(self)}
        given = {name: getattr(self, name) for name in shared}
        # LMTP has a reply for each recipient as it is, and is no submission (RFC 4865 section 4.2).
        without = {*self.disabled, *(["PRDR", "FUTURERELEASE"] if self.lmtp else [])}
        given |= {
            "dialect": LMTP if self.lmtp else SMTP,
            "extensions": (DEFAULT_EXTENSIONS | set(self.promises)) - without,
            "disabled": frozenset(self.disabled),
            "starttls": self.tls is not None and not self.implicit_tls,
            "auth_mechanisms": mechanisms,
            "tls_only_mechanisms": frozenset(filter(needs_tls, mechanisms)),
        }
        return ServerRules(**given)

    def policy(self, rules: ServerRules) -> Policy:
        """Return what is allowed to whom, where `rules` hold for everybody."""
        return Policy(
            rules,
            xclient=self.xclient_networks,  # type: ignore[arg-type]
            login=self.xclient_login,
            xforward=self.xforward_networks,  # type: ignore[arg-type]
            bare_line_ends=self.bare_line_ends_for,
        )

    def _mechanisms(self, can_authenticate: bool, knows_secrets: bool) -> tuple[str, ...]:
        """Return the mechanisms to offer: those that somebody can judge."""
        secret = [name for name in self.auth_mechanisms if name in SECRET_MECHANISMS]
        if secret and not knows_secrets:
            raise ConfigError(f"auth_mechanisms: {secret[0]} needs an on_auth_secret hook")
        return tuple(
            name
            for name in self.auth_mechanisms
            if can_authenticate
            or name in SECRET_MECHANISMS
            or (name == "CRAM-MD5" and knows_secrets)
        )


def _own_name(name: str) -> str:
    """Check a name, or find one that other hosts may see in a greeting."""
    try:
        if name:
            return client_name(name).decode("ascii")
        return client_name(socket.gethostname()).decode("ascii")
    except LocalProtocolError as error:
        if name:
            raise ConfigError(f"name: {error}") from None
        return "[127.0.0.1]"


def _words(
    name: str, given: Collection[str], known: Collection[str] | None = None
) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigError(f"{name} is a list of words, not {given!r}")
    words = tuple(word.upper() for word in given)
    unknown = [word for word in words if known is not None and word not in known]
    if unknown:
        raise ConfigError(f"{name}: unknown {', '.join(unknown)}")
    return words


def _check_timeouts(timeouts: ServerTimeouts) -> None:
    for each in fields(timeouts):
        value = getattr(timeouts, each.name)
        if value is None and each.name == "session":
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and 0 < value < math.inf):
            raise ConfigError(f"timeouts.{each.name} is a time above 0 seconds, not {value!r}")
