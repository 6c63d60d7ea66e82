"""``--xclient`` and ``--xforward``: in whose name a message is sent, for servers that trust us."""

from __future__ import annotations

import argparse
from typing import Any

from txsmtpconn.client import SMTPConnection
from txsmtpconn.errors import ConfigError


def add_introductions(group: Any) -> None:
    """Add the switches."""
    group.add_argument(
        "--xclient",
        metavar="NAME=VALUE",
        action="append",
        help="be taken for another client (XCLIENT): name, addr, port, proto, helo, login, destaddr"
        " or destport; may be repeated. Without a value: not known",
    )
    group.add_argument(
        "--xforward",
        metavar="NAME=VALUE",
        action="append",
        help="tell where the message comes from (XFORWARD): name, addr, port, proto, helo, ident or"
        " source; may be repeated",
    )


class Introduction:
    """What to say of another client, on one connection.

    Args:
        arguments: The command line's.

    Raises:
        ConfigError: A switch is no name and value, or a name is there twice.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._client = _attributes(arguments.xclient, "--xclient")
        self._forward = _attributes(arguments.xforward, "--xforward")

    def __bool__(self) -> bool:
        return bool(self._client or self._forward)

    async def before_login(self, connection: SMTPConnection) -> None:
        """Say XCLIENT, which ends a login."""
        if self._client:
            await connection.xclient(**self._client)

    async def before_message(self, connection: SMTPConnection) -> None:
        """Say XFORWARD, which holds for one message."""
        if self._forward:
            await connection.xforward(**self._forward)


def _attributes(given: list[str] | None, switch: str) -> dict[str, str | None]:
    attributes: dict[str, str | None] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        name = name.lower()
        if not equals or not name.isidentifier():
            raise ConfigError(f"{switch} is NAME=VALUE, not {text!a}")
        if name in attributes:
            raise ConfigError(f"{switch} {name} is given twice")
        attributes[name] = value or None
    return attributes
