"""``smtpconn verify``: the way that messages would go, without a message."""

from __future__ import annotations

import argparse
from typing import Any

from txsmtpconn.cli.attempts import WatchedReactor
from txsmtpconn.cli.exchanges import (
    CLOSING_SECONDS,
    add_exchanges,
    expect_no_exchanges,
    leads_to_exchanges,
    transport_to,
)
from txsmtpconn.cli.findings import (
    Found,
    add_attempts,
    add_connection,
    add_error,
    found_at,
    found_by,
    lines_of,
)
from txsmtpconn.cli.out import tell, tell_json
from txsmtpconn.cli.server import add_server, options_of
from txsmtpconn.client import ConnectionOptions
from txsmtpconn.client.connecting import connect_with
from txsmtpconn.errors import NoCredentialsError, SMTPError
from txsmtpconn.transport import SMTPTransport


def add_verify(commands: Any) -> None:
    """Add the command to those of ``smtpconn``."""
    parser = commands.add_parser(
        "verify",
        help="connect, log in where credentials are given, and say what was found",
        description="Connect, log in where credentials are given, say what was found, and leave."
        " No message is sent. What was found is told also where something failed.",
    )
    add_server(parser)
    add_exchanges(parser.add_argument_group("mx: and srv:"))
    parser.add_argument("--json", action="store_true", help="say it in JSON")
    parser.set_defaults(command=_verify)


async def _verify(reactor: Any, arguments: argparse.Namespace) -> int:
    found: Found
    if leads_to_exchanges(arguments.url):
        # A transport keeps its connections to itself.
        watched = WatchedReactor(reactor, lambda ready: add_connection(found, ready))
        transport = transport_to(arguments, watched)
        found = found_by(arguments.url, transport.options)
        finding = _find_exchange(transport, found)
    else:
        watched = WatchedReactor(reactor)
        options = options_of(arguments, reactor)
        expect_no_exchanges(arguments)
        found = found_at(options)
        finding = _find(watched, options, found)
    try:
        await finding
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


async def _find_exchange(transport: SMTPTransport, found: Found) -> None:
    """Try the way to the exchanges."""
    login = transport.options.auth is not None
    try:
        if login:
            found["login"] = "failed"
        await transport.verify()
        if login:
            found["login"] = "succeeded"
    finally:
        await transport.close(CLOSING_SECONDS)


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
