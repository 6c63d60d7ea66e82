"""Certificates and keys in PEM files, and what is said of a file that does not hold them."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL

from txsmtpconn.errors import ConfigError


def use_certificate(
    context: SSL.Context, cert_file: str | Path, key_file: str | Path | None
) -> None:
    """Let a context show a certificate: by files, which every pyOpenSSL takes without complaint.

    Args:
        context: That of OpenSSL.
        cert_file: The certificate and its chain, leaf first, in PEM.
        key_file: The private key in PEM, not encrypted; by default it is in `cert_file`.

    Raises:
        ConfigError: A file is missing, or is not what it should be, or the key is another's.
    """
    check_certificates(cert_file, "certificate file")
    source = cert_file if key_file is None else key_file
    _check_private_key(source)
    context.use_certificate_chain_file(str(cert_file))
    try:
        context.use_privatekey_file(str(source))
        context.check_privatekey()
    except SSL.Error as reason:
        raise ConfigError(
            f"the private key in {str(source)!r} does not belong to {str(cert_file)!r}"
        ) from reason


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as reason:
        # A path with a NUL in it is a ValueError.
        text = getattr(reason, "strerror", None) or type(reason).__name__
        raise ConfigError(f"cannot read the {what} {str(path)!r}: {text}") from reason


def check_certificates(path: str | Path, what: str) -> None:
    """See that a file holds certificates.

    Raises:
        ConfigError: It does not; it is called `what`.
    """
    octets = _read(path, what)
    try:
        load_pem_x509_certificates(octets)
    except ValueError as reason:
        raise ConfigError(f"the {what} {str(path)!r} holds no PEM certificate") from reason


def _check_private_key(path: str | Path) -> None:
    """Refuse what OpenSSL would ask the terminal a passphrase for, or only call an error."""
    octets = _read(path, "key file")
    try:
        load_pem_private_key(octets, password=None)
    except TypeError:
        raise ConfigError(f"the private key in {str(path)!r} is encrypted") from None
    except ValueError:
        # Not chained: the reason may quote the file.
        raise ConfigError(f"the key file {str(path)!r} holds no PEM private key") from None
