"""A small internet in memory, in which the examples of these pages run when they are tested.

An example is a coroutine that takes a reactor, as `twisted.internet.task.react` wants it, and it
names hosts, ports and sockets as a program does. Here the reactor resolves each name to an address
of its own, connects to servers in this process, and has a clock that a test moves::

    net = ExampleNet()
    net.serve("smtp.example.com", 587)
    net.run(main)
"""

# Methods and arguments are spelled by Twisted's interfaces.
# ruff: noqa: N802, N803

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorUNIX,
)
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from txsmtpconn import ServerOptions, SMTPServerFactory
from txsmtpconn.net.server_tls import ServerTLS
from txsmtpconn.net.tls import is_address
from txsmtpconn.sink import Sink
from txsmtpconn.testing import MemoryNetwork, ScriptedPeer
from txsmtpconn.testing.script import close, expect, expect_matching, send, start_tls
from txsmtpconn.wire.reply import Reply


@cache
def _platform() -> trustme.CA:
    """Make the authority that the examples' machine trusts where it is told of no other.

    One for the process: what reads the platform's authorities reads them once.
    """
    authority = trustme.CA()
    path = Path(_TRUST.name) / "platform.pem"
    authority.cert_pem.write_to_path(path)
    # What OpenSSL takes for the platform's.
    os.environ["SSL_CERT_FILE"] = str(path)
    return authority


_TRUST = tempfile.TemporaryDirectory(prefix="txsmtpconn-docs-")


class ExampleNet:
    """Hosts, servers and certificates, and a reactor that reaches them.

    Attributes:
        directory: Where files are, among them the platform's ``ca.pem``; examples run in it.
        reactor: What examples are given.
        arrived: The envelope and octets of each message that a server of `serve` took.
    """

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="txsmtpconn-docs-")
        self.directory = Path(self._temporary.name)
        _platform().cert_pem.write_to_path(self.directory / "ca.pem")
        self.reactor = ExampleReactor()
        self.network = self.reactor.network
        self.arrived: list[tuple[Any, bytes]] = []

    def authority(self, file: str) -> trustme.CA:
        """Make an authority, and write its certificate into a file."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.directory / file)
        return authority

    def certificate(self, name: str, authority: str | None = None) -> Path:
        """Write a certificate with its key into a file, and return its path.

        Args:
            name: The host's, or a person's.
            authority: The file for the certificate of an authority made for this one alone; None
                for the platform's.
        """
        issuer = _platform() if authority is None else self.authority(authority)
        path = self.directory / f"{name}.pem"
        issuer.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def serve(
        self,
        host: str,
        port: int,
        hooks: object = None,
        *,
        tls: Any = True,
        authority: str | None = None,
        **options: Any,
    ) -> None:
        """Run a server of ours on a port of a host; by default it takes all mail and any login.

        Args:
            host: Its name, or its address.
            port: 465 means TLS from the first octet.
            hooks: What decides and takes.
            tls: False for none; a file, or a context, where the certificate is not the host's own.
            authority: See `certificate`.
            **options: Those of `ServerOptions`.
        """
        if tls is True:
            tls = self.certificate(host, authority)
        if tls:
            options["tls_cert_file" if isinstance(tls, Path) else "tls"] = tls
            options.setdefault("implicit_tls", port == 465)
        options.setdefault("name", "mx.test" if is_address(host) else host)
        taking = _Taking(self.arrived) if hooks is None else hooks
        factory = SMTPServerFactory(self.reactor, taking, ServerOptions(**options))
        self.network.listen(factory, self.reactor.place(host, port))

    def serve_unix(self, path: str, hooks: object = None, **options: Any) -> None:
        """Run a server of ours on a unix socket."""
        taking = _Taking(self.arrived) if hooks is None else hooks
        factory = SMTPServerFactory(self.reactor, taking, ServerOptions(name="mx.test", **options))
        self.network.listen(factory, path)

    def play(self, host: str, port: int, *steps: Any) -> None:
        """Let a scripted server wait on a port of a host."""
        self.network.serve(ScriptedPeer(*steps), name=self.reactor.place(host, port))

    def server_tls(self, host: str) -> Any:
        """Return what a scripted server's `start_tls` needs."""
        return ServerTLS(self.certificate(host))

    def takes_tokens(self, host: str, port: int) -> None:
        """Let a server wait that offers STARTTLS, and behind it logins by XOAUTH2 only."""
        self.play(
            host,
            port,
            send(f"220 {host} ESMTP"),
            expect_matching("EHLO .*"),
            send(f"250-{host}", "250 STARTTLS"),
            expect("STARTTLS"),
            send("220 2.0.0 Go ahead"),
            start_tls(self.server_tls(host)),
            expect_matching("EHLO .*"),
            send(f"250-{host}", "250 AUTH XOAUTH2"),
            expect_matching("AUTH XOAUTH2 .*"),
            send("235 2.7.0 Accepted"),
            expect("QUIT"),
            send("221 2.0.0 Bye"),
            close(),
        )

    def gives_tokens(self, url: str) -> None:
        """Run a token server: each request gets a token that is good for an hour."""
        host = urlsplit(url).hostname
        assert host is not None
        site = Site(_Tokens(), reactor=self.reactor)
        # It would look at the clock each second, for a log that nobody keeps.
        site.startFactory = lambda: None
        tls = ServerTLS(self.certificate(host))
        guarded = TLSMemoryBIOFactory(tls, False, site, clock=self.reactor)
        self.network.listen(guarded, self.reactor.place(host, 443))

    def run(self, main: Callable[..., Any], *arguments: Any, within: float = 60.0) -> Any:
        """Run an example to its end, as `react` would, and let the last connections close.

        Time passes as far as the example waits for it, but not beyond ``within`` seconds.
        """
        here = Path.cwd()
        os.chdir(self.directory)
        try:
            result = self.network.result_of(main(self.reactor, *arguments), within)
            self.network.settle()
            return result
        finally:
            os.chdir(here)


class _Tokens(Resource):
    """Says that whoever asks may have a token."""

    isLeaf = True

    def render_POST(self, request: Any) -> bytes:
        """Answer."""
        return b'{"access_token": "ya29.fresh-token", "expires_in": 3600, "token_type": "Bearer"}'


class _Taking(Sink):
    """Takes what comes, and remembers it."""

    def __init__(self, arrived: list[tuple[Any, bytes]]) -> None:
        super().__init__()
        self._arrived = arrived

    def on_data(self, session: Any, envelope: Any) -> Any:
        """Begin to take a message."""
        return _Remembering(self._arrived, envelope)


class _Remembering:
    def __init__(self, arrived: list[tuple[Any, bytes]], envelope: Any) -> None:
        self._arrived = arrived
        self._envelope = envelope
        self._octets = bytearray()

    def write(self, data: bytes) -> None:
        self._octets += data

    def finish(self) -> Reply:
        self._arrived.append((self._envelope, bytes(self._octets)))
        return Reply.of(250, f"2.0.0 Ok: queued as {len(self._arrived)}")

    def abort(self, reason: Exception) -> None:
        self._octets.clear()


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Have nothing to cancel: the answer was there at once."""


@implementer(IReactorPluggableNameResolver, IReactorTCP, IReactorUNIX)
class ExampleReactor(Clock):
    """A clock that also connects and listens, within a `MemoryNetwork`."""

    def __init__(self) -> None:
        super().__init__()
        self.network = MemoryNetwork(self)
        self.nameResolver = self
        self._addresses: dict[str, str] = {}

    def place(self, host: str, port: int) -> str:
        """Return what the network calls a port of a host; its name resolves from now on."""
        if not is_address(host):
            host = self._addresses.setdefault(host, f"192.0.2.{len(self._addresses) + 1}")
        return f"{host}:{port}"

    def resolveHostName(
        self, receiver: Any, name: str, portNumber: int = 0, *_: Any, **__: Any
    ) -> IHostResolution:
        """Resolve addresses, and names that were given a place; other names do not exist."""
        resolution = _Resolution(name)
        receiver.resolutionBegan(resolution)
        address = name if is_address(name) else self._addresses.get(name)
        if address is not None:
            receiver.addressResolved(IPv4Address("TCP", address, portNumber))
        receiver.resolutionComplete()
        return resolution

    def installNameResolver(self, resolver: Any) -> Any:
        """Not needed here."""
        raise NotImplementedError

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        """Connect to whoever listens at an address."""
        return self._connect(f"{host}:{port}", factory)

    def connectUNIX(
        self, address: str, factory: Any, timeout: float = 30, checkPID: bool = False
    ) -> Any:
        """Connect to whoever listens on a socket."""
        return self._connect(address, factory)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen on a port of this machine."""
        return self.network.listen(factory, self.place("localhost", port))

    def listenUNIX(
        self,
        address: str,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> Any:
        """Listen on a socket."""
        return self.network.listen(factory, address)

    def _connect(self, place: str, factory: Any) -> object:
        connector = object()
        factory.startedConnecting(connector)
        connecting = self.network.connect(factory, place)
        connecting.addErrback(lambda why: factory.clientConnectionFailed(connector, why))
        return connector
