"""What a connection shows of a server: as values for JSON, and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from txsmtpconn.cli.attempts import Attempt
from txsmtpconn.client import ConnectionOptions, SMTPConnection
from txsmtpconn.errors import SMTPError

Found = dict[str, Any]


def found_at(options: ConnectionOptions) -> Found:
    """Return what is known before anything is connected."""
    if options.path is not None:
        return _nothing({"path": options.path}, options)
    return _nothing({"host": options.host, "port": options.port}, options)


def found_by(next_hop: str, options: ConnectionOptions) -> Found:
    """Return what is known before an exchange is looked for."""
    return _nothing({"next_hop": next_hop.partition("?")[0]}, options)


def _nothing(where: Found, options: ConnectionOptions) -> Found:
    return {
        "server": where | {"proxy": None if options.proxy is None else str(options.proxy)},
        "addresses": {"tried": [], "used": None},
        "tls": None,
        "name": None,
        "extensions": None,
        "mechanisms": None,
        "max_size": None,
        "login": "not tried",
        "error": None,
    }


def add_attempts(found: Found, attempts: list[Attempt]) -> None:
    """Add the addresses that were tried."""
    found["addresses"]["tried"] = [asdict(attempt) for attempt in attempts]


def add_connection(found: Found, connection: SMTPConnection) -> None:
    """Add what a connection that is ready shows."""
    transport: Any = connection.transport
    address = transport.getPeer()
    host = getattr(address, "host", None)
    found["addresses"]["used"] = (
        _text(getattr(address, "name", None) or address)
        if host is None
        else {"host": host, "port": address.port}
    )
    found["tls"] = _tls(transport) if connection.secure else None
    extensions = connection.extensions
    found["name"] = extensions.domain
    found["extensions"] = {
        keyword: list(extensions[keyword]) for keyword in sorted(extensions) if keyword != "AUTH"
    }
    found["mechanisms"] = list(extensions.auth)
    found["max_size"] = connection.max_size


def add_error(found: Found, error: SMTPError) -> None:
    """Add what stood in the way."""
    found["error"] = {
        "code": error.code,
        "message": error.message,
        "response": error.response,
        "response_code": error.response_code,
        "enhanced_code": error.enhanced_code,
        "command": error.command,
    }


def _text(name: object) -> str:
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)


def _tls(transport: Any) -> Found:
    handle = transport.getHandle()
    certificate = handle.get_peer_certificate()
    return {
        "version": handle.get_protocol_version_name(),
        "cipher": handle.get_cipher_name(),
        "certificate": (
            None if certificate is None else _certificate(certificate.to_cryptography())
        ),
    }


def _certificate(certificate: x509.Certificate) -> Found:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "names": _names(certificate),
        "issuer": certificate.issuer.rfc4514_string(),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(SHA256()).hex(),
    }


def _names(certificate: x509.Certificate) -> list[str]:
    """Return the names that count (RFC 9525): those of subjectAltName."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        # None, or some that cannot be read: such a certificate is seen only with --no-verify.
        return []
    return [
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    ]


# -- for people


def lines_of(found: Found) -> Iterator[str]:
    """Yield what was found as lines."""
    for attempt in found["addresses"]["tried"]:
        yield _line("tried", f"{_place(attempt)}: {attempt['outcome']}")
    if found["server"]["proxy"] is not None:
        yield _line("proxy", found["server"]["proxy"])
    used = found["addresses"]["used"]
    if used is None:
        return
    yield _line("connected to", used if isinstance(used, str) else _place(used))
    yield from _lines_of_tls(found["tls"])
    offered = (
        " ".join((keyword, *parameters)) for keyword, parameters in found["extensions"].items()
    )
    yield _line("extensions", ", ".join(offered) or "none")
    yield _line("AUTH", " ".join(found["mechanisms"]) or "not offered")
    size = found["max_size"]
    yield _line("largest message", "no limit told" if size is None else f"{size} octets")
    yield _line("login", found["login"])


def _lines_of_tls(tls: Found | None) -> Iterator[str]:
    if tls is None:
        yield _line("TLS", "none: everything goes in clear")
        return
    yield _line("TLS", f"{tls['version']}, {tls['cipher']}")
    certificate = tls["certificate"]
    if certificate is None:
        return
    yield _line("certificate", certificate["subject"] or "without a subject")
    yield _line("  names", ", ".join(certificate["names"]) or "none")
    yield _line("  issued by", certificate["issuer"])
    yield _line("  valid", f"{certificate['not_before'][:10]} to {certificate['not_after'][:10]}")
    yield _line("  SHA-256", certificate["sha256"])


def _line(name: str, text: str) -> str:
    return f"{name:<16}{text}"


def _place(address: Found) -> str:
    return f"{address['host']} port {address['port']}"
