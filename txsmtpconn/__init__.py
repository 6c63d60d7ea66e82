"""SMTP and LMTP for Twisted: connection, transport, server, test kit, relay.

The names below are the public interface. They load when they are first used
(PEP 562), so that ``import txsmtpconn`` and ``import txsmtpconn.wire`` leave
Twisted out of the process::

    from txsmtpconn import Credentials, Envelope, connect

Start at `connect` to send, at `simple_server` to receive; every failure is an
`SMTPError`, whose module draws the whole hierarchy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txsmtpconn.client import ConnectionOptions as ConnectionOptions
    from txsmtpconn.client import Credentials as Credentials
    from txsmtpconn.client import SMTPConnection as SMTPConnection
    from txsmtpconn.client import SMTPConnectionFactory as SMTPConnectionFactory
    from txsmtpconn.client import connect as connect
    from txsmtpconn.client.oauth2 import OAuth2TokenProvider as OAuth2TokenProvider
    from txsmtpconn.client.proxy import ProxyOptions as ProxyOptions
    from txsmtpconn.envelope import DSN as DSN
    from txsmtpconn.envelope import Envelope as Envelope
    from txsmtpconn.envelope import Recipient as Recipient
    from txsmtpconn.errors import AuthenticationError as AuthenticationError
    from txsmtpconn.errors import ConfigError as ConfigError
    from txsmtpconn.errors import ConnectionLostError as ConnectionLostError
    from txsmtpconn.errors import DeadlineError as DeadlineError
    from txsmtpconn.errors import DNSError as DNSError
    from txsmtpconn.errors import EnvelopeError as EnvelopeError
    from txsmtpconn.errors import MessageError as MessageError
    from txsmtpconn.errors import NoCredentialsError as NoCredentialsError
    from txsmtpconn.errors import OAuth2Error as OAuth2Error
    from txsmtpconn.errors import PoolError as PoolError
    from txsmtpconn.errors import ProtocolError as ProtocolError
    from txsmtpconn.errors import ProxyError as ProxyError
    from txsmtpconn.errors import RequireTLSError as RequireTLSError
    from txsmtpconn.errors import SMTPError as SMTPError
    from txsmtpconn.errors import SocketError as SocketError
    from txsmtpconn.errors import StreamError as StreamError
    from txsmtpconn.errors import TLSError as TLSError
    from txsmtpconn.net.cancelled import SendCancelled as SendCancelled
    from txsmtpconn.net.tls import TLSOptions as TLSOptions
    from txsmtpconn.outcome import Delivery as Delivery
    from txsmtpconn.outcome import RecipientOutcome as RecipientOutcome
    from txsmtpconn.outcome import SendResult as SendResult
    from txsmtpconn.server import ServerOptions as ServerOptions
    from txsmtpconn.server import SMTPRejection as SMTPRejection
    from txsmtpconn.server import SMTPServerFactory as SMTPServerFactory
    from txsmtpconn.server import simple_server as simple_server
    from txsmtpconn.transport import PoolOptions as PoolOptions
    from txsmtpconn.transport import SMTPTransport as SMTPTransport

__version__ = "0.1.0.dev0"

# Home module -> the public names that live there; the block above says the
# same to type checkers, and tests/test_exports.py holds the two together.
_HOMES = {
    "txsmtpconn.client": (
        "connect",
        "ConnectionOptions",
        "Credentials",
        "SMTPConnection",
        "SMTPConnectionFactory",
    ),
    "txsmtpconn.client.oauth2": ("OAuth2TokenProvider",),
    "txsmtpconn.client.proxy": ("ProxyOptions",),
    "txsmtpconn.envelope": ("DSN", "Envelope", "Recipient"),
    "txsmtpconn.errors": (
        "AuthenticationError",
        "ConfigError",
        "ConnectionLostError",
        "DeadlineError",
        "DNSError",
        "EnvelopeError",
        "MessageError",
        "NoCredentialsError",
        "OAuth2Error",
        "PoolError",
        "ProtocolError",
        "ProxyError",
        "RequireTLSError",
        "SMTPError",
        "SocketError",
        "StreamError",
        "TLSError",
    ),
    "txsmtpconn.net.cancelled": ("SendCancelled",),
    "txsmtpconn.net.tls": ("TLSOptions",),
    "txsmtpconn.outcome": ("Delivery", "RecipientOutcome", "SendResult"),
    "txsmtpconn.server": ("SMTPRejection", "SMTPServerFactory", "ServerOptions", "simple_server"),
    "txsmtpconn.transport": ("PoolOptions", "SMTPTransport"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List what can be asked for, loaded or not."""
    return sorted({*globals(), *__all__})
