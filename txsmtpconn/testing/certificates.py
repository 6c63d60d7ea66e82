"""A throw-away certification authority, and the certificates that a client must take or refuse.

Made with `cryptography`, in a few milliseconds; nothing here is ever to be trusted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAMES = ("localhost", "mx.test", "*.wild.test", "127.0.0.1", "::1")
_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes one certificate of the zoo what it is.

    Attributes:
        common_name: the subject's.
        names: subjectAltName: host names, IP and mail addresses; none leaves the extension out.
        client: extendedKeyUsage is clientAuth, not serverAuth.
        issuer: "ca", "otherca", or "" for self-signed.
        starts: from now to its first moment.
        ends: from now to its last moment.
        rsa: an RSA key, for peers that cannot use P-256.
    """

    common_name: str = "localhost"
    names: tuple[str, ...] = _NAMES
    client: bool = False
    issuer: str = "ca"
    starts: timedelta = -_YEAR
    ends: timedelta = 10 * _YEAR
    rsa: bool = False


#: Every certificate by name. The first three are right for a server called localhost.
KINDS: dict[str, Kind] = {
    "server": Kind(),
    "server-rsa": Kind(rsa=True),
    "wildcard": Kind(common_name="wild.test", names=("*.wild.test", "localhost")),
    "wronghost": Kind(common_name="other.test", names=("other.test",)),
    "expired": Kind(starts=-2 * _YEAR, ends=-_YEAR),
    "notyet": Kind(starts=_YEAR, ends=2 * _YEAR),
    "selfsigned": Kind(issuer=""),
    "otherissuer": Kind(issuer="otherca"),
    "noeku": Kind(client=True),
    "cnonly": Kind(names=()),
    "nosan-evil": Kind(common_name="evil.test", names=()),
    "client": Kind(common_name="alice@a.test", names=("alice@a.test",), client=True),
    "otherclient": Kind(
        common_name="alice@a.test", names=("alice@a.test",), client=True, issuer="otherca"
    ),
}


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where one certificate lies, as PEM.

    Attributes:
        certificate: the certificate alone.
        key: its private key, not encrypted.
        chain: the certificate and its issuer's.
    """

    certificate: Path
    key: Path
    chain: Path


class CertificateZoo:
    """A directory of certificates: two authorities, and one certificate of each of `KINDS`.

    Attributes:
        directory: where the files are.
        ca: the authority that a client of these servers trusts, as PEM.
        other_ca: an authority that it does not trust.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.other_ca = directory / "otherca.pem"

    @classmethod
    def make(cls, directory: str | Path, kinds: Iterable[str] = KINDS) -> CertificateZoo:
        """Write the authorities and certificates of these kinds into a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        zoo = cls(directory)
        authorities = {name: _authority(name) for name in ("ca", "otherca")}
        for name, (key, certificate) in authorities.items():
            zoo._write(name, key, certificate, certificate)
        for name in kinds:
            kind = KINDS[name]
            key, certificate = _leaf(kind, authorities.get(kind.issuer))
            issuer = authorities[kind.issuer][1] if kind.issuer else certificate
            zoo._write(name, key, certificate, issuer)
        return zoo

    def __getitem__(self, name: str) -> CertificateFiles:
        """Return the files of one certificate.

        Raises:
            KeyError: there is none of that name.
        """
        files = CertificateFiles(
            certificate=self.directory / f"{name}.pem",
            key=self.directory / f"{name}.key",
            chain=self.directory / f"{name}.chain.pem",
        )
        if not files.key.exists():
            there = sorted(path.stem for path in self.directory.glob("*.key"))
            raise KeyError(f"no certificate {name!r} was made: there are {', '.join(there)}")
        return files

    def server_options(self, name: str = "server", *, client_ca: Path | None = None) -> Any:
        """Return Twisted's `CertificateOptions` for a server with this certificate.

        Args:
            name: which one.
            client_ca: require a client certificate that this authority issued.
        """
        from twisted.internet.ssl import Certificate

        own = self._load(name)
        authorities = [] if client_ca is None else [Certificate.loadPEM(client_ca.read_bytes())]
        with _pairing_twisted_and_pyopenssl():
            options = own.options(*authorities)
            options.getContext()
        return options

    def client_options(self, host: str, *, name: str | None = None) -> Any:
        """Return a connection creator for a client that trusts `ca` and wants to reach `host`.

        Args:
            host: the server's name, as its certificate has it.
            name: the client's own certificate, if it has one.
        """
        from twisted.internet.ssl import (
            Certificate,
            optionsForClientTLS,
            trustRootFromCertificates,
        )

        own = None if name is None else self._load(name)
        root = trustRootFromCertificates([Certificate.loadPEM(self.ca.read_bytes())])
        with _pairing_twisted_and_pyopenssl():
            return optionsForClientTLS(host, trustRoot=root, clientCertificate=own)

    def _load(self, name: str) -> Any:
        from twisted.internet.ssl import PrivateCertificate

        files = self[name]
        return PrivateCertificate.loadPEM(files.certificate.read_bytes() + files.key.read_bytes())

    def _write(
        self,
        name: str,
        key: CertificateIssuerPrivateKeyTypes,
        certificate: x509.Certificate,
        issuer: x509.Certificate,
    ) -> None:
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        chain = (
            pem if issuer is certificate else pem + issuer.public_bytes(serialization.Encoding.PEM)
        )
        (self.directory / f"{name}.pem").write_bytes(pem)
        (self.directory / f"{name}.chain.pem").write_bytes(chain)
        # Readable by all on purpose: servers under test give up root before they read it.
        (self.directory / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


@contextmanager
def _pairing_twisted_and_pyopenssl() -> Iterator[None]:
    """Pass over that Twisted hands pyOpenSSL its own kind of certificate, as it must."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Passing pyOpenSSL", DeprecationWarning)
        yield


_Pair = tuple[CertificateIssuerPrivateKeyTypes, x509.Certificate]


def _authority(name: str) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"throw-away {name}")
    certificate = (
        _builder(subject, subject, -_YEAR, 10 * _YEAR)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _leaf(kind: Kind, authority: _Pair | None) -> _Pair:
    key: CertificateIssuerPrivateKeyTypes
    if kind.rsa:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(kind.common_name)
    signer, issuer = (key, subject) if authority is None else (authority[0], authority[1].subject)
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if kind.client else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        _builder(subject, issuer, kind.starts, kind.ends)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    if authority is not None:
        # RFC 5280 section 4.2.1.1; Python 3.13's own contexts insist on it.
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if kind.names:
        names = x509.SubjectAlternativeName([_general_name(name) for name in kind.names])
        builder = builder.add_extension(names, critical=False)
    return key, builder.sign(signer, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, starts: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
