"""The sink's page in a real browser: reading, keys, phone, dark; and mail and sites that attack it.

The sink runs as its users run it; mail comes by smtplib; an attacker's web server on another name
counts what reaches it.
"""

from __future__ import annotations

import json
import smtplib
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.message import EmailMessage
from email.policy import SMTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.interop.peers.browser import browser, complaints, find, press, texts, wait
from tests.interop.peers.sink import Sink, running_sink

__all__ = ["browser"]

DELETE = "\ue017"
ESCAPE = "\ue00c"
TAB = "\ue004"
ENTER = "\ue007"
DOWN = "\ue015"
RIGHT = "\ue014"


class Evil:
    """A web site that means no good, under the name evil.test."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.page = ""
        evil = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                is_page = self.path == "/attack"
                if not is_page and self.path != "/favicon.ico":
                    evil.hits.append(f"{self.command} {self.path}")
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write((evil.page if is_page else "evil").encode())

            do_GET = do_POST = answer  # noqa: N815 - the names of their methods

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://evil.test:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def evil() -> Iterator[Evil]:
    """The attacker's site."""
    site = Evil()
    yield site
    site.close()


@pytest.fixture(scope="module")
def target() -> Iterator[Sink]:
    """Where released messages go."""
    with running_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def running(target: Sink) -> Iterator[Sink]:
    """One sink for all tests here."""
    release = (f"--release-to=smtp://127.0.0.1:{target.port}?ignore_tls=true",)
    with running_sink(*release, "--release-allow=*@ok.test") as sink:
        yield sink


@pytest.fixture
def sink(running: Sink, evil: Evil) -> Sink:
    """The sink, empty again."""
    running.ask("api/messages", "DELETE")
    evil.hits.clear()
    return running


@pytest.fixture
def page(browser: Any, sink: Sink) -> Any:
    """The page, open and live."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    _open(browser, sink.url)
    complaints(browser)
    return browser


def _open(browser: Any, url: str) -> None:
    browser.get("about:blank")
    browser.get(url)
    wait(browser, lambda it: "on" in find(it, "#live").get_attribute("class").split(), "live")


def _live(browser: Any) -> str:
    return str(find(browser, "#live-text").text)


def send(sink: Sink, *messages: EmailMessage | bytes, to: str = "b@y.test") -> None:
    """Send messages, as an application would."""
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=20) as client:
        for message in messages:
            octets = message if isinstance(message, bytes) else message.as_bytes(policy=SMTP)
            client.sendmail("a@x.test", [to], octets)


def letter(subject: str, text: str = "Hello\n", html: str | None = None) -> EmailMessage:
    """Write a message."""
    message = EmailMessage()
    message["From"] = "App <a@x.test>"
    message["To"] = "b@y.test"
    message["Subject"] = subject
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def subjects(browser: Any) -> list[str]:
    """Return the subjects in the list."""
    return texts(browser, "#list .subject")


def wait_for(browser: Any, get: Callable[[Any], Any], value: object) -> None:
    """Wait until the page shows something."""
    seen: list[Any] = [None]

    def done(it: Any) -> bool:
        seen[0] = get(it)
        return bool(seen[0] == value)

    try:
        wait(browser, done, f"{value!r}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {seen[0]!r}") from None


def read_first(page: Any, sink: Sink, message: EmailMessage | bytes) -> None:
    """Send a message, and open it."""
    send(sink, message)
    wait(page, lambda it: len(subjects(it)) == 1, "the message")
    find(page, "#list a").click()
    find(page, "#panel")


def in_frame(page: Any, look: Callable[[Any], Any]) -> Any:
    """Look at something within the frame of the HTML text."""
    page.switch_to.frame(find(page, "#panel iframe"))
    try:
        wait(page, lambda it: it.execute_script("return document.readyState") == "complete", "it")
        return look(page)
    finally:
        page.switch_to.default_content()


def targets(browser: Any) -> list[dict[str, Any]]:
    """Return the pages that are open; looking at one that hangs would hang, too."""
    told = browser.execute_cdp_cmd("Target.getTargets", {})["targetInfos"]
    return [each for each in told if each["type"] == "page"]


def settle(browser: Any) -> None:
    """Give the browser every occasion to do what it should not: a round of its own loading."""
    script = "const done = arguments[0]; setTimeout(done, 400)"
    browser.execute_async_script(script)


# -- reading


def test_mail_appears_by_itself_and_is_read(page: Any, sink: Sink) -> None:
    """List, text, HTML with its own pictures, fields, attachments, source, session."""
    wait_for(page, lambda it: find(it, "#empty-title").text, "No mail yet")
    message = letter(
        "Grüße 🎉", "Text https://example.test/a?b=1.\n", "<h1>Big</h1><img src=cid:p@x>"
    )
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d7"
        "63f8cfc000000301010018dd8db00000000049454e44ae426082"
    )
    message.get_payload()[1].add_related(png, "image", "png", cid="<p@x>")
    message.add_attachment(b"a,b\n", "text", "csv", filename="../../Zahlen März.csv")
    send(sink, message)
    wait_for(page, subjects, ["Grüße 🎉"])
    assert page.title == "(1) smtpsink"
    find(page, "#list a").click()
    wait_for(page, lambda it: find(it, ".top h2").text, "Grüße 🎉")
    assert page.title == "smtpsink"
    assert in_frame(page, lambda it: find(it, "h1").text) == "Big"
    script = "return document.images[0].naturalWidth"
    assert in_frame(page, lambda it: it.execute_script(script)) == 1
    find(page, "#tab-text").click()
    link = find(page, "#panel a")
    assert link.get_attribute("href") == "https://example.test/a?b=1"
    assert link.get_attribute("rel") == "noopener noreferrer"
    find(page, "#tab-headers").click()
    assert "Grüße 🎉" in texts(page, "#panel td")
    find(page, "#tab-attachments").click()
    assert "Zahlen März.csv" in find(page, "#panel .parts li:last-child").text
    find(page, "#tab-source").click()
    wait(page, lambda it: "=?utf-8?" in find(it, "#panel pre").text, "the source")
    find(page, "#tab-session").click()
    assert any(line.startswith("C: ehlo ") for line in texts(page, ".said span"))
    assert complaints(page) == []


def test_the_page_lives_through_a_restart(browser: Any) -> None:
    """What the next sink takes appears on the page that was open, and what is gone goes from it."""
    with running_sink() as first:
        _open(browser, first.url)
        send(first, letter("before"))
        wait_for(browser, subjects, ["before"])
        find(browser, "#list a").click()
        find(browser, "#panel")
    wait_for(browser, _live, "Reconnecting")
    with running_sink(f"--web-listen=tcp:{first.web_port}:interface=127.0.0.1") as second:
        wait_for(browser, _live, "Live")
        wait_for(browser, subjects, [])
        wait_for(browser, lambda it: find(it, "#message").text, "The message was deleted.")
        send(second, letter("after"))
        wait_for(browser, subjects, ["after"])


def test_the_page_comes_back_after_it_was_turned_away(page: Any, sink: Sink) -> None:
    """Browsers give up at an answer such as 503, or a proxy's 502; the page asks again."""
    page.get("about:blank")
    with ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(urllib.request.urlopen(f"{sink.url}api/events", timeout=20))
        page.get(sink.url)
        wait_for(page, _live, "Reconnecting")
    wait_for(page, _live, "Live")
    send(sink, letter("at last"))
    wait_for(page, subjects, ["at last"])


def test_an_address_of_nonsense_is_a_message_that_is_not_there(page: Any, sink: Sink) -> None:
    """And the page works all the same."""
    page.get("about:blank")
    _open(page, f"{sink.url}#/%E0%A4%A")
    assert find(page, "#message").text == "there is no such message"


def test_search_and_older_messages(page: Any, sink: Sink) -> None:
    """Words narrow the list; what does not fit on a page is fetched."""
    send(sink, *(letter(f"number {place}") for place in range(60)))
    wait_for(page, lambda it: find(it, "#count").text, "60 messages")
    _open(page, sink.url)
    wait(page, lambda it: len(subjects(it)) == 50, "the first page")
    find(page, "#more").click()
    wait(page, lambda it: len(subjects(it)) == 60, "all of them")
    press(page, "/")
    find(page, "#search").send_keys("number 17")
    wait_for(page, subjects, ["number 17"])
    assert find(page, "#count").text == "1 of 60"
    press(page, ESCAPE)
    wait(page, lambda it: len(subjects(it)) == 50, "the list again")


def test_everything_from_the_keyboard(page: Any, sink: Sink) -> None:
    """Down and up, from view to view, deleting, and help; the focus is where one looks."""
    for subject in ("one", "two", "three"):
        send(sink, letter(subject, html="<p>x"))
    wait_for(page, subjects, ["three", "two", "one"])
    press(page, "j")
    wait_for(page, lambda it: find(it, ".top h2").text, "three")
    press(page, "j")
    wait_for(page, lambda it: find(it, ".top h2").text, "two")
    script = "return document.activeElement.querySelector('.subject')?.textContent"
    assert page.execute_script(script) == "two"
    press(page, "k")
    wait_for(page, lambda it: find(it, ".top h2").text, "three")
    press(page, "2")
    wait_for(page, lambda it: find(it, "[aria-selected=true]").text, "Text")
    find(page, "#tab-text").click()
    press(page, RIGHT)
    wait_for(page, lambda it: it.execute_script("return document.activeElement.id"), "tab-headers")
    assert find(page, "[aria-selected=true]").text == "Headers"
    press(page, DELETE)
    wait_for(page, subjects, ["two", "one"])
    wait_for(page, lambda it: find(it, ".top h2").text, "two")
    press(page, "?")
    assert find(page, "#help-dialog").is_displayed()
    press(page, ESCAPE)
    assert not find(page, "#help-dialog").is_displayed()
    press(page, ESCAPE)
    wait_for(page, lambda it: find(it, "#message").text, "Select a message to read it.")
    press(page, ENTER)
    wait_for(page, lambda it: find(it, ".top h2").text, "two")


def test_the_focus_goes_through_the_page_in_order(page: Any, sink: Sink) -> None:
    """From the skip link to the list; each stop is seen, and has a name."""
    send(sink, letter("one"), letter("two"))
    wait_for(page, subjects, ["two", "one"])
    page.execute_script("document.activeElement.blur()")
    stops = []
    for _ in range(6):
        press(page, TAB)
        stops.append(
            page.execute_script(
                "const it = document.activeElement; return [it.id || it.textContent,"
                " getComputedStyle(it).outlineStyle != 'none']"
            )
        )
    assert [name[:12] for name, _ in stops][:4] == ["skip", "search", "delete-all", "help"]
    assert stops[4][0].startswith("two")
    assert stops[5][0].startswith("one")
    assert all(seen for _, seen in stops)


def test_deleting_all_is_asked_for(page: Any, sink: Sink) -> None:
    """One click does it, but not the first."""
    send(sink, letter("one"), letter("two"))
    wait(page, lambda it: len(subjects(it)) == 2, "both")
    find(page, "#delete-all").click()
    find(page, "#delete-dialog [data-close]").click()
    assert len(sink.messages()) == 2
    find(page, "#delete-all").click()
    find(page, "#delete-yes").click()
    wait_for(page, subjects, [])
    assert sink.messages() == []


def test_what_others_delete_disappears(page: Any, sink: Sink) -> None:
    """The message that is read, too."""
    read_first(page, sink, letter("one"))
    sink.ask(f"api/messages/{sink.messages()[0]['id']}", "DELETE")
    wait_for(page, subjects, [])
    assert find(page, "#message").text == "The message was deleted."


def test_rules_are_shown_with_what_they_did(page: Any, sink: Sink) -> None:
    """Set by the API while the sink runs; who wonders about refusals finds them."""
    try:
        sink.ask("api/rules", "PUT", {"rules": ["RCPT once reject 451 4.3.0 Later"]})
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(sink, letter("one"))
        send(sink, letter("two"))
        wait_for(page, lambda it: find(it, "#rules-title").text, "1 rule, struck 1 time")
        find(page, "#rules-title").click()
        assert texts(page, "#rules li")[0] == "RCPT times=1 reject 451 4.3.0 Later (1)"
    finally:
        sink.ask("api/rules", "PUT", {"rules": []})


def test_releasing(page: Any, sink: Sink, target: Sink) -> None:
    """To whom is allowed, and to nobody else; the page tells what became of it."""
    target.ask("api/messages", "DELETE")
    read_first(page, sink, letter("released", "to the world\n"))
    press(page, "r")
    field = find(page, "#release-to")
    assert field.get_attribute("value") == "b@y.test"
    find(page, "#release-yes").click()
    wait(page, lambda it: "--release-allow" in find(it, "#release-error").text, "the refusal")
    assert target.messages() == []
    field.clear()
    field.send_keys("c@ok.test")
    find(page, "#release-yes").click()
    wait(page, lambda it: "c@ok.test: accepted" in find(it, "#release-outcomes").text, "the word")
    (arrived,) = target.messages()
    assert (arrived["subject"], arrived["rcpt_to"]) == ("released", ["c@ok.test"])


# -- on a phone, and in the dark


def test_on_a_phone(page: Any, sink: Sink) -> None:
    """One thing at a time, nothing wider than the screen, and a way back."""
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": True},
    )
    subject = "A long subject, " * 20
    read_first(page, sink, letter(subject, "x" * 3000 + "\n", "<table width=900><tr><td>x"))
    assert not find(page, "#list").is_displayed()
    for tab in ("html", "text", "headers", "source", "session"):
        find(page, f"#tab-{tab}").click()
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360, tab
        assert page.execute_script("return document.getElementById('panel').scrollWidth") <= 360
    find(page, ".back").click()
    wait(page, lambda it: find(it, "#list").is_displayed(), "the list")
    assert not find(page, "#message").is_displayed()


CONTRAST = """
const luminance = (colour) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => value / 255)
    .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let it = element; it; it = it.parentElement) {
    const colour = getComputedStyle(it).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)" && colour !== "transparent") return colour;
  }
  return "white";
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || element.disabled || !element.checkVisibility({ checkVisibilityCSS: true })) continue;
  const [one, two] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
  const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
  if (ratio < 4.5) found.push(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page: Any, sink: Sink, scheme: str) -> None:
    """All text has 4.5 to 1 (WCAG 2.2, 1.4.3), in the light and in the dark."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    message = letter("one", html="<p>x<img src=http://e.test/x>")
    message.add_attachment(b"x", "text", "csv", filename="a.csv")
    read_first(page, sink, message)
    dark = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 200) is (scheme == "dark")
    for tab in ("html", "text", "headers", "attachments", "source", "session"):
        find(page, f"#tab-{tab}").click()
        wait(page, lambda it: it.execute_script(f"return (() => {{{CONTRAST}}})()") == [], tab)
    press(page, "?")
    assert page.execute_script(CONTRAST) == []


NAMELESS = """
return [...document.querySelectorAll("button, a, input, textarea, iframe, dialog, [role]")]
  .filter((it) => it.checkVisibility())
  .filter((it) => !(it.getAttribute("aria-label") || it.getAttribute("aria-labelledby")
    || it.labels?.length || it.title || it.textContent.trim()))
  .map((it) => it.outerHTML);
"""


def test_all_that_can_be_used_has_a_name(page: Any, sink: Sink) -> None:
    """For who hears the page; new mail is said aloud."""
    read_first(page, sink, letter("one", html="<p>x"))
    assert page.execute_script(NAMELESS) == []
    send(sink, letter("second"))
    wait_for(
        page, lambda it: find(it, "#announce").get_attribute("textContent"), "New message: second"
    )


# -- attacks by mail


def attack(evil: str) -> str:
    """Write HTML that does all that HTML can do to its reader."""
    return f"""<!doctype html><html><head>
<base href="{evil}/base/">
<meta http-equiv="refresh" content="0;url={evil}/refresh">
<link rel="stylesheet" href="{evil}/style.css"><link rel="preconnect" href="{evil}">
<link rel="prefetch" href="{evil}/prefetch"><link rel="dns-prefetch" href="{evil}">
<style>@import "{evil}/import.css"; @font-face {{ font-family: f; src: url({evil}/font) }}
body {{ background: url({evil}/background); font-family: f }}</style>
<script>document.title = "owned"; fetch("{evil}/script")</script>
<script src="{evil}/script.js"></script></head>
<body onload="fetch('{evil}/onload')" background="{evil}/body">
<h1 id="shown">Shown</h1>
<img src="{evil}/image"><img src=x onerror="fetch('{evil}/onerror')"><img srcset="{evil}/set 1x">
<svg onload="fetch('{evil}/svg')"><image href="{evil}/svgimage"/><use href="{evil}/use#x"/></svg>
<iframe src="{evil}/iframe"></iframe><iframe srcdoc="<img src='{evil}/srcdoc'>"></iframe>
<object data="{evil}/object"></object><embed src="{evil}/embed">
<video src="{evil}/video" autoplay></video>
<video poster="{evil}/poster"></video><audio src="{evil}/audio" autoplay></audio>
<form action="{evil}/form" id="form"><input name="a" autofocus onfocus="fetch('{evil}/focus')">
<button id="submit">Go</button></form>
<form action="/api/messages" method="post" id="own"><button id="delete">Go</button></form>
<a id="script" href="javascript:document.body.append('owned')">script</a>
<a id="data" href="data:text/html,<script>new Image().src='{evil}/data'</script>">data</a>
<a id="top" target="_top" href="{evil}/top">top</a>
<a id="self" target="_self" href="{evil}/self">self</a>
<a id="ping" ping="{evil}/ping" href="javascript:void 0">ping</a>
</body></html>"""


def test_html_mail_runs_nothing_and_loads_nothing(page: Any, sink: Sink, evil: Evil) -> None:
    """Scripts, pictures, styles, fonts, frames, media, refresh, base: not one request leaves."""
    read_first(page, sink, letter("attack", html=attack(evil.url)))
    assert in_frame(page, lambda it: find(it, "#shown").text) == "Shown"
    settle(page)
    assert evil.hits == []
    assert page.title == "smtpsink"
    assert in_frame(page, lambda it: find(it, "#shown").text) == "Shown"
    assert "owned" not in in_frame(page, lambda it: find(it, "body").text)
    # The frame has no origin: it reaches neither the page around it nor its storage.
    assert find(page, "#panel iframe").get_attribute("sandbox") == (
        "allow-popups allow-popups-to-escape-sandbox"
    )
    assert in_frame(page, lambda it: it.execute_script("return window.origin")) == "null"


@pytest.mark.parametrize("what", ["submit", "delete", "script", "data", "top", "self", "ping"])
def test_html_mail_does_nothing_when_it_is_clicked(
    page: Any, sink: Sink, evil: Evil, what: str
) -> None:
    """Forms, javascript: and data: links, links that would take the page's place."""
    read_first(page, sink, letter("attack", html=attack(evil.url)))
    before = {each["targetId"] for each in targets(page)}
    in_frame(page, lambda it: find(it, f"#{what}").click())
    settle(page)
    assert evil.hits == []
    assert page.current_url.startswith(sink.url)
    assert find(page, ".top h2").text == "attack"
    assert len(sink.messages()) == 1
    # For a link that it then refuses to follow the browser opens a page that stays empty.
    opened = [each for each in targets(page) if each["targetId"] not in before]
    for each in opened:
        page.execute_cdp_cmd("Target.closeTarget", {"targetId": each["targetId"]})
    page.execute_cdp_cmd("Page.bringToFront", {})
    assert not [each["url"] for each in opened if each["url"].startswith("http")]


@pytest.mark.parametrize("more", ["", 'target="named" rel="opener"', 'referrerpolicy="unsafe-url"'])
def test_a_link_in_html_mail_opens_a_page_of_its_own(
    page: Any, sink: Sink, evil: Evil, more: str
) -> None:
    """Which is not told where it came from, and cannot reach back."""
    html = f'<a id="a" {more} href="{evil.url}/confirm">Confirm</a>'
    read_first(page, sink, letter("link", html=html))
    before = page.current_window_handle
    in_frame(page, lambda it: find(it, "#a").click())
    wait(page, lambda it: len(it.window_handles) == 2, "the other page")
    (other,) = set(page.window_handles) - {before}
    page.switch_to.window(other)
    wait_for(page, lambda it: it.current_url, f"{evil.url}/confirm")
    assert page.execute_script("return [window.opener, document.referrer]") == [None, ""]
    page.close()
    page.switch_to.window(before)
    assert evil.hits == ["GET /confirm"]


def test_html_mail_opened_on_its_own_is_as_harmless(page: Any, sink: Sink, evil: Evil) -> None:
    """The policy comes with the document, not with the frame around it."""
    send(sink, letter("attack", html=attack(evil.url)))
    page.get(f"{sink.url}api/messages/{sink.messages()[0]['id']}/html")
    assert find(page, "#shown").text == "Shown"
    assert page.title == ""
    assert page.execute_script("return window.origin") == "null"
    _open(page, sink.url)
    settle(page)
    assert evil.hits == []


HOSTILE = '"><img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


def test_hostile_values_are_text(page: Any, sink: Sink, evil: Evil) -> None:
    """In every field, name and line that the page shows; and nothing turns its direction."""
    raw = (
        f"From: {HOSTILE} <a@x.test>\r\nTo: {HOSTILE}\r\nSubject: {HOSTILE} \u202egnp.exe\r\n"
        f"X-{'y' * 500}: {HOSTILE}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        f'--b\r\n\r\n{HOSTILE} javascript:alert(1) https://x.test/"onclick=1\r\n'
        f"--b\r\nContent-Type: text/html; name='{HOSTILE}'\r\n"
        f"Content-Disposition: attachment; filename*=UTF-8''%3Cimg%20src%3Dx%20onerror%3D"
        "document.title%3D1%3E%E2%80%AEgnp.exe\r\n\r\n<script>1</script>\r\n--b--\r\n"
    ).encode()
    read_first(page, sink, raw)
    assert "onerror" in find(page, ".top h2").text
    for tab in ("text", "headers", "attachments", "source", "session"):
        find(page, f"#tab-{tab}").click()
    settle(page)
    assert page.title == "smtpsink"
    assert (
        page.execute_script("return document.querySelectorAll('main img, main script').length") == 0
    )
    find(page, "#tab-attachments").click()
    assert "\u202e" not in find(page, ".parts").text
    find(page, "#tab-text").click()
    assert [
        each.get_attribute("href") for each in page.find_elements("css selector", "#panel a")
    ] == ["https://x.test/"]
    assert not [told for told in complaints(page) if "Trusted" in told or "script" in told]


def test_a_huge_message(page: Any, sink: Sink) -> None:
    """Thirty megabytes, thousands of fields and parts: the page shows some and stays quick."""
    head = "".join(f"X-{place}: {'v' * 100}\r\n" for place in range(3000))
    parts = "--b\r\nContent-Type: image/png\r\n\r\nx\r\n" * 2000
    text = ("x" * 998 + "\r\n") * 30_000
    raw = (
        f"Subject: huge\r\n{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/html\r\n\r\n<p>{text}\r\n--b\r\n\r\n{text[:3_000_000]}\r\n"
        f"{parts}--b--\r\n"
    ).encode()
    send(sink, raw)
    send(sink, letter("small"))
    wait_for(page, subjects, ["small", "huge"])
    find(page, "#list li:last-child a").click()
    find(page, "#panel")
    find(page, "#tab-text").click()
    assert find(page, "#panel .note").text.startswith("Too long")
    find(page, "#tab-source").click()
    assert find(page, "#panel .note").text.startswith("The first")
    find(page, "#list li:first-child a").click()
    wait_for(page, lambda it: find(it, ".top h2").text, "small")


# -- attacks by other sites


def test_a_site_that_rebinds_its_name_sees_nothing(page: Any, sink: Sink) -> None:
    """evil.test has become 127.0.0.1: the page is not there under that name."""
    send(sink, letter("secret"))
    page.get(f"http://evil.test:{sink.web_port}/api/messages")
    shown = find(page, "body").text
    assert "this is not the host" in shown
    assert "secret" not in shown
    script = (
        "const done = arguments[0]; fetch('/api/messages', {method: 'DELETE'})"
        ".then((it) => done(it.status), (it) => done(String(it)))"
    )
    # What is said to strangers may not even ask; without that it would be answered 421.
    assert page.execute_async_script(script) in (421, "TypeError: Failed to fetch")
    assert len(sink.messages()) == 1


def test_another_site_can_neither_change_nor_read(page: Any, sink: Sink, evil: Evil) -> None:
    """Forms, fetches of all kinds, frames, scripts, pictures and events from elsewhere."""
    send(sink, letter("secret"))
    name = sink.messages()[0]["id"]
    evil.page = f"""<!doctype html><script>
const sink = {json.dumps(sink.url)}, name = {json.dumps(name)};
window.log = [];
const note = (what) => (it) => log.push(what + ": " + (it?.status ?? it?.type ?? it));
window.attack = async () => {{
  for (const options of [{{}}, {{method: "DELETE"}}, {{method: "POST", body: "{{}}"}},
      {{method: "POST", mode: "no-cors", body: "{{}}"}}, {{mode: "no-cors"}},
      {{method: "POST", headers: {{"Content-Type": "application/json"}}, body: "{{}}"}}]) {{
    for (const path of ["api/messages", `api/messages/${{name}}`, `api/messages/${{name}}/release`])
      await fetch(sink + path, options).then(
        (it) => it.type === "opaque" ? null : it.text().then(note("READ")), () => null);
  }}
  const load = (tag, path) => new Promise((done) => {{
    const it = document.createElement(tag);
    it.onload = () => {{ if (tag !== "iframe") log.push("LOADED " + tag); done(); }};
    it.onerror = done;
    it.src = sink + path;
    document.body.append(it);
  }});
  await load("script", "api/messages");
  await load("script", "static/sink.js");
  await load("img", "static/icon.svg");
  await load("iframe", "");
  await load("iframe", `api/messages/${{name}}/html`);
  await new Promise((done) => {{
    const events = new EventSource(sink + "api/events");
    events.onopen = () => {{ log.push("OPENED"); done(); }};
    events.onerror = () => {{ events.close(); done(); }};
  }});
  return log;
}};
</script><body><form id="form" method="post" enctype="text/plain" target="frame">
<input name='{{"to":["c@ok.test"],"x":"' value='"}}'></form>
<iframe name="frame" id="frame"></iframe>"""
    page.get(f"{evil.url}/attack")
    log = page.execute_async_script("attack().then(arguments[0])")
    assert log == []
    page.execute_script(f"form.action = '{sink.url}api/messages/{name}/release'; form.submit()")
    settle(page)
    assert [each["id"] for each in sink.messages()] == [name]
    for frame in page.find_elements("css selector", "iframe"):
        page.switch_to.frame(frame)
        assert "secret" not in page.page_source
        page.switch_to.default_content()


def test_the_sink_serves_while_the_page_is_busy(page: Any, sink: Sink) -> None:
    """A message that takes its time to be read holds up no mail."""
    deep = "".join(
        f"Content-Type: multipart/mixed; boundary=b{place}\r\n\r\n--b{place}\r\n"
        for place in range(20_000)
    )
    send(sink, f"Subject: deep\r\n{deep}".encode())
    wait_for(page, subjects, ["deep"])
    find(page, "#list a").click()
    started = time.monotonic()
    send(sink, letter("meanwhile"))
    assert time.monotonic() - started < 60
    wait(page, lambda it: "meanwhile" in subjects(it), "the other message")
