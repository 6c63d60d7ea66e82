"""``--xclient`` and ``--xforward``: what they come to, and when it is said."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from txsmtpconn import ConfigError
from txsmtpconn.cli import parsed
from txsmtpconn.cli.introductions import Introduction
from txsmtpconn.testing import success_result_of


class Connection:
    """Keeps what is said on it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, str | None]]] = []

    def xclient(self, **attributes: str | None) -> Deferred[None]:
        self.said.append(("XCLIENT", attributes))
        return succeed(None)

    def xforward(self, **attributes: str | None) -> Deferred[None]:
        self.said.append(("XFORWARD", attributes))
        return succeed(None)


def told(*arguments: str) -> Introduction:
    """What a command line comes to."""
    return Introduction(parsed(["send", "smtp://mx.test", *arguments]))


def test_each_is_said_at_its_time() -> None:
    """A value may hold what it likes; an empty one is not known."""
    connection: Any = Connection()
    introduction = told(
        "--xclient=addr=192.0.2.1", "--xclient=NAME=", "--xforward=helo=a=b", "--xforward=port=25"
    )
    assert introduction
    success_result_of(introduction.before_login(connection))
    assert connection.said == [("XCLIENT", {"addr": "192.0.2.1", "name": None})]
    success_result_of(introduction.before_message(connection))
    assert connection.said[1:] == [("XFORWARD", {"helo": "a=b", "port": "25"})]


def test_without_them_nothing_is_said() -> None:
    """A server that knows neither is none the wiser."""
    connection: Any = Connection()
    introduction = told()
    assert not introduction
    success_result_of(introduction.before_login(connection))
    success_result_of(introduction.before_message(connection))
    assert connection.said == []


@pytest.mark.parametrize(
    "switch", ["--xclient=addr", "--xforward==x", "--xclient=a b=c", "--xforward=a-b=c"]
)
def test_what_is_no_name_and_value_is_refused(switch: str) -> None:
    """And a name that is there twice."""
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        told(switch)
    with pytest.raises(ConfigError, match="twice"):
        told("--xclient=addr=a", "--xclient=ADDR=b")
