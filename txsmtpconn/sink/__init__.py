"""A server that takes every message, for tests and demonstrations; it delivers none.

Importing this package imports no Twisted: its rules are for a process without it, too. Each name is
loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txsmtpconn.sink.mailbox import Mailbag as Mailbag
    from txsmtpconn.sink.rulebook import RuleBook as RuleBook
    from txsmtpconn.sink.ruled import RuledFactory as RuledFactory
    from txsmtpconn.sink.taking import Sink as Sink

_HOMES = {
    "Mailbag": "mailbox",
    "RuleBook": "rulebook",
    "RuledFactory": "ruled",
    "Sink": "taking",
}

__all__ = ["Mailbag", "RuleBook", "RuledFactory", "Sink"]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
