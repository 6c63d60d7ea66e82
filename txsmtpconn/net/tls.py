"""TLS: what to trust, which name to expect, and the check that the peer has it.

"Secure" in this library means that a handshake which *we* started has completed and that our
check of the peer passed: `verify_identity`, or another that the options name.  Twisted's own check
runs inside the handshake and differs from release to release; ours looks at the certificate
afterwards, before the first octet is written, and refuses whatever it cannot understand (RFC 6125,
RFC 9525).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import idna
from OpenSSL import SSL
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from zope.interface import implementer

from txsmtpconn.errors import ConfigError, TLSError
from txsmtpconn.net.openssl import note_chain_fault
from txsmtpconn.net.pem import check_certificates, use_certificate

#: By the names that our options have for them.
MINIMUM_VERSIONS = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


def reference_name(host: str) -> str:
    """Return the one spelling of `host` that is sent as SNI and compared with the certificate.

    An IPv6 zone and the root's dot are removed, a name is lower-cased and U-labels become
    A-labels; an address stays as it is.

    Raises:
        ConfigError: `host` is neither an IP address nor a host name.
    """
    name = host.partition("%")[0].rstrip(".")
    if is_address(name):
        return name
    try:
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ConfigError(f"{host!a} is not a host name") from None
    if not _HOST_NAME.fullmatch(name):
        raise ConfigError(f"{host!a} is not a host name")
    return name


def is_address(name: str) -> bool:
    """Tell whether `name` is an IPv4 or IPv6 address literal (without brackets)."""
    return isIPAddress(name) or isIPv6Address(name)


def verify_identity(transport: Any, name: str) -> None:
    """Check that the peer's certificate names `name` (RFC 9525: subjectAltName only).

    Args:
        transport: The transport whose handshake has just completed.
        name: What `reference_name` returned.

    Raises:
        TLSError: It does not, or the check itself failed in any way: this fails closed.
    """
    try:
        certificate = transport.getPeerCertificate().to_cryptography()
        if is_address(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name)
    except Exception as reason:
        # Without its frames: they know the transport, which leads to whoever keeps the error.
        reason.__traceback__ = None
        raise TLSError(f"the certificate does not name {name!a}", command="CONN") from reason


class PeerCheck(Protocol):
    """Decides whether the peer is who it should be, once the handshake is done.

    `txsmtpconn.net.identity` has the usual ones.

    Attributes:
        uses_authorities: Whether OpenSSL is to look for a chain to a trusted authority; what it
            found is `txsmtpconn.net.openssl.chain_fault`'s to tell.
    """

    @property
    def uses_authorities(self) -> bool: ...

    def check(self, connection: SSL.Connection, name: str) -> None:
        """Look at the peer's certificate.

        Args:
            connection: Its handshake has just completed, and nothing was written over it.
            name: What was sent as SNI, as `reference_name` returned it.

        Raises:
            TLSError: The peer is somebody else. Any other exception is taken for that, too.
        """


def has_finished_handshake(transport: Any) -> bool:
    """Tell whether a TLS transport's handshake is over: both sides have said Finished."""
    handle = transport.getHandle()
    return (
        isinstance(handle, SSL.Connection)
        and handle.get_finished() is not None
        and handle.get_peer_finished() is not None
    )


@implementer(IOpenSSLClientConnectionCreator)
class _ClientConnections:
    """Makes the OpenSSL connections of one reference name, all from one shared context."""

    def __init__(self, context: SSL.Context, name: str) -> None:
        self._context = context
        self._server_name = None if is_address(name) else name.encode("ascii")

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name)
        return connection


def let_go(transport: Any) -> None:
    """Cut what `startTLS` has left on a transport that is gone.

    It has put methods of the TLS protocol into the place of the transport's own, and that protocol
    leads to the transport: only the collector of cycles would free the two, and all that they know.
    """
    own = getattr(transport, "__dict__", {})
    for name in ("getHandle", "getPeerCertificate"):
        own.pop(name, None)


@implementer(IOpenSSLClientConnectionCreator)
class Guarded:
    """A connection creator whose failure leaves no transport half under TLS.

    Twisted calls it when the transport has been handed to TLS already, and an exception there
    would be the last that anybody hears of the connection.

    Attributes:
        failure: What it raised.  The handshake that was begun instead must not go on.
    """

    failure: Exception | None = None

    def __init__(self, creator: Any) -> None:
        self._creator = creator

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        try:
            connection = self._creator.clientConnectionForTLS(tlsProtocol)
            if not isinstance(connection, SSL.Connection):
                raise TypeError("no OpenSSL connection was made")
        except Exception as reason:  # noqa: BLE001 - a caller's object may raise anything
            self.failure = reason
            return SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSOptions:
    """What to trust and what to show.

    Attributes:
        verify: Refuse a certificate that no trusted authority signed, or that names someone
            else.  False accepts any certificate: the link is then private but not authentic.  A
            `PeerCheck` decides in its own way.
        ca_file: A PEM file of authorities to trust *instead of* the platform's.
        cert_file: Our own certificate and its chain, in PEM, for servers that ask for one.
        key_file: Its private key in PEM, not encrypted; by default it is in `cert_file`.
        minimum_version: "1.2" (the default) or "1.3".
        connection_creator: A ready `IOpenSSLClientConnectionCreator`; it takes the place of all
            others but `verify`, and the peer's identity is verified all the same.

    Raises:
        ConfigError: The values contradict each other.
    """

    verify: bool | PeerCheck = True
    ca_file: str | Path | None = None
    cert_file: str | Path | None = None
    key_file: str | Path | None = None
    minimum_version: str = "1.2"
    connection_creator: Any = None
    # The contexts of these options, made on first use: by what OpenSSL's own check is good for.
    _contexts: dict[object, SSL.Context] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not isinstance(self.verify, bool) and not callable(getattr(self.verify, "check", None)):
            raise ConfigError("TLS option verify is True, False or a PeerCheck")
        version = str(self.minimum_version).removeprefix("TLSv")
        if version not in MINIMUM_VERSIONS:
            raise ConfigError(
                f"TLS option minimum_version is '1.2' or '1.3', not {self.minimum_version!r}"
            )
        object.__setattr__(self, "minimum_version", version)
        for option in ("ca_file", "cert_file", "key_file"):
            path = getattr(self, option)
            if path is not None and (not isinstance(path, (str, Path)) or not str(path)):
                raise ConfigError(f"TLS option {option} is the path of a PEM file, not {path!r}")
        if self.key_file is not None and self.cert_file is None:
            raise ConfigError("TLS option key_file needs cert_file")
        if self.connection_creator is None:
            return
        if not IOpenSSLClientConnectionCreator.providedBy(self.connection_creator):
            raise ConfigError("TLS option connection_creator is no IOpenSSLClientConnectionCreator")
        if self.ca_file is not None or self.cert_file is not None:
            raise ConfigError("TLS option connection_creator excludes ca_file and cert_file")

    def client_connections(self, name: str) -> Any:
        """Return the `IOpenSSLClientConnectionCreator` for a peer called `name`.

        Args:
            name: What `reference_name` returned.

        Raises:
            ConfigError: A file is missing, or is not what it should be.
        """
        if self.connection_creator is not None:
            return self.connection_creator
        return _ClientConnections(self.context(), name)

    def context(self) -> SSL.Context:
        """Return the OpenSSL context of these options: read the files once, then share it."""
        decider = self._decider
        if decider not in self._contexts:
            self._contexts[decider] = self._make_context(decider)
        return self._contexts[decider]

    def checked_by(self, verify: bool | PeerCheck) -> TLSOptions:
        """Return the same options with another idea of who the peer is; they share contexts."""
        options = replace(self, verify=verify)
        object.__setattr__(options, "_contexts", self._contexts)
        return options

    def check(self, transport: Any, name: str) -> None:
        """Let the peer pass, or not.

        Args:
            transport: The transport whose handshake has just completed.
            name: What `reference_name` returned.

        Raises:
            TLSError: It must not pass, or the check itself failed in any way: this fails closed.
        """
        if isinstance(self.verify, bool):
            if self.verify:
                verify_identity(transport, name)
            return
        try:
            self.verify.check(transport.getHandle(), name)
        except TLSError:
            raise
        except Exception as reason:
            raise TLSError("the peer could not be verified", command="CONN") from reason

    @property
    def verifies(self) -> bool:
        """Whether a peer that passes `check` is who it should be."""
        # A check that lets everybody pass and only tells says so of itself.
        return self.verify is not False and not getattr(self.verify, "only_observes", False)

    @property
    def _decider(self) -> Callable[..., bool] | None:
        """What OpenSSL asks about each certificate of a chain; None where it need not look."""
        if isinstance(self.verify, bool):
            return openssl_decides if self.verify else None
        return _take_note if self.verify.uses_authorities else None

    def _make_context(self, decider: Callable[..., bool] | None) -> SSL.Context:
        context = CertificateOptions(
            raiseMinimumTo=MINIMUM_VERSIONS[self.minimum_version]
        ).getContext()
        if decider is not None:
            if self.ca_file is None:
                context.set_default_verify_paths()
            else:
                check_certificates(self.ca_file, "CA file")
                context.load_verify_locations(str(self.ca_file))
            context.set_verify(SSL.VERIFY_PEER, decider)
        if self.cert_file is not None:
            use_certificate(context, self.cert_file, self.key_file)
        return context


def openssl_decides(
    connection: SSL.Connection,
    certificate: object,  # noqa: ARG001
    error: int,
    depth: int,  # noqa: ARG001
    good: int,
) -> bool:
    """Let the verdict of OpenSSL stand, whatever it is about."""
    if not good:
        note_chain_fault(connection, error)
    return bool(good)


def _take_note(
    connection: SSL.Connection,
    certificate: object,  # noqa: ARG001
    error: int,
    depth: int,
    good: int,
) -> bool:
    """Let the handshake go on, and leave it to the check to refuse the peer."""
    if not good or depth == 0:
        note_chain_fault(connection, 0 if good else error)
    return True
