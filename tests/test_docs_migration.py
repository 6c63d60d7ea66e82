"""The tables of docs/migration/: complete, and true of the code.

What the pages owe is in tests/vectors/reference_names.py. A row says where a name has gone: to a
name of ours, which exists, or to *none*, with the reason. An example leads to a section with code,
and `make docs` runs that.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import re
from importlib import import_module
from typing import Any, NamedTuple

import pytest

import txsmtpconn
from tests.rst_tables import DOCS, list_tables
from tests.vectors.reference_names import DOCUMENTS, PAGES
from txsmtpconn.server.hooks import Hooks

_LITERAL = re.compile(r"``([^`]+)``")
_LABEL = re.compile(r"^\.\. _([a-z-]+):$", re.MULTILINE)


class Row(NamedTuple):
    """One row of a table."""

    page: str
    table: str
    theirs: str
    ours: str
    notes: str


def page_text(page: str) -> str:
    """Read a page."""
    return (DOCS / "migration" / f"{page}.rst").read_text("utf-8")


def tables_of(page: str) -> dict[str, list[Row]]:
    """Read the tables of a page, by title."""
    return {
        title: [Row(page, title, *[*cells, ""][:3]) for cells in rows]
        for title, rows in list_tables(f"migration/{page}").items()
    }


ROWS = [row for page in PAGES for rows in tables_of(page).values() for row in rows]


def row_id(row: Row) -> str:
    """Name a row in the test's report."""
    return f"{row.page}: {row.table}: {row.theirs.strip('`')}"


def names_in(cell: str) -> list[str]:
    """List what a cell names."""
    return _LITERAL.findall(cell)


class Absent(LookupError):
    """There is nothing of that name."""


def resolve(name: str) -> object:
    """Find what a name of ours stands for.

    It is a public name, one within a module, a hook of the server, or a parameter as in
    ``Envelope(rcpt_to)``.

    Raises:
        Absent: There is no such thing.
    """
    owner, parenthesis, parameter = name.partition("(")
    if parenthesis:
        parameters = inspect.signature(resolve(owner)).parameters  # type: ignore[arg-type]
        if parameter.removesuffix(")") not in parameters:
            raise Absent(name)
        return parameters
    if name in {field.name for field in dataclasses.fields(Hooks)}:
        return name
    first, *rest = name.split(".")
    if first in txsmtpconn.__all__:
        return within(getattr(txsmtpconn, first), rest)
    if hasattr(builtins, name):
        return getattr(builtins, name)
    path = [first, *rest]
    for length in range(len(path), 0, -1):
        try:
            module = import_module(".".join(path[:length]))
        except ImportError:
            continue
        return within(module, path[length:])
    raise Absent(name)


def within(thing: Any, path: list[str]) -> object:
    """Follow attributes, down to one that instances are given when they are made."""
    for name in path:
        given = getattr(getattr(thing, "__init__", None), "__code__", None)
        fields = getattr(thing, "__dataclass_fields__", {})
        if not (hasattr(thing, name) or name in fields or (given and name in given.co_names)):
            raise Absent(name)
        thing = getattr(thing, name, None)
    return thing


@pytest.mark.parametrize("page", PAGES)
def test_every_name_has_a_row(page: str) -> None:
    """No name of the documents is missing, none is invented, and each stands in its table once."""
    found = {
        title: sorted(row.theirs.removeprefix("``").removesuffix("``") for row in rows)
        for title, rows in tables_of(page).items()
    }
    assert found == {title: sorted(names) for title, names in PAGES[page].items()}


@pytest.mark.parametrize("page", PAGES)
def test_every_name_comes_from_somewhere(page: str) -> None:
    """The list says for each name in which document it stands."""
    for names in PAGES[page].values():
        for name, documents in names.items():
            assert documents, name
            assert set(documents) <= set(DOCUMENTS), name


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_the_row_is_true(row: Row) -> None:
    """What it calls ours exists, and what has no counterpart has a reason."""
    if row.ours.startswith(":ref:"):
        section = sections_of(row.page)[row.ours.removeprefix(":ref:`").removesuffix("`")]
        assert ".. testcode::\n\n" in section or ".. doctest::\n" in section
    elif row.ours == "none":
        assert row.notes, "why not?"
    else:
        names = names_in(row.ours)
        assert names
        for name in names:
            resolve(name)


@pytest.mark.parametrize("page", PAGES)
def test_notes_name_what_exists(page: str) -> None:
    """A class or an option with its class that a note mentions is there."""
    for rows in tables_of(page).values():
        for row in rows:
            for name in re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", row.notes):
                if name.partition(".")[0] in txsmtpconn.__all__:
                    resolve(name)


def sections_of(page: str) -> dict[str, str]:
    """Cut a page at its labels."""
    _, *pieces = _LABEL.split(page_text(page))
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def test_what_the_rows_are_held_to() -> None:
    """The two questions above can be answered with no."""
    for name in ("nothing", "SMTPError.nothing", "Envelope(nothing)", "txsmtpconn.nothing"):
        with pytest.raises(Absent):
            resolve(name)


def test_twisted_is_covered() -> None:
    """What `twisted.mail.smtp` lists, and what its senders and interfaces take, has a row."""
    from twisted.mail import smtp

    owed = {*smtp.__all__}
    for sender in (smtp.sendmail, smtp.SMTPSenderFactory, smtp.ESMTPSenderFactory):
        owed.update(inspect.signature(sender).parameters)
    for interface in ("IMessageDeliveryFactory", "IMessageDelivery", "IMessage"):
        owed.update(f"{interface}.{method}" for method in getattr(smtp, interface))
    assert owed <= {name for table in PAGES["twisted"].values() for name in table}
