"""Headers of the PROXY protocol: read whole, byte by byte, and with what follows; or refused."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.wire.errors import RemoteProtocolError
from txsmtpconn.wire.limits import PROXY_V1, PROXY_V2
from txsmtpconn.wire.proxy_header import ProxyHeader, ProxyHeaderReader

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
FOUR = socket.inet_pton(socket.AF_INET, "192.0.2.7") + socket.inet_pton(socket.AF_INET, "10.0.0.1")
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1")
PORTS = bytes.fromhex("dea80019")  # 57000, 25


def v2(family: int, payload: bytes, command: int = 0x21) -> bytes:
    """Make a header of version 2."""
    return SIGNATURE + bytes((command, family)) + len(payload).to_bytes(2, "big") + payload


KNOWN = ProxyHeader(("192.0.2.7", 57000), ("10.0.0.1", 25))
LONGEST_V1 = (
    b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
    b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
)
HEADERS = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 57000 25\r\n", KNOWN),
    (
        b"PROXY TCP6 2001:DB8::7 ::1 1 65535\r\n",
        ProxyHeader(("2001:db8::7", 1), ("::1", 65535)),
    ),
    (b"PROXY UNKNOWN\r\n", ProxyHeader()),
    (b"PROXY UNKNOWN whatever it says\r\n", ProxyHeader()),
    (LONGEST_V1, ProxyHeader()),
    (v2(0x11, FOUR + PORTS), KNOWN),
    (v2(0x21, SIX + PORTS), ProxyHeader(("2001:db8::7", 57000), ("::1", 25))),
    (v2(0x11, FOUR + PORTS + b"\x03\x00\x04abcd"), KNOWN),
    (v2(0x21, (SIX + PORTS).ljust(216, b"\0")), ProxyHeader(("2001:db8::7", 57000), ("::1", 25))),
    (v2(0x11, FOUR + PORTS, command=0x20), ProxyHeader(local=True)),
    (v2(0x00, b"", command=0x20), ProxyHeader(local=True)),
    (v2(0x00, b""), ProxyHeader()),
    (v2(0x12, FOUR + PORTS), ProxyHeader()),  # UDP
    (v2(0x31, b"\0" * 216), ProxyHeader()),  # unix sockets
]


@pytest.mark.parametrize(("octets", "header"), HEADERS, ids=[str(h[0][:40]) for h in HEADERS])
def test_a_header_is_read_however_it_is_cut(octets: bytes, header: ProxyHeader) -> None:
    """Whole with what follows, and byte by byte with nothing taken of what follows."""
    whole = ProxyHeaderReader()
    assert whole.feed(octets + b"EHLO x\r\n") == header
    assert whole.remainder == b"EHLO x\r\n"
    reader = ProxyHeaderReader()
    found = [reader.feed(octets[at : at + 1]) for at in range(len(octets))]
    assert found == [None] * (len(octets) - 1) + [header]
    assert reader.remainder == b""


def fed_one_by_one(octets: bytes) -> ProxyHeader | None:
    """Feed octets to a reader, each of which must find it waiting for more."""
    reader, found = ProxyHeaderReader(), None
    for at in range(len(octets)):
        assert found is None
        found = reader.feed(octets[at : at + 1])
    return found


WRONG = [
    b"EHLO me.test\r\n",
    b"proxy TCP4 192.0.2.7 10.0.0.1 57000 25\r\n",
    b" PROXY UNKNOWN\r\n",
    b"PROXY\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 57000\r\n",
    b"PROXY TCP4  192.0.2.7 10.0.0.1 57000 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 57000 25 \r\n",
    b"PROXY TCP4 192.0.2.07 10.0.0.1 57000 25\r\n",
    b"PROXY TCP4 192.0.2 10.0.0.1 57000 25\r\n",
    b"PROXY TCP4 2001:db8::7 ::1 57000 25\r\n",
    b"PROXY TCP6 192.0.2.7 10.0.0.1 57000 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 057000 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 57000 25\n",
    b"PROXY UDP4 192.0.2.7 10.0.0.1 57000 25\r\n",
    b"PROXY UNKNOWN \xff\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY " + b"x" * (PROXY_V1 - 6),
    b"PROXY UNKNOWN " + b"x" * (PROXY_V1 - 15) + b"\r\n",
    SIGNATURE[:-1] + b"\r\x21\x11\x00\x0c" + FOUR + PORTS,
    v2(0x11, FOUR + PORTS, command=0x11),
    v2(0x11, FOUR + PORTS, command=0x22),
    v2(0x11, FOUR),
    v2(0x21, FOUR + PORTS),
    v2(0x11, b"\0" * (PROXY_V2 - 16 + 1)),
    v2(0x00, b"\0" * 65535),
]


@pytest.mark.parametrize("octets", WRONG, ids=lambda octets: str(octets[:60]))
def test_what_is_no_header_is_refused(octets: bytes) -> None:
    """Whole, and at the latest with its last octet; it is never waited for more than the cap."""
    with pytest.raises(RemoteProtocolError):
        ProxyHeaderReader().feed(octets)
    with pytest.raises(RemoteProtocolError):
        fed_one_by_one(octets[: PROXY_V2 + 1])


@given(st.binary(max_size=300))
def test_any_octets_are_a_header_or_refused_or_short(octets: bytes) -> None:
    """Nothing else comes out, and no more is waited for than a header can have."""
    reader = ProxyHeaderReader()
    try:
        found = reader.feed(octets)
    except RemoteProtocolError:
        return
    assert found is not None or len(octets) < PROXY_V2
