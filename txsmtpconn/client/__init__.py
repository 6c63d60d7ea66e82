"""The client: a connection to one server, and how to get it."""

from __future__ import annotations

from txsmtpconn.client.connecting import connect
from txsmtpconn.client.credentials import Credentials, TokenProvider
from txsmtpconn.client.custom import AuthDialogue
from txsmtpconn.client.factory import SMTPConnectionFactory
from txsmtpconn.client.grants import AccessToken
from txsmtpconn.client.oauth2 import OAuth2TokenProvider
from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.protocol import SMTPConnection

__all__ = [
    "AccessToken",
    "AuthDialogue",
    "ConnectionOptions",
    "Credentials",
    "OAuth2TokenProvider",
    "SMTPConnection",
    "SMTPConnectionFactory",
    "TokenProvider",
    "connect",
]
