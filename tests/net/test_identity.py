"""Who a TLS server is: the checks that a caller can choose from, and how they refuse."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL, crypto

from tests.net.handshaking import shake
from txsmtpconn import ConfigError, TLSError
from txsmtpconn.net.identity import (
    Fingerprint,
    NamedByAuthority,
    Observed,
    leaf_of,
    names_one_of,
)
from txsmtpconn.net.openssl import chain_fault
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.testing import CertificateZoo


def handshake(zoo: CertificateZoo, certificate: str, options: TLSOptions) -> SSL.Connection:
    """Shake hands in memory, as a client with these options; return the client's side."""
    context = SSL.Context(SSL.TLS_METHOD)
    files = zoo[certificate]
    context.use_certificate_file(str(files.certificate))
    context.use_privatekey_file(str(files.key))
    server = SSL.Connection(context, None)
    server.set_accept_state()
    client = options.client_connections("mx.test").clientConnectionForTLS(None)
    client.set_connect_state()
    shake(client, server)
    return client


class Transport:
    """What a connection hands to the check."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def getHandle(self) -> Any:
        return self._handle


def checked(zoo: CertificateZoo, certificate: str, check: Any) -> None:
    """Let a check look at a server."""
    options = TLSOptions(ca_file=zoo.ca, verify=check)
    options.check(Transport(handshake(zoo, certificate, options)), "mx.test")


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [
        ("server", None),
        ("wronghost", "certificate-host-mismatch"),
        ("expired", "certificate-expired"),
        ("notyet", "certificate-not-trusted"),
        ("selfsigned", "certificate-not-trusted"),
        ("otherissuer", "certificate-not-trusted"),
        ("noeku", "certificate-not-trusted"),
        ("cnonly", "certificate-host-mismatch"),
    ],
)
def test_an_authority_must_vouch_for_the_name(
    certificate_zoo: CertificateZoo, certificate: str, fault: str | None
) -> None:
    """And the refusal has its word of RFC 8460 section 4.3."""
    if fault is None:
        checked(certificate_zoo, certificate, NamedByAuthority())
        return
    with pytest.raises(TLSError) as caught:
        checked(certificate_zoo, certificate, NamedByAuthority())
    assert caught.value.fault == fault


def test_one_of_several_names_will_do(certificate_zoo: CertificateZoo) -> None:
    """And a domain stands for the hosts below it, wildcards included, but not for itself."""
    checked(certificate_zoo, "server", NamedByAuthority("other.test", "mx.test"))
    checked(certificate_zoo, "server", NamedByAuthority(".wild.test"))
    checked(certificate_zoo, "server", NamedByAuthority("127.0.0.1"))
    for name in ("wild.test", ".mx.test", "x.y.wild.test", "est", ".localhost"):
        with pytest.raises(TLSError):
            checked(certificate_zoo, "server", NamedByAuthority(name))


def test_a_chain_that_nobody_has_looked_at_is_not_good(certificate_zoo: CertificateZoo) -> None:
    """It fails closed: with a context of the caller's, OpenSSL was not asked."""
    files = certificate_zoo["server"]
    connection = handshake(certificate_zoo, "server", TLSOptions(verify=False))
    assert chain_fault(connection) is None
    with pytest.raises(TLSError):
        NamedByAuthority("mx.test").check(connection, "mx.test")
    assert leaf_of(connection) == x509.load_pem_x509_certificate(files.certificate.read_bytes())


def test_whatever_a_check_raises_is_a_refusal(certificate_zoo: CertificateZoo) -> None:
    """A check of the caller's, too."""

    class Broken:
        uses_authorities = False

        def check(self, connection: Any, name: str) -> None:
            raise ZeroDivisionError

    with pytest.raises(TLSError):
        checked(certificate_zoo, "server", Broken())


def test_a_server_without_certificate_is_refused() -> None:
    """Whatever the check."""

    class Bare:
        def get_peer_certificate(self) -> None:
            return None

    with pytest.raises(TLSError):
        leaf_of(Bare())  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_fingerprints(certificate_zoo: CertificateZoo, algorithm: str) -> None:
    """In any case, with colons or without."""
    pem = certificate_zoo["expired"].certificate.read_bytes()
    der = crypto.dump_certificate(
        crypto.FILETYPE_ASN1, crypto.load_certificate(crypto.FILETYPE_PEM, pem)
    )
    digest = hashlib.new(algorithm, der).hexdigest()
    spelled = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()
    for one in (digest, spelled):
        checked(certificate_zoo, "expired", Fingerprint("00" * 32, one))
    with pytest.raises(TLSError):
        checked(certificate_zoo, "server", Fingerprint(digest))
    assert Fingerprint(digest) == Fingerprint(spelled)


@pytest.mark.parametrize("digests", [(), ("",), ("ab" * 20,), ("xy" * 32,), (None,)])
def test_what_is_no_fingerprint_is_refused(digests: Any) -> None:
    """SHA-1 and MD5 too."""
    with pytest.raises(ConfigError):
        Fingerprint(*digests)


def test_a_refusal_can_be_told_and_not_obeyed(certificate_zoo: CertificateZoo) -> None:
    """What `testing` means in MTA-STS."""
    told: list[TLSError] = []
    checked(certificate_zoo, "server", Observed(NamedByAuthority(), told.append))
    assert told == []
    checked(certificate_zoo, "expired", Observed(NamedByAuthority(), told.append))
    assert [error.fault for error in told] == ["certificate-expired"]


def test_contexts_are_shared_by_what_they_are_for(certificate_zoo: CertificateZoo) -> None:
    """To read the platform's authorities for each connection would be slow."""
    options = TLSOptions(ca_file=certificate_zoo.ca)
    one, two = (
        options.checked_by(NamedByAuthority("a.test")),
        options.checked_by(NamedByAuthority()),
    )
    assert one.context() is two.context()
    contexts = {id(each.context()) for each in (options, one, options.checked_by(False))}
    assert len(contexts) == 3


def test_a_certificate_without_names_has_none(certificate_zoo: CertificateZoo) -> None:
    """RFC 9525: the common name does not count."""
    pem = certificate_zoo["cnonly"].certificate.read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    assert not names_one_of(certificate, ["localhost", ".localhost"])


@pytest.mark.parametrize("verify", [None, 1, "yes", object()])
def test_what_is_no_check_is_refused(verify: Any) -> None:
    """When the options are made."""
    with pytest.raises(ConfigError):
        TLSOptions(verify=verify)
