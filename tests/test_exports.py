"""The public names: the package offers what its contract lists, no more and no less."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import txsmtpconn

ROOT = Path(__file__).resolve().parent.parent

ERRORS = {
    "AuthenticationError": "EAUTH",
    "ConfigError": "ECONFIG",
    "ConnectionLostError": "ECONNECTION",
    "DNSError": "EDNS",
    "DeadlineError": "ETIMEDOUT",
    "EnvelopeError": "EENVELOPE",
    "MessageError": "EMESSAGE",
    "NoCredentialsError": "ENOAUTH",
    "OAuth2Error": "EOAUTH2",
    "PoolError": "EMAXLIMIT",
    "ProtocolError": "EPROTOCOL",
    "ProxyError": "EPROXY",
    "RequireTLSError": "EREQUIRETLS",
    "SendCancelled": "ECANCELLED",
    "SocketError": "ESOCKET",
    "StreamError": "ESTREAM",
    "TLSError": "ETLS",
}

PUBLIC = {
    "ConnectionOptions",
    "Credentials",
    "DSN",
    "Delivery",
    "Envelope",
    "Recipient",
    "RecipientOutcome",
    "OAuth2TokenProvider",
    "PoolOptions",
    "ProxyOptions",
    "SMTPConnection",
    "SMTPConnectionFactory",
    "SMTPError",
    "SMTPRejection",
    "SMTPServerFactory",
    "SMTPTransport",
    "SendResult",
    "ServerOptions",
    "TLSOptions",
    "connect",
    "simple_server",
    *ERRORS,
}


def test_public_names_are_the_contract() -> None:
    """``__all__`` is the contract's list."""
    assert set(txsmtpconn.__all__) == PUBLIC
    assert len(set(txsmtpconn.__all__)) == len(txsmtpconn.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_loads(name: str) -> None:
    """Every public name loads from its home, and is the same object at each use."""
    assert getattr(txsmtpconn, name) is getattr(txsmtpconn, name)
    assert name in dir(txsmtpconn)


@pytest.mark.parametrize(("name", "code"), ERRORS.items())
def test_error_has_its_code(name: str, code: str) -> None:
    """One error class stands for one of Nodemailer's codes, and all of them are SMTPErrors."""
    error = getattr(txsmtpconn, name)
    assert issubclass(error, txsmtpconn.SMTPError)
    assert error.code == code


def test_type_checkers_see_the_same_names() -> None:
    """What is imported under TYPE_CHECKING is what loads lazily, from the same homes."""
    tree = ast.parse((ROOT / "txsmtpconn" / "__init__.py").read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == txsmtpconn._HOME_OF


def test_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name fails as in any other module."""
    with pytest.raises(AttributeError, match="has no attribute 'conect'"):
        txsmtpconn.conect  # noqa: B018


def test_to_connect_takes_no_web_client() -> None:
    """What only some programs need is not imported for all: HTTPS is for tokens and policies."""
    program = (
        "import sys; from txsmtpconn import connect; sys.exit('twisted.web.client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
