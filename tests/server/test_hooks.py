"""Rejections, and the hooks that are found on an object."""

from __future__ import annotations

from typing import Any

import pytest

from txsmtpconn import SMTPRejection
from txsmtpconn.errors import ConfigError
from txsmtpconn.server.hooks import Hooks
from txsmtpconn.wire.reply import Reply


def test_a_rejection_is_a_reply() -> None:
    """Its lines carry the enhanced status code, each of them (RFC 2034 section 4)."""
    rejection = SMTPRejection(550, "5.7.1", "No\nnever")
    assert rejection.reply == Reply.of(550, "5.7.1 No", "5.7.1 never")
    assert str(rejection) == "550-5.7.1 No\n550 5.7.1 never"
    assert SMTPRejection(450).reply == Reply.of(450, "Refused")


@pytest.mark.parametrize(
    "wrong",
    [
        (250, "2.0.0", "x"),
        (600, None, "x"),
        ("550", None, "x"),
        (True, None, "x"),
        (550, "4.7.1", "x"),
        (550, "5.7", "x"),
        (550, "5.7.1 x", "x"),
        (550, "5.7.1", "a\rb"),
        (550, "5.7.1", "a\0b"),
    ],
    ids=repr,
)
def test_a_rejection_that_is_none_is_refused(wrong: tuple[Any, ...]) -> None:
    """Where it is made, so that the traceback names the culprit."""
    with pytest.raises(ConfigError):
        SMTPRejection(*wrong)


def test_hooks_are_found_and_not_required() -> None:
    """On any object; None has none."""

    class Application:
        def on_data(self, session: Any, envelope: Any) -> None:
            """Take nothing."""

    hooks = Hooks.of(Application())
    assert hooks.on_data is not None
    assert hooks.on_connect is hooks.on_auth is None
    assert Hooks.of(None) == Hooks()
    assert Hooks.of(hooks) is hooks


def test_a_hook_that_cannot_be_called_is_refused() -> None:
    """Before the first client finds out."""

    class Application:
        on_data = "/var/mail"

    with pytest.raises(ConfigError, match="on_data"):
        Hooks.of(Application())
