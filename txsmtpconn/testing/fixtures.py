"""Pytest fixtures. Importing this module imports no Twisted; name the fixtures in a conftest.py."""

from __future__ import annotations

import pytest

from txsmtpconn.testing.certificates import CertificateZoo


@pytest.fixture(scope="session")
def certificate_zoo(tmp_path_factory: pytest.TempPathFactory) -> CertificateZoo:
    """Make throw-away certificates, good and bad, once in a test run."""
    directory = tmp_path_factory.mktemp("certificates")
    return CertificateZoo.make(directory)
