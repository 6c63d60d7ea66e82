"""What ``twist`` and ``twistd`` learn about txsmtpconn.

The modules are named by strings, so that listing the plugins of an
installation imports nothing of ours. There is never an ``__init__.py`` beside
this file: ``twisted.plugins`` is Twisted's own package, which collects us.
"""

from __future__ import annotations

from twisted.application.service import ServiceMaker

smtprelay = ServiceMaker(
    "txsmtpconn relay",
    "txsmtpconn.tap",
    "A durable SMTP and LMTP relay with a spool.",
    "smtprelay",
)

smtpsink = ServiceMaker(
    "txsmtpconn sink",
    "txsmtpconn.tap_sink",
    "An SMTP and LMTP server that keeps what it is given, for tests and demos.",
    "smtpsink",
)
