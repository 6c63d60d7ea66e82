"""The tables of docs/reference/: each says what the code does, and leaves nothing out."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

import txsmtpconn
from tests.rst_tables import DOCS, list_tables
from txsmtpconn import Delivery, SMTPError
from txsmtpconn.cli import make_parser
from txsmtpconn.server import ServerOptions, ServerTimeouts
from txsmtpconn.session.server.rules import DEFAULT_EXTENSIONS, PROMISES
from txsmtpconn.wire.extensions import EMPTY, Extensions

ERRORS = list_tables("reference/errors")["The errors"]
MATRIX = list_tables("reference/extensions")[""]
LIMITS = list_tables("howto/limits")["The limits"]
PRIVATE = list_tables("reference/extensions")["Extensions without an RFC"]

#: What a keyword needs so that something can be read from it.
PARAMETERS = {
    "AUTH": ("PLAIN",),
    "DELIVERBY": ("60",),
    "FUTURERELEASE": ("60", "2030-01-01T00:00:00Z"),
    "LIMITS": ("RCPTMAX=1", "MAILMAX=1", "RCPTDOMAINMAX=1"),
    "MT-PRIORITY": ("MIXER",),
    "SIZE": ("1",),
}
#: Extensions that no RFC describes: they have a table of their own.
UNNUMBERED = [row[0] for row in PRIVATE]
#: Where the tests with a real program are.
INTEROP = {
    "Postfix": "test_postfix",
    "Exim": "test_exim",
    "Dovecot": "test_dovecot",
    "OpenSMTPD": "test_opensmtpd",
    "smtp-sink": "test_smtp_sink",
    "smtp-server": "test_libraries",
    "aiosmtpd": "test_libraries",
    "GNU SASL": "test_sasl",
    "HAProxy": "test_behind",
}


def error_classes() -> dict[str, type[SMTPError]]:
    """Return the public error classes by name."""
    found = {name: getattr(txsmtpconn, name) for name in txsmtpconn.__all__}
    return {
        name: each
        for name, each in found.items()
        if inspect.isclass(each) and issubclass(each, SMTPError)
    }


def test_every_error_has_a_row() -> None:
    """The table names each public error class once."""
    assert sorted(row[0] for row in ERRORS) == sorted(f"`{name}`" for name in error_classes())


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row[0].strip("`"))
def test_the_row_of_an_error_is_true(row: list[str]) -> None:
    """Its code, and whether another attempt is worth while where there is no reply."""
    name, code, when, again, delivery = row
    error = error_classes()[name.strip("`")]("")
    assert error.code == code
    assert when
    assert error.is_transient == {"yes": True, "no": False}[again]
    assert {Delivery[word] for word in delivery.split(", ")} <= set(Delivery) - {Delivery.ACCEPTED}


def keywords() -> list[str]:
    """Return the EHLO keywords of the matrix; LMTP is a protocol."""
    return [row[1] for row in MATRIX if row[1] != "LMTP"]


def test_the_matrix_names_what_the_server_offers() -> None:
    """Every extension of the server has one row, and the row says which are promises."""
    assert sorted(keywords()) == sorted(
        {*DEFAULT_EXTENSIONS, *PROMISES, "STARTTLS", "AUTH"} - {*UNNUMBERED}
    )
    promised = {keyword for _, keyword, _, server, _ in MATRIX if server == "with ``promises``"}
    assert promised == PROMISES - {*UNNUMBERED}


def test_the_matrix_names_what_the_client_reads() -> None:
    """Every keyword is read, and nothing is read from a keyword without a row."""
    attributes = set(Extensions.__slots__) - {"_keywords", "domain", "greeting", "lines"}
    read: set[str] = set()
    for keyword in keywords():
        offered = Extensions({keyword: PARAMETERS.get(keyword, ())})
        found = {name for name in attributes if getattr(offered, name) != getattr(EMPTY, name)}
        assert found, keyword
        read |= found
    assert read == attributes


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row[1])
def test_the_row_of_an_extension_is_true(row: list[str]) -> None:
    """It names an RFC, parameters of ours that exist, and programs that there are tests with."""
    rfc, _, client, _, peers = row
    assert re.fullmatch(r":rfc:`\d{4}`", rfc)
    parameters = {field.name for field in dataclasses.fields(txsmtpconn.Envelope)}
    parameters |= {field.name for field in dataclasses.fields(txsmtpconn.ConnectionOptions)}
    for literal in re.findall(r"``([^`]+)``", client):
        assert literal.partition("=")[0] in parameters
    if peers != "no real peer":
        for peer in peers.split(", "):
            assert (DOCS.parent / "tests" / "interop" / f"{INTEROP[peer]}.py").exists()


@pytest.mark.parametrize("row", PRIVATE, ids=lambda row: row[0])
def test_the_row_of_a_private_extension_is_true(row: list[str]) -> None:
    """It names options of ours that exist, and programs that there are tests with."""
    _, client, server, peers = row
    for cell, kinds in (
        (client, (txsmtpconn.Envelope, txsmtpconn.ConnectionOptions, txsmtpconn.SMTPConnection)),
        (server, (txsmtpconn.ServerOptions,)),
    ):
        known = {
            name for kind in kinds for name in (*dir(kind), *inspect.signature(kind).parameters)
        }
        for literal in re.findall(r"``([^`]+)``", cell):
            assert literal.partition("(")[0] in known
    if peers != "no real peer":
        for peer in peers.replace(", as server and as client", "").split(", "):
            assert (DOCS.parent / "tests" / "interop" / f"{INTEROP[peer]}.py").exists()


def test_every_command_is_shown() -> None:
    """The page of commands shows the help of each: those of ours, and twistd's services."""
    told = make_parser().format_help()
    commands = {f"smtpconn {name}" for name in re.findall(r"^    ([a-z]+)  ", told, re.MULTILINE)}
    plugins = (DOCS.parent / "twisted" / "plugins" / "txsmtpconn_plugins.py").read_text("utf-8")
    services = re.findall(r"^(\w+) = ServiceMaker", plugins, re.MULTILINE)
    commands |= {f"twistd {name}" for name in services}
    page = (DOCS / "reference" / "commands.rst").read_text("utf-8")
    assert set(re.findall(r"^\.\. command-help:: (.+)$", page, re.MULTILINE)) == commands


def test_every_limit_of_the_server_has_a_row_with_its_default() -> None:
    """So nobody has to guess what a client may do."""
    told = {row[0].strip("`"): row[1] for row in LIMITS}
    options, timeouts = ServerOptions(), ServerTimeouts()
    own = {
        f"timeouts.{each.name}": getattr(timeouts, each.name)
        for each in dataclasses.fields(timeouts)
    }
    own |= {name: getattr(options, name) for name in told if "." not in name}
    assert told == {name: str(value) for name, value in own.items()}
    assert set(told) >= {"max_clients", "max_size", "max_recipients", "max_errors", "minimum_rate"}
