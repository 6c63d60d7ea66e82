"""SOCKS 4, 4a and 5 without I/O: the octets of the RFCs, and proxies that lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn import ConfigError, ProxyError
from txsmtpconn.client.proxy.socks import SOCKSHandshake, socks4, socks5

NAME = "mx.test"
GRANTED_4 = b"\x00\x5a\x00\x19\xc0\x00\x02\x19"
GRANTED_5 = b"\x05\x00\x00\x01\xc0\x00\x02\x01\x00\x19"


def five(
    host: str = NAME, port: int = 25, user: str | None = None, password: str | None = None
) -> SOCKSHandshake:
    """A conversation in SOCKS 5."""
    return SOCKSHandshake(socks5(host, port, user, password))


def four(
    host: str = NAME, port: int = 25, user: str | None = None, *, by_name: bool = True
) -> SOCKSHandshake:
    """A conversation in SOCKS 4a."""
    return SOCKSHandshake(socks4(host, port, user, by_name=by_name))


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("mx.test", b"\x03\x07mx.test"),
        ("192.0.2.25", b"\x01\xc0\x00\x02\x19"),
        ("2001:db8::25", b"\x04\x20\x01\x0d\xb8" + b"\x00" * 11 + b"\x25"),
    ],
)
def test_5_asks_for_a_name_or_an_address(host: str, place: bytes) -> None:
    """RFC 1928 section 4: a name goes as a name, so that the proxy looks it up."""
    said = five(host, 587)
    assert said.begin() == b"\x05\x01\x00"
    assert said.receive(b"\x05\x00") == b"\x05\x01\x00" + place + b"\x02\x4b"
    assert said.leftover is None
    assert said.receive(GRANTED_5) == b""
    assert said.leftover == b""


def test_5_logs_in_where_the_proxy_wants_it() -> None:
    """RFC 1929, in UTF-8."""
    said = five(user="jürgen", password="pässword")
    assert said.begin() == b"\x05\x02\x00\x02"
    assert said.receive(b"\x05\x02") == b"\x01\x07j\xc3\xbcrgen\x09p\xc3\xa4ssword"
    assert said.receive(b"\x01\x00") == b"\x05\x01\x00\x03\x07mx.test\x00\x19"
    said.receive(GRANTED_5)
    assert said.leftover == b""


def test_5_says_nothing_secret_to_one_who_does_not_ask() -> None:
    """The proxy may let everybody in."""
    said = five(user="u", password="secret")
    said.begin()
    assert b"secret" not in said.receive(b"\x05\x00")


@pytest.mark.parametrize(
    "bound",
    [b"\x01" + b"\xff" * 4, b"\x04" + b"\xff" * 16, b"\x03\x00", b"\x03\xff" + b"\xff" * 255],
)
def test_5_passes_over_each_kind_of_bound_address(bound: bytes) -> None:
    """What follows it is the server's, octet for octet."""
    said = five()
    said.begin()
    said.receive(b"\x05\x00")
    assert said.receive(b"\x05\x00\x00" + bound + b"\x00\x19220 mx\r\n") == b""
    assert said.leftover == b"220 mx\r\n"


@pytest.mark.parametrize(
    ("host", "user", "request_"),
    [
        ("mx.test", None, b"\x04\x01\x00\x19\x00\x00\x00\x01\x00mx.test\x00"),
        ("mx.test", "me", b"\x04\x01\x00\x19\x00\x00\x00\x01me\x00mx.test\x00"),
        ("192.0.2.25", "me", b"\x04\x01\x00\x19\xc0\x00\x02\x19me\x00"),
    ],
)
def test_4a_asks_for_a_name_or_an_address(host: str, user: str | None, request_: bytes) -> None:
    """An address 0.0.0.x stands for the name behind it."""
    said = four(host, user=user)
    assert said.begin() == request_
    assert said.receive(GRANTED_4 + b"220 mx\r\n") == b""
    assert said.leftover == b"220 mx\r\n"


def test_4_asks_for_an_address_only() -> None:
    """A name would have to be looked up here, and so be told to others than the proxy."""
    assert four("192.0.2.25", by_name=False).begin() == b"\x04\x01\x00\x19\xc0\x00\x02\x19\x00"
    with pytest.raises(ConfigError, match="socks4a"):
        socks4("mx.test", 25, None, by_name=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: socks4("2001:db8::1", 25, None, by_name=True),
        lambda: socks4("mx.test", 25, "a\0b", by_name=True),
        lambda: socks5("mx.test", 25, "u" * 256, "p"),
        lambda: socks5("mx.test", 25, "u", "ü" * 128),
    ],
)
def test_what_cannot_be_said_is_a_mistake(make: Callable[[], object]) -> None:
    """Found before anything is connected."""
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "general failure"),
        (2, "not allowed"),
        (3, "network unreachable"),
        (4, "host unreachable"),
        (5, "connection refused by the server"),
        (6, "TTL expired"),
        (7, "command not supported"),
        (8, "address type not supported"),
        (9, "unknown reply"),
        (255, "unknown reply"),
    ],
)
def test_5_has_words_for_every_refusal(code: int, words: str) -> None:
    """RFC 1928 section 6; nothing behind the code is waited for."""
    said = five()
    said.begin()
    said.receive(b"\x05\x00")
    with pytest.raises(ProxyError, match=f"{words}.*code {code}\\)"):
        said.receive(bytes((5, code, 0, 1)))
    assert said.leftover is None


def test_4_grants_with_90_alone() -> None:
    """Every other code refuses, and is told."""
    for code in (*range(90), *range(91, 256)):
        said = four()
        said.begin()
        with pytest.raises(ProxyError, match=f"refused: .*code {code}\\)"):
            said.receive(bytes((0, code)) + b"\x00" * 6)
        assert said.leftover is None


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([b"\x04\x00"], "begins with 5"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], "begins with 5"),
        ([b"\x05\xff"], "wants a login"),
        ([b"\x05\x02"], "not offered"),
        ([b"\x05\x01"], "not offered"),
        ([b"\x05\x00", b"\x04\x00\x00\x01"], "begins with 5"),
        ([b"\x05\x00", b"\x05\x00\x00\x02"], "address type 2"),
        ([b"\x05\x00", b"\x05\x00\x00\x00"], "address type 0"),
    ],
)
def test_5_believes_no_nonsense(answers: list[bytes], words: str) -> None:
    """A proxy that does not speak SOCKS opens no tunnel."""
    said = five()
    said.begin()
    *before, last = answers
    for answer in before:
        said.receive(answer)
    with pytest.raises(ProxyError, match=words):
        said.receive(last)
    assert said.leftover is None


@pytest.mark.parametrize("status", [1, 255])
def test_5_tells_a_refused_login(status: int) -> None:
    """RFC 1929: any status but 0; the password is in no word of the error."""
    said = five(user="u", password="secret")
    said.begin()
    said.receive(b"\x05\x02")
    with pytest.raises(ProxyError, match="user or password") as caught:
        said.receive(bytes((1, status)))
    assert "secret" not in repr(caught.value)
    none = five(user="u", password="secret")
    none.begin()
    with pytest.raises(ProxyError, match="no way to log in"):
        none.receive(b"\x05\xff")


def test_4_believes_no_nonsense() -> None:
    """A reply begins with 0."""
    said = four()
    said.begin()
    with pytest.raises(ProxyError, match="begins with 0"):
        said.receive(b"\x04\x5a\x00\x00\x00\x00\x00\x00")


@given(st.lists(st.integers(1, 30), max_size=12), st.binary(max_size=20))
def test_pieces_change_nothing(cuts: list[int], behind: bytes) -> None:
    """However the answers are cut, what is asked and what is left over are the same."""
    said = five(user="u", password="p")
    asked = said.begin()
    for answer in (b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x03\x02ab\x00\x19" + behind):
        rest = answer
        for cut in cuts:
            asked += said.receive(rest[:cut]) if said.leftover is None else b""
            rest = rest[cut:] if said.leftover is None else rest
            if said.leftover is not None:
                break
        if said.leftover is None:
            asked += said.receive(rest)
    assert asked == b"\x05\x02\x00\x02" + b"\x01\x01u\x01p" + b"\x05\x01\x00\x03\x07mx.test\x00\x19"
    assert said.leftover is not None
    assert behind.startswith(said.leftover)


@given(st.binary(max_size=64), st.integers(1, 9))
def test_noise_opens_no_tunnel_but_by_the_rules(noise: bytes, piece: int) -> None:
    """Either it is a grant, octet for octet, or an error, or more is waited for."""
    for said in (five(user="u", password="p"), four()):
        said.begin()
        try:
            for start in range(0, len(noise), piece):
                said.receive(noise[start : start + piece])
        except ProxyError:
            continue
        if said.leftover is not None:
            assert noise[:2] in (b"\x05\x00", b"\x05\x02", b"\x00\x5a")
