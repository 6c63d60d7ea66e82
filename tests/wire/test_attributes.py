"""Attributes of XCLIENT and XFORWARD: what is told of a client, and what cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.wire.attributes import (
    XCLIENT,
    XFORWARD,
    encode_attributes,
    parse_attributes,
)
from txsmtpconn.wire.errors import CommandError, LocalProtocolError
from txsmtpconn.wire.limits import ATTRIBUTE

PAIRS = [
    (
        b"NAME=spike.porcupine.org ADDR=168.100.3.2",
        {"NAME": "spike.porcupine.org", "ADDR": "168.100.3.2"},
    ),
    (b"addr=IPV6:2001:DB8::1", {"ADDR": "2001:db8::1"}),
    (b"ADDR=2001:db8::1", {"ADDR": "2001:db8::1"}),
    (b"  NAME=[unavailable]  ADDR=[TEMPUNAVAIL] ", {"NAME": None, "ADDR": None}),
    (
        b"PORT=0 DESTPORT=65535 DESTADDR=127.0.0.1",
        {"PORT": "0", "DESTPORT": "65535", "DESTADDR": "127.0.0.1"},
    ),
    (
        b"PROTO=ESMTP HELO=[192.0.2.1] LOGIN=me+40x.test",
        {"PROTO": "ESMTP", "HELO": "[192.0.2.1]", "LOGIN": "me@x.test"},
    ),
    (b"HELO=a+20b LOGIN=+C3+A4", {"HELO": "a b", "LOGIN": "\xe4"}),
    (b"NAME=" + b"a" * ATTRIBUTE, {"NAME": "a" * ATTRIBUTE}),
]


@pytest.mark.parametrize(("octets", "told"), PAIRS, ids=lambda value: str(value)[:50])
def test_attributes_are_read(octets: bytes, told: dict[str, str | None]) -> None:
    """Names in any case, values decoded; None for what the sender does not know."""
    assert parse_attributes(octets, XCLIENT) == told


def test_xforward_has_attributes_of_its_own() -> None:
    """An identifier for logs, and whether the message came from elsewhere."""
    octets = b"IDENT=4XYZ SOURCE=local"
    assert parse_attributes(octets, XFORWARD) == {"IDENT": "4XYZ", "SOURCE": "LOCAL"}
    with pytest.raises(CommandError):
        parse_attributes(octets, XCLIENT)
    with pytest.raises(CommandError):
        parse_attributes(b"LOGIN=me", XFORWARD)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"NAME",
        b"NAME=",
        b"=x",
        b"COLOUR=red",
        b"N\xffME=x",
        b"NAME=a NAME=b",
        b"NAME=a ADDR=[UNAVAILABLE] addr=192.0.2.1",
        b"NAME=a+0D+0AMAIL",
        b"NAME=a+20b",
        b"NAME=-a",
        b"NAME=a..b",
        b"NAME=a+2",
        b"NAME=a=b",
        b"NAME=" + b"a" * (ATTRIBUTE + 1),
        b"ADDR=192.0.2",
        b"ADDR=192.0.2.1/24",
        b"ADDR=IPV6:192.0.2.1",
        b"ADDR=IPV6:fe80::1+25eth0",
        b"ADDR=x.test",
        b"PORT=65536",
        b"PORT=+2D1",
        b"PORT=x",
        b"PROTO=a+20b",
        b"HELO=a+0Ab",
        b"HELO=a+00",
        b"LOGIN=a+0D+0AReceived:+20evil",
        b"LOGIN=+FF",
        b"LOGIN=+E2+80+8B",
    ],
)
def test_what_cannot_be_believed_is_501(octets: bytes) -> None:
    """Line ends and other controls in xtext among it; the reply quotes none of it."""
    with pytest.raises(CommandError) as refused:
        parse_attributes(octets, XCLIENT)
    assert refused.value.reply.code == 501
    assert b"evil" not in refused.value.reply.encode()


def test_source_is_one_of_two() -> None:
    """LOCAL or REMOTE."""
    with pytest.raises(CommandError):
        parse_attributes(b"SOURCE=here", XFORWARD)


def test_attributes_are_written() -> None:
    """An IPv6 address with its tag, what is unknown in so many words, the rest in xtext."""
    told = {"name": None, "addr": "2001:db8::1", "login": "me+you=us \xe4"}
    words = encode_attributes(told, XCLIENT)
    assert words == [
        b"NAME=[UNAVAILABLE]",
        b"ADDR=IPV6:2001:db8::1",
        b"LOGIN=me+2Byou+3Dus+20+C3+A4",
    ]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"COLOUR": "red"},
        {"IDENT": "x"},
        {"NAME": ""},
        {"NAME": "a b"},
        {"NAME": "a\r\nMAIL FROM:<x>"},
        {"ADDR": "x.test"},
        {"PORT": "99999"},
        {"LOGIN": "a\n"},
        {"HELO": "a" * (ATTRIBUTE + 1)},
    ],
    ids=repr,
)
def test_what_cannot_be_said_is_a_local_error(told: dict[str, str]) -> None:
    """Before a single octet is made."""
    with pytest.raises(LocalProtocolError):
        encode_attributes(told, XCLIENT)


def test_only_what_is_offered_is_written() -> None:
    """A server that lists fewer attributes is told no others."""
    with pytest.raises(LocalProtocolError, match="does not offer"):
        encode_attributes({"LOGIN": "me"}, ("NAME", "ADDR"))


def test_an_attribute_that_we_do_not_know_is_not_written() -> None:
    """Even where the server lists it: nobody could judge its value."""
    with pytest.raises(LocalProtocolError, match="does not offer"):
        encode_attributes({"COLOUR": "red"}, ("COLOUR",))


@given(st.text(min_size=1, max_size=40))
def test_what_is_written_is_read_again(text: str) -> None:
    """Whatever can be said, comes out as it went in."""
    try:
        words = encode_attributes({"HELO": text, "LOGIN": text}, XCLIENT)
    except LocalProtocolError:
        return
    assert parse_attributes(b" ".join(words), XCLIENT) == {"HELO": text, "LOGIN": text}
