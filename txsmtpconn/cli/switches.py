"""Switches that mean nothing without another."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from txsmtpconn.errors import ConfigError


def expect_none(arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Refuse switches.

    Args:
        arguments: The command line's.
        names: Theirs, as argparse keeps them.
        why: What the error says of the first that is given.

    Raises:
        ConfigError: One of them is given.
    """
    for name in names:
        if getattr(arguments, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} {why}")
