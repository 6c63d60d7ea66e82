"""Credentials: what they take, and that nobody sees them."""

from __future__ import annotations

from typing import Any

import pytest

from txsmtpconn import ConfigError, Credentials


def test_repr_shows_no_secret() -> None:
    """Neither password nor token, nor a word of a provider."""
    shown = repr(Credentials("user", "pa55", access_token="tok3n"))
    assert "user" in shown
    assert "pa55" not in shown
    assert "tok3n" not in shown
    assert str(Credentials("user", "pa55")) == repr(Credentials("user", "pa55"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"user": 1},
        {"user": b"user"},
        {"user": "a\0b"},
        {"user": "u", "password": 5},
        {"user": "u", "password": "pa\0ss"},
        {"user": "u", "password": "\ud800"},
        {"user": "u", "access_token": "to ken"},
        {"user": "u", "token_provider": object()},
        {"user": "u", "access_token": ""},
        {"user": "u", "authzid": None},
        {"user": "u", "authzid": b"boss"},
        {"user": "u", "mechanism": " "},
        {"user": "u", "mechanism": 5},
        {"user": "u", "domain": 5},
        {"user": "u", "domain": "D\0"},
        {"user": "u", "workstation": b"W"},
        {"user": "u", "domain": "D", "mechanism": "PLAIN"},
        {"user": "u", "access_token": "t", "expires": "tomorrow"},
        {"user": "u", "access_token": "t", "expires": True},
        {"user": "u", "access_token": "t", "expires": float("nan")},
        {"user": "u", "access_token": "t", "expires": float("inf")},
        {"user": "u", "access_token": "t", "expires": -1},
        {"user": "u", "password": "pa55", "expires": 4102444800},
    ],
)
def test_what_cannot_be_used_is_refused_without_showing_it(arguments: dict[str, Any]) -> None:
    """ECONFIG at construction; the value is not in the text."""
    with pytest.raises(ConfigError) as caught:
        Credentials(**arguments)
    assert "pa" not in str(caught.value).replace("password", "")
    assert "to ken" not in str(caught.value)


def test_a_mechanism_is_spelled_in_any_case() -> None:
    """Held in upper case."""
    assert Credentials("u", "p", mechanism=" plain ").mechanism == "PLAIN"


def test_complete_means_a_user_and_a_secret() -> None:
    """An empty password is one; a missing user is not made up for."""
    assert Credentials("u", "").complete
    assert Credentials("u", access_token="t").complete
    assert not Credentials("u").complete
    assert not Credentials(None, "p").complete


def test_what_needs_no_user_is_complete_without() -> None:
    """As the mechanism says; a token provider may know its user."""
    assert Credentials(token_provider=lambda renew: "t").complete
    assert Credentials(access_token="t").complete
    assert Credentials(access_token="t", mechanism="oauthbearer").complete
    assert Credentials(access_token="dDp0", mechanism="XOAUTH").complete
    assert not Credentials(mechanism="XOAUTH").complete
    for mechanism in ("EXTERNAL", "ANONYMOUS", "GSSAPI"):
        assert Credentials(mechanism=mechanism).complete


def test_a_domain_makes_it_ntlm() -> None:
    """So does a workstation: no other mechanism could tell either."""
    assert Credentials("u", "p", domain="D").mechanism == "NTLM"
    assert Credentials("u", "p", workstation="W", mechanism="ntlm").mechanism == "NTLM"
    assert Credentials("u", "p").mechanism is None
