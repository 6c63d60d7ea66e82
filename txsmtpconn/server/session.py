"""What hooks see of one client: who it is, how it came, and what it has proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.interfaces import IAddress

from txsmtpconn.net.addresses import UnknownAddress, ip_address
from txsmtpconn.net.certificates import CertificateNames
from txsmtpconn.net.channel import channel_bindings
from txsmtpconn.session.server.session import ServerSession
from txsmtpconn.wire.attributes import Attributes


@dataclass(frozen=True, slots=True)
class TLSFacts:
    """What was negotiated.

    Attributes:
        version: Such as ``"TLSv1.3"``.
        cipher: Its name in OpenSSL.
        peer_certificate: An `OpenSSL.crypto.X509`, or None if the client has shown none.
        verified: Whether there is one, and an authority of ours has signed it.
        names: Whom it names, if it is verified.
        server_name: The host that the client asked for (SNI), in lower case; a claim, or empty.
        bindings: What an authentication can be bound to (`net.channel`).
    """

    version: str
    cipher: str
    peer_certificate: Any = None
    verified: bool = False
    names: CertificateNames | None = None
    server_name: str = ""
    bindings: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Session:
    """One client's session, for hooks to read.

    Attributes:
        id: Names the session in logs.
        peer: The client's address: that of the connection, unless a trusted load balancer or a
            trusted client (XCLIENT) says that it speaks for another.
        host: The address it came to.
        started: When it came, in the clock's seconds.
        tls: What was negotiated; None in clear. Behind XCLIENT it tells of no certificate: that was
            not the client's.
        data: For the application; it lasts as long as the connection, over RSET and STARTTLS.
    """

    __slots__ = (
        "_cleanups",
        "_logouts",
        "_session",
        "data",
        "host",
        "id",
        "peer",
        "started",
        "tls",
    )

    def __init__(
        self,
        session: ServerSession,
        session_id: str,
        peer: IAddress,
        host: IAddress,
        started: float,
    ) -> None:
        self._session = session
        self._cleanups: list[Callable[[], object]] = []
        self._logouts: list[Callable[[], object]] = []
        self.id = session_id
        self.peer = peer
        self.host = host
        self.started = started
        self.tls: TLSFacts | None = None
        self.data: dict[str, Any] = {}

    @property
    def remote_address(self) -> str:
        """The client's IP address; empty for a unix socket, and where nobody knows it."""
        return str(getattr(self.peer, "host", ""))

    @property
    def introduced(self) -> Attributes:
        """What XCLIENT has told of the client: such as ``NAME``, its verified host name.

        A value is None where whoever told it does not know it.
        """
        return self._session.introduced

    @property
    def forwarded(self) -> Attributes:
        """What XFORWARD has told of where the next message, or this one, comes from."""
        return self._session.forwarded

    def introduce(self, attributes: Attributes) -> None:
        """Take the client for the one that these attributes of XCLIENT tell of."""
        if "ADDR" in attributes:
            self.peer = _address(attributes, "ADDR", "PORT")
        if "DESTADDR" in attributes:
            self.host = _address(attributes, "DESTADDR", "DESTPORT")
        if self.tls is not None:
            # Whoever speaks for the client has shown it; the client could authenticate by it.
            self.tls = replace(self.tls, peer_certificate=None, verified=False, names=None)

    @property
    def hello_name(self) -> str:
        """What the client calls itself: a claim, in the grammar of a domain or address literal."""
        return self._session.hello_name

    @property
    def identity(self) -> str | None:
        """Who it has authenticated as."""
        return self._session.identity

    @property
    def secure(self) -> bool:
        """Whether TLS is up."""
        return self._session.secure

    @property
    def protocol(self) -> str:
        """How the message comes, as a Received field says it: ``"ESMTPSA"`` (RFC 3848)."""
        return self._session.transmission_type

    @property
    def transactions(self) -> int:
        """How many mail transactions the client has begun, the present one among them."""
        return self._session.transactions

    def add_cleanup(self, function: Callable[[], object]) -> None:
        """Have a function called when the client is gone, last added first."""
        self._cleanups.append(function)

    def take_cleanups(self) -> list[Callable[[], object]]:
        """Return what is to be called now that the client is gone."""
        cleanups, self._cleanups = self._cleanups[::-1], []
        return cleanups

    def add_logout(self, function: Callable[[], object]) -> None:
        """Have a function called once the client's authentication counts no more.

        That is so after STARTTLS and XCLIENT, which make `identity` None again, and at its end.
        """
        self._logouts.append(function)

    def take_logouts(self) -> list[Callable[[], object]]:
        """Return what is to be called now that the client's authentication counts no more."""
        logouts, self._logouts = self._logouts[::-1], []
        return logouts

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.remote_address} {self.protocol}>"


def _address(attributes: Attributes, host: str, port: str) -> IAddress:
    address = attributes[host]
    if address is None:
        return UnknownAddress()
    return ip_address(address, int(attributes.get(port) or 0))


def tls_facts(transport: Any) -> TLSFacts:
    """Read what a completed handshake has negotiated."""
    connection = transport.getHandle()
    certificate = transport.getPeerCertificate()
    verified = certificate is not None and connection.get_verified_chain() is not None
    return TLSFacts(
        connection.get_protocol_version_name(),
        connection.get_cipher_name() or "",
        certificate,
        verified,
        CertificateNames.of(certificate.to_cryptography()) if verified else None,
        (connection.get_servername() or b"").decode("latin-1").lower(),
        channel_bindings(transport, server=True),
    )
