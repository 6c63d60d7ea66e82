"""The server's TLS: one certificate or one for each name, read again when its files change.

A certificate that is renewed on disk is shown from the next handshake on; connections that are up
keep theirs. Files that cannot be used, such as half of a renewal, leave the old one in its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from zope.interface import implementer

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.pem import check_certificates, use_certificate
from txsmtpconn.net.tls import MINIMUM_VERSIONS, openssl_decides, reference_name

#: What a client is asked for: no certificate, one if it has one, or one at any rate.
CLIENT_CERTIFICATES = ("none", "ask", "require")

#: What tells one state of some files from another.
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Files:
    """What a context is made of.

    Attributes:
        certificate: The certificate and its chain, leaf first, in PEM.
        key: The private key in PEM; None where it is in the same file.
        client_ca: Authorities for certificates of clients, or None to ask for none.
    """

    certificate: str | Path
    key: str | Path | None
    client_ca: str | Path | None

    def stamp(self) -> _Stamp:
        """Look at the files without reading them."""
        files = (self.certificate, self.key, self.client_ca)
        return tuple(_stamp_of(each) for each in files if each is not None)


def _stamp_of(path: str | Path) -> tuple[int, int, int]:
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return (0, 0, 0)
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)


class _Shown:
    """One certificate as it is shown: the context of its files, and when they were looked at.

    Args:
        files: The files.
        make: Makes a context of them.
    """

    _log = Logger()

    def __init__(self, files: _Files, make: Callable[[_Files], SSL.Context]) -> None:
        self._files = files
        self._make = make
        self._seen, self._context = self.read()

    def read(self) -> tuple[_Stamp, SSL.Context]:
        """Read the files, and tell how they looked before that.

        Raises:
            ConfigError: They cannot be used.
        """
        return self._files.stamp(), self._make(self._files)

    def keep(self, seen: _Stamp, context: SSL.Context) -> None:
        """Show this from now on, until the files look otherwise."""
        self._seen, self._context = seen, context

    def context(self) -> SSL.Context:
        """Return the context, made anew if the files have changed and can be used."""
        seen = self._files.stamp()
        if seen != self._seen:
            self._seen = seen  # what cannot be used is not tried again before it changes
            try:
                self._context = self._make(self._files)
            except ConfigError as error:
                self._log.error("the certificate stays the old one: {reason}", reason=str(error))
            else:
                self._log.info("a new certificate: {file}", file=str(self._files.certificate))
        return self._context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """Makes the server's side of TLS connections.

    Args:
        cert_file: The certificate for clients that name no host, or none that is listed.
        key_file: Its key; by default it is in the same file.
        sni: Host name, or ``*.`` and a domain, to a certificate file or to a pair of certificate
            file and key file.
        client_ca_file: The authorities whose certificates clients may show.
        client_certificates: "none", "ask" or "require"; by default "ask" where there are
            authorities. A certificate that they have not signed ends the handshake.
        minimum_version: "1.2" or "1.3".

    Raises:
        ConfigError: A file is missing or is not what it should be; or the values contradict each
            other.
    """

    def __init__(
        self,
        cert_file: str | Path,
        key_file: str | Path | None = None,
        *,
        sni: Mapping[str, Any] | None = None,
        client_ca_file: str | Path | None = None,
        client_certificates: str | None = None,
        minimum_version: str = "1.2",
    ) -> None:
        if minimum_version not in MINIMUM_VERSIONS:
            raise ConfigError(
                f"the least version of TLS is '1.2' or '1.3', not {minimum_version!r}"
            )
        asked = client_certificates or ("none" if client_ca_file is None else "ask")
        if asked not in CLIENT_CERTIFICATES:
            raise ConfigError(
                f"certificates of clients: none, ask or require, not {client_certificates!r}"
            )
        if (asked == "none") is not (client_ca_file is None):
            raise ConfigError("to ask clients for certificates takes a file of authorities")
        self._minimum = MINIMUM_VERSIONS[minimum_version]
        self._verify = SSL.VERIFY_NONE if asked == "none" else SSL.VERIFY_PEER
        if asked == "require":
            self._verify |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        make = self._make_context
        self._default = _Shown(_Files(cert_file, key_file, client_ca_file), make)
        self._by_name = {
            _listed_name(name): _Shown(_Files(*_pair(name, files), client_ca_file), make)
            for name, files in (sni or {}).items()
        }

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """Make the OpenSSL connection of one client."""
        return SSL.Connection(self._default.context(), None)

    def reload(self) -> None:
        """Read all files again, changed or not.

        Raises:
            ConfigError: One cannot be used; all are left as they were.
        """
        every = (self._default, *self._by_name.values())
        made = [shown.read() for shown in every]
        for shown, facts in zip(every, made, strict=True):
            shown.keep(*facts)

    def _make_context(self, files: _Files) -> SSL.Context:
        """Make the context of one certificate."""
        context = CertificateOptions(raiseMinimumTo=self._minimum).getContext()
        use_certificate(context, files.certificate, files.key)
        if files.client_ca is not None:
            check_certificates(files.client_ca, "file of clients' authorities")
            context.load_verify_locations(str(files.client_ca))
            context.load_client_ca(os.fsencode(files.client_ca))
            context.set_verify(self._verify, openssl_decides)
        context.set_tlsext_servername_callback(self._named)
        return context

    def _named(self, connection: SSL.Connection) -> None:
        """Show the certificate for the name that the client asks for (RFC 6066 section 3)."""
        asked = (connection.get_servername() or b"").decode("latin-1").lower().rstrip(".")
        _, dot, domain = asked.partition(".")
        shown = self._by_name.get(asked) or self._by_name.get(f"*{dot}{domain}")
        if shown is not None:
            connection.set_context(shown.context())


def _listed_name(name: str) -> str:
    wild = name.startswith("*.")
    return ("*." if wild else "") + reference_name(name[2:] if wild else name)


def _pair(name: str, files: Any) -> tuple[str | Path, str | Path | None]:
    if isinstance(files, (str, Path)):
        return files, None
    try:
        certificate, key = files
    except (TypeError, ValueError):
        raise ConfigError(
            f"the certificate for {name}: a file, or a pair of certificate and key"
        ) from None
    return certificate, key
