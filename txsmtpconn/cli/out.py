"""What goes to standard output and standard error: nothing that could steer a terminal."""

from __future__ import annotations

import json
import sys

from txsmtpconn.errors import SMTPError, printable


def tell(text: str) -> None:
    """Print a line of what the command is for."""
    print(printable(text, keep="\n"))


def tell_json(value: object) -> None:
    """Print a value as JSON, for programs and people: indented, in ASCII."""
    print(json.dumps(value, indent=2))


def complain(what: SMTPError | str) -> None:
    """Print why the command fails."""
    text = what if isinstance(what, str) else f"{what.code}: {what}"
    print(f"smtpconn: {printable(text, keep=chr(10))}", file=sys.stderr)
