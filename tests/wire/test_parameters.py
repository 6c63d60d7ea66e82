"""Parameters of MAIL and RCPT, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vectors import parameters as vectors
from txsmtpconn.wire.commands import command_line
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.parameters import (
    DeliverBy,
    MailParameters,
    ParameterError,
    RcptParameters,
)


@pytest.mark.parametrize(
    ("octets", "value"),
    [case[:2] for case in vectors.MAIL],
    ids=[repr(case[0])[:60] for case in vectors.MAIL],
)
def test_mail_parameters_are_written_and_read(octets: bytes, value: MailParameters) -> None:
    """What a client writes, a server reads as the same value; it is command text."""
    assert value.encode() == octets
    assert MailParameters.parse(octets) == value
    assert command_line(b"MAIL", b"FROM:<>" + octets)


@pytest.mark.parametrize(
    ("octets", "value"),
    [case[:2] for case in vectors.MAIL_READ],
    ids=[repr(case[0]) for case in vectors.MAIL_READ],
)
def test_mail_parameters_of_others_are_read(octets: bytes, value: MailParameters) -> None:
    """Keywords and words in any case, numbers as the grammar lets them."""
    assert MailParameters.parse(octets) == value


@pytest.mark.parametrize(
    ("octets", "code", "status"),
    [case[:3] for case in vectors.MAIL_REFUSED],
    ids=[ascii(case[0])[:60] for case in vectors.MAIL_REFUSED],
)
def test_broken_mail_parameters_are_refused(octets: bytes, code: int, status: str) -> None:
    """S11, S36: with the right reply, in which nothing is repeated but a keyword we know."""
    with pytest.raises(ParameterError) as caught:
        MailParameters.parse(octets)
    reply = caught.value.reply
    assert (reply.code, str(reply.enhanced)) == (code, status)
    assert len(reply.encode()) < 80


@pytest.mark.parametrize(
    ("octets", "value"),
    [case[:2] for case in vectors.RCPT],
    ids=[repr(case[0])[:60] for case in vectors.RCPT],
)
def test_rcpt_parameters_are_written_and_read(octets: bytes, value: RcptParameters) -> None:
    """What a client writes, a server reads as the same value; it is command text."""
    assert value.encode() == octets
    assert RcptParameters.parse(octets) == value
    assert command_line(b"RCPT", b"TO:<a@b>" + octets)


@pytest.mark.parametrize(
    ("octets", "value"),
    [case[:2] for case in vectors.RCPT_READ],
    ids=[ascii(case[0]) for case in vectors.RCPT_READ],
)
def test_rcpt_parameters_of_others_are_read(octets: bytes, value: RcptParameters) -> None:
    """Any case, and raw UTF-8 in ORCPT where the transaction has SMTPUTF8."""
    assert RcptParameters.parse(octets, smtputf8=True) == value


@pytest.mark.parametrize(
    ("octets", "code", "status"),
    [case[:3] for case in vectors.RCPT_REFUSED],
    ids=[ascii(case[0])[:60] for case in vectors.RCPT_REFUSED],
)
def test_broken_rcpt_parameters_are_refused(octets: bytes, code: int, status: str) -> None:
    """S36: with the right reply."""
    with pytest.raises(ParameterError) as caught:
        RcptParameters.parse(octets, smtputf8=True)
    assert (caught.value.reply.code, str(caught.value.reply.enhanced)) == (code, status)


def test_raw_utf8_needs_smtputf8() -> None:
    """RFC 6533 section 3: without it ORCPT is ASCII."""
    with pytest.raises(ParameterError) as caught:
        RcptParameters.parse(" ORCPT=utf-8;ü@x".encode())
    assert caught.value.reply.code == 501


@pytest.mark.parametrize(
    ("octets", "extension"),
    [
        (b" SIZE=1", "SIZE"),
        (b" BODY=8BITMIME", "8BITMIME"),
        (b" SMTPUTF8", "SMTPUTF8"),
        (b" RET=FULL", "DSN"),
        (b" ENVID=x", "DSN"),
        (b" AUTH=<>", "AUTH"),
        (b" REQUIRETLS", "REQUIRETLS"),
        (b" PRDR", "PRDR"),
        (b" BY=1;R", "DELIVERBY"),
        (b" MT-PRIORITY=1", "MT-PRIORITY"),
        (b" HOLDFOR=1", "FUTURERELEASE"),
        (b" HOLDUNTIL=2030-01-01T00:00:00Z", "FUTURERELEASE"),
    ],
)
def test_a_parameter_needs_its_extension(octets: bytes, extension: str) -> None:
    """S12: 555 where the server did not offer it; the value does not matter then."""
    MailParameters.parse(octets, offered=Extensions({extension: ()}))
    with pytest.raises(ParameterError) as caught:
        MailParameters.parse(octets, offered=Extensions({"PIPELINING": ()}))
    assert (caught.value.reply.code, str(caught.value.reply.enhanced)) == (555, "5.5.4")


def test_a_binary_body_needs_its_own_extension() -> None:
    """S12: BODY=BINARYMIME with 8BITMIME alone is 555."""
    with pytest.raises(ParameterError) as caught:
        MailParameters.parse(b" BODY=BINARYMIME", offered={"8BITMIME"})
    assert caught.value.reply.code == 555
    both = MailParameters.parse(b" BODY=BINARYMIME", offered={"8BITMIME", "BINARYMIME"})
    assert both.body == "BINARYMIME"


def test_notifications_need_dsn() -> None:
    """S12 for RCPT."""
    assert RcptParameters.parse(b" NOTIFY=NEVER", offered={"DSN"}).notify == ("NEVER",)
    with pytest.raises(ParameterError):
        RcptParameters.parse(b" NOTIFY=NEVER", offered=set())


@pytest.mark.parametrize(
    "values",
    [
        *({"size": size} for size in (-1, 1.5, True, "12", "1\r\n", float("inf"), 10**20, 10**30)),
        {"size": float("nan")},
        {"size": "100\r\nRCPT TO:<attacker@evil.com>"},
        {"size": 10**5000},
        {"body": "8bitmime"},
        {"body": "8BITMIME\r\n"},
        {"ret": "BODY"},
        {"ret": ""},
        {"envid": ""},
        {"envid": 5},
        {"auth": 5},
        {"auth": b"a@b"},
        {"auth": 0},
        {"deliver_by": 5},
        {"deliver_by": (5, "R")},
        {"hold_until": 10**5000},
        {"envid": "a\r\nb"},
        {"envid": "ü"},
        {"envid": "x" * 101},
        {"envid": "+" * 34},
        {"auth": "a"},
        {"auth": "a@b\r\n"},
        {"auth": "ü@b"},
        {"deliver_by": DeliverBy(0, "R")},
        {"deliver_by": DeliverBy(1, "r")},
        {"deliver_by": DeliverBy(10**9, "N")},
        {"deliver_by": DeliverBy(-(10**9), "N")},
        {"deliver_by": DeliverBy(True, "N")},
        {"mt_priority": 10},
        {"mt_priority": -10},
        {"hold_for": 0},
        {"hold_for": 10**9},
        {"hold_until": "2030-01-01"},
        {"hold_until": "2030-01-01T00:00:00Z\n"},
        {"hold_until": "2030-02-30T00:00:00Z"},
        {"hold_for": 1, "hold_until": "2030-01-01T00:00:00Z"},
    ],
    ids=" ".join,
)
def test_a_caller_cannot_write_nonsense(values: dict[str, Any]) -> None:
    """A4 to A7, GHSA-c7w3-x93f-qmm8: it is refused as it is made, in an error of one line."""
    with pytest.raises(LocalProtocolError) as caught:
        MailParameters(**values)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "values",
    [
        {"notify": ("NEVER", "SUCCESS")},
        {"notify": ("never",)},
        {"notify": ("SUCCESS", "SUCCESS")},
        {"notify": ("SUCCESS\r\n",)},
        {"orcpt": "a@b"},
        {"orcpt": b"rfc822;a@b"},
        {"orcpt": "rfc822;"},
        {"orcpt": ";a@b"},
        {"orcpt": "rfc822;ü@b"},
        {"orcpt": "rfc822;a\r\nb"},
        {"orcpt": "utf-8;a\u200b@b"},
        {"orcpt": "rfc 822;a@b"},
        {"orcpt": "rfc822;" + "x" * 494},
        {"orcpt": "rfc822;" + "+" * 165},
    ],
)
def test_a_caller_cannot_ask_for_nonsense(values: dict[str, Any]) -> None:
    """A4, A5: the same for a recipient."""
    with pytest.raises(LocalProtocolError) as caught:
        RcptParameters(**values)
    assert str(caught.value).isprintable()


def test_parameters_are_values() -> None:
    """Frozen, comparable, hashable; the empty ones are shared."""
    assert MailParameters(size=1) == MailParameters(size=1)
    assert len({MailParameters(), MailParameters(), RcptParameters()}) == 2
    with pytest.raises(AttributeError):
        MailParameters().size = 1  # type: ignore[misc]
    assert MailParameters.parse(b"") is MailParameters.parse(b"")
    assert RcptParameters.parse(b"") is RcptParameters.parse(b"")
