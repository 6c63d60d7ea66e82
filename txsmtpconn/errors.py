"""What can go wrong, as one tree of exceptions.

Each class has a `code`, the short name that programs and logs know it by::

    SMTPError                   ESMTP
    ├── ConnectionLostError     ECONNECTION   the session ended before its work was done
    ├── DeadlineError           ETIMEDOUT     something did not happen in time
    ├── SocketError             ESOCKET       no connection came about, or the network failed
    ├── DNSError                EDNS          the host's name did not resolve
    ├── TLSError                ETLS          no STARTTLS, a bad handshake or certificate
    ├── RequireTLSError         EREQUIRETLS   REQUIRETLS (RFC 8689) cannot be honoured
    ├── ProtocolError           EPROTOCOL     the peer broke the rules of SMTP
    ├── EnvelopeError           EENVELOPE     a sender, recipient or parameter was refused
    ├── MessageError            EMESSAGE      the message was refused
    ├── StreamError             ESTREAM       the source of the message failed
    ├── AuthenticationError     EAUTH         the credentials were refused, or no mechanism fits
    ├── NoCredentialsError      ENOAUTH       credentials are needed and there are none
    ├── OAuth2Error             EOAUTH2       no access token could be had
    ├── ProxyError              EPROXY        the proxy refused or failed
    ├── ConfigError             ECONFIG       an option is wrong
    └── PoolError               EMAXLIMIT     the pool is at its limit, or closed

A cancelled call fails with `SendCancelled` (ECANCELLED), an SMTPError that is Twisted's
`CancelledError` as well and so lives where Twisted may be imported.

EnvelopeError, MessageError and ConfigError tell of the caller's own mistakes too, before anything
is sent, and so they are ValueErrors as well; such an error has no `reply`.

Two facts are kept apart. `delivery` says what became of the mail, and only it says whether sending
again may deliver twice. `is_transient` says whether the same attempt may succeed later: if there is
a reply, its first digit decides (RFC 5321 section 4.2.1; 421 is transient like every 4yz); without
one, the enhanced status code that we give it ourselves, where it has one (a domain that takes no
mail is 5.1.10), and else the class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from txsmtpconn.outcome import Delivery, RecipientOutcome, addresses, refusals

if TYPE_CHECKING:
    from txsmtpconn.wire.reply import Reply

_LEADING_CODE = re.compile(r"[0-9]{3}(?![0-9])")


def printable(text: str, *, keep: str = "") -> str:
    """Escape what could steer a terminal or forge a line of a log, but for `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char in keep
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


class SMTPError(Exception):
    """The base of all errors of this package.

    Args:
        message: What went wrong, for a person to read. Never holds a secret.
        reply: The server's reply, if one decided.
        response: The text of a reply that did not come whole, or was not one.
        command: The command concerned: a verb with what names it (``"MAIL FROM"``, ``"AUTH
            PLAIN"``), ``"CONN"`` for the making of a connection, ``"API"`` for a mistake found
            before anything was sent.
        recipient: The address concerned, as the caller gave it.
        delivery: What became of the mail.
        recipients: The outcome of each recipient, where a message was being sent.
        status: The enhanced status code (RFC 3463) of what no server has told of, ``"5.4.4"``.
    """

    code: ClassVar[str] = "ESMTP"
    _transient: ClassVar[bool] = False

    # Most errors have few of these. Class-level defaults keep them cheap, and what is set lives in
    # the instance's __dict__, which is all that pickle and copy need.
    reply: Reply | None = None
    command: str | None = None
    recipient: str | None = None
    delivery: Delivery = Delivery.NOT_SENT
    recipients: tuple[RecipientOutcome, ...] = ()
    _fragment: str | None = None
    _status: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        reply: Reply | None = None,
        response: str | None = None,
        command: str | None = None,
        recipient: str | None = None,
        delivery: Delivery = Delivery.NOT_SENT,
        recipients: Sequence[RecipientOutcome] = (),
        status: str | None = None,
    ) -> None:
        super().__init__(message)
        if reply is not None:
            self.reply = reply
        if response is not None:
            self._fragment = response
        if command is not None:
            self.command = command
        if recipient is not None:
            self.recipient = recipient
        if delivery is not Delivery.NOT_SENT:
            self.delivery = delivery
        if recipients:
            self.recipients = tuple(recipients)
        if status is not None:
            self._status = status

    @property
    def message(self) -> str:
        """What went wrong, without the server's words."""
        return str(self.args[0]) if self.args else ""

    @property
    def response(self) -> str | None:
        """What the server said, unescaped, several lines joined by line feeds."""
        if self._fragment is not None:
            return self._fragment
        return None if self.reply is None else str(self.reply)

    @property
    def response_code(self) -> int | None:
        """The reply code; also that of a reply that broke off behind it."""
        if self.reply is not None:
            return self.reply.code
        found = _LEADING_CODE.match(self._fragment or "")
        return int(found[0]) if found else None

    @property
    def enhanced_code(self) -> str | None:
        """The enhanced status code (RFC 3463), ``"5.1.1"``, or None.

        It is the reply's; without a reply ours, where we have found the fault ourselves.
        """
        if self.reply is None:
            return self._status
        enhanced = self.reply.enhanced
        return None if enhanced is None else str(enhanced)

    @property
    def accepted(self) -> list[str]:
        """The addresses whose mail the server took all the same."""
        return addresses(self.recipients, Delivery.ACCEPTED)

    @property
    def rejected(self) -> list[str]:
        """The addresses that the server refused, in the order of the envelope."""
        return addresses(self.recipients, Delivery.REJECTED)

    @property
    def rejected_errors(self) -> list[SMTPError]:
        """The refusals, one for each address in `rejected`."""
        return refusals(self.recipients)

    @property
    def is_transient(self) -> bool:
        """True if the same attempt may succeed later; `delivery` says if it may deliver twice."""
        reply = self.reply
        if reply is not None and reply.is_transient:
            return True
        if reply is not None and reply.is_permanent:
            return self.command == "RCPT TO" and means_too_many_recipients(reply)
        if reply is None and self._status is not None:
            return self._status.startswith("4")
        return self._transient

    @property
    def is_permanent(self) -> bool:
        """True if the same attempt will fail again."""
        return not self.is_transient

    def __str__(self) -> str:
        message, response = self.message, self.response
        if not response:
            return message
        # Every line of a whole reply begins with its code, so its line feeds forge nothing. A
        # fragment's might.
        told = printable(response, keep="" if self._fragment is not None else "\n")
        return f"{message}: {told}" if message else told

    def __repr__(self) -> str:
        told = [repr(str(self))]
        for name in ("command", "recipient"):
            value = getattr(self, name)
            if value is not None:
                told.append(f"{name}={value!r}")
        told.append(f"delivery={self.delivery.name}")
        return f"{type(self).__name__}({', '.join(told)})"


def means_too_many_recipients(reply: Reply) -> bool:
    """Tell whether a refusal of RCPT says "not so many at once" rather than "not this one".

    RFC 5321 section 4.5.3.1.10: the code for it is 452, and 552 means the same there, as RFC 821
    had it. Where an enhanced status code names another cause (a full mailbox is 4.2.2 or 5.2.2),
    that cause holds: only X.5.3, "too many recipients", and the unspecific X.0.0 and X.5.0 leave
    the meaning open.
    """
    if reply.code not in (452, 552):
        return False
    enhanced = reply.enhanced
    return enhanced is None or (enhanced.subject, enhanced.detail) in ((5, 3), (0, 0), (5, 0))


class ConnectionLostError(SMTPError):
    """The session ended before its work was done: by the peer, by 421, or by our own `close()`."""

    code = "ECONNECTION"
    _transient = True


class DeadlineError(SMTPError):
    """Something did not happen in time."""

    code = "ETIMEDOUT"
    _transient = True


class SocketError(SMTPError):
    """No connection could be made, or the network failed."""

    code = "ESOCKET"
    _transient = True


class DNSError(SMTPError):
    """The host's name did not resolve.

    Transient, but where the domain is known not to exist: then `enhanced_code` is 5.1.2 or 5.4.4.
    """

    code = "EDNS"
    _transient = True


class TLSError(SMTPError):
    """STARTTLS was refused, or a handshake or a certificate failed.

    Transient: certificates are renewed, and mail waits for that rather than bounce (RFC 8461
        section 5.2). Where the
    server answered STARTTLS with 5yz, that reply decides as always.

    Attributes:
        fault: What is wrong, in the words of RFC 8460 section 4.3, ``"certificate-expired"``; None
            where nobody could tell.
    """

    code = "ETLS"
    _transient = True
    fault: str | None = None


class RequireTLSError(SMTPError):
    """A message that demands REQUIRETLS cannot be sent here: permanent (RFC 8689 section 4.2.1)."""

    code = "EREQUIRETLS"


class ProtocolError(SMTPError):
    """The peer broke the rules of SMTP. Transient: another server of that host may do better."""

    code = "EPROTOCOL"
    _transient = True


class EnvelopeError(SMTPError, ValueError):
    """A sender, recipient or parameter was refused: by the server if it has a `reply`, or by us."""

    code = "EENVELOPE"


class MessageError(SMTPError, ValueError):
    """The message was refused: by the server if there is a `reply`, else by us."""

    code = "EMESSAGE"


class StreamError(SMTPError):
    """The source of the message failed; its own error is the `__cause__`. Transient."""

    code = "ESTREAM"
    _transient = True


class AuthenticationError(SMTPError):
    """The server refused the credentials, or none of its mechanisms will do."""

    code = "EAUTH"


class NoCredentialsError(SMTPError):
    """Credentials are needed, and the caller gave none."""

    code = "ENOAUTH"


class OAuth2Error(SMTPError):
    """No access token could be had. Transient: the authority may only be out of reach."""

    code = "EOAUTH2"
    _transient = True


class ProxyError(SMTPError):
    """The proxy refused or failed. Transient, as for every road to the server."""

    code = "EPROXY"
    _transient = True


class ConfigError(SMTPError, ValueError):
    """An option is wrong."""

    code = "ECONFIG"


class PoolError(SMTPError):
    """The pool's limit was reached, or the pool is closed."""

    code = "EMAXLIMIT"
    _transient = True
