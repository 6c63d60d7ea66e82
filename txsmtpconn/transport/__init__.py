"""Many connections to one next hop, as one place to send mail to."""

from __future__ import annotations

from txsmtpconn.transport.opening import opened_by
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.pool import Pool

__all__ = ["Pool", "PoolOptions", "opened_by"]
