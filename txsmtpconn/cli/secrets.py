"""Passwords and tokens: from a file, the environment or the terminal, and never from arguments.

Every user of a machine can read the arguments of a process.
"""

from __future__ import annotations

import os
import sys

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.files import secret_of


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
    return secret_of(path)
