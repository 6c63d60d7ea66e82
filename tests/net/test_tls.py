"""Names, identities and files of TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

from txsmtpconn import ConfigError, TLSError
from txsmtpconn.net.tls import (
    TLSOptions,
    is_address,
    reference_name,
    verify_identity,
)
from txsmtpconn.testing import CertificateZoo


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("localhost.", "localhost"),
        ("MX.Example.ORG", "mx.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("_smtp.example.org", "_smtp.example.org"),
    ],
)
def test_a_host_has_one_spelling(host: str, name: str) -> None:
    """For SNI and for every check."""
    assert reference_name(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "a b",
        "a\r\nb",
        "u@h",
        "-a",
        "a-",
        "x" * 64,
        "a." * 127 + "bc",
        "ü\u2028",
        "\ud800",
        "[::1]",
    ],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    """ECONFIG, with the value escaped."""
    with pytest.raises(ConfigError) as caught:
        reference_name(host)
    assert str(caught.value).isprintable()


def test_a_long_host_is_judged_in_linear_time() -> None:
    """A megabyte of labels is refused as quickly as it can be read."""
    with pytest.raises(ConfigError):
        reference_name("a-" * 500_000)
    with pytest.raises(ConfigError):
        reference_name("a." * 500_000)


def test_addresses_are_told_from_names() -> None:
    """Both families, without brackets."""
    assert is_address("127.0.0.1")
    assert is_address("2001:db8::1")
    assert not is_address("127.0.0.1.example")


class _Showing:
    """A transport whose peer showed this certificate."""

    def __init__(self, certificate: Any) -> None:
        self._certificate = certificate

    def getPeerCertificate(self) -> Any:
        return self._certificate


def shown(zoo: CertificateZoo, name: str) -> _Showing:
    """A transport whose peer showed a certificate of the zoo."""
    octets = zoo[name].certificate.read_bytes()
    return _Showing(crypto.X509.from_cryptography(x509.load_pem_x509_certificate(octets)))


@pytest.mark.parametrize("name", ["localhost", "mx.test", "a.wild.test", "127.0.0.1", "::1"])
def test_a_certificate_that_names_the_peer_passes(
    certificate_zoo: CertificateZoo, name: str
) -> None:
    """By dNSName with its leftmost wildcard, or by iPAddress."""
    verify_identity(shown(certificate_zoo, "server"), name)


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ("server", "other.test"),
        ("server", "a.b.wild.test"),
        ("server", "wild.test"),
        ("server", "127.0.0.2"),
        ("wronghost", "localhost"),
        ("cnonly", "localhost"),
        ("nosan-evil", "evil.test"),
        ("client", "a.test"),
    ],
)
def test_a_certificate_that_does_not_is_refused(
    certificate_zoo: CertificateZoo, certificate: str, name: str
) -> None:
    """C43: no common name, no wildcard but the leftmost label."""
    with pytest.raises(TLSError) as caught:
        verify_identity(shown(certificate_zoo, certificate), name)
    assert name in str(caught.value)


@pytest.mark.parametrize("broken", [_Showing(None), _Showing(object()), object()])
def test_a_check_that_fails_fails_closed(broken: Any) -> None:
    """Whatever it stumbles over."""
    with pytest.raises(TLSError):
        verify_identity(broken, "localhost")


@pytest.mark.parametrize(
    "arguments",
    [
        {"verify": None},
        {"verify": "false"},
        {"minimum_version": "1.1"},
        {"minimum_version": "TLSv1"},
        {"minimum_version": None},
        {"key_file": "a.key"},
        {"ca_file": 5},
        {"ca_file": ""},
        {"ca_file": b"ca.pem"},
        {"cert_file": 5},
        {"cert_file": "a.pem", "key_file": 5},
        {"connection_creator": object()},
    ],
)
def test_contradictions_are_refused_at_once(arguments: dict[str, Any]) -> None:
    """ECONFIG at construction."""
    with pytest.raises(ConfigError):
        TLSOptions(**arguments)


def test_a_creator_excludes_what_it_would_override() -> None:
    """Nothing is silently ignored."""
    creator = TLSOptions(verify=False).client_connections("localhost")
    with pytest.raises(ConfigError):
        TLSOptions(connection_creator=creator, ca_file="ca.pem")
    assert TLSOptions(connection_creator=creator).client_connections("x.test") is creator


def test_one_context_serves_all_connections(certificate_zoo: CertificateZoo) -> None:
    """Files are read once for each TLSOptions."""
    tls = TLSOptions(ca_file=certificate_zoo.ca)
    assert tls.context() is tls.context()
    assert tls.context() is not TLSOptions(ca_file=certificate_zoo.ca).context()
    assert tls == TLSOptions(ca_file=certificate_zoo.ca)
    assert hash(tls) == hash(TLSOptions(ca_file=certificate_zoo.ca))


def test_files_that_will_not_do_are_told_by_name(
    certificate_zoo: CertificateZoo, tmp_path: Path
) -> None:
    """Missing, not PEM, encrypted, or another's key."""
    own, other = certificate_zoo["client"], certificate_zoo["server"]
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN NONSENSE-----")
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    missing = tmp_path / "missing.pem"
    for options, culprit in [
        ({"ca_file": missing}, missing),
        ({"ca_file": garbage}, garbage),
        ({"ca_file": tmp_path}, tmp_path),
        ({"cert_file": missing}, missing),
        ({"cert_file": garbage}, garbage),
        ({"cert_file": own.certificate}, own.certificate),
        ({"cert_file": own.certificate, "key_file": garbage}, garbage),
        ({"cert_file": own.certificate, "key_file": locked}, locked),
        ({"cert_file": own.certificate, "key_file": other.key}, other.key),
    ]:
        with pytest.raises(ConfigError) as caught:
            TLSOptions(**options).context()
        assert str(culprit) in str(caught.value)
