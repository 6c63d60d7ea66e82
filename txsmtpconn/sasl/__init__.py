"""SASL mechanisms as pure steppers, and the choice between them (RFC 4422, RFC 4954)."""

from __future__ import annotations

from txsmtpconn.sasl.choice import (
    MECHANISMS,
    SERVER_MECHANISMS,
    Mechanism,
    Secret,
    choose,
    may_try_another,
)
from txsmtpconn.sasl.cram_md5 import CramMD5Client
from txsmtpconn.sasl.login import LoginClient, LoginServer
from txsmtpconn.sasl.mechanism import (
    Challenge,
    ClientMechanism,
    Finished,
    SASLError,
    ServerMechanism,
)
from txsmtpconn.sasl.plain import PlainClient, PlainServer
from txsmtpconn.sasl.xoauth2 import XOAuth2Client

__all__ = [
    "MECHANISMS",
    "SERVER_MECHANISMS",
    "Challenge",
    "ClientMechanism",
    "CramMD5Client",
    "Finished",
    "LoginClient",
    "LoginServer",
    "Mechanism",
    "PlainClient",
    "PlainServer",
    "SASLError",
    "Secret",
    "ServerMechanism",
    "XOAuth2Client",
    "choose",
    "may_try_another",
]
