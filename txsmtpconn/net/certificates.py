"""Whom a client's certificate names: what an application looks at to believe EXTERNAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The names in one certificate.

    Attributes:
        emails: Mail addresses of subjectAltName.
        dns_names: Its host names.
        uris: Its URIs.
        common_name: The subject's common name; empty if it has none or several.
        fingerprint: SHA-256 of the certificate, in lower-case hexadecimal digits.
    """

    emails: tuple[str, ...]
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    common_name: str
    fingerprint: str

    @classmethod
    def of(cls, certificate: x509.Certificate) -> CertificateNames:
        """Read a certificate; a subjectAltName that cannot be read names nobody."""
        try:
            names: Any = certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value
        except (x509.ExtensionNotFound, ValueError):
            names = x509.SubjectAlternativeName([])
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return cls(
            tuple(names.get_values_for_type(x509.RFC822Name)),
            tuple(names.get_values_for_type(x509.DNSName)),
            tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
            str(common[0].value) if len(common) == 1 else "",
            certificate.fingerprint(SHA256()).hex(),
        )
