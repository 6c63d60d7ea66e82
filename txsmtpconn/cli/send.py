"""``smtpconn send``: one message from a file or standard input."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from txsmtpconn.cli.exchanges import (
    CLOSING_SECONDS,
    add_exchanges,
    expect_no_exchanges,
    leads_to_exchanges,
    transport_to,
)
from txsmtpconn.cli.exit_codes import SOME_REFUSED
from txsmtpconn.cli.introductions import Introduction, add_introductions
from txsmtpconn.cli.out import complain, tell
from txsmtpconn.cli.pieces import Pieces, split
from txsmtpconn.cli.progress import Progress
from txsmtpconn.cli.server import add_server, options_of
from txsmtpconn.client.connecting import connect_with
from txsmtpconn.envelope import DSN, Envelope
from txsmtpconn.errors import ConfigError
from txsmtpconn.outcome import RecipientOutcome, SendResult
from txsmtpconn.transport.preparation import envelope_addresses, without_bcc

#: Carries a message, and tells what became of it.
Deliver = Callable[[Envelope, AsyncIterator[bytes]], Awaitable[SendResult]]


def add_send(commands: Any) -> None:
    """Add the command to those of ``smtpconn``."""
    parser = commands.add_parser(
        "send",
        help="send a message",
        description="Send a message from a file or standard input. Sender and recipients are those"
        " of its header section, unless they are given; Bcc fields are not sent.",
    )
    add_server(parser)
    parser.add_argument("file", nargs="?", default="-", help="the message; - is standard input")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    _add_envelope(parser.add_argument_group("envelope"))
    add_introductions(parser.add_argument_group("in the name of another client"))
    add_exchanges(parser.add_argument_group("mx: and srv:"))
    parser.set_defaults(command=_send)


def _add_envelope(group: Any) -> None:
    group.add_argument(
        "-f",
        "--from",
        dest="mail_from",
        metavar="ADDRESS",
        help="the sender; an empty one is the null reverse-path",
    )
    group.add_argument(
        "-t",
        "--to",
        dest="rcpt_to",
        metavar="ADDRESS",
        action="append",
        help="a recipient; may be repeated",
    )
    group.add_argument("--ret", choices=["full", "hdrs"], help="what a failure report returns")
    group.add_argument("--envid", help="an identifier that reports repeat")
    group.add_argument("--notify", metavar="LIST", help="never, or any of success,failure,delay")
    group.add_argument(
        "--body", choices=["7bit", "8bitmime", "binarymime"], help="declare the body"
    )
    group.add_argument(
        "--require-tls-onwards",
        action="store_true",
        help="ask for TLS on the whole way (REQUIRETLS, RFC 8689)",
    )
    group.add_argument(
        "--prdr",
        action="store_true",
        help="ask for a reply for each recipient to the message, where the server can (PRDR)",
    )


async def _send(reactor: Any, arguments: argparse.Namespace) -> int:
    # Mistakes in the switches are found before a message is waited for.
    exchanges = leads_to_exchanges(arguments.url)
    deliver = (_to_exchanges if exchanges else _to_server)(reactor, arguments)
    with Pieces.of(reactor, arguments.file) as pieces:
        head, rest = await split(pieces)
        envelope = _envelope(arguments, head, pieces.size)
        progress = Progress(sys.stderr, pieces.size, quiet=arguments.quiet)
        message = progress.over(_all_of(without_bcc(head) + rest, pieces))
        try:
            result = await deliver(envelope, message)
        finally:
            progress.end()
    if not arguments.quiet:
        _tell_fates(result)
    return SOME_REFUSED if result.rejected else 0


def _tell_fates(result: SendResult) -> None:
    """Print what became of the recipients; where nobody reads it, the exit code tells it still."""
    try:
        for outcome in result.recipients:
            tell(_fate(outcome))
    except OSError as reason:
        complain(f"standard output: {reason.strerror}")


def _to_server(reactor: Any, arguments: argparse.Namespace) -> Deliver:
    options = options_of(arguments, reactor)
    expect_no_exchanges(arguments)
    introduction = Introduction(arguments)

    async def deliver(envelope: Envelope, message: AsyncIterator[bytes]) -> SendResult:
        connection = await connect_with(reactor, options)
        try:
            await introduction.before_login(connection)
            if options.auth is not None:
                await connection.login()
            await introduction.before_message(connection)
            return await connection.send(envelope, message)
        finally:
            await connection.quit()

    return deliver


def _to_exchanges(reactor: Any, arguments: argparse.Namespace) -> Deliver:
    transport = transport_to(arguments, reactor)
    if Introduction(arguments):
        raise ConfigError("--xclient and --xforward are for one server")

    async def deliver(envelope: Envelope, message: AsyncIterator[bytes]) -> SendResult:
        # Several destinations each want the whole of it, and one may want it again.
        with tempfile.TemporaryFile() as copy:
            async for piece in message:
                copy.write(piece)
            copy.seek(0)
            try:
                return await transport.send(envelope, copy)
            finally:
                await transport.close(CLOSING_SECONDS)

    return deliver


async def _all_of(beginning: bytes, pieces: Pieces) -> AsyncIterator[bytes]:
    yield beginning
    while piece := await pieces.read():
        yield piece


def _envelope(arguments: argparse.Namespace, head: bytes, size: int | None) -> Envelope:
    mail_from, rcpt_to = arguments.mail_from, arguments.rcpt_to
    if mail_from is None or rcpt_to is None:
        named = envelope_addresses(head) if rcpt_to is None else None
        if mail_from is None:
            mail_from = (named or envelope_addresses(head + b"\r\nTo: nobody@invalid\r\n"))[0]
        if named is not None:
            rcpt_to = named[1]
    dsn = None
    if arguments.ret or arguments.envid or arguments.notify:
        dsn = DSN(ret=arguments.ret, envid=arguments.envid, notify=arguments.notify)
    return Envelope(
        mail_from,
        rcpt_to,
        size=size,
        dsn=dsn,
        body=arguments.body,
        requiretls=arguments.require_tls_onwards,
        prdr=arguments.prdr,
    )


def _fate(outcome: RecipientOutcome) -> str:
    reply = "" if outcome.reply is None else f" ({outcome.reply})"
    return f"{outcome.address}: {outcome.delivery.value}{reply}"
