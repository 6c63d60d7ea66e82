"""Text in files that an operator names."""

from __future__ import annotations

from pathlib import Path

from txsmtpconn.errors import ConfigError


def text_of(path: str | Path, limit: int | None = None) -> str:
    """Return what is in a file, secret or not.

    Args:
        path: The file.
        limit: Octets that it may have at most.

    Raises:
        ConfigError: It cannot be read, is not text, or is longer. Nothing of it is shown.
    """
    try:
        with Path(path).open("rb") as file:
            octets = file.read(-1 if limit is None else limit + 1)
        if limit is not None and len(octets) > limit:
            raise ConfigError(f"{str(path)!a} has more than {limit} octets")
        return octets.decode("utf-8")
    except OSError as reason:
        raise ConfigError(f"cannot read {str(path)!a}: {reason.strerror}") from reason
    except UnicodeDecodeError:
        # Not chained: the reason quotes the file.
        raise ConfigError(f"{str(path)!a} is not text in UTF-8") from None


def secret_of(path: str | Path) -> str:
    """Return a secret from a file of its own, without the end of its line.

    Raises:
        ConfigError: As `text_of`.
    """
    return text_of(path).rstrip("\r\n")
