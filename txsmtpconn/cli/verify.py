"""``smtpconn verify``: the way that messages would go, without a message."""

from __future__ import annotations

import argparse
from typing import Any

from txsmtpconn.cli.attempts import WatchedReactor
from txsmtpconn.cli.findings import (
    Found,
    add_attempts,
    add_connection,
    add_error,
    found_at,
    lines_of,
)
from txsmtpconn.cli.out import tell, tell_json
from txsmtpconn.cli.server import add_server, options_of
from txsmtpconn.client import ConnectionOptions
from txsmtpconn.client.connecting import connect_with
from txsmtpconn.errors import NoCredentialsError, SMTPError


def add_verify(commands: Any) -> None:
    """Add the command to those of ``smtpconn``."""
    parser = commands.add_parser(
        "verify",
        help="connect, log in where credentials are given, and say what was found",
        description="Connect, log in where credentials are given, say what was found, and leave."
        " No message is sent. What was found is told also where something failed.",
    )
    add_server(parser)
    parser.add_argument("--json", action="store_true", help="say it in JSON")
    parser.set_defaults(command=_verify)


async def _verify(reactor: Any, arguments: argparse.Namespace) -> int:
    options = options_of(arguments)
    found = found_at(options)
    watched = WatchedReactor(reactor)
    try:
        await _find(watched, options, found)
    except SMTPError as error:
        add_error(found, error)
        raise
    finally:
        add_attempts(found, watched.attempts)
        if arguments.json:
            tell_json(found)
        else:
            for line in lines_of(found):
                tell(line)
    return 0


async def _find(reactor: Any, options: ConnectionOptions, found: Found) -> None:
    connection = await connect_with(reactor, options)
    try:
        add_connection(found, connection)
        if options.auth is not None:
            found["login"] = "failed"
            await connection.login()
            found["login"] = "succeeded"
        elif options.force_auth and connection.allows_auth:
            text = "a login is wanted, and there are no credentials"
            raise NoCredentialsError(text, command="API")
    finally:
        await connection.quit()
