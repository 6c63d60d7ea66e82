"""Ways to decide that a TLS server is who it should be: each is a `PeerCheck` for `TLSOptions`.

That an authority vouches for a name is one way. To know the certificate or its key already is
another. What a check refuses with is a `TLSError` whose `fault` is a word of RFC 8460 section 4.3.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from service_identity.exceptions import CertificateError, VerificationError

from txsmtpconn.errors import ConfigError, TLSError
from txsmtpconn.net.openssl import HAS_EXPIRED, chain_fault, in_words
from txsmtpconn.net.tls import PeerCheck, is_address, reference_name

HOST_MISMATCH = "certificate-host-mismatch"
EXPIRED = "certificate-expired"
NOT_TRUSTED = "certificate-not-trusted"
FAILED = "validation-failure"

#: Octets of a digest -> the algorithm.
_ALGORITHMS = {32: "sha256", 64: "sha512"}
_HEX = re.compile(r"(?:[0-9a-f]{2}:?)*[0-9a-f]{2}", re.IGNORECASE)


def refusal(text: str, fault: str) -> TLSError:
    """Return the error of a check that failed, with its word of RFC 8460."""
    error = TLSError(text, command="CONN")
    error.fault = fault
    return error


def leaf_of(connection: SSL.Connection) -> x509.Certificate:
    """Return the peer's certificate.

    Raises:
        TLSError: It has none.
    """
    certificate = connection.get_peer_certificate()
    if certificate is None:
        raise refusal("the server has no certificate", FAILED)
    return certificate.to_cryptography()


def names_one_of(certificate: x509.Certificate, names: Iterable[str]) -> bool:
    """Tell whether subjectAltName has one of these names (RFC 9525).

    Args:
        certificate: The peer's.
        names: Host names and addresses as `reference_name` spells them; ``".example.org"`` stands
            for every host below that domain.
    """
    return any(_has_name(certificate, name) for name in names)


def _has_name(certificate: x509.Certificate, name: str) -> bool:
    if name.startswith("."):
        return any(own.lower().endswith(name) for own in _dns_names(certificate))
    try:
        if is_address(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name)
    except (VerificationError, CertificateError):
        return False
    return True


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


class NamedByAuthority:
    """A trusted authority vouches that the peer has one of some names.

    Args:
        names: Those that will do, `".example.org"` for all hosts below it; by default the one that
            was sent as SNI.

    Raises:
        ConfigError: One of them is no host name.
    """

    uses_authorities = True

    def __init__(self, *names: str) -> None:
        self.names = tuple(_spelled(name) for name in names)

    def __repr__(self) -> str:
        return f"NamedByAuthority({', '.join(map(repr, self.names))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedByAuthority) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def check(self, connection: SSL.Connection, name: str) -> None:
        leaf = leaf_of(connection)
        fault = chain_fault(connection)
        if fault != 0:
            # None: nobody has looked at the chain, so nobody vouches for it.
            told = f"the certificate of {name} is not trusted: {in_words(fault)}"
            raise refusal(told, EXPIRED if fault == HAS_EXPIRED else NOT_TRUSTED)
        names = self.names or (name,)
        if not names_one_of(leaf, names):
            raise refusal(f"the certificate does not name {' or '.join(names)}", HOST_MISMATCH)


def _spelled(name: str) -> str:
    return f".{reference_name(name[1:])}" if name.startswith(".") else reference_name(name)


class Fingerprint:
    """The peer's certificate, or its public key, has a digest that is known; names do not matter.

    Args:
        digests: Of the certificate in DER, or of its SubjectPublicKeyInfo: SHA-256 or SHA-512, in
            hexadecimal digits, with or without colons.

    Raises:
        ConfigError: One of them is no such digest, or there is none.
    """

    uses_authorities = False

    def __init__(self, *digests: str) -> None:
        if not digests:
            raise ConfigError("a fingerprint is wanted: there is none")
        self.digests = frozenset(map(_digest, digests))

    def __repr__(self) -> str:
        return f"Fingerprint({', '.join(repr(digest.hex()) for digest in sorted(self.digests))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and self.digests == other.digests

    def __hash__(self) -> int:
        return hash(self.digests)

    def check(self, connection: SSL.Connection, name: str) -> None:
        leaf = leaf_of(connection)
        shown = (leaf.public_bytes(Encoding.DER), public_key_of(leaf))
        for octets in shown:
            for algorithm in _ALGORITHMS.values():
                if hashlib.new(algorithm, octets).digest() in self.digests:
                    return
        raise refusal(f"the certificate of {name} has none of the fingerprints", NOT_TRUSTED)


def public_key_of(certificate: x509.Certificate) -> bytes:
    """Return a certificate's SubjectPublicKeyInfo in DER."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _digest(text: str) -> bytes:
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise ConfigError(f"a fingerprint is hexadecimal digits, not {text!a}")
    octets = bytes.fromhex(text.replace(":", ""))
    if len(octets) not in _ALGORITHMS:
        raise ConfigError("a fingerprint is SHA-256 (64 digits) or SHA-512 (128)")
    return octets


class Observed:
    """Another check, whose refusals are told and not obeyed.

    Args:
        check: It.
        refused: Called with the error when it refuses.

    Attributes:
        only_observes: True: whoever passes may be anybody.
    """

    only_observes = True

    def __init__(self, check: PeerCheck, refused: Callable[[TLSError], Any]) -> None:
        self._check = check
        self._refused = refused

    @property
    def uses_authorities(self) -> bool:
        """Whether the other does."""
        return self._check.uses_authorities

    def check(self, connection: SSL.Connection, name: str) -> None:
        try:
            self._check.check(connection, name)
        except TLSError as error:
            self._refused(error)
