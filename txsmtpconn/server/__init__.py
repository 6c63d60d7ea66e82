"""The server: SMTP, message submission and LMTP on any Twisted stream endpoint."""

from __future__ import annotations

from txsmtpconn.server.authentication import NotBelieved, PortalAuthentication
from txsmtpconn.server.factory import SMTPServerFactory
from txsmtpconn.server.hooks import MessageSink, SMTPRejection
from txsmtpconn.server.options import ServerOptions
from txsmtpconn.server.protocol import SMTPServerProtocol
from txsmtpconn.server.session import Session, TLSFacts
from txsmtpconn.server.simple import IncomingMessage, simple_server
from txsmtpconn.session.server.rules import BareLineEnds, ServerTimeouts

__all__ = [
    "BareLineEnds",
    "IncomingMessage",
    "MessageSink",
    "NotBelieved",
    "PortalAuthentication",
    "SMTPRejection",
    "SMTPServerFactory",
    "SMTPServerProtocol",
    "ServerOptions",
    "ServerTimeouts",
    "Session",
    "TLSFacts",
    "simple_server",
]
