"""The sink's page beside the sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.threads import deferToThreadPool

from txsmtpconn import __version__
from txsmtpconn.net.listening import shown
from txsmtpconn.sink.service import SinkService
from txsmtpconn.transport import SMTPTransport
from txsmtpconn.web.guard import guarded_site
from txsmtpconn.web.service import WebService
from txsmtpconn.web.sink.page import SinkPage
from txsmtpconn.web.sink.release import Releases
from txsmtpconn.web.stream import EventStream


def add_page(
    reactor: Any,
    sink: SinkService,
    endpoint: str,
    *,
    remote: bool = False,
    names: Sequence[str] = (),
    release_to: Mapping[str, Any] | None = None,
    release_allow: Sequence[str] = (),
) -> WebService:
    """Let a page show what a sink keeps; it starts and stops with the sink.

    Args:
        reactor: The reactor.
        sink: The sink; it has a shelf.
        endpoint: Where to listen.
        remote: Whether that may be elsewhere than on loopback.
        names: Names under which browsers may ask for the page.
        release_to: Options of connections to a real server to release messages to.
        release_allow: Who may get them.

    Raises:
        ConfigError: One of these makes no sense.
    """
    assert sink.shelf is not None
    releases = None
    if release_to is not None:
        releases = Releases(SMTPTransport(reactor, **release_to), release_allow)

    def status() -> dict[str, Any]:
        return {
            "version": __version__,
            "listening": [shown(address) for address in sink.listening.addresses],
            "taken": sink.sink.taken,
            "sessions": sink.factory.connections,
        }

    def run(function: Any, *arguments: Any) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *arguments)

    stream = EventStream(reactor)
    page = SinkPage(sink.shelf, stream, status, sink.book, releases, run)
    site = guarded_site(reactor, page.resource(), names)
    service = WebService(reactor, site, endpoint, stream, remote=remote)
    service.setServiceParent(sink)  # type: ignore[no-untyped-call]
    return service
