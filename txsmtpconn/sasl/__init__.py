"""SASL mechanisms as pure steppers, and the choice between them (RFC 4422, RFC 4954)."""

from __future__ import annotations

from txsmtpconn.sasl.anonymous import AnonymousClient, AnonymousServer
from txsmtpconn.sasl.choice import (
    MECHANISMS,
    Claim,
    Mechanism,
    Secret,
    choose,
    may_try_another,
    offers_binding,
)
from txsmtpconn.sasl.cram_md5 import CramMD5Client, CramMD5Server
from txsmtpconn.sasl.digest_md5 import DigestMD5Client
from txsmtpconn.sasl.external import ExternalClient, ExternalServer
from txsmtpconn.sasl.gssapi import GSSAPIClient
from txsmtpconn.sasl.login import LoginClient, LoginServer
from txsmtpconn.sasl.mechanism import (
    IN_CLEAR,
    Challenge,
    Channel,
    ClientMechanism,
    Finished,
    LibraryMissing,
    NotProved,
    SASLError,
    SecretWanted,
    ServerMechanism,
    ServerStep,
)
from txsmtpconn.sasl.ntlm import NTLMClient
from txsmtpconn.sasl.oauthbearer import OAuthBearerClient, OAuthBearerServer
from txsmtpconn.sasl.plain import PlainClient, PlainServer
from txsmtpconn.sasl.saslprep import saslprep
from txsmtpconn.sasl.scram import ScramKeys
from txsmtpconn.sasl.scram_client import ScramClient
from txsmtpconn.sasl.scram_server import ScramServer
from txsmtpconn.sasl.serving import (
    SECRET_MECHANISMS,
    SERVER_FIRST,
    SERVER_MECHANISMS,
    needs_tls,
)
from txsmtpconn.sasl.xoauth import XOAuthClient
from txsmtpconn.sasl.xoauth2 import XOAuth2Client, XOAuth2Server

__all__ = [
    "IN_CLEAR",
    "MECHANISMS",
    "SECRET_MECHANISMS",
    "SERVER_FIRST",
    "SERVER_MECHANISMS",
    "AnonymousClient",
    "AnonymousServer",
    "Challenge",
    "Channel",
    "Claim",
    "ClientMechanism",
    "CramMD5Client",
    "CramMD5Server",
    "DigestMD5Client",
    "ExternalClient",
    "ExternalServer",
    "Finished",
    "GSSAPIClient",
    "LibraryMissing",
    "LoginClient",
    "LoginServer",
    "Mechanism",
    "NTLMClient",
    "NotProved",
    "OAuthBearerClient",
    "OAuthBearerServer",
    "PlainClient",
    "PlainServer",
    "SASLError",
    "ScramClient",
    "ScramKeys",
    "ScramServer",
    "Secret",
    "SecretWanted",
    "ServerMechanism",
    "ServerStep",
    "XOAuth2Client",
    "XOAuth2Server",
    "XOAuthClient",
    "choose",
    "may_try_another",
    "needs_tls",
    "offers_binding",
    "saslprep",
]
