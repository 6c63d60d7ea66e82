"""What an authentication can be bound to: the TLS connection that it runs over (RFC 5056).

A password proved over one connection is then worth nothing on another, not even to somebody in
between whose certificate was believed.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

# RFC 9266 section 2.
_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
_EXPORTER_OCTETS = 32


def channel_bindings(transport: Any, *, server: bool) -> dict[str, bytes]:
    """Return a connection's channel bindings by the names of their types, the best first.

    ``tls-exporter`` (RFC 9266) is unique to the connection, and given for TLS 1.3 only: before
    that it is so only with an extension of which OpenSSL does not tell us whether it is in use.
    ``tls-server-end-point`` (RFC 5929 section 4) is the server's certificate.

    Args:
        transport: A transport whose handshake has completed.
        server: Whether we are the server.

    Returns:
        None at all where the transport is not TLS, or not ours to look into.
    """
    connection = _connection(transport)
    if connection is None:
        return {}
    bindings = {}
    if connection.get_protocol_version_name() == "TLSv1.3":
        bindings["tls-exporter"] = connection.export_keying_material(
            _EXPORTER_LABEL, _EXPORTER_OCTETS, b""
        )
    certificate = connection.get_certificate() if server else connection.get_peer_certificate()
    end_point = None if certificate is None else _end_point(certificate)
    if end_point is not None:
        bindings["tls-server-end-point"] = end_point
    return bindings


def has_own_certificate(transport: Any) -> bool:
    """Tell whether our side of a connection has a certificate to show where it is asked for one."""
    connection = _connection(transport)
    return connection is not None and connection.get_certificate() is not None


def _connection(transport: Any) -> SSL.Connection | None:
    get_handle = getattr(transport, "getHandle", None)
    handle = None if get_handle is None else get_handle()
    return handle if isinstance(handle, SSL.Connection) else None


def _end_point(certificate: Any) -> bytes | None:
    """Hash a certificate by the hash function of its own signature.

    RFC 5929 section 4.1: where that is MD5 or SHA-1, by SHA-256; where a signature has none, such
    as Ed25519's, the type is not defined.
    """
    certified = certificate.to_cryptography()
    algorithm = certified.signature_hash_algorithm
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name.replace("-", "_"), certified.public_bytes(Encoding.DER)).digest()
