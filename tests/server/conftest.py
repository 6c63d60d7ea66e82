"""The certificates that the server's tests show and trust."""

from __future__ import annotations

from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = ["certificate_zoo"]
