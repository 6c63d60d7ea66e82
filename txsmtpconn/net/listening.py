"""A Twisted service that listens on endpoints, whatever it serves there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.errors import ConfigError

#: Kinds of endpoints that listen everywhere where they are told no interface.
_TCP = {"tcp", "tcp4", "tcp6", "ssl", "tls"}
_WORD = re.compile(r"(?:\\.|[^:\\])+")
_ESCAPED = re.compile(r"\\(.)")


class EndpointService(Service):
    """Listens on some endpoints while it runs.

    It listens before privileges are given up, as the well-known ports want, and an endpoint that
    cannot be had stops the start with the reason.

    Args:
        reactor: The reactor.
        factory: What serves the clients.
        endpoints: Twisted's descriptions, such as ``"tcp:2525:interface=127.0.0.1"``.

    Attributes:
        ports: What it listens on.

    Raises:
        ConfigError: A description makes no sense.
    """

    log = Logger(namespace="txsmtpconn.net")

    def __init__(self, reactor: Any, factory: IProtocolFactory, endpoints: Sequence[str]) -> None:
        self.ports: list[IListeningPort] = []
        self._serving = factory
        self._endpoints = []
        for description in endpoints:
            try:
                endpoint = serverFromString(reactor, description)
            except Exception as error:
                # The parser of each kind of endpoint has exceptions of its own.
                raise ConfigError(f"cannot listen on {description!r}: {error}") from error
            # Twisted's own endpoints find that out when they listen, where it is a traceback.
            port = getattr(endpoint, "_port", None)
            if isinstance(port, int) and not 0 <= port <= 65535:
                raise ConfigError(f"cannot listen on {description!r}: a port is 0 to 65535")
            self._endpoints.append((description, endpoint))

    @property
    def addresses(self) -> list[IAddress]:
        """Where it listens."""
        return [port.getHost() for port in self.ports]

    def privilegedStartService(self) -> None:
        """Listen.

        Raises:
            CannotListenError: A port is taken, or not ours to take; a path cannot be made.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for description, endpoint in self._endpoints:
            failures: list[Failure] = []
            listening = endpoint.listen(self._serving)
            listening.addCallback(self._listening, description).addErrback(failures.append)
            if failures:
                raise _told(description, failures[0])

    def startService(self) -> None:
        """Listen, where whoever runs us has no privileges to give up first, as ``twist``."""
        if not self.ports:
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]

    def _listening(self, port: IListeningPort, description: str) -> None:
        self.ports.append(port)
        self.log.info(
            "listening on {address}", address=shown(port.getHost()), description=description
        )

    def stopService(self) -> Deferred[None]:
        """Stop listening, and part with the clients."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        ports, self.ports = self.ports, []
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])
        await self.part()

    async def part(self) -> None:
        """Part with the clients that are there; called when nobody listens any more."""


def _told(description: str, failure: Failure) -> BaseException:
    """Return what to raise: for a path, Twisted has the names of its own files in the exception."""
    reason = failure.value
    assert reason is not None
    if not isinstance(reason, OSError):
        return reason
    kind, _, place = description.partition(":")
    told = CannotListenError(kind, place, reason.strerror)
    told.__cause__ = reason
    return told


def interface_of(description: str) -> str | None:
    """Return where an endpoint of TCP is told to listen, "" for everywhere; None for other kinds.

    The last word counts, as it does for Twisted, of whose grammar this is the part that matters.
    """
    kind, *words = _WORD.findall(description) or [""]
    if kind.lower() not in _TCP:
        return None
    told = [word.partition("=") for word in words]
    found = [value for name, _, value in told if name == "interface"]
    return _ESCAPED.sub(r"\1", found[-1]) if found else ""


def shown(address: Any) -> str:
    """Return an address as an operator writes it."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        name = getattr(address, "name", None)
        return name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
