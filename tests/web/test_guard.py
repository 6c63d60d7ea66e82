"""Who may talk to a page: rebinding, forged requests, and what every answer says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from tests.web.talking import OURS, Talk
from txsmtpconn.web.guard import BODY_OCTETS, HEADERS


class Inner(Resource):
    """Counts what gets through."""

    isLeaf = True
    seen = 0

    def render(self, request: Any) -> bytes:
        self.seen += 1
        request.content.read()
        return b"in"


@pytest.fixture
def inner() -> Inner:
    """What is guarded."""
    return Inner()


@pytest.fixture
def talk(inner: Inner) -> Iterator[Talk]:
    """A site with one name of its own."""
    talking = Talk(inner, Clock(), ("sink.test",))
    yield talking
    talking.close()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8025",
        "LOCALHOST:1",
        "localhost.",
        "x.localhost:8025",
        "127.0.0.1:8025",
        "127.9.9.9",
        "[::1]:8025",
        "192.0.2.7:8025",
        "sink.test",
        "Sink.TEST:80",
    ],
)
def test_hosts_that_are_ours(talk: Talk, inner: Inner, host: str) -> None:
    """Localhost, any address (no name, so nothing to rebind), and what the operator says."""
    assert talk.ask("/", host=host).body == b"in"
    assert inner.seen == 1


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.test",
        "evil.test:8025",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "evil.test#localhost",
        "localhost@evil.test",
        "evil.test/localhost",
        "[::1",
        "sink.test.x",
        "127.0.0.1, evil.test",
        "0x7f.1",
    ],
)
def test_dns_rebinding_is_refused(talk: Talk, inner: Inner, host: str | None) -> None:
    """A site whose name has become our address cannot read a thing."""
    answer = talk.ask("/", host=host)
    assert answer.status in (400, 421)
    assert inner.seen == 0


def test_two_hosts_are_none(talk: Talk, inner: Inner) -> None:
    """Whoever says two things is believed in neither."""
    said = talk.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n").value()
    assert inner.seen == 0
    assert b"200" not in said.split(b"\r\n")[0]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "https://localhost:1",
        "null",
        "",
        "http://localhost",
        "file://",
        "http://localhost:8025.evil.test",
        "ftp://localhost:8025",
        "localhost:8025",
    ],
)
def test_requests_from_other_origins_are_refused(
    talk: Talk, inner: Inner, method: str, origin: str
) -> None:
    """Cross-site request forgery: every browser says where such a request comes from."""
    assert talk.ask("/", method, Origin=origin).status == 403
    assert inner.seen == 0


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_our_own_pages_may_ask(talk: Talk, method: str) -> None:
    """Over TLS in front of us, too; and a program that is no browser says nothing of it."""
    assert (
        talk.ask("/", method, Origin=f"http://{OURS}", Sec_Fetch_Site="same-origin").status == 200
    )
    assert talk.ask("/", method, Origin=f"https://{OURS}").status == 200
    assert talk.ask("/", method).status == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec_Fetch_Site": "none"}, 200),
        ("GET", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("GET", {"Sec_Fetch_Site": "same-site"}, 403),
        ("GET", {"Sec_Fetch_Site": "nonsense"}, 403),
        ("GET", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        (
            "GET",
            {
                "Sec_Fetch_Site": "cross-site",
                "Sec_Fetch_Mode": "navigate",
                "Sec_Fetch_Dest": "iframe",
            },
            403,
        ),
        (
            "GET",
            {
                "Sec_Fetch_Site": "cross-site",
                "Sec_Fetch_Mode": "navigate",
                "Sec_Fetch_Dest": "document",
            },
            200,
        ),
        (
            "POST",
            {
                "Sec_Fetch_Site": "cross-site",
                "Sec_Fetch_Mode": "navigate",
                "Sec_Fetch_Dest": "document",
            },
            403,
        ),
        ("DELETE", {"Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_what_a_browser_says_of_its_reasons(
    talk: Talk, method: str, headers: dict[str, str], status: int
) -> None:
    """A link to the page may be followed; nothing of ours is a part of other pages."""
    assert talk.ask("/", method, **headers).status == status


def test_every_answer_says_what_browsers_are_to_know(talk: Talk) -> None:
    """Refusals, too."""
    for answer in (talk.ask("/"), talk.ask("/", host="evil.test")):
        assert {name: answer.headers[name.lower()] for name in HEADERS} == HEADERS


def test_a_body_without_end_is_not_kept(talk: Talk, inner: Inner) -> None:
    """It is read, so that the client hears the answer, and dropped."""
    assert talk.ask("/", "POST", b"x" * BODY_OCTETS).status == 200
    answer = talk.ask("/", "POST", b"x" * (BODY_OCTETS + 1))
    assert answer.status == 413
    assert inner.seen == 1
    protocol, transport = talk.open[0]
    transport.clear()
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    head = f"POST / HTTP/1.1\r\nHost: {OURS}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    protocol.dataReceived(head)
    for _ in range(40):
        protocol.dataReceived(chunk)
    request = protocol.requests[-1]
    kept = request.content.seek(0, 2) or request.content.tell()
    assert kept <= BODY_OCTETS
    protocol.dataReceived(b"0\r\n\r\n")
    assert b"413" in transport.value()


def test_paths_that_are_no_text_are_refused_without_noise(talk: Talk, inner: Inner) -> None:
    """No traceback in the log for a URL that somebody made up."""
    assert talk.ask("/%ff%fe").status == 400
    assert inner.seen == 0
