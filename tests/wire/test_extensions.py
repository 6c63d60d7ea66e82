"""Service extensions read from EHLO replies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vectors.ehlo import EHLO
from txsmtpconn.wire.extensions import EMPTY, Extensions
from txsmtpconn.wire.reply import Reply


@pytest.mark.parametrize(
    ("lines", "attributes"), [case[:2] for case in EHLO], ids=[case[2] for case in EHLO]
)
def test_a_keyword_line_offers_what_it_says(lines: list[str], attributes: dict[str, Any]) -> None:
    """Each line gives exactly the attributes of its vector, and is kept as it came."""
    extensions = Extensions.from_reply(Reply.of(250, "mx.test greets", *lines))
    assert {name: getattr(extensions, name) for name in attributes} == attributes
    assert extensions.lines == tuple(lines)


@pytest.mark.parametrize(
    ("lines", "attributes"), [case[:2] for case in EHLO], ids=[case[2] for case in EHLO]
)
def test_the_first_line_offers_nothing(lines: list[str], attributes: dict[str, Any]) -> None:
    """C34: keywords in domain and greeting are words."""
    extensions = Extensions.from_reply(Reply.of(250, " ".join(["mx.test", *lines])))
    assert len(extensions) == 0
    assert not extensions.starttls
    assert extensions.auth == ()


def test_domain_and_greeting_are_the_first_line() -> None:
    """What the server calls itself, and what it says."""
    extensions = Extensions.from_reply(Reply.of(250, "mx.test at your service AUTH PLAIN"))
    assert extensions.domain == "mx.test"
    assert extensions.greeting == "at your service AUTH PLAIN"
    nothing = Extensions.from_reply(Reply(250, ()))
    assert (nothing.domain, nothing.greeting, nothing.lines) == ("", "", ())


def test_it_is_a_mapping_in_any_case() -> None:
    """Keyword to parameters; keywords come in the server's order."""
    extensions = Extensions.from_reply(
        Reply.of(250, "mx.test", "size 10", "XCLIENT NAME ADDR", "AUTH=PLAIN", "xclient LOGIN")
    )
    assert "Size" in extensions
    assert extensions["sIZE"] == ("10",)
    assert extensions["AUTH"] == ("PLAIN",)
    assert extensions["XCLIENT"] == ("NAME", "ADDR")
    assert list(extensions) == ["SIZE", "XCLIENT", "AUTH"]
    assert "DSN" not in extensions
    with pytest.raises(KeyError):
        extensions["DSN"]


def test_it_can_be_written_by_hand() -> None:
    """A test or a server names keywords itself."""
    extensions = Extensions({"size": ("5",), "DSN": ()}, "mx.test", "hello")
    assert extensions.size == 5
    assert extensions.dsn
    assert extensions.lines == ("SIZE 5", "DSN")
    assert repr(extensions) == "Extensions({'SIZE': ('5',), 'DSN': ()}, 'mx.test', 'hello')"
    assert extensions == {"SIZE": ("5",), "DSN": ()}


def test_the_empty_one_offers_nothing() -> None:
    """What holds behind HELO."""
    assert len(EMPTY) == 0
    assert EMPTY.domain == ""
    assert EMPTY.size is None
    assert not EMPTY.pipelining
