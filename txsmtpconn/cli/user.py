"""``smtpconn user``: a line for a relay's file of users."""

from __future__ import annotations

import argparse
from typing import Any

from txsmtpconn.cli.out import tell
from txsmtpconn.cli.secrets import secret
from txsmtpconn.errors import ConfigError


def add_user(commands: Any) -> None:
    """Add the command to those of ``smtpconn``."""
    parser = commands.add_parser(
        "user",
        help="print a line for a relay's file of users",
        description="Ask for a password and print NAME with its hash, as `twistd smtprelay --users`"
        " wants it; append it to that file.",
    )
    parser.add_argument("name", help="the user's name")
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        default="-",
        help="where the password is; - asks on the terminal",
    )
    parser.set_defaults(command=_user)


async def _user(reactor: Any, arguments: argparse.Namespace) -> int:
    # Only here: it brings the whole server.
    from txsmtpconn.relay.users import PasswordHash

    del reactor
    name: str = arguments.name
    if not name or not name.isprintable() or ":" in name or name.startswith("#"):
        raise ConfigError(f"a user's name is printable text without a colon, not {name!a}")
    password = secret(arguments.password_file, "SMTPCONN_PASSWORD")
    if not password:
        raise ConfigError("the password is empty")
    tell(f"{name}:{PasswordHash.of(password)}")
    return 0
