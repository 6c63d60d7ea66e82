"""The sink's page and its JSON API; docs/reference/sink-api.rst describes the latter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from txsmtpconn.errors import SMTPError
from txsmtpconn.sink.rulebook import RuleBook
from txsmtpconn.sink.ruletext import rule_text
from txsmtpconn.sink.shelf import Shelf
from txsmtpconn.web.sending import FileSending
from txsmtpconn.web.sink import answers
from txsmtpconn.web.sink.answers import Refusal, answer, argument, number
from txsmtpconn.web.sink.catalogue import Catalogue
from txsmtpconn.web.sink.frame import POLICY, framed
from txsmtpconn.web.sink.reading import Reading, part_of, pictures_of, read
from txsmtpconn.web.sink.release import NotAllowed, Releases
from txsmtpconn.web.sink.text import disposition
from txsmtpconn.web.stream import EventStream

#: Messages that are read at one time; each takes a few times its size in memory meanwhile.
READERS = 2
#: Messages that one answer lists.
LISTED = 100
#: Media types as which attachments may be sent. All are saved and not shown, whatever they are.
_PLAIN_TYPES = frozenset({"application/pdf", "image/gif", "image/jpeg", "image/png", "text/csv"})

#: What our own page may do: load and ask what is ours, and show its frames. It makes no HTML of
#: text, and could not.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_STATIC = {
    "sink.css": "text/css; charset=utf-8",
    "sink.js": "text/javascript; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class SinkPage:
    """Shows what is on a shelf.

    Args:
        shelf: The messages.
        stream: The pages that are open; they are told what comes and goes.
        status: Gives what else the page tells of the sink, in JSON's types.
        book: The rules that the sink follows.
        releases: Releases messages; None where that is not set up.
        run: Calls a function where it may take its time: in a thread.
    """

    app = Klein()
    app.url_map.merge_slashes = False  # or it would send on whoever asks for two of them
    _log = Logger(namespace="txsmtpconn.web")

    def __init__(
        self,
        shelf: Shelf,
        stream: EventStream,
        status: Callable[[], Mapping[str, Any]],
        book: RuleBook,
        releases: Releases | None,
        run: Callable[..., Deferred[Any]],
    ) -> None:
        self._shelf = shelf
        self._stream = stream
        self._status = status
        self._book = book
        self._releases = releases
        self._run = partial(DeferredSemaphore(READERS).run, run)
        self._catalogue = Catalogue(shelf)
        room = files("txsmtpconn.web.sink").joinpath("static")
        self._static = {name: room.joinpath(name).read_bytes() for name in (*_STATIC, "index.html")}
        shelf.watch(self._added, self._removed)

    def resource(self) -> Any:
        """Return the resource to serve."""
        return self.app.resource()

    def _added(self, name: str) -> None:
        self._stream.tell("added", {"id": name})

    def _removed(self, names: Any) -> None:
        self._stream.tell("removed", {"ids": list(names)})

    # -- the page

    @app.route("/", methods=["GET"])
    def index(self, request: Any) -> bytes:
        """Show the page."""
        request.setHeader("Content-Type", "text/html; charset=utf-8")
        request.setHeader("Content-Security-Policy", PAGE_POLICY)
        return self._static["index.html"]

    @app.route("/static/<name>", methods=["GET"])
    def static(self, request: Any, name: str) -> bytes:
        """Give a file that the page needs."""
        if name not in _STATIC:
            raise Refusal(404, "there is no such file")
        request.setHeader("Content-Type", _STATIC[name])
        return self._static[name]

    @app.route("/api/rules", methods=["GET"])
    def rules(self, request: Any) -> bytes:
        """Tell which rules the sink follows."""
        return answer(request, self._rules())

    @app.route("/api/rules", methods=["PUT"])
    def replace_rules(self, request: Any) -> bytes:
        """Have the sink follow other rules from now on, in sessions that go on as well."""
        rules = answers.rules(answers.body(request))
        self._book.clear()
        for rule in rules:
            self._book.add(rule)
        self._log.info("the rules are replaced by {count} others", count=len(rules))
        return answer(request, self._rules())

    def _rules(self) -> dict[str, Any]:
        rules = [{"rule": rule_text(rule), "hits": self._book.hits(rule)} for rule in self._book]
        return {"rules": rules, "seed": self._book.seed}

    # -- all messages

    @app.route("/api/status", methods=["GET"])
    def status(self, request: Any) -> bytes:
        """Tell how the sink does."""
        releases = self._releases
        told = {
            **self._status(),
            "kept": len(self._shelf),
            "octets": self._shelf.octets,
            **self._rules(),
            "release": (
                None
                if releases is None
                else {"server": releases.server, "allowed": list(releases.allowed)}
            ),
        }
        return answer(request, told)

    @app.route("/api/messages", methods=["GET"])
    async def messages(self, request: Any) -> bytes:
        """List the newest messages, or those with some words in them."""
        words = argument(request, "search")
        limit = number(request, "limit", 50, LISTED)
        before = argument(request, "before") or None
        names = list(self._shelf)
        found, total = await self._run(self._catalogue.find, names, words, limit, before)
        told = [summary.as_json() for summary in found]
        return answer(request, {"messages": told, "total": total, "kept": len(names)})

    @app.route("/api/messages", methods=["DELETE"])
    def delete_all(self, request: Any) -> bytes:
        """Remove every message."""
        return answer(request, {"deleted": len(self._shelf.remove(list(self._shelf)))})

    @app.route("/api/events", methods=["GET"])
    def events(self, request: Any) -> Any:
        """Tell what comes and goes, as it does."""
        if request.method == b"HEAD":
            raise Refusal(405, "events are to be read")
        opened = self._stream.open(request)
        if opened is None:
            raise Refusal(503, "too many pages are open")
        return opened

    # -- one message

    @app.route("/api/messages/<name>", methods=["GET"])
    async def message(self, request: Any, name: str) -> bytes:
        """Tell all about a message."""
        told = await self._read(name, self._detail, name, self._octets(name))
        return answer(request, told)

    @app.route("/api/messages/<name>", methods=["DELETE"])
    def delete(self, request: Any, name: str) -> bytes:
        """Remove a message."""
        self._octets(name)
        return answer(request, {"deleted": len(self._shelf.remove([name]))})

    @app.route("/api/messages/<name>/html", methods=["GET"])
    async def html(self, request: Any, name: str) -> bytes:
        """Give the HTML text of a message, as a document that can do nothing."""
        document = await self._read(name, _document, self._path(name))
        if document is None:
            raise Refusal(404, "the message has no HTML text")
        request.setHeader("Content-Type", "text/html; charset=utf-8")
        request.setHeader("Content-Security-Policy", POLICY)
        return bytes(document)

    @app.route("/api/messages/<name>/source", methods=["GET"])
    async def source(self, request: Any, name: str) -> bytes:
        """Give the octets of a message, all or the first of them."""
        octets = self._octets(name)
        if argument(request, "download"):
            request.setHeader("Content-Type", "message/rfc822")
            request.setHeader("Content-Disposition", disposition(f"{name}.eml"))
        else:
            request.setHeader("Content-Type", "text/plain; charset=utf-8")
        limit = number(request, "octets", max(octets, 1), max(octets, 2**40))
        try:
            file = self._path(name).open("rb")
        except OSError:
            raise self._lost(name) from None
        with file:
            if limit < octets:
                return file.read(limit)
            return await FileSending(request, file).start()

    @app.route("/api/messages/<name>/parts/<int:place>", methods=["GET"])
    async def part(self, request: Any, name: str, place: int) -> bytes:
        """Give an attachment, to be saved."""
        found = await self._read(name, _part, self._path(name), place)
        if found is None:
            raise Refusal(404, "the message has no such part")
        part, content = found
        kind = part.type if part.type in _PLAIN_TYPES else "application/octet-stream"
        request.setHeader("Content-Type", kind)
        request.setHeader("Content-Disposition", disposition(part.name))
        request.setHeader("Content-Security-Policy", "default-src 'none'; sandbox")
        return bytes(content)

    @app.route("/api/messages/<name>/release", methods=["POST"])
    async def release(self, request: Any, name: str) -> bytes:
        """Send a message to a real server."""
        self._octets(name)
        told = answers.body(request)
        if self._releases is None:
            raise Refusal(409, "no server to release to: see --release-to")
        facts = self._shelf.mailbag.facts_of(name)
        rcpt_to = answers.recipients(told, facts.get("rcpt_to", []))
        try:
            outcomes = await self._releases.release(self._path(name), facts, rcpt_to)
        except NotAllowed as error:
            raise Refusal(403, str(error)) from None
        except SMTPError as error:
            raise Refusal(502, f"{error.code}: {error}") from None
        except OSError:
            raise self._lost(name) from None
        self._log.info("released {name} to {recipients}", name=name, recipients=rcpt_to)
        return answer(request, {"recipients": [answers.outcome(each) for each in outcomes]})

    # -- what goes wrong

    @app.handle_errors(Refusal)
    def _refused(self, request: Any, failure: Failure) -> bytes:
        assert isinstance(failure.value, Refusal)
        return answer(request, {"error": str(failure.value)}, failure.value.code)

    @app.handle_errors(HTTPException)
    def _unknown(self, request: Any, failure: Failure) -> bytes:
        error = failure.value
        assert isinstance(error, HTTPException)
        for name, value in error.get_headers():
            if name == "Allow":
                request.setHeader(name, value)
        return answer(request, {"error": error.name}, error.code or 500)

    # -- the messages

    def _octets(self, name: str) -> int:
        """Return the size of a message.

        Raises:
            Refusal: There is no such message.
        """
        if name not in self._shelf:
            raise Refusal(404, "there is no such message")
        return self._shelf[name]

    def _path(self, name: str) -> Path:
        self._octets(name)
        return self._shelf.mailbag.octets_of(name)

    async def _read(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that reads a message's files, in a thread."""
        try:
            return await self._run(function, *arguments)
        except OSError:
            raise self._lost(name) from None

    def _lost(self, name: str) -> Refusal:
        """Forget a message whose files somebody else has removed."""
        self._shelf.remove([name])
        return Refusal(404, "there is no such message any more")

    def _detail(self, name: str, octets: int) -> dict[str, Any]:
        mailbag = self._shelf.mailbag
        return answers.detail(name, octets, mailbag, _reading(mailbag.octets_of(name)))


def _reading(path: Path) -> Reading:
    return read(path.read_bytes())


def _document(path: Path) -> bytes | None:
    raw = path.read_bytes()
    html = read(raw).html
    if html is None:
        return None
    wanted = pictures_of(raw) if "cid:" in html.lower() else {}
    return framed(html, wanted.get).encode("utf-8", "replace")


def _part(path: Path, place: int) -> Any:
    return part_of(path.read_bytes(), place)
