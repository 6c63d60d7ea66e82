"""HTML mail in its frame: what the policy says, and what is done to the text."""

from __future__ import annotations

import base64

import pytest

from txsmtpconn.web.sink.frame import PICTURE_OCTETS, POLICY, framed, remote_references

BASE = '<base target="_blank">'


def none(_: str) -> None:
    """Have no pictures."""


def test_the_policy_forbids_all_but_looks() -> None:
    """No scripts, no loading, no forms, no origin; links may be followed elsewhere."""
    told = dict(each.strip().partition(" ")[::2] for each in POLICY.split(";"))
    assert told == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'self'",
        "sandbox": "allow-popups allow-popups-to-escape-sandbox",
    }


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>x</p>", f"{BASE}<p>x</p>"),
        ("<!DOCTYPE html><p>x", f"<!DOCTYPE html>{BASE}<p>x"),
        ("\n <!doctype html PUBLIC 'x'>\n<p>", f"\n <!doctype html PUBLIC 'x'>{BASE}\n<p>"),
        ("<LINK rel=preconnect href=//e>", f"{BASE}<x-LINK rel=preconnect href=//e>"),
        ("<meta\nhttp-equiv=refresh content=0>", f"{BASE}<x-meta\nhttp-equiv=refresh content=0>"),
        ("<base/href=//e></base>", f"{BASE}<x-base/href=//e></x-base>"),
        ("<links><metal><basement>", f"{BASE}<links><metal><basement>"),
        ("<svg><link xlink:href=//e />", f"{BASE}<svg><x-link xlink:href=//e />"),
    ],
)
def test_what_is_done_to_the_text(html: str, shown: str) -> None:
    """Three elements are renamed, a base is put in, and the rest stays as it is."""
    assert framed(html, none) == shown


def test_pictures_of_the_message_itself() -> None:
    """In attributes and styles, quoted or not, percent-encoded; SVG and others stay out."""
    parts = {"a@x": ("image/png", b"1"), "b c": ("image/gif", b"2"), "s": ("image/svg+xml", b"3")}
    one, two = (base64.b64encode(each).decode() for each in (b"1", b"2"))
    html = "<img src='cid:a@x'><img src=CID:b%20c><p style=\"background:url(cid:a@x)\">cid:a@x"
    shown = framed(html + "<img src=cid:s><img src=cid:none>", parts.get)
    assert f"src='data:image/png;base64,{one}'" in shown
    assert f"src=data:image/gif;base64,{two}>" in shown
    assert f"url(data:image/png;base64,{one})" in shown
    assert shown.endswith(">cid:a@x<img src=cid:s><img src=cid:none>")


def test_pictures_are_bounded_however_often_they_are_named() -> None:
    """A thousand times the same large picture is not a thousand times its size."""
    html = "<img src=cid:a>" * 1000
    shown = framed(html, {"a": ("image/png", bytes(PICTURE_OCTETS // 4))}.get)
    assert len(shown) < PICTURE_OCTETS + len(html) + 100
    assert 1 <= shown.count("data:image/png") < 4


@pytest.mark.parametrize(
    "html",
    [
        "<img src='https://e.test/x'>",
        "<IMG SRC = //e.test/x>",
        "<td background=http://e.test/x>",
        "<p style='background: url( \"http://e.test/x\" )'>",
        "<style>@import 'http://e.test/x'</style>",
        "<img srcset='http://e.test/x 2x'>",
        "<video poster=http://e.test/x>",
        "<svg><image width=1 href='http://e.test/x'/></svg>",
        "<svg><use xlink:href=//e.test/x></svg>",
    ],
)
def test_what_would_be_loaded_is_listed(html: str) -> None:
    """So that an author sees on what the message depends."""
    (found,) = remote_references(html)
    assert found.endswith("//e.test/x")


def test_what_is_not_loaded_is_not_listed() -> None:
    """Links are followed, not loaded; and each thing is listed once."""
    assert remote_references("<a href=http://e.test/>http://e.test/</a>") == []
    assert len(remote_references("<img src=//e/a>" * 50)) == 1
    assert len(remote_references("".join(f"<img src=//e/{n}>" for n in range(500)))) == 100
