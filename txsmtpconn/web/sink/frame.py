r"""HTML mail as a document that a browser may show in a frame.

The browser is what keeps it harmless: it is told, in the response itself, that the document has no
origin, runs no scripts, submits no forms and loads nothing (`POLICY`), so that it is so wherever
the document is opened. Rewriting HTML to make it harmless is a game that is lost in the long run;
the little that is done here to the text serves what the policy cannot do:

- ``cid:`` images become ``data:`` URLs of the message's own parts;
- ``<link>``, ``<meta>`` and ``<base>`` get names that no browser knows: a policy has no say over
  a preconnect or a DNS prefetch, and a ``<meta http-equiv=refresh>`` should not depend on one;
- links open in a page of their own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote

#: What a document may do: show itself and its own pictures, and let links be followed in pages of
#: their own, which are not bound by this.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none';"
    f" base-uri 'none'; frame-ancestors 'self'; sandbox {SANDBOX}"
)

#: Octets of a message's own pictures that are put into a document.
PICTURE_OCTETS = 16 * 1024 * 1024
#: Media types of pictures. SVG is none of them: it is a document.
PICTURES = frozenset(f"image/{kind}" for kind in ("avif", "bmp", "gif", "jpeg", "png", "webp"))

# A tag begins with "<" and its name, and the name ends with one of these, and nowhere else (HTML
# section 13.2.5.8). NUL is no part of a name's comparison there: it has become U+FFFD before.
_RENAMED = re.compile(r"<(/?)(?=(?:link|meta|base)[\t\n\f\r />])", re.IGNORECASE)
_CID = re.compile(r"(?<=[\"'(=\s])cid:([^\"'()<>\s]{1,998})", re.IGNORECASE)
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_REMOTE = re.compile(
    r"""(?:\b(?:src|background|poster|data)\s*=\s*["']?|\burl\(\s*["']?|\bsrcset\s*=\s*["']?"""
    r"""|<(?:link|image|feImage|use)\b[^>]{0,500}?\bhref\s*=\s*["']?"""
    r"""|@import\s+["'])\s*((?:https?:)?//[^\s"'()<>]{1,2000})""",
    re.IGNORECASE,
)


def framed(html: str, picture: Callable[[str], tuple[str, bytes] | None]) -> str:
    """Return the document to show.

    Args:
        html: The message's HTML text.
        picture: Gives the media type and the octets of a part by its Content-ID; None where there
            is no such part.
    """
    left = PICTURE_OCTETS
    known: dict[str, str | None] = {}

    def shown(found: re.Match[str]) -> str:
        nonlocal left
        name = unquote(found[1])
        if name not in known:
            part = picture(name)
            known[name] = None
            if part is not None and part[0] in PICTURES:
                known[name] = f"data:{part[0]};base64,{base64.b64encode(part[1]).decode()}"
        url = known[name]
        if url is None or len(url) > left:
            return found[0]
        left -= len(url)
        return url

    html = _CID.sub(shown, _RENAMED.sub(r"<\1x-", html))
    doctype = _DOCTYPE.match(html)
    start = doctype.end() if doctype else 0
    return f'{html[:start]}<base target="_blank">{html[start:]}'


def remote_references(html: str) -> list[str]:
    """List what the document would load from elsewhere, as far as a look at its text can tell."""
    found = (match[1] for match in _REMOTE.finditer(html))
    return list(dict.fromkeys(found))[:100]
