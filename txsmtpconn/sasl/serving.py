"""Which mechanisms a server can offer, and on which connections it may.

Three kinds, by what the application must know to judge. PLAIN and LOGIN bring the password,
XOAUTH2 and OAUTHBEARER a token, EXTERNAL and ANONYMOUS nothing: those end with credentials that
the application believes or not. SCRAM asks it in between for what is kept of the password, and
judges itself; CRAM-MD5 does either.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from txsmtpconn.sasl.anonymous import AnonymousServer
from txsmtpconn.sasl.cram_md5 import CramMD5Server
from txsmtpconn.sasl.external import ExternalServer
from txsmtpconn.sasl.login import LoginServer
from txsmtpconn.sasl.mechanism import Channel, ServerMechanism
from txsmtpconn.sasl.oauthbearer import OAuthBearerServer
from txsmtpconn.sasl.plain import PlainServer
from txsmtpconn.sasl.scram import SHA_1, SHA_256
from txsmtpconn.sasl.scram_server import ScramServer
from txsmtpconn.sasl.xoauth2 import XOAuth2Server


def _anywhere(stepper: Callable[[], ServerMechanism]) -> Callable[[Channel], ServerMechanism]:
    return lambda _channel: stepper()


#: Makes the stepper of a mechanism for a connection.
SERVER_MECHANISMS: dict[str, Callable[[Channel], ServerMechanism]] = {
    "SCRAM-SHA-256-PLUS": partial(ScramServer, SHA_256, plus=True),
    "SCRAM-SHA-1-PLUS": partial(ScramServer, SHA_1, plus=True),
    "SCRAM-SHA-256": partial(ScramServer, SHA_256),
    "SCRAM-SHA-1": partial(ScramServer, SHA_1),
    "CRAM-MD5": _anywhere(CramMD5Server),
    "PLAIN": _anywhere(PlainServer),
    "LOGIN": _anywhere(LoginServer),
    "OAUTHBEARER": _anywhere(OAuthBearerServer),
    "XOAUTH2": _anywhere(XOAuth2Server),
    "EXTERNAL": ExternalServer,
    "ANONYMOUS": _anywhere(AnonymousServer),
}

#: Those that cannot do without what is kept of a password (`SecretWanted`). CRAM-MD5 asks for it
#: too, but the application may as well judge the digest.
SECRET_MECHANISMS = frozenset(name for name in SERVER_MECHANISMS if name.startswith("SCRAM-"))

#: Those in which the server speaks first, so that there is no initial response.
SERVER_FIRST = frozenset((CramMD5Server.name,))


def needs_tls(mechanism: str) -> bool:
    """Tell whether a mechanism needs TLS: a channel to bind to, or a certificate."""
    return mechanism.endswith("-PLUS") or mechanism == ExternalServer.name
