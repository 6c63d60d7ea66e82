"""Certificates for the tests of the commands."""

from __future__ import annotations

from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = ["certificate_zoo"]
