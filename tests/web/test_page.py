"""The sink's page and its API, asked without a socket; messages come in by SMTP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tests.web.talking import Talk
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import RequireTLSError
from txsmtpconn.outcome import Delivery, RecipientOutcome
from txsmtpconn.server import ServerOptions
from txsmtpconn.sink import Mailbag, RuleBook, RuledFactory, Sink
from txsmtpconn.sink.ruletext import parse_rule
from txsmtpconn.sink.shelf import Shelf
from txsmtpconn.web.sink.page import LISTED, PAGE_POLICY, SinkPage
from txsmtpconn.web.sink.release import Releases
from txsmtpconn.web.stream import EventStream
from txsmtpconn.wire.reply import Reply

JSON = {"Content_Type": "application/json"}


class Transport:
    """A transport that notes what it is to send."""

    options = SimpleNamespace(path=None, host="real.test", port=587)

    def __init__(self) -> None:
        self.sent: list[tuple[Envelope, bytes]] = []
        self.error: Exception | None = None

    async def send(self, envelope: Envelope, message: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.sent.append((envelope, message.read()))

        reply = Reply.of(250, "2.0.0 Ok")
        outcomes = [
            RecipientOutcome(each.address, reply, Delivery.ACCEPTED) for each in envelope.recipients
        ]
        return SimpleNamespace(recipients=outcomes)


class Sunk:
    """A sink with a page, and a client of each."""

    def __init__(self, directory: Path, allowed: list[str] | None = None) -> None:
        self.clock = Clock()
        self.bag = Mailbag(directory)
        self.shelf = Shelf(self.bag)
        self.book = RuleBook(5)
        self.factory = RuledFactory(
            self.clock,
            Sink(self.bag, shelf=self.shelf),
            ServerOptions(name="sink.test"),
            self.book,
            records=True,
        )
        self.transport = Transport()
        releases = None
        if allowed is not None:
            releases = Releases(self.transport, allowed)  # type: ignore[arg-type]
        self.stream = EventStream(self.clock)
        page = SinkPage(
            self.shelf, self.stream, lambda: {"taken": 7}, self.book, releases, maybeDeferred
        )
        self.talk = Talk(page.resource(), self.clock)
        self.ask = self.talk.ask

    def send(
        self, octets: bytes, mail_from: str = "a@x.test", rcpt_to: tuple[str, ...] = ("b@y.test",)
    ) -> str:
        """Send a message by SMTP; return its name."""
        transport = StringTransport()
        protocol: Any = self.factory.buildProtocol(None)
        protocol.makeConnection(transport)
        lines = ["EHLO me.test", f"MAIL FROM:<{mail_from}>"]
        lines += [*(f"RCPT TO:<{each}>" for each in rcpt_to), "DATA", ""]
        protocol.dataReceived("\r\n".join(lines).encode())
        protocol.dataReceived(octets.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
        assert b"kept as" in transport.value(), transport.value()
        protocol.connectionLost()
        return list(self.shelf)[-1]

    def message(self, **fields: str) -> str:
        """Send a message with these fields; return its name."""
        message = EmailMessage()
        text = fields.pop("text", "Hello\n")
        for name, value in fields.items():
            message[name] = value
        message.set_content(text)
        return self.send(message.as_bytes().replace(b"\n", b"\r\n"))

    def listed(self, query: str = "") -> list[str]:
        """Return the names of the messages that are listed."""
        return [each["id"] for each in self.ask(f"/api/messages{query}").json["messages"]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Sunk]]:
    """Make sinks."""
    made = []

    def make_one(allowed: list[str] | None = None) -> Sunk:
        made.append(Sunk(tmp_path / str(len(made)), allowed))
        return made[-1]

    yield make_one
    for each in made:
        each.talk.close()


@pytest.fixture
def sunk(make: Callable[..., Sunk]) -> Sunk:
    """A sink."""
    return make()


def test_the_page_itself(sunk: Sunk) -> None:
    """It may load what is ours, and nothing else; its files are there, and no others."""
    page = sunk.ask("/")
    assert page.headers["content-security-policy"] == PAGE_POLICY
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.body.decode()
    for part in text.split('"'):
        if part.startswith("/static/"):
            assert sunk.ask(part).status == 200, part
    assert sunk.ask("/static/sink.js").headers["content-type"].startswith("text/javascript")
    for path in ("/static/index.html", "/static/../page.py", "/static/%2e%2e%2fpage.py"):
        assert sunk.ask(path).status == 404, path
    assert "http:" not in text
    assert "https:" not in text


def test_nothing_in_the_page_needs_what_its_policy_forbids(sunk: Sunk) -> None:
    """No script or style within the document, no handler in an attribute, no HTML of text."""
    page = sunk.ask("/").body.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert " on" not in page.replace(" one ", " ").replace(" once", "").replace(" only", "")
    scripts = b"".join(sunk.ask(f"/static/{name}").body for name in ("sink.js", "view.js"))
    for word in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
        assert word not in scripts


def test_status(make: Callable[..., Sunk]) -> None:
    """What a developer wants to know of the sink, rules and all."""
    sunk = make(["*@ok.test"])
    sunk.book.add(parse_rule("RCPT to=x@* 12.5% reject 451")[0])
    sunk.message(Subject="x")
    told = sunk.ask("/api/status").json
    assert told["taken"] == 7
    assert told["kept"] == 1
    assert told["octets"] == sunk.shelf.octets > 0
    assert told["seed"] == 5
    assert told["rules"] == [
        {"rule": "RCPT 'to=x@*' 12.5% reject 451 4.1.1 'Refused by a rule'", "hits": 0}
    ]
    assert told["release"] == {"server": "real.test:587", "allowed": ["*@ok.test"]}
    assert make().ask("/api/status").json["release"] is None


def test_rules_can_be_replaced(sunk: Sunk) -> None:
    """All at once, or not at all; the sink follows them from then on."""
    rules = {"rules": ["RCPT to=gone@* reject 550", "MAIL,DATA 50% delay 1"]}
    answer = sunk.ask("/api/rules", "PUT", json.dumps(rules).encode(), **JSON)
    assert [each["rule"].split(" ")[0] for each in answer.json["rules"]] == ["RCPT", "MAIL", "DATA"]
    assert [rule.verb for rule in sunk.book] == ["RCPT", "MAIL", "DATA"]
    assert sunk.ask("/api/rules").json == answer.json
    for body in (
        {"rules": ["RCPT reject", "RCPT explode"]},
        {"rules": "RCPT reject"},
        {"rules": [1]},
        {"rules": ["RCPT reject"] * 1001},
        {"rules": [], "more": 1},
        {},
    ):
        refused = sunk.ask("/api/rules", "PUT", json.dumps(body).encode(), **JSON)
        assert refused.status == 400
        assert refused.json["error"]
    assert sunk.ask("/api/rules", "PUT", b'{"rules": []}', Origin="http://x", **JSON).status == 403
    assert len(sunk.book) == 3
    assert sunk.ask("/api/rules", "PUT", b'{"rules": []}', **JSON).json["rules"] == []
    assert list(sunk.book) == []


def test_the_list_is_newest_first_and_comes_in_pages(sunk: Sunk) -> None:
    """Each message once, and how many there are."""
    names = [sunk.message(Subject=f"number {place}") for place in range(7)]
    first = sunk.ask("/api/messages?limit=3").json
    assert (first["total"], first["kept"]) == (7, 7)
    assert [each["subject"] for each in first["messages"]] == ["number 6", "number 5", "number 4"]
    assert sunk.listed(f"?limit=3&before={first['messages'][-1]['id']}") == names[3:0:-1]
    assert sunk.listed(f"?before={names[0]}") == []
    assert first["messages"][0] == {
        "id": names[6],
        "received": sunk.bag.facts_of(names[6])["received"],
        "octets": sunk.shelf[names[6]],
        "mail_from": "a@x.test",
        "rcpt_to": ["b@y.test"],
        "from": "",
        "subject": "number 6",
        "preview": "Hello",
        "attachments": 0,
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("birch", [2]),
        ("BIRCH", [2]),
        ("carol", [1]),
        ("c@q.test", [1]),
        ("needle", [0]),
        ("grüsse", []),
        ("straße", [2]),
        ("hello birch", [2]),
        ("hello", [0, 2]),
        ("style-only", []),
        ("html text", [1]),
        ("", [0, 1, 2]),
        ("[", []),
    ],
)
def test_search(sunk: Sunk, words: str, found: list[int]) -> None:
    """All words, in any order and case, in fields, envelope and text; not in tags and styles."""
    names = [
        sunk.message(Subject="plain", text="hello needle\n"),
        sunk.send(
            b"From: Carol <c@q.test>\r\nContent-Type: text/html\r\n\r\n"
            b"<style>.style-only{}</style><p>html<b class=tag>text</b>"
        ),
        sunk.message(Subject="Birch in der Straße", text="hello\n"),
    ]
    expected = [names[place] for place in reversed(found)]
    assert sunk.listed(f"?search={quote(words)}") == expected


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=-1",
        f"limit={LISTED + 1}",
        "limit=" + "9" * 5000,
        "limit=%C2%B2",
        "limit=1&limit=2",
        "search=a&search=b",
    ],
)
def test_questions_that_make_no_sense(sunk: Sunk, query: str) -> None:
    """Are answered with what does."""
    answer = sunk.ask(f"/api/messages?{query}")
    assert answer.status == 400
    assert answer.json["error"]


def test_a_message(sunk: Sunk) -> None:
    """Envelope, session, fields, text, attachments, and what was said."""
    name = sunk.send(
        b"From: a@x.test\r\nTo: B <b@y.test>\r\nSubject: =?utf-8?q?=C3=A9?=\r\n"
        b"Content-Type: text/html\r\n\r\n<img src=http://e.test/p>",
        rcpt_to=("b@y.test", "hidden@y.test"),
    )
    told = sunk.ask(f"/api/messages/{name}").json
    assert told["rcpt_to"] == ["b@y.test", "hidden@y.test"]
    assert (told["subject"], told["from"], told["to"]) == ("é", "a@x.test", "B <b@y.test>")
    assert told["headers"][2] == ["Subject", "é"]
    assert (told["text"], told["has_html"], told["remote"]) == (None, True, ["http://e.test/p"])
    assert told["session"]["hello"] == "me.test"
    assert told["transcript"][-1] == f"S: 250 2.0.0 Ok: kept as {name}"
    assert "C: RCPT TO:<hidden@y.test>" in told["transcript"]


def test_messages_that_are_not_there(sunk: Sunk) -> None:
    """404 for all that one can ask of them, whatever their name looks like."""
    sunk.message(Subject="x")
    for name in ("nothing", "..%2f..%2fetc%2fpasswd", "%00", "a" * 3000, ".x"):
        for rest in ("", "/html", "/source", "/parts/0"):
            assert sunk.ask(f"/api/messages/{name}{rest}").status == 404, name
        assert sunk.ask(f"/api/messages/{name}", "DELETE").status == 404
        assert sunk.ask(f"/api/messages/{name}/release", "POST", b"{}", **JSON).status == 404


def test_files_that_somebody_has_removed(sunk: Sunk) -> None:
    """The message is gone for the page, too, and nothing fails."""
    for rest in ("", "/html", "/source", "/parts/0"):
        name = sunk.message(Subject="x")
        for path in sunk.bag.path.iterdir():
            path.unlink()
        assert sunk.listed() == []
        assert sunk.ask(f"/api/messages/{name}{rest}").status == 404
        assert name not in sunk.shelf


def test_html_is_given_with_its_policy(sunk: Sunk) -> None:
    """The document can do nothing, wherever it is opened; a message without HTML has none."""
    name = sunk.send(b"Content-Type: text/html\r\n\r\n<script>alert(1)</script>")
    answer = sunk.ask(f"/api/messages/{name}/html")
    assert "sandbox allow-popups" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert sunk.ask(f"/api/messages/{sunk.message(Subject='x')}/html").status == 404


def test_the_source_is_what_came(sunk: Sunk) -> None:
    """To look at, to save, and the first of it only; never as what it says it is."""
    octets = b"Content-Type: text/html\r\n\r\n<script>\xff\r\n.dot\r\n" + b"x" * 200_000
    name = sunk.send(octets)
    answer = sunk.ask(f"/api/messages/{name}/source")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body == octets + b"\r\n"
    saved = sunk.ask(f"/api/messages/{name}/source?download=1&octets=10")
    assert saved.headers["content-disposition"].startswith(f'attachment; filename="{name}.eml"')
    assert saved.body == octets[:10]
    assert sunk.ask(f"/api/messages/{name}/source?octets=0").status == 400


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/javascript", "application/octet-stream"),
        ("application/pdf", "application/pdf"),
        ("IMAGE/PNG", "image/png"),
    ],
)
def test_attachments_are_saved_and_not_shown(sunk: Sunk, kind: str, sent: str) -> None:
    """Under a name that is one, as nothing that a browser would run."""
    name = sunk.send(
        f"Content-Type: {kind}\r\nContent-Disposition: attachment;"
        f' filename="../../a\\"\r\n X-Evil: 1.html"\r\n\r\nbody'.encode()
    )
    answer = sunk.ask(f"/api/messages/{name}/parts/0")
    assert answer.headers["content-type"] == sent
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert "x-evil" not in answer.headers
    assert answer.body == b"body\r\n"
    assert sunk.ask(f"/api/messages/{name}/parts/1").status == 404
    assert sunk.ask(f"/api/messages/{name}/parts/-1").status == 404


def test_deleting(sunk: Sunk) -> None:
    """One, and all; with their files."""
    names = [sunk.message(Subject="x") for _ in range(3)]
    assert sunk.ask(f"/api/messages/{names[1]}", "DELETE").json == {"deleted": 1}
    assert sunk.listed() == [names[2], names[0]]
    assert sunk.ask("/api/messages", "DELETE").json == {"deleted": 2}
    assert sunk.listed() == []
    assert list(sunk.bag.path.iterdir()) == []


def test_what_comes_and_goes_is_told(sunk: Sunk) -> None:
    """As it happens."""
    head = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    transport = sunk.talk.raw(head)
    name = sunk.message(Subject="x")
    assert f'event: added\ndata: {{"id":"{name}"}}\n'.encode() in transport.value()
    sunk.ask(f"/api/messages/{name}", "DELETE")
    assert f'event: removed\ndata: {{"ids":["{name}"]}}\n'.encode() in transport.value()
    assert sunk.ask("/api/events", "HEAD").status == 405
    sunk.stream.close()
    assert sunk.ask("/api/events").status == 503


def test_a_release(make: Callable[..., Sunk]) -> None:
    """The octets as they came, to whom was asked for, or to its own recipients."""
    sunk = make(["*@y.test", "extra@z.test"])
    octets = b"Subject: x\r\n\r\n.dot \xff\r\n"
    name = sunk.send(octets, mail_from="")
    answer = sunk.ask(f"/api/messages/{name}/release", "POST", b"{}", **JSON)
    assert answer.json == {
        "recipients": [
            {
                "address": "b@y.test",
                "delivery": "accepted",
                "reply": "250 2.0.0 Ok",
                "error": None,
            }
        ]
    }
    asked = json.dumps({"to": ["EXTRA@z.test", "b@y.test"]}).encode()
    assert sunk.ask(f"/api/messages/{name}/release", "POST", asked, **JSON).status == 200
    (own, sent), (other, _) = sunk.transport.sent
    assert (own.mail_from, [each.address for each in own.recipients]) == ("", ["b@y.test"])
    assert sent == octets + b"\r\n"
    assert [each.address for each in other.recipients] == ["EXTRA@z.test", "b@y.test"]


@pytest.mark.parametrize(
    ("to", "status"),
    [
        (["c@other.test"], 403),
        (["b@y.test", "c@other.test"], 403),
        (["b@y.test.evil.test"], 403),
        (["b@y.test\r\nRCPT TO:<c@other.test>"], 400),
        (["c@other.test,b@y.test"], 400),
        (["<c@other.test> x@y.test"], 400),
        ([], 400),
        ("b@y.test", 400),
        ([1], 400),
        (["b@y.test"] * 101, 400),
        (None, 400),
    ],
)
def test_a_release_to_others_is_refused_whole(
    make: Callable[..., Sunk], to: object, status: int
) -> None:
    """Nobody gets anything, whatever the address looks like."""
    sunk = make(["*@y.test"])
    name = sunk.message(Subject="x")
    body = json.dumps({"to": to}).encode()
    answer = sunk.ask(f"/api/messages/{name}/release", "POST", body, **JSON)
    assert answer.status == status
    assert answer.json["error"]
    assert sunk.transport.sent == []


def test_a_release_that_cannot_be(make: Callable[..., Sunk]) -> None:
    """No server, no JSON, a server that does not take it: each is told."""
    sunk = make(["*"])
    name = sunk.message(Subject="x")
    path = f"/api/messages/{name}/release"
    assert make().ask("/api/messages/x/release", "POST", b"{}", **JSON).status == 404
    assert sunk.ask(path, "POST", b"{}", Content_Type="text/plain").status == 415
    assert sunk.ask(path, "POST", b"{}").status == 415
    assert sunk.ask(path, "GET").status == 405
    for body in (b"[]", b"{", b"1", b"[" * 50_000, b'{"x": 1}'):
        assert sunk.ask(path, "POST", body, **JSON).status == 400
    sunk.transport.error = RequireTLSError("no TLS there")
    answer = sunk.ask(path, "POST", b"{}", **JSON)
    assert (answer.status, answer.json["error"]) == (502, "EREQUIRETLS: no TLS there")
    refused = RecipientOutcome("b@y.test", None, Delivery.REJECTED, sunk.transport.error)
    sunk.transport.error = RequireTLSError("all refused", recipients=[refused])
    answer = sunk.ask(path, "POST", b"{}", **JSON)
    assert answer.json["recipients"][0]["delivery"] == "rejected"
    other = make()
    name = other.message(Subject="x")
    assert other.ask(f"/api/messages/{name}/release", "POST", b"{}", **JSON).status == 409


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/api/messages//source", "GET", 404),
        ("/api/messages", "PUT", 405),
        ("/api/rules", "DELETE", 405),
        ("/api/status", "DELETE", 405),
        ("/", "POST", 405),
        ("/api/messages/x/parts/y", "GET", 404),
    ],
)
def test_what_is_not_there_is_said_in_json(sunk: Sunk, path: str, method: str, status: int) -> None:
    """No page of the library's, no traceback."""
    answer = sunk.ask(path, method)
    assert answer.status == status
    assert answer.json["error"]


def test_the_reference_tells_of_every_route() -> None:
    """And of none that is not there."""
    text = (Path(__file__).parents[2] / "docs" / "reference" / "sink-api.rst").read_text("utf-8")
    told = re.findall(r"^   \* - ``(GET|POST|DELETE|PUT) (/api/[^`]*)``", text, re.MULTILINE)
    there = {
        (method, re.sub(r"<int:\w+>", "N", rule.rule).replace("<name>", "ID"))
        for rule in SinkPage.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if rule.rule.startswith("/api/")
    }
    assert set(told) == there
    assert len(told) == len(set(told))


def test_the_reference_tells_of_every_member(sunk: Sunk) -> None:
    """What a message has in an answer has a row."""
    text = (Path(__file__).parents[2] / "docs" / "reference" / "sink-api.rst").read_text("utf-8")
    name = sunk.message(Subject="x")
    listed = sunk.ask("/api/messages").json["messages"][0]
    for member in {*sunk.ask(f"/api/messages/{name}").json, *listed, *sunk.ask("/api/status").json}:
        assert f"``{member}``" in text, member
