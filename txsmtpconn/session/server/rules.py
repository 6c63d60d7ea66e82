"""What a server session was told to offer, to demand and to put up with.

The rules of the connection are here: what is refused for want of TLS or authentication, which
extensions are listed, which parameters are taken. What is refused because it comes at the wrong
moment is in `session.server.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from itertools import product

from txsmtpconn.session.dialect import SMTP, Dialect
from txsmtpconn.session.server import replies
from txsmtpconn.session.server.tables import LEGALITY, VERBS, Phase
from txsmtpconn.wire.limits import TOLD_LIMIT
from txsmtpconn.wire.parameters import MailParameters
from txsmtpconn.wire.reply import Reply

#: Extensions that need nothing but this library.
DEFAULT_EXTENSIONS = frozenset(
    (
        "PIPELINING",
        "SIZE",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "LIMITS",
    )
)
#: Extensions that are a promise which only the application can keep, in what it does with the
#: message afterwards.
PROMISES = frozenset(
    ("BINARYMIME", "REQUIRETLS", "DELIVERBY", "MT-PRIORITY", "FUTURERELEASE", "PRDR")
)


class BareLineEnds(Enum):
    """What becomes of mail data in which a CR or a LF stands alone.

    Only CRLF.CRLF ends mail data, whatever is chosen here (RFC 5321 sections 2.3.8 and 4.1.1.4).
    """

    #: Read on to the real end, refuse the message, close: what follows cannot be trusted.
    REFUSE = "refuse"
    #: Hand on CRLF instead.
    NORMALISE = "normalise"
    #: Hand on what came. Whoever passes such a message on must not let it end mail data there.
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTimeouts:
    """Deadlines in seconds. The peer's are renewed by complete commands, never by octets.

    Attributes:
        command: From our last reply to the next complete command (RFC 5321 section 4.5.3.2.7).
        block: Without an octet of mail data.
        answer: For the application to decide about a command; below the client's five minutes.
        mark: For the application to take responsibility for a message; below the client's ten.
        tls: For the TLS handshake.
        session: For the whole session, or None.
        close: For the peer to read our last reply.
    """

    command: float = 300.0
    block: float = 180.0
    answer: float = 240.0
    mark: float = 540.0
    tls: float = 30.0
    session: float | None = 24 * 3600.0
    close: float = 10.0


#: Phase -> verb -> the reply that refuses it; None where it may be obeyed.
Legality = Mapping[Phase, Mapping[str, Reply | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRules:
    """One server's policy, shared by all its sessions.

    Attributes:
        name: Our own domain or address literal, said in the greeting and to EHLO.
        banner: What follows it in the greeting.
        dialect: SMTP, SUBMISSION or LMTP.
        extensions: Keywords to offer, of `DEFAULT_EXTENSIONS` and `PROMISES`.
        disabled: Verbs that are answered 502; disabling STARTTLS or AUTH hides it too.
        max_size: Octets of mail data in one message, or None.
        max_recipients: Accepted recipients in one transaction, at least 100 by RFC 5321.
        max_recipient_domains: Different domains of accepted recipients in one session, or None.
        max_messages: Mail transactions in one session, or None.
        max_line: Octets in one line of mail data, without its CRLF; or None.
        max_errors: Refused commands in one session.
        max_unknown_commands: Verbs nobody knows, in one session.
        max_idle_commands: Commands that bring no mail forward (NOOP, RSET, VRFY, HELP, a repeated
            EHLO), between two accepted messages.
        max_auth_failures: Failed authentications in one session.
        minimum_rate: Octets of mail data per second, on average, once `timeouts.block` is over.
        starttls: Whether there is a certificate for STARTTLS.
        tls_required: Refuse mail and AUTH without TLS.
        auth_mechanisms: SASL mechanisms to offer, in upper case, best first.
        tls_only_mechanisms: Those of them that make no sense without TLS.
        auth_required: Refuse mail without authentication.
        allow_insecure_auth: Offer AUTH without TLS.
        bare_line_ends: What becomes of a lone CR or LF in mail data.
        xclient: Attributes of XCLIENT that this client may give; none, and it may not say that.
        xforward: The same of XFORWARD.
        max_hold: Seconds for which a message may be held back (RFC 4865).
        min_deliver_by: The shortest time in seconds by which a message may have to be delivered or
            returned (RFC 2852), or None.
        epoch: What to add to the session's time to have seconds since 1970.
        greet_delay: Seconds before the greeting; who talks earlier is shown out.
        timeouts: Deadlines.
        legality: (secure, authenticated) -> the table of what is refused on such a connection,
            whether by these rules or for the moment.
    """

    name: str
    banner: str = ""
    dialect: Dialect = SMTP
    extensions: frozenset[str] = DEFAULT_EXTENSIONS
    disabled: frozenset[str] = frozenset()
    max_size: int | None = None
    max_recipients: int = 1000
    max_recipient_domains: int | None = None
    max_messages: int | None = None
    max_line: int | None = None
    max_errors: int = 100
    max_unknown_commands: int = 10
    max_idle_commands: int = 100
    max_auth_failures: int = 3
    minimum_rate: float = 500.0
    starttls: bool = False
    tls_required: bool = False
    auth_mechanisms: tuple[str, ...] = ()
    tls_only_mechanisms: frozenset[str] = frozenset()
    auth_required: bool = False
    allow_insecure_auth: bool = False
    bare_line_ends: BareLineEnds = BareLineEnds.REFUSE
    xclient: tuple[str, ...] = ()
    xforward: tuple[str, ...] = ()
    max_hold: int = 30 * 86400
    min_deliver_by: int | None = None
    epoch: float = 0.0
    greet_delay: float = 0.0
    timeouts: ServerTimeouts = field(default_factory=ServerTimeouts)
    _offered: frozenset[str] = field(init=False, repr=False, compare=False)
    legality: Mapping[tuple[bool, bool], Legality] = field(init=False, repr=False, compare=False)

    @property
    def hello_verbs(self) -> tuple[str, ...]:
        """The verbs that open a session in this dialect."""
        dialect = self.dialect
        return tuple(
            verb.decode("ascii") for verb in (dialect.hello, dialect.fallback) if verb is not None
        )

    @property
    def offered(self) -> frozenset[str]:
        """The keywords whose parameters MAIL and RCPT may have."""
        return self._offered

    def __post_init__(self) -> None:
        auth = ("AUTH",) if self.auth_mechanisms else ()
        object.__setattr__(self, "_offered", self.extensions.union(auth))
        tables = {kind: self._table(*kind) for kind in product((False, True), repeat=2)}
        object.__setattr__(self, "legality", tables)

    def _table(self, secure: bool, authenticated: bool) -> Legality:
        always = {
            verb: self.refusal(verb, secure=secure, authenticated=authenticated) for verb in VERBS
        }
        return {
            phase: {verb: always[verb] or LEGALITY[phase, verb] for verb in VERBS}
            for phase in Phase
        }

    def offers_starttls(self, *, secure: bool) -> bool:
        """Tell whether STARTTLS is listed."""
        return self.starttls and not secure and "STARTTLS" not in self.disabled

    def offers_auth(self, *, secure: bool) -> bool:
        """Tell whether AUTH is listed: without TLS only where the caller said so."""
        return (
            bool(self.mechanisms(secure=secure))
            and (secure or self.allow_insecure_auth)
            and "AUTH" not in self.disabled
        )

    def mechanisms(self, *, secure: bool) -> list[str]:
        """Return the SASL mechanisms that a connection may use, best first."""
        return [
            name for name in self.auth_mechanisms if secure or name not in self.tls_only_mechanisms
        ]

    def keyword_lines(self, now: float, *, secure: bool) -> list[str]:
        """Return the lines of an EHLO or LHLO reply that follow the first."""
        offered = self.extensions
        lines: list[str] = [
            word for word in ("PIPELINING", "8BITMIME", "SMTPUTF8") if word in offered
        ]
        if "SIZE" in offered:
            lines.append("SIZE" if self.max_size is None else f"SIZE {self.max_size}")
        if self.offers_starttls(secure=secure):
            lines.append("STARTTLS")
        if self.offers_auth(secure=secure):
            lines.append("AUTH " + " ".join(self.mechanisms(secure=secure)))
        if "CHUNKING" in offered:
            lines.append("CHUNKING")
            if "BINARYMIME" in offered:
                lines.append("BINARYMIME")
        lines += [word for word in ("DSN", "ENHANCEDSTATUSCODES", "MT-PRIORITY") if word in offered]
        lines += self._time_lines(now)
        if "PRDR" in offered:
            lines.append("PRDR")
        # RFC 8689 section 2: used under TLS only, and so offered there.
        if secure and "REQUIRETLS" in offered:
            lines.append("REQUIRETLS")
        limits = self._limits()
        if limits and "LIMITS" in offered:
            lines.append(f"LIMITS {limits}")
        for verb, attributes in (("XCLIENT", self.xclient), ("XFORWARD", self.xforward)):
            if attributes:
                lines.append(" ".join((verb, *attributes)))
        return lines

    def _time_lines(self, now: float) -> Iterator[str]:
        if "DELIVERBY" in self.extensions:
            least = self.min_deliver_by
            yield "DELIVERBY" if least is None else f"DELIVERBY {least}"
        if "FUTURERELEASE" in self.extensions:
            latest = self._after(self.max_hold, now).strftime("%Y-%m-%dT%H:%M:%SZ")
            yield f"FUTURERELEASE {self.max_hold} {latest}"

    def _after(self, seconds: int, now: float) -> datetime:
        """Return the moment so many seconds from now."""
        return datetime.fromtimestamp(self.epoch + now + seconds, UTC)

    def _limits(self) -> str:
        """Return what is enforced, in the words of RFC 9422, which have no larger numbers."""
        limits = {
            "MAILMAX": self.max_messages,
            "RCPTMAX": self.max_recipients,
            "RCPTDOMAINMAX": self.max_recipient_domains,
        }
        return " ".join(
            f"{name}={limit}"
            for name, limit in limits.items()
            if limit is not None and limit <= TOLD_LIMIT
        )

    def refusal(self, verb: str, *, secure: bool, authenticated: bool) -> Reply | None:
        """Return why a verb is refused on this connection, whatever the moment; None if not."""
        if verb in self.disabled:
            return replies.DISABLED
        if verb in ("EHLO", "HELO", "LHLO") and verb not in self.hello_verbs:
            return replies.NOT_RECOGNISED
        if verb == "BDAT" and "CHUNKING" not in self.extensions:
            return replies.DISABLED
        if verb == "STARTTLS":
            if secure:
                return replies.ALREADY_SECURE
            return None if self.starttls else replies.TLS_UNAVAILABLE
        if verb == "XCLIENT":
            return None if self.xclient else replies.NOT_TRUSTED
        if verb == "XFORWARD":
            return None if self.xforward else replies.NOT_TRUSTED
        if verb == "AUTH":
            return self._auth_refusal(secure=secure, authenticated=authenticated)
        if verb in ("MAIL", "RCPT", "DATA", "BDAT", "VRFY"):
            if self.tls_required and not secure:
                return replies.TLS_REQUIRED
            if self.auth_required and not authenticated:
                return replies.AUTH_REQUIRED
        return None

    def _auth_refusal(self, *, secure: bool, authenticated: bool) -> Reply | None:
        if not self.auth_mechanisms:
            return replies.DISABLED
        if authenticated:
            return replies.ALREADY_AUTHENTICATED
        if not self.offers_auth(secure=secure):
            return replies.AUTH_NEEDS_TLS
        return None

    def mail_refusal(self, parameters: MailParameters, now: float, *, secure: bool) -> Reply | None:
        """Return why MAIL is refused for its parameters; None if it is not."""
        if parameters.body == "BINARYMIME" and not self.extensions >= {"BINARYMIME", "CHUNKING"}:
            return replies.UNKNOWN_PARAMETER
        if parameters.requiretls and not secure:
            return replies.TLS_REQUIRED
        by = parameters.deliver_by
        # Whoever only wants to hear of a delay (mode N) may ask for less (RFC 2852 section 4).
        if by is not None and by.mode == "R" and by.seconds < (self.min_deliver_by or 1):
            return replies.TOO_URGENT
        # One that is held beyond its time to be delivered is as well (RFC 4865 section 5.2.2).
        longest = self.max_hold if by is None else min(self.max_hold, by.seconds)
        until = parameters.hold_until
        if (parameters.hold_for or 0) > self.max_hold or (
            until is not None and datetime.fromisoformat(until) > self._after(longest, now)
        ):
            return replies.HELD_TOO_LONG
        return self.size_refusal(parameters.size or 0)

    def size_refusal(self, octets: int) -> Reply | None:
        """Return why so many octets of mail data are refused; None if they are not."""
        if self.max_size is not None and octets > self.max_size:
            return replies.MESSAGE_TOO_BIG
        return None
