"""A server as one place to send mail to: over a connection for each message, or over a pool."""

from __future__ import annotations

from txsmtpconn.transport.figures import PoolFigures
from txsmtpconn.transport.opening import opened_by
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.pool import Pool
from txsmtpconn.transport.prepared import PreparedMessage
from txsmtpconn.transport.smtp import SMTPTransport

__all__ = [
    "Pool",
    "PoolFigures",
    "PoolOptions",
    "PreparedMessage",
    "SMTPTransport",
    "opened_by",
]
