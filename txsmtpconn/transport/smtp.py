"""`SMTPTransport`: a server as a place to send mail to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail

from txsmtpconn.client.credentials import Credentials
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConfigError, EnvelopeError, SMTPError
from txsmtpconn.net.clock import default_reactor
from txsmtpconn.outcome import SendResult
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.pool import Pool
from txsmtpconn.transport.prepared import PreparedMessage, checked_defaults, prepare
from txsmtpconn.transport.server import ServerCarrier
from txsmtpconn.transport.settings import make_settings


class Carrier(Protocol):
    """What a transport gives its messages to.

    Attributes:
        options: What each connection is told.
        pool: The pool, where there is one for all.
    """

    @property
    def options(self) -> ConnectionOptions: ...

    @property
    def pool(self) -> Pool | None: ...

    def send(
        self, envelope: Envelope, message: object, auth: Credentials | None
    ) -> Deferred[SendResult]: ...

    async def verify(self) -> bool: ...

    def close(self, timeout: float | None = None) -> Deferred[None]: ...


class SMTPTransport:
    """Sends messages to one server, over a connection for each or over a pool of them.

    It connects when there is mail, and logs in by itself where it has credentials.

    Args:
        reactor: The reactor to use; None for the process's.
        options_or_url: `ConnectionOptions`, or a URL such as
            ``"smtps://user:password@mail.example/?pool=true"``, whose query may hold the pool's
            options too; ``"mx:"``, ``"mx://example.org"`` and ``"srv://example.org"`` are what
            `to_mx` makes.
        pool: True for a pool with its defaults, or `PoolOptions`. Without, each message has a
            connection of its own.
        defaults: Header fields that `send_message` sets where a message has none of the name.
        **options: The fields of `ConnectionOptions` by name, alone or beside a URL; and
            ``service``, the name of a well-known provider (or an address or domain of its), which
            gives host, port and security.

    Attributes:
        options: What each connection is told.
        pool: The pool; None without one, and where there is one for each of many hosts.

    Raises:
        ConfigError: Something of that is wrong.
    """

    def __init__(
        self,
        reactor: Any,
        options_or_url: ConnectionOptions | str | None = None,
        *,
        pool: PoolOptions | bool | None = None,
        defaults: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        reactor = default_reactor() if reactor is None else reactor
        carrier: Carrier
        if isinstance(options_or_url, str) and options_or_url.startswith(("mx:", "srv:")):
            from txsmtpconn.transport.nexthop.carrier import mx_carrier
            from txsmtpconn.transport.nexthop.url import read_next_hop_url

            carrier = mx_carrier(reactor, *read_next_hop_url(options_or_url, pool, options))
        else:
            settings = make_settings(options_or_url, pool, options)
            carrier = ServerCarrier(reactor, settings.connection, settings.pool)
        self._settle(carrier, defaults)

    @classmethod
    def to_mx(
        cls,
        reactor: Any,
        next_hop: str | None = None,
        *,
        pool: PoolOptions | bool | None = None,
        defaults: Mapping[str, str] | None = None,
        **options: Any,
    ) -> SMTPTransport:
        """Return a transport to everybody: mail goes to the exchanges of each recipient's domain.

        Args:
            reactor: The reactor to use; None for the process's.
            next_hop: Where all mail goes instead: ``"example.org"`` for the exchanges of that
                domain, ``"srv:example.org"`` for its submission service (RFC 6186),
                ``"[relay.example]:587"`` for a host.
            pool: As for any transport; each host has a pool of its own.
            defaults: As for any transport.
            **options: The fields of `MXOptions`; and those of `ConnectionOptions` that do not say
                which server, or how sure of it to be.

        Raises:
            ConfigError: Something of that is wrong.
        """
        from txsmtpconn.transport.nexthop.carrier import mx_carrier

        transport = cls.__new__(cls)
        reactor = default_reactor() if reactor is None else reactor
        carrier = mx_carrier(reactor, next_hop, pool, options)
        transport._settle(carrier, defaults)  # noqa: SLF001 - it is ours
        return transport

    def _settle(self, carrier: Carrier, defaults: Mapping[str, str] | None) -> None:
        self._carrier = carrier
        self._defaults = checked_defaults(defaults)
        self.options = carrier.options
        self.pool = carrier.pool

    def __repr__(self) -> str:
        pooled = "" if self.pool is None else ", pooled"
        return f"<{type(self).__name__} to {self._carrier}{pooled}>"

    def send(
        self, envelope: Envelope, message: object, *, auth: Credentials | None = None
    ) -> Deferred[SendResult]:
        """Send a message as it is; the result is that of `SMTPConnection.send`.

        Args:
            envelope: From whom, to whom.
            message: Any kind that `SMTPConnection.send` takes.
            auth: Log in with these for this message. It then goes over a connection of its own.

        Errbacks:
            SMTPError: There was no connection, the login failed, or nobody's mail was accepted.
        """
        try:
            _check(envelope, auth)
        except SMTPError as error:
            return fail(error)
        return self._carrier.send(envelope, message, auth)

    def send_message(
        self,
        message: Any,
        *,
        envelope: Envelope | None = None,
        auth: Credentials | None = None,
    ) -> Deferred[SendResult]:
        """Send a message object to those whom its header names.

        Recipients are those of To, Cc and Bcc, or of the topmost Resent fields; the sender is
        Sender, or the first of From. The message itself is not changed. What is sent has no Bcc,
        has the transport's defaults, a Date and a Message-ID where they were missing, and is in
        seven bits where the server takes no others.

        Args:
            message: An `email.message.EmailMessage`, or one from `prepare_message`.
            envelope: From whom and to whom, in place of what the header says.
            auth: As for `send`.

        Errbacks:
            EnvelopeError: The header does not say, or not clearly, from whom and to whom.
            MessageError: It cannot be rendered.
            SMTPError: As for `send`.
        """
        try:
            if isinstance(message, PreparedMessage):
                prepared = message
            else:
                prepared = self.prepare_message(message, envelope=envelope)
        except SMTPError as error:
            return fail(error)
        return self.send(envelope or prepared.envelope, prepared, auth=auth)

    def prepare_message(self, message: Any, *, envelope: Envelope | None = None) -> PreparedMessage:
        """Return what `send_message` would send, with its `envelope` and its `message_id`.

        Sent a second time it has the same Message-ID, by which a reader's program knows a
        duplicate.

        Raises:
            EnvelopeError, MessageError: See `send_message`.
        """
        return prepare(message, defaults=self._defaults, envelope=envelope)

    def verify(self) -> Deferred[bool]:
        """Try the way that messages go: name, connection, TLS and login; nothing is sent.

        Returns:
            A Deferred that fires with True.

        Errbacks:
            NoCredentialsError: `force_auth` wants a login, the server offers it, and there are no
                credentials.
            SMTPError: What stands in the way.
        """
        return Deferred.fromCoroutine(self._carrier.verify())

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Take no more messages, send those there are, and leave.

        Args:
            timeout: Seconds after which what is left is given up and connections are dropped;
                without, each message still has its own deadlines.

        Returns:
            A Deferred that fires when the last connection is gone. It never errbacks.
        """
        return self._carrier.close(timeout)


def _check(envelope: object, auth: object) -> None:
    if not isinstance(envelope, Envelope):
        text = f"an envelope is an Envelope, not {type(envelope).__name__}"
        raise EnvelopeError(text, command="API")
    if auth is not None and not isinstance(auth, Credentials):
        raise ConfigError(f"auth is Credentials, not {type(auth).__name__}")
