"""CONNECT without I/O: the request, every answer, and proxies that lie or flood."""

from __future__ import annotations

import sys

import pytest

from txsmtpconn import ConfigError, ProxyError
from txsmtpconn.client.proxy.handshake import SAID_LIMIT, WORDS_LIMIT
from txsmtpconn.client.proxy.http import HTTPHandshake


def asking(user: str | None = None, password: str | None = None) -> HTTPHandshake:
    """A conversation whose request has left."""
    said = HTTPHandshake("mx.test", 25, user, password)
    said.begin()
    return said


@pytest.mark.parametrize(
    ("host", "authority"), [("mx.test", b"mx.test:25"), ("2001:db8::1", b"[2001:db8::1]:25")]
)
def test_the_request_names_host_and_port(host: str, authority: bytes) -> None:
    """RFC 9110 section 9.3.6: authority-form, and a Host field that says the same."""
    request = HTTPHandshake(host, 25, None, None).begin()
    assert request == b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (authority, authority)


def test_a_login_is_basic_in_utf_8() -> None:
    """RFC 7617; a password may be empty and may hold colons, a user may not."""
    request = HTTPHandshake("mx.test", 25, "jürgen", "a:b").begin()
    assert b"\r\nProxy-Authorization: Basic asO8cmdlbjphOmI=\r\n" in request
    assert b"Basic dTo=\r\n" in HTTPHandshake("mx.test", 25, "u", None).begin()
    with pytest.raises(ConfigError, match="colon"):
        HTTPHandshake("mx.test", 25, "a:b", "p")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 299 fine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "octet by octet"])
def test_any_2xx_opens_the_tunnel(answer: bytes, whole: bool) -> None:
    """What follows the head is the server's, whatever length the head speaks of."""
    greeting = b"220 mx.test ESMTP\r\n"
    said = asking()
    if whole:
        assert said.receive(answer + greeting) == b""
        assert said.leftover == greeting
        return
    for octet in answer:
        assert said.leftover is None
        assert said.receive(bytes((octet,))) == b""
    assert said.leftover == b""


@pytest.mark.parametrize(
    ("status", "reason"),
    [(300, "x"), (403, "Forbidden"), (404, "x"), (500, "x"), (502, "Bad Gateway"), (503, "x")],
)
def test_every_other_status_refuses(status: int, reason: str) -> None:
    """In the proxy's words."""
    said = asking()
    with pytest.raises(ProxyError, match=f"refused: {status} {reason}"):
        said.receive(f"HTTP/1.1 {status} {reason}\r\nContent-Length: 9\r\n\r\n".encode())
    assert said.leftover is None


def test_407_says_what_it_asks_for() -> None:
    """Which tells the user of a proxy for Kerberos only that a password is no use."""
    said = asking(user="u", password="secret")
    with pytest.raises(ProxyError, match=r"407 Auth.*Negotiate, NTLM.*we have Basic") as caught:
        said.receive(
            b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Negotiate\r\n"
            b"Proxy-Authenticate: NTLM\r\n\r\n"
        )
    assert "secret" not in repr(caught.value)
    assert "c2VjcmV0" not in repr(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mx.test ESMTP\r\n\r\n",
        b"\x05\x00",
        b"\x16\x03\x01\x00\x05hello\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 99 x\r\n\r\n",
    ],
)
def test_what_is_not_http_opens_nothing(answer: bytes) -> None:
    """EPROXY, though a mail server or a TLS port should answer."""
    said = asking()
    with pytest.raises(ProxyError):
        said.receive(answer + b"\r\n\r\n")
    assert said.leftover is None


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"x", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"HTTP/1.1 ", b"102 x\r\n\r\nHTTP/1.1 "),
    ],
    ids=["no line end", "headers", "interim"],
)
def test_a_flood_is_cut_off(start: bytes, more: bytes) -> None:
    """64 KiB is what a proxy may say before the tunnel is open."""
    said = asking()
    said.receive(start)
    for _ in range((SAID_LIMIT - len(start)) // len(more)):
        said.receive(more)
    with pytest.raises(ProxyError):
        said.receive(more * 2)


def test_what_it_says_is_escaped_and_cut() -> None:
    """An error goes to logs and terminals."""
    said = asking()
    with pytest.raises(ProxyError) as caught:
        said.receive(b"HTTP/1.1 500 a\xe9\xe2\x80\xaeb" + b"z" * 9999 + b"\r\n\r\n")
    text = str(caught.value)
    assert text.isprintable()
    assert "\\u202e" in text
    assert len(text) < WORDS_LIMIT + 60


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """SOCKS needs none."""
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(ConfigError, match=r"txsmtpconn\[proxy\]"):
        HTTPHandshake("mx.test", 25, None, None)
