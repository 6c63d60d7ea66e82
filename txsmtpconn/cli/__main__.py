"""``python -m txsmtpconn.cli``."""

from __future__ import annotations

from txsmtpconn.cli import main

main()
