"""Channel bindings: both ends see the same, and nobody else does."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from tests.net.handshaking import shake
from txsmtpconn.net.channel import channel_bindings, has_own_certificate
from txsmtpconn.testing import CertificateZoo


class Transport:
    """Has a TLS connection."""

    def __init__(self, handle: object) -> None:
        self._handle = handle

    def getHandle(self) -> object:
        return self._handle


def pair(zoo: CertificateZoo, name: str = "server", *, tls_1_3: bool = True) -> tuple[Any, Any]:
    """The two ends of a TLS connection, their handshake done."""
    ends = []
    for server in (False, True):
        context = SSL.Context(SSL.TLS_METHOD)
        if not tls_1_3:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        if server:
            context.use_certificate_chain_file(str(zoo[name].chain))
            context.use_privatekey_file(str(zoo[name].key))
        connection = SSL.Connection(context, None)
        (connection.set_accept_state if server else connection.set_connect_state)()
        ends.append(connection)
    shake(*ends)
    return Transport(ends[0]), Transport(ends[1])


def digest(zoo: CertificateZoo, name: str) -> bytes:
    """SHA-256 of a certificate."""
    pem = zoo[name].certificate.read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return hashlib.sha256(der).digest()


@pytest.mark.parametrize("name", ["server", "server-rsa"])
def test_both_ends_see_the_same(certificate_zoo: CertificateZoo, name: str) -> None:
    """RFC 9266 and RFC 5929 section 4; the one that is unique to the connection first."""
    client, server = pair(certificate_zoo, name)
    bindings = channel_bindings(client, server=False)
    assert bindings == channel_bindings(server, server=True)
    assert list(bindings) == ["tls-exporter", "tls-server-end-point"]
    assert len(bindings["tls-exporter"]) == 32
    assert bindings["tls-server-end-point"] == digest(certificate_zoo, name)


def test_each_connection_has_its_own(certificate_zoo: CertificateZoo) -> None:
    """Somebody in between has two of them, and two certificates."""
    one, other = (
        channel_bindings(pair(certificate_zoo, name)[0], server=False)
        for name in ("server", "wronghost")
    )
    assert one["tls-exporter"] != other["tls-exporter"]
    assert one["tls-server-end-point"] != other["tls-server-end-point"]


def test_the_exporter_is_for_tls_1_3(certificate_zoo: CertificateZoo) -> None:
    """Before that nobody tells us whether it is unique (RFC 9266 section 4.2)."""
    client, server = pair(certificate_zoo, tls_1_3=False)
    assert list(channel_bindings(client, server=False)) == ["tls-server-end-point"]
    assert channel_bindings(client, server=False) == channel_bindings(server, server=True)


@pytest.mark.parametrize("transport", [object(), Transport(None), Transport(object())])
def test_what_is_no_tls_of_ours_has_no_bindings(transport: object) -> None:
    """A socket, a unix socket, a transport of somebody else's making."""
    assert channel_bindings(transport, server=False) == {}
    assert not has_own_certificate(transport)


def test_who_has_a_certificate_is_known(certificate_zoo: CertificateZoo) -> None:
    """The server here, and not the client."""
    client, server = pair(certificate_zoo)
    assert has_own_certificate(server)
    assert not has_own_certificate(client)


class Shown(SSL.Connection):
    """A connection whose peer showed this certificate."""

    certificate: Any = None

    def __init__(self) -> None:
        super().__init__(SSL.Context(SSL.TLS_METHOD), None)

    def get_protocol_version_name(self) -> str:
        return "TLSv1.2"

    def get_peer_certificate(self, **_: Any) -> Any:
        return self.certificate


def certificate(key: Any, algorithm: Any) -> x509.Certificate:
    """A certificate, signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x.test")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    return builder.sign(key, algorithm)


@pytest.mark.parametrize(
    ("key", "algorithm", "expected"),
    [
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA256(), "sha256"),
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA384(), "sha384"),
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA3_256(), "sha3_256"),
        (ed25519.Ed25519PrivateKey.generate(), None, None),
    ],
    ids=["SHA-256", "SHA-384", "SHA3-256", "Ed25519"],
)
def test_a_certificate_is_hashed_as_it_was_signed(
    key: Any, algorithm: Any, expected: str | None
) -> None:
    """RFC 5929 section 4.1; where a signature has no hash function, there is no such binding."""
    shown = Shown()
    signed = certificate(key, algorithm)
    shown.certificate = crypto.X509.from_cryptography(signed)
    bindings = channel_bindings(Transport(shown), server=False)
    if expected is None:
        assert bindings == {}
    else:
        der = signed.public_bytes(Encoding.DER)
        assert bindings == {"tls-server-end-point": hashlib.new(expected, der).digest()}


@pytest.mark.parametrize("weak", ["md5", "sha1"])
def test_a_weak_hash_is_replaced_by_sha_256(weak: str) -> None:
    """RFC 5929 section 4.1."""

    class Old:
        class signature_hash_algorithm:  # noqa: N801
            name = weak

        def to_cryptography(self) -> Any:
            return self

        def public_bytes(self, encoding: Any) -> bytes:
            return b"der"

    shown = Shown()
    shown.certificate = Old()
    bindings = channel_bindings(Transport(shown), server=False)
    assert bindings == {"tls-server-end-point": hashlib.sha256(b"der").digest()}


def test_a_peer_without_certificate_has_no_end_point() -> None:
    """There is nothing to bind to."""
    assert channel_bindings(Transport(Shown()), server=False) == {}
