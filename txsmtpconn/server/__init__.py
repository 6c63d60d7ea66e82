"""The server: SMTP, message submission and LMTP on any Twisted stream endpoint."""

from __future__ import annotations

from txsmtpconn.server.authentication import NotBelieved
from txsmtpconn.server.factory import SMTPServerFactory
from txsmtpconn.server.hooks import MessageSink, SMTPRejection
from txsmtpconn.server.options import ServerOptions
from txsmtpconn.server.portal import (
    BearerToken,
    ClientCertificate,
    IBearerToken,
    IClientCertificate,
    IProvedUser,
    PortalAuthentication,
    ProvedUser,
)
from txsmtpconn.server.protocol import SMTPServerProtocol
from txsmtpconn.server.session import Session, TLSFacts
from txsmtpconn.server.simple import IncomingMessage, simple_server
from txsmtpconn.session.server.rules import BareLineEnds, ServerTimeouts

__all__ = [
    "BareLineEnds",
    "BearerToken",
    "ClientCertificate",
    "IBearerToken",
    "IClientCertificate",
    "IProvedUser",
    "IncomingMessage",
    "MessageSink",
    "NotBelieved",
    "PortalAuthentication",
    "ProvedUser",
    "SMTPRejection",
    "SMTPServerFactory",
    "SMTPServerProtocol",
    "ServerOptions",
    "ServerTimeouts",
    "Session",
    "TLSFacts",
    "simple_server",
]
