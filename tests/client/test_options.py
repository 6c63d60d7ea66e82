"""ConnectionOptions: defaults, rules, and refusals at construction."""

from __future__ import annotations

import socket
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from txsmtpconn import ConfigError, ConnectionOptions, Credentials, TLSOptions
from txsmtpconn.client.options import make_options
from txsmtpconn.session.client.policy import Security
from txsmtpconn.session.dialect import LMTP, SMTP


def test_the_defaults_are_smtp_connections() -> None:
    """In seconds."""
    options = ConnectionOptions()
    assert options.host == "localhost"
    assert options.port == 587
    assert options.secure is False
    assert options.connection_timeout == 120
    assert options.dns_timeout == 30
    assert options.greeting_timeout == 30
    assert options.socket_timeout == 600
    assert options.terms.security is Security.OFFERED
    assert options.terms.dialect is SMTP
    assert options.pipelining == "full"
    assert options.chunking == "auto"
    assert options.terms.timeouts.mark == 600
    assert options.terms.timeouts.quit == 5
    assert options.reference_name == "localhost"


def test_none_is_the_default_everywhere() -> None:
    """Saying None is saying nothing."""
    said = ConnectionOptions(**{each.name: None for each in fields(ConnectionOptions) if each.init})
    assert said == ConnectionOptions()


@pytest.mark.parametrize(
    ("given", "port", "secure"),
    [
        ({}, 587, False),
        ({"secure": True}, 465, True),
        ({"port": 465}, 465, True),
        ({"port": 465, "secure": False}, 465, False),
        ({"port": 25}, 25, False),
        ({"lmtp": True}, 24, False),
        ({"lmtp": True, "secure": True}, 24, True),
    ],
)
def test_port_and_secure_give_each_other_their_defaults(
    given: dict[str, Any], port: int, secure: bool
) -> None:
    """465 if secure, secure if 465 and nothing was said."""
    options = ConnectionOptions(**given)
    assert (options.port, options.secure) == (port, secure)


@pytest.mark.parametrize(
    ("given", "security"),
    [
        ({"secure": True}, Security.IMPLICIT),
        ({"secure": True, "ignore_tls": True}, Security.IMPLICIT),
        ({"ignore_tls": True}, Security.IGNORED),
        ({"require_tls": True}, Security.REQUIRED),
        ({"opportunistic_tls": True}, Security.OPPORTUNISTIC),
    ],
)
def test_the_flags_say_when_to_turn_to_tls(given: dict[str, Any], security: Security) -> None:
    """One of five."""
    assert ConnectionOptions(**given).terms.security is security


@pytest.mark.parametrize(
    "given",
    [
        {"host": "a b"},
        {"host": "a\r\nb"},
        {"host": "a\0"},
        {"host": "u@h"},
        {"host": ""},
        {"host": 5},
        {"host": "-"},
        {"host": "a..b"},
        {"port": 0},
        {"port": -1},
        {"port": 65536},
        {"port": "25"},
        {"port": True},
        {"port": 2.5},
        {"secure": "yes"},
        {"lmtp": 1},
        {"debug": "false"},
        {"servername": "a\nb"},
        {"servername": 3},
        {"name": "host XCLIENT ADDR=1.2.3.4"},
        {"name": "a\r\nMAIL FROM:<e@e>"},
        {"name": ""},
        {"name": 7},
        {"local_address": "nowhere"},
        {"local_address": 5},
        {"connection_timeout": 0},
        {"greeting_timeout": -1},
        {"socket_timeout": float("nan")},
        {"dns_timeout": float("inf")},
        {"final_timeout": "600"},
        {"quit_timeout": True},
        {"auth": ("u", "p")},
        {"auth_method": ""},
        {"auth_method": 5},
        {"custom_auth": ["X-FOO"]},
        {"custom_auth": {"X FOO": print}},
        {"custom_auth": {"": print}},
        {"custom_auth": {5: print}},
        {"custom_auth": {"X-FOO": "handler"}},
        {"custom_auth": {"X-FOO": print, "x-foo": print}},
        {"pipelining": "yes"},
        {"chunking": "never"},
        {"logger": 5},
        {"path": ""},
        {"path": 3},
        {"path": "a\0b"},
        {"path": "/" + "x" * 107},
        {"endpoint": object()},
        {"transport": object()},
        {"tls": {"verify": False}},
        {"path": "/run/lmtp", "port": 24},
        {"path": "/run/lmtp", "local_address": "127.0.0.1"},
        {"path": "/run/lmtp", "transport": StringTransport()},
        {"ignore_tls": True, "require_tls": True},
        {"opportunistic_tls": True, "require_tls": True},
    ],
    ids=", ".join,
)
def test_nonsense_is_refused_at_once(given: dict[str, Any]) -> None:
    """A28, A3: ECONFIG, which is a ValueError too."""
    with pytest.raises(ConfigError) as caught:
        ConnectionOptions(**given)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == "ECONFIG"
    assert str(caught.value).isprintable()


def test_a_socket_in_the_file_system_has_no_port() -> None:
    """A port beside it is refused, so none is made up that a copy of the options would repeat."""
    options = ConnectionOptions(path="/run/lmtp", lmtp=True)
    assert options.port is None
    assert replace(options, path="/run/other").path == "/run/other"
    assert replace(options, path=None, host="mx.test").port == 24


def test_options_cannot_be_changed_or_show_secrets() -> None:
    """A32: what was checked stays as it was."""
    options = ConnectionOptions(auth=Credentials("u", "hush"))
    with pytest.raises(FrozenInstanceError):
        options.port = 25  # type: ignore[misc]
    assert "hush" not in repr(options)


def test_lmtp_is_a_dialect() -> None:
    """With LHLO and a reply for each recipient."""
    assert ConnectionOptions(lmtp=True).terms.dialect is LMTP


def test_international_names_become_a_labels() -> None:
    """For SNI, the certificate and EHLO alike."""
    options = ConnectionOptions("bücher.example", name="höst.example")
    assert options.reference_name == "xn--bcher-kva.example"
    assert options.terms.name == b"xn--hst-sna.example"


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("mx.example.org", b"mx.example.org"),
        ("laptop", b"[127.0.0.1]"),
        ("bad_.name x", b"[127.0.0.1]"),
        ("", b"[127.0.0.1]"),
    ],
)
def test_our_name_is_the_machines_if_the_world_can_know_it(
    monkeypatch: pytest.MonkeyPatch, hostname: str, name: bytes
) -> None:
    """Else the literal of the loopback, as smtp-connection has it."""
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    assert ConnectionOptions().terms.name == name


def test_options_come_in_three_ways() -> None:
    """An object, a URL with or without more, or names."""
    options = ConnectionOptions("mx.test")
    assert make_options(options, {}) is options
    assert make_options(None, {"host": "mx.test"}) == options
    tls = TLSOptions(verify=False)
    made = make_options("smtp://mx.test:25", {"tls": tls, "debug": None})
    assert (made.host, made.port, made.tls) == ("mx.test", 25, tls)


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (ConnectionOptions(), {"port": 25}),
        ("smtp://mx.test", {"host": "other.test"}),
        ("smtp://mx.test?debug=true", {"debug": True}),
        (None, {"hots": "mx.test"}),
        (None, {"_context": []}),
        (42, {}),
    ],
)
def test_options_are_said_once_and_by_their_names(options: Any, more: dict[str, Any]) -> None:
    """Twice, or misspelled: ECONFIG."""
    with pytest.raises(ConfigError):
        make_options(options, more)
