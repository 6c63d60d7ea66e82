"""Makes the pictures of the sink's page: `python docs/images/sink.py`, from the checkout's root.

It runs the sink, sends it some mail, and has Chromium look at the page; needs what tests/interop
needs for a browser.
"""

from __future__ import annotations

import base64
import json
import smtplib
import struct
import sys
import tempfile
import zlib
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.interop.peers.browser import chromium, find, wait
from tests.interop.peers.sink import Sink, running_sink

#: Octets of a picture.
LARGEST = 150 * 1024

_HTML = """<!doctype html><html><body style="margin:0;background:#f3efe6;font-family:Georgia,serif">
<table role="presentation" width="100%"><tr><td align="center" style="padding:32px 16px">
<div style="max-width:520px;text-align:left;background:#fff;border-radius:12px;
padding:36px 40px;color:#2b2a27">
<img src="cid:mark@birch.example" width="44" height="44" alt="" style="border-radius:10px">
<h1 style="font-weight:normal;font-size:26px;margin:18px 0 10px">Your order is on its way</h1>
<p style="font-size:16px;line-height:1.6;margin:0 0 18px">Dear Alice,<br>the two chairs in birch
left our workshop this morning. They should be with you on Thursday, between nine and noon.</p>
<a href="https://birch.example/orders/20417" style="display:inline-block;background:#1b6662;
color:#fff;text-decoration:none;padding:12px 22px;border-radius:8px;font-family:sans-serif;
font-size:15px">Follow the parcel</a>
<p style="font-size:13px;color:#77736a;margin:28px 0 0;line-height:1.6">Birch &amp; Sons, Harbour
Road 4. You get this letter because you have ordered from us.
<img src="https://pixel.birch.example/o/20417.gif" width="1" height="1" alt=""></p>
</div></td></tr></table></body></html>"""


def _mark() -> bytes:
    """Draw a small picture: a disc on a field, as PNG."""
    side = 88
    rows = b"".join(
        b"\x00"
        + b"".join(
            b"\xf3\xd9\x9c" if (x - 44) ** 2 + (y - 50) ** 2 < 24**2 else b"\x1b\x66\x62"
            for x in range(side)
        )
        for y in range(side)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def letter(subject: str, to: str, text: str, sender: str = "") -> EmailMessage:
    """Write a letter."""
    message = EmailMessage()
    message["From"] = sender or "Birch & Sons <orders@birch.example>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Thu, 26 Nov 2026 09:12:44 +0000"
    message["Message-ID"] = f"<{abs(hash(subject))}@birch.example>"
    message.set_content(text)
    return message


def letters() -> list[EmailMessage]:
    """Write what a shop under development sends on a morning."""
    order = letter(
        "Your order is on its way",
        "Alice Meyer <alice@example.net>",
        "Dear Alice,\n\nthe two chairs in birch left our workshop this morning. They should be with"
        " you on Thursday, between nine and noon.\n\nhttps://birch.example/orders/20417\n",
    )
    order.add_alternative(_HTML, subtype="html")
    order.get_payload()[1].add_related(  # type: ignore[union-attr]
        _mark(), maintype="image", subtype="png", cid="<mark@birch.example>"
    )
    order.add_attachment(
        b"%PDF-1.4\n" + bytes(48_000), maintype="application", subtype="pdf", filename="invoice.pdf"
    )
    return [
        letter("Weekly report: 41 orders", "team@birch.example", "Orders: 41, returns: 2."),
        letter(
            "Reset your password",
            "Dora <dora@example.org>",
            "Follow this link within an hour:\nhttps://birch.example/reset?token=4f1c\n",
        ),
        letter("Välkommen, Åsa!", "Åsa <asa@example.se>", "Roligt att du är här."),
        letter(
            "Ευχαριστούμε για την παραγγελία",
            "Νίκος <nikos@example.gr>",
            "Η παραγγελία σας θα σταλεί αύριο.",
        ),
        letter(
            "Please confirm your address",
            "Bob <bob@example.com>",
            "One click and you are done:\nhttps://birch.example/confirm?c=88\n",
        ),
        letter(
            "Backup finished",
            "ops@birch.example",
            "412 GB in 38 minutes. No errors.",
            "cron <cron@birch.example>",
        ),
        order,
    ]


def send(sink: Sink) -> None:
    """Send the letters."""
    with smtplib.SMTP("127.0.0.1", sink.port, local_hostname="shop.birch.example") as client:
        for message in letters():
            client.send_message(message)


def shoot(browser: Any, name: str) -> None:
    """Take a picture of what the browser shows."""
    path = ROOT / "docs" / "images" / f"{name}.png"
    told = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(told["data"]))
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size} octets")
    if size > LARGEST:
        raise SystemExit(f"{path} is larger than {LARGEST} octets")


def look(browser: Any, url: str, *, width: int, height: int, dark: bool, mobile: bool) -> None:
    """Open the page as a device would."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )
    browser.execute_cdp_cmd("Emulation.setLocaleOverride", {"locale": "en-GB"})
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "UTC"})
    browser.get("about:blank")
    browser.get(url)
    find(browser, "#list li")
    wait(browser, lambda it: "on" in find(it, "#live").get_attribute("class"), "live updates")


def see_letter(browser: Any) -> None:
    """Wait until the letter itself is there."""
    browser.switch_to.frame(find(browser, "iframe"))
    find(browser, "h1")
    browser.switch_to.default_content()


def spread(store: Path) -> None:
    """Let the letters have come over a morning, and not within a second."""
    for place, path in enumerate(sorted(store.glob("*.eml"))):
        time = datetime.now(UTC).replace(hour=7 + place // 3, minute=(7 + 17 * place) % 60)
        name = f"{time:%Y%m%dT%H%M%S.%fZ}{path.stem[-9:]}"
        facts = path.with_suffix(".json")
        told = json.loads(facts.read_text("utf-8")) | {"received": time.isoformat()}
        facts.with_stem(name).write_text(json.dumps(told), "utf-8")
        facts.unlink()
        path.rename(path.with_stem(name))


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as store:
        kept = f"--store={store}"
        with running_sink(kept, "--name=sink.birch.example") as sink:
            send(sink)
        spread(Path(store))
        allowed = ["--release-to=smtp://mail.birch.example:587", "--release-allow=*@birch.example"]
        with running_sink(kept, *allowed) as sink:
            take(sink)


def take(sink: Sink) -> None:
    """Take all pictures of a sink."""
    with chromium("--force-color-profile=srgb") as browser:
        wide: dict[str, Any] = {"width": 1180, "height": 720, "mobile": False}
        look(browser, sink.url, dark=False, **wide)
        find(browser, "#list li:first-child a").click()
        see_letter(browser)
        shoot(browser, "sink")
        look(browser, sink.url, dark=True, **wide)
        find(browser, "#list li:nth-child(3) a").click()
        find(browser, "#tab-session").click()
        find(browser, ".said")
        shoot(browser, "sink-dark")
        small: dict[str, Any] = {"width": 390, "height": 720, "mobile": True}
        look(browser, sink.url, dark=False, **small)
        shoot(browser, "sink-phone-list")
        find(browser, "#list li:first-child a").click()
        see_letter(browser)
        shoot(browser, "sink-phone")


if __name__ == "__main__":
    main()
