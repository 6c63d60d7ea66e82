"""A server that takes every message, for tests and demonstrations; it delivers none."""

from __future__ import annotations

from txsmtpconn.sink.mailbox import Mailbag
from txsmtpconn.sink.taking import Sink

__all__ = ["Mailbag", "Sink"]
