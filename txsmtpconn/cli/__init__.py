"""``smtpconn``: send a message, or look whether a server would take one.

Exit codes: 0 all is well; 1 some recipients were refused; 2 the message may or may not have been
delivered, so that sending it again may make a duplicate. Otherwise nothing was delivered, and the
codes are those of sysexits(3): 64 usage, 65 the message, 68 no such host, 69 refused for good, 75
try again later, 76 the server broke the protocol, 77 the login was refused, 78 configuration.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react

from txsmtpconn import __version__
from txsmtpconn.cli.exit_codes import TRY_AGAIN, UNREADABLE, USAGE, exit_code
from txsmtpconn.cli.out import complain
from txsmtpconn.cli.queue import add_queue
from txsmtpconn.cli.send import add_send
from txsmtpconn.cli.user import add_user
from txsmtpconn.cli.verify import add_verify
from txsmtpconn.errors import SMTPError


class _Parser(argparse.ArgumentParser):
    """Ends with a code that says nothing of a message: argparse's own is that of doubt."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def main(argv: list[str] | None = None) -> None:
    """Run the command; ends the process."""
    arguments = parsed(argv)
    react(lambda reactor: _running(reactor, arguments), ())


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = _Parser(prog="smtpconn", description="Send mail by SMTP or LMTP.")
    parser.add_argument("--version", action="version", version=f"smtpconn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_send, add_verify, add_user, add_queue):
        add(commands)
    return parser


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line; the file may stand behind switches, where argparse overlooks it."""
    parser = make_parser()
    arguments, rest = parser.parse_known_args(argv)
    if getattr(arguments, "file", None) == "-" and len(rest) == 1:
        [file] = rest
        if file == "-" or not file.startswith("-"):
            arguments.file, rest = file, []
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return arguments


def _running(reactor: Any, arguments: argparse.Namespace) -> Deferred[None]:
    """Run the command; a signal cancels it, and waits for what it says of the message."""
    working: Deferred[None] = Deferred.fromCoroutine(_run(reactor, arguments))

    def interrupt() -> Deferred[None]:
        over: Deferred[None] = Deferred()

        def ended(outcome: object) -> object:
            over.callback(None)
            return outcome

        working.addBoth(ended)
        # Does nothing where the command has come to its end, and that is why the reactor stops.
        working.cancel()
        return over

    reactor.addSystemEventTrigger("before", "shutdown", interrupt)
    return working


async def _run(reactor: Any, arguments: argparse.Namespace) -> None:
    try:
        code = await arguments.command(reactor, arguments)
    except SMTPError as error:
        complain(error)
        code = exit_code(error)
    except CancelledError:
        complain("interrupted")
        code = TRY_AGAIN
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        complain(f"{where}{error.strerror or error}")
        code = UNREADABLE
    raise SystemExit(code)


__all__ = ["main"]
