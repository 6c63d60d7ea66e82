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
        {"user": "u", "domain": "D"},
        {"user": "u", "workstation": "W"},
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
