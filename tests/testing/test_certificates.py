"""The certificates are what their names say."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from txsmtpconn.testing import CertificateZoo
from txsmtpconn.testing.certificates import KINDS


def load(zoo, name):
    """Read one certificate."""
    return x509.load_pem_x509_certificate(zoo[name].certificate.read_bytes())


def names(certificate):
    """List what a certificate names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found.value]


def test_every_kind_has_three_files(certificate_zoo):
    """Certificate, key and chain are there, and a server that gave up root can read them."""
    for name in KINDS:
        files = certificate_zoo[name]
        for path in (files.certificate, files.key, files.chain):
            assert path.read_bytes().startswith(b"-----BEGIN")
            assert path.stat().st_mode & 0o044 == 0o044
    with pytest.raises(KeyError):
        certificate_zoo["nosuch"]


def test_good_ones_are_issued_by_the_ca(certificate_zoo):
    """All but the self-signed and those of the other authority verify against `ca`."""
    ca = x509.load_pem_x509_certificate(certificate_zoo.ca.read_bytes())
    other = x509.load_pem_x509_certificate(certificate_zoo.other_ca.read_bytes())
    for name, kind in KINDS.items():
        issuer = {"ca": ca, "otherca": other, "": load(certificate_zoo, name)}[kind.issuer]
        load(certificate_zoo, name).verify_directly_issued_by(issuer)


def test_the_bad_ones_are_bad_in_one_way(certificate_zoo):
    """Each differs from the good one in what its name says."""
    now = datetime.now(UTC)
    assert load(certificate_zoo, "expired").not_valid_after_utc < now
    assert load(certificate_zoo, "notyet").not_valid_before_utc > now
    assert names(load(certificate_zoo, "wronghost")) == ["other.test"]
    assert names(load(certificate_zoo, "cnonly")) == []
    assert names(load(certificate_zoo, "nosan-evil")) == []
    assert "localhost" in names(load(certificate_zoo, "server"))
    assert "127.0.0.1" in names(load(certificate_zoo, "server"))
    usage = load(certificate_zoo, "noeku").extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(usage.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_only_some_can_be_made(tmp_path):
    """A test that needs one certificate need not wait for a dozen."""
    zoo = CertificateZoo.make(str(tmp_path / "zoo"), ["server"])
    assert zoo["server"].chain.exists()
    with pytest.raises(KeyError):
        zoo["client"]


def test_making_certificates_and_naming_the_kit_imports_no_twisted():
    """A pytest plugin that offers them costs nothing to those who do not use them."""
    code = (
        "import sys, txsmtpconn.testing, txsmtpconn.testing.certificates, "
        "txsmtpconn.testing.fixtures; sys.exit('twisted' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    """Lazy names resolve, dir() lists them, and others are AttributeErrors."""
    from txsmtpconn import testing

    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
        assert name in dir(testing)
    with pytest.raises(AttributeError, match="nosuch"):
        _ = testing.nosuch
