"""A value for each domain, with one for those that have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from txsmtpconn.errors import ConfigError
from txsmtpconn.wire.domain import ascii_domain
from txsmtpconn.wire.errors import LocalProtocolError

_T = TypeVar("_T")


class DomainTable(Generic[_T]):
    """Values by domain.

    Args:
        default: For a domain that has no row.
        rows: Domain -> value. ``".example.org"`` stands for all domains below it; the longest that
            fits counts.

    Raises:
        ConfigError: The name of a row is none.
    """

    def __init__(self, default: _T, rows: Mapping[str, _T]) -> None:
        self.default = default
        self.rows = {spelled(domain): row for domain, row in rows.items()}

    def __getitem__(self, domain: str) -> _T:
        """Return the value of a domain, by its name in A-labels and lower case."""
        found = self.rows.get(domain)
        while found is None:
            _, dot, domain = domain.partition(".")
            if not dot:
                return self.default
            found = self.rows.get(f".{domain}")
        return found

    def values(self) -> Iterator[_T]:
        """Go through all of them, the default first."""
        yield self.default
        yield from self.rows.values()


def spelled(text: str) -> str:
    """Return the name of a row in its one spelling.

    Raises:
        ConfigError: It is no domain.
    """
    try:
        dot = "." if text.startswith(".") else ""
        return dot + ascii_domain(text.removeprefix(".").rstrip(".")).lower()
    except (LocalProtocolError, AttributeError) as reason:
        raise ConfigError(f"a row of a table has the name of a domain, not {text!a}") from reason
