"""The client: a connection to one server, and how to get it."""

from __future__ import annotations

from txsmtpconn.client.connecting import connect
from txsmtpconn.client.credentials import Credentials, TokenProvider
from txsmtpconn.client.custom import AuthDialogue
from txsmtpconn.client.factory import SMTPConnectionFactory
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.protocol import SMTPConnection

__all__ = [
    "AuthDialogue",
    "ConnectionOptions",
    "Credentials",
    "SMTPConnection",
    "SMTPConnectionFactory",
    "TokenProvider",
    "connect",
]
