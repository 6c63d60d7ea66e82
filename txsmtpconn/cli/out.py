"""What goes to standard output and standard error: nothing that could steer a terminal."""

from __future__ import annotations

import json
import os
import sys

from txsmtpconn.errors import SMTPError, printable


def tell(text: str) -> None:
    """Print a line of what the command is for.

    Raises:
        OSError: It cannot be written.
    """
    _write(printable(text, keep="\n"))


def tell_json(value: object) -> None:
    """Print a value as JSON, for programs and people: indented, in ASCII.

    Raises:
        OSError: It cannot be written.
    """
    _write(json.dumps(value, indent=2))


def complain(what: SMTPError | str) -> None:
    """Print why the command fails."""
    text = what if isinstance(what, str) else f"{what.code}: {what}"
    print(f"smtpconn: {printable(text, keep=chr(10))}", file=sys.stderr)


def _write(text: str) -> None:
    # As standard error does: what the terminal has no letters for is no reason to fail.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        # Python would try again at its end, fail, and have an exit code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
