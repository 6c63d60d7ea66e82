"""The certificates, made once for all tests of the test kit."""

from __future__ import annotations

from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = ["certificate_zoo"]
