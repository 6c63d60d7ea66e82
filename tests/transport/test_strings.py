"""Endpoint strings: `smtp:`, `smtps:` and `lmtp:` for `clientFromString`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import pytest
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from tests.transport.office import BODY, ENVELOPE, Office
from txsmtpconn import ConfigError, ConnectionOptions, SMTPConnection
from txsmtpconn.testing import failure_result_of
from txsmtpconn.transport.strings import SessionEndpoint


def endpoint(description: str) -> SessionEndpoint:
    """Return the endpoint of a string, by way of Twisted's plugins."""
    found = clientFromString(Clock(), description)
    verifyObject(IStreamClientEndpoint, found)
    return cast(SessionEndpoint, found)


@pytest.mark.parametrize(
    ("description", "options"),
    [
        ("smtp:mail.test", {"host": "mail.test", "secure": False}),
        ("smtp:mail.test:2525:require_tls=true", {"port": 2525, "require_tls": True}),
        ("smtps:host=mail.test:port=4650", {"secure": True, "port": 4650}),
        ("smtps:mail.test", {"secure": True, "port": 465}),
        ("lmtp:mail.test", {"lmtp": True, "port": 24}),
        ("lmtp:path=/run/a b?c/lmtp", {"lmtp": True, "path": "/run/a b?c/lmtp"}),
        (r"smtp:\:\:1:587", {"host": "::1", "port": 587}),
        (r"smtp:[\:\:1]", {"host": "::1"}),
        ("smtp:mail.test:connectionTimeout=1500", {"connection_timeout": 1.5}),
        ("smtp:mail.test:name=[192.0.2.1]", {"name": "[192.0.2.1]"}),
    ],
)
def test_a_string_stands_for_options(description: str, options: dict[str, Any]) -> None:
    """Host and port first or by name; the rest as in a URL's query."""
    made = endpoint(description).options
    assert {name: getattr(made, name) for name in options} == options


def test_credentials_may_hold_anything() -> None:
    """Their characters mean nothing to the string's reader; the secret is not shown."""
    found = endpoint(r"smtps:mail.test:user=ann@x.test:password=p%40\:s\=s/?#")
    assert found.options.auth is not None
    assert found.options.auth.user == "ann@x.test"
    assert found.options.auth.password == "p%40:s=s/?#"
    assert "p%40" not in repr(found.options)


@pytest.mark.parametrize(
    "description",
    [
        "smtp:",
        "smtp",
        "smtp:mail.test:587:tls",
        "smtp:mail.test:host=other.test",
        "smtp:mail.test:port=x",
        "smtp:mail.test:requiretls=true",
        "smtp:path=/run/smtp",
        "lmtp:mail.test:path=/run/lmtp",
        "smtp:mail.test:password=hunter2",
        "smtp:evil.test/x:587",
        "smtp:user@evil.test",
        "smtp:mail.test?require_tls\\=true",
        "smtps:mail.test:secure=false",
    ],
)
def test_strings_that_make_no_sense(description: str) -> None:
    """Refused when they are read; the text shows no secret."""
    with pytest.raises(ConfigError) as raised:
        endpoint(description)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("with_factory", [True, False])
def test_it_fires_when_mail_can_be_sent(with_factory: bool) -> None:
    """With a connection whose greeting and EHLO are done."""
    office = Office()
    options = ConnectionOptions(endpoint=office.network.client_endpoint(), name="client.test")
    found = SessionEndpoint(office.clock, options)
    connection = office.result_of(found.connect(found.factory() if with_factory else None))
    assert isinstance(connection, SMTPConnection)
    assert "SIZE" in connection.extensions
    office.result_of(connection.send(ENVELOPE, BODY))
    office.result_of(connection.quit())
    assert office.is_over()


def test_another_factory_is_refused() -> None:
    """It would not speak as the string says, or would be given a session half done."""
    error = failure_result_of(endpoint("smtps:mail.test").connect(Factory()))
    assert isinstance(error, ConfigError)


def test_listing_plugins_imports_nothing_of_ours() -> None:
    """Whoever asks Twisted for its plugins does not pay for SMTP."""
    program = (
        "import sys; from twisted.plugin import getPlugins;"
        "from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor as I;"
        "found = {each.prefix for each in getPlugins(I)};"
        "assert {'smtp', 'smtps', 'lmtp'} <= found, found;"
        "assert not any(name.startswith('txsmtpconn.') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
