"""What ``twist``, ``twistd`` and ``clientFromString`` learn about txsmtpconn.

The modules are named by strings, so that listing the plugins of an
installation imports nothing of ours. There is never an ``__init__.py`` beside
this file: ``twisted.plugins`` is Twisted's own package, which collects us.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.plugin import IPlugin
from zope.interface import implementer

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


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class SessionStrings:
    """Endpoint strings for `clientFromString`, whose endpoints fire when mail can be sent."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def parseStreamClient(  # type: ignore[override]  # the interface counts the reactor twice
        self, reactor: Any, *args: str, **kwargs: str
    ) -> Any:
        """Return the endpoint for what stands behind the prefix."""
        from txsmtpconn.transport.strings import session_endpoint

        return session_endpoint(reactor, self.prefix, *args, **kwargs)


smtp = SessionStrings("smtp")
smtps = SessionStrings("smtps")
lmtp = SessionStrings("lmtp")
