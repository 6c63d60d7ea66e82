"""Certificates for the tests of the commands, and sinks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.running import RunningSink
from txsmtpconn.testing import CertificateZoo
from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = ["certificate_zoo"]


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSink]:
    """One sink for all tests of a module."""
    running = RunningSink(tmp_path_factory.mktemp("sink"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def tls_sink(
    certificate_zoo: CertificateZoo,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningSink]:
    """One that offers STARTTLS, and calls itself mx.test."""
    files = certificate_zoo["server"]
    running = RunningSink(
        tmp_path_factory.mktemp("sink"),
        *("--name=mx.test", f"--certificate={files.chain}", f"--private-key={files.key}"),
    )
    yield running
    running.stop()
