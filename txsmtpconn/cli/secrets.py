"""Passwords and tokens: from a file, the environment or the terminal, and never from arguments.

Every user of a machine can read the arguments of a process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.cancelled import SendCancelled


def secret(path: str | None, variable: str) -> str | None:
    """Return a secret, or None where there is none.

    Args:
        path: The file that it is in; ``-`` asks on the terminal.
        variable: Where it is in the environment, if no file is named.

    Raises:
        ConfigError: The file cannot be read, or is not text; or there was no answer.
        SendCancelled: The question was interrupted.
    """
    if path == "-":
        import getpass

        try:
            return getpass.getpass("Password: ", sys.stderr)
        except EOFError:
            raise ConfigError("nobody has told the password that was asked for") from None
        except KeyboardInterrupt:
            # The reactor does not look after signals yet.
            raise SendCancelled("the question for the password was interrupted") from None
    if path is None:
        return os.environ.get(variable)
    return text_of(path).rstrip("\r\n")


def text_of(path: str) -> str:
    """Return what is in a file that a switch names, secret or not.

    Raises:
        ConfigError: It cannot be read, or is not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as reason:
        raise ConfigError(f"cannot read {path!a}: {reason.strerror}") from reason
    except ValueError:
        # Not chained: the reason quotes the file.
        raise ConfigError(f"{path!a} is not text in UTF-8") from None
