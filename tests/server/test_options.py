"""Options of the server: what is taken, what is refused, and what becomes of them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from txsmtpconn.errors import ConfigError
from txsmtpconn.server import BareLineEnds, ServerOptions, ServerTimeouts
from txsmtpconn.session.dialect import LMTP, SMTP
from txsmtpconn.testing import CertificateZoo
from txsmtpconn.wire.path import client_name


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "x\r\n250 evil"},
        {"banner": "a\r\nb"},
        {"max_size": 0},
        {"max_size": True},
        {"max_size": 1.5},
        {"max_recipients": None},
        {"max_recipients": -1},
        {"max_errors": 0},
        {"max_auth_failures": 0},
        {"max_clients": 0},
        {"minimum_rate": -1},
        {"greet_delay": -0.1},
        {"timeouts": ServerTimeouts(command=0)},
        {"timeouts": ServerTimeouts(block=-1)},
        {"timeouts": ServerTimeouts(tls="5")},  # type: ignore[arg-type]
        {"bare_line_ends": "keep"},
        {"promises": ["CHUNKING"]},
        {"promises": "REQUIRETLS"},
        {"disabled": "CHUNKING"},
        {"disabled": ["CHUNKNG"]},
        {"timeouts": ServerTimeouts(command=float("nan"))},
        {"timeouts": ServerTimeouts(command=float("inf"))},
        {"auth_mechanisms": ["NTLM"]},
        {"tls": object()},
        {"tls_key_file": "key.pem"},
        {"tls_cert_file": "/no/such/file.pem"},
        {"tls_required": True},
    ],
    ids=", ".join,
)
def test_a_wrong_option_is_told_at_once(wrong: dict[str, Any]) -> None:
    """A ConfigError that names it; never a server that starts all the same."""
    with pytest.raises(ConfigError):
        ServerOptions(**wrong)


def test_options_cannot_be_changed_or_misspelt() -> None:
    """They are shared by all sessions."""
    options = ServerOptions()
    with pytest.raises(FrozenInstanceError):
        options.max_size = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        ServerOptions(max_siz=1)  # type: ignore[call-arg]


def test_the_default_name_can_stand_in_a_greeting() -> None:
    """It is this host's, or an address literal."""
    assert client_name(ServerOptions().name)


def test_options_become_the_rules_of_a_session() -> None:
    """Every one that a session knows reaches it."""
    options = ServerOptions(
        name="mx.test",
        lmtp=True,
        max_size=5,
        max_recipients=100,
        max_line=99,
        bare_line_ends="normalise",
        promises=["binarymime"],
        disabled=["chunking", "noop"],
        auth_mechanisms=["login"],
        allow_insecure_auth=True,
        greet_delay=0.5,
    )
    rules = options.rules(can_authenticate=True)
    assert rules.dialect is LMTP
    assert (rules.max_size, rules.max_recipients, rules.max_line) == (5, 100, 99)
    assert rules.bare_line_ends is BareLineEnds.NORMALISE
    assert "BINARYMIME" in rules.extensions
    assert "CHUNKING" not in rules.extensions
    assert rules.disabled == {"CHUNKING", "NOOP"}
    assert rules.auth_mechanisms == ("LOGIN",)
    assert rules.greet_delay == 0.5
    assert not rules.starttls
    assert options.rules(can_authenticate=False).auth_mechanisms == ()
    assert ServerOptions().rules(can_authenticate=False).dialect is SMTP


def test_a_certificate_offers_starttls(certificate_zoo: CertificateZoo, tmp_path: Path) -> None:
    """From files or ready made, and not both."""
    files = certificate_zoo["server"]
    options = ServerOptions(tls_cert_file=files.certificate, tls_key_file=files.key)
    assert options.tls is not None
    assert options.rules(can_authenticate=False).starttls
    with pytest.raises(ConfigError):
        ServerOptions(tls=options.tls, tls_cert_file=files.certificate)
    implicit = ServerOptions(tls=options.tls, implicit_tls=True, tls_required=True)
    assert not implicit.rules(can_authenticate=False).starttls
