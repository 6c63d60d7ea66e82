"""Who may talk to a page on this host, and what browsers are told about all of them.

A page on loopback is within reach of every web site that its user visits: a site can send requests
to it from the browser (cross-site request forgery), and, once its name resolves to 127.0.0.1, read
the answers as well (DNS rebinding). Against the latter a request must name us: by an address,
which cannot be rebound, as localhost, or as the operator has said. Against the former a request
that changes something, or that no one navigated to, must come from a page of ours.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

#: Octets of a request's body; larger ones are not kept, and refused.
BODY_OCTETS = 64 * 1024

#: What every answer says; a page replaces the policy by its own.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "txsmtpconn",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
}

_SAFE = frozenset({b"GET", b"HEAD"})


class Guard(Resource):
    """Lets requests through to another resource that are meant for us, and come from our pages.

    Args:
        inner: Answers them.
        names: Names of ours, besides localhost and addresses.
    """

    isLeaf = True

    def __init__(self, inner: IResource, names: Collection[str] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inner = inner
        self._names = frozenset(name.casefold().rstrip(".") for name in names)

    def render(self, request: Any) -> Any:
        """Answer, or say why not."""
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        refusal = self._refusal(request)
        if refusal is None:
            return self._inner.render(request)
        code, text = refusal
        request.setResponseCode(code)
        request.setHeader("Content-Type", "application/json")
        return json.dumps({"error": text}).encode() + b"\n"

    def _refusal(self, request: Any) -> tuple[int, str] | None:
        host = _only(request, "Host")
        if host is None or not self._is_ours(host):
            return 421, "this is not the host that was asked for; see --web-host"
        if not _is_text(request.uri):
            return 400, "the URL is no text in UTF-8"
        if getattr(request, "is_too_long", False):
            return 413, f"the body is longer than {BODY_OCTETS} octets"
        has_origin = request.requestHeaders.hasHeader("Origin")
        if has_origin and not _same(_only(request, "Origin"), host):
            return 403, "the request comes from another site"
        if not _fetched_by_us(request, changes=request.method not in _SAFE):
            return 403, "the request comes from another site"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name or "@" in host or "/" in host:
            return False
        try:
            ip_address(name)
        except ValueError:
            name = name.rstrip(".")
            return name == "localhost" or name.endswith(".localhost") or name in self._names
        return True


def _is_text(url: bytes) -> bool:
    try:
        unquote_to_bytes(url).decode()
    except UnicodeDecodeError:
        return False
    return True


def _only(request: Any, name: str) -> str | None:
    """Return a header field that is there once."""
    values = request.requestHeaders.getRawHeaders(name) or []
    return values[0] if len(values) == 1 else None


def _same(origin: str | None, host: str) -> bool:
    """Tell whether an origin is that of a page of ours."""
    if origin is None:
        return False
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and rest.casefold() == host.casefold()


def _fetched_by_us(request: Any, *, changes: bool) -> bool:
    """Tell whether a browser that says where a request comes from says nothing against it."""
    site = _only(request, "Sec-Fetch-Site")
    if not request.requestHeaders.hasHeader("Sec-Fetch-Site") or site in ("same-origin", "none"):
        return True
    # A link to us from elsewhere is followed: to a page, not into a frame or a picture.
    navigated = _only(request, "Sec-Fetch-Mode") == "navigate"
    return not changes and navigated and _only(request, "Sec-Fetch-Dest") == "document"


class BoundedRequest(Request):
    """A request whose body is kept up to a limit, however long the client says it is."""

    is_too_long = False
    _kept = 0

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - twisted.web's name
        """Keep a piece of the body, or drop it."""
        self._kept += len(data)
        if self._kept > BODY_OCTETS:
            self.is_too_long = True
        else:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]


class QuietSite(Site):
    """A site that writes nothing to the log about requests."""

    noisy = False

    def log(self, request: HTTPRequest) -> None:
        """Write nothing."""


def guarded_site(reactor: Any, inner: IResource, names: Collection[str] = ()) -> Site:
    """Return a site that only shows itself to those whom it should."""
    guard = Guard(inner, names)
    return QuietSite(  # type: ignore[no-untyped-call]
        guard, requestFactory=BoundedRequest, reactor=reactor
    )
