"""A real server for tests: it captures what it is sent, and misbehaves as it is told.

    async with CaptureServer(reactor) as server:
        server.reject(rcpt="bob@b.test", code=550)
        await send_mail(server.host, server.port)
        (message,) = await server.wait_for(1)
        assert message.subject == "Welcome"

It listens on a port of the loopback interface that was free, on a unix socket, or in a
`MemoryNetwork`. Code that is not written for Twisted has it in another process:
`CaptureServer.running`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IStreamClientEndpoint

from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.clock import default_reactor
from txsmtpconn.net.tls import TLSOptions
from txsmtpconn.server import ServerOptions, ServerTimeouts
from txsmtpconn.sink.rulebook import RuleBook
from txsmtpconn.sink.rules import Rule
from txsmtpconn.testing.captured import (
    CapturedMessage,
    CapturedSession,
    MissingMessages,
    report,
)
from txsmtpconn.testing.capturing import CaptureFactory, snapshot
from txsmtpconn.testing.certificates import CertificateZoo
from txsmtpconn.testing.network import DEFAULT_NAME, MemoryNetwork
from txsmtpconn.testing.rules import Ruled

if TYPE_CHECKING:
    from txsmtpconn.testing.process import CaptureProcess

_LOOPBACK = "127.0.0.1"
#: What the server's certificate is for; the address is in it too.
_NAME = "localhost"
#: A rule may delay an answer for longer than a server would wait for its application.
_PATIENT = ServerTimeouts(answer=86400, mark=86400)


class CaptureServer(Ruled):
    """An SMTP or LMTP server that keeps what it takes, for a test to look at.

    Args:
        reactor: The reactor; by default the process's.
        network: Be reached in memory only, on this network and its clock.
        address: Where on this network; another one for each server of several.
        tls: "starttls" offers it, "implicit" begins with it. The certificate is for localhost and
            127.0.0.1; its authority is in `ca_file`.
        users: Offers AUTH, to these users: passwords (or tokens) by name. Without TLS, too.
        lmtp: Speak LMTP.
        path: Listen on this unix socket.
        seed: Decides what chance decides, in rules that leave something to it; None draws one.
            `MissingMessages` tells it.
        **options: Those of `ServerOptions`.

    Attributes:
        messages: Every message that was accepted, in order.
        host: Where it listens: an address, or the path of a unix socket.
        port: The TCP port; 0 where there is none.
        ca_file: The authority that a client must trust; None without TLS.

    Raises:
        ConfigError: An option is wrong.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        network: MemoryNetwork | None = None,
        address: str | None = None,
        tls: str | None = None,
        users: Mapping[str, str] | None = None,
        lmtp: bool = False,
        path: str | Path | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        if tls not in (None, "starttls", "implicit"):
            raise ConfigError(f"tls is 'starttls' or 'implicit', not {tls!r}")
        if options.keys() & {"logger", "transaction_log", "debug"}:
            raise ConfigError("a capture server logs nothing: its sessions have transcripts")
        if network is not None and path is not None:
            raise ConfigError("a unix socket is not in memory")
        if network is None and address is not None:
            raise ConfigError("an address is in a network in memory; sockets have a port or a path")
        if tls is not None and options.keys() & {"tls_cert_file", "tls_key_file", "implicit_tls"}:
            raise ConfigError(
                "tls has a certificate made: with one of your own leave it out, and say"
                " implicit_tls where TLS comes first"
            )
        self.messages: list[CapturedMessage] = []
        self.host = _LOOPBACK if path is None else str(path)
        self.port = 0
        self.ca_file: Path | None = None
        self._network = network
        self._address = address or DEFAULT_NAME
        self._reactor = reactor
        self._tls = tls
        self._users = _passwords(users)
        self._path = path
        self._options = {
            "name": _NAME,
            "lmtp": lmtp,
            "allow_insecure_auth": tls is None,
            "max_clients_per_address": None,
            "timeouts": _PATIENT,
            # Who fails here means to, time and again.
            "auth_delay": 0,
            "max_auth_failures_per_address": None,
            **options,
        }
        ServerOptions(**self._options)  # what is wrong is told here
        self._rules = RuleBook(seed)
        self._factory: CaptureFactory | None = None
        self._listening: IListeningPort | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._waiting: list[_Waiting] = []

    @staticmethod
    def running(**options: Any) -> CaptureProcess:
        """Return a capture server in a process of its own, as a context manager.

        For code that is synchronous, or has an event loop of its own: its calls block.

        Args:
            **options: Those of this class but ``reactor`` and ``network``; plain values.
        """
        from txsmtpconn.testing.process import CaptureProcess

        return CaptureProcess(**options)

    # -- life

    def start(self) -> Deferred[CaptureServer]:
        """Listen; fires with the server itself."""
        return maybeDeferred(self._start)

    def stop(self) -> Deferred[None]:
        """Stop listening, and drop who is still there; fires when nothing is left of it."""
        return Deferred.fromCoroutine(self._stop())

    async def __aenter__(self) -> CaptureServer:
        return await self.start()

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    def _start(self) -> CaptureServer:
        if self._listening is not None:
            raise ConfigError("the server runs already")
        try:
            options = ServerOptions(**self._options, **self._make_certificate())
            self._factory = factory = CaptureFactory(
                self._clock, options, self._rules, self._users, self._took
            )
            self._listening = self._listen(factory)
        except BaseException:
            self._discard_certificate()
            raise
        if self._network is not None:
            self._network.add_witness(self._report)
        self.port = getattr(self._listening.getHost(), "port", 0)
        return self

    def _listen(self, factory: CaptureFactory) -> Any:
        if self._network is not None:
            return self._network.listen(factory, self._address)
        if self._path is not None:
            return self._clock.listenUNIX(str(self._path), factory)
        return self._clock.listenTCP(0, factory, interface=_LOOPBACK)

    async def _stop(self) -> None:
        listening, self._listening = self._listening, None
        if listening is None or self._factory is None:
            return
        for waiting in list(self._waiting):
            waiting.fail("the server was stopped")
        if self._network is not None:
            self._network.remove_witness(self._report)
        await maybeDeferred(listening.stopListening)
        await self._factory.drain(0)
        self._factory.cancel_pauses()
        self._discard_certificate()

    def _make_certificate(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        self._directory = tempfile.TemporaryDirectory(prefix="txsmtpconn-")
        zoo = CertificateZoo.make(Path(self._directory.name), ["server"])
        self.ca_file = zoo.ca
        return {
            "tls_cert_file": zoo["server"].chain,
            "tls_key_file": zoo["server"].key,
            "implicit_tls": self._tls == "implicit",
        }

    def _discard_certificate(self) -> None:
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    @property
    def _clock(self) -> Any:
        if self._network is not None:
            return self._network.clock
        if self._reactor is None:
            self._reactor = default_reactor()
        return self._reactor

    # -- how it is reached

    @property
    def url(self) -> str:
        """What `connect` takes; empty where there is no URL, in memory and for SMTP on a socket."""
        if self._network is not None:
            return ""
        if self._options["lmtp"]:
            if self._path is not None:
                return f"lmtp+unix://{self.host}"
            secure = "?secure=true" if self._tls == "implicit" else ""
            return f"lmtp://{self.host}:{self.port}{secure}"
        if self._path is not None:
            return ""
        return f"smtp{'s' if self._tls == 'implicit' else ''}://{self.host}:{self.port}"

    def client_options(self, **options: Any) -> ConnectionOptions:
        """Return what `connect` and `SMTPTransport` take to reach it, its authority trusted.

        Args:
            **options: More of `ConnectionOptions`, and others than these.

        Raises:
            ConfigError: An option is wrong, or the server has not told yet where it is.
        """
        given: dict[str, Any] = {"host": _NAME, "lmtp": self._options["lmtp"], "secure": False}
        if self._listening is None and (self._network is None or self._tls is not None):
            raise ConfigError("the server does not run yet: start it first")
        if self._network is not None:
            given["endpoint"] = self.client_endpoint()
        elif self._path is not None:
            given["path"] = self.host
        else:
            given |= {"host": self.host, "port": self.port}
        if self._tls is not None:
            implicit = self._tls == "implicit"
            given |= {"tls": TLSOptions(ca_file=self.ca_file), "secure": implicit}
            given["require_tls"] = not implicit
        elif self._users is not None:
            given["allow_insecure_auth"] = True
        return ConnectionOptions(**{**given, **options})

    def client_endpoint(self) -> IStreamClientEndpoint:
        """Return an endpoint that connects to it, in memory too."""
        if self._network is not None:
            return self._network.client_endpoint(self._address)
        if self._path is not None:
            return UNIXClientEndpoint(self._clock, self.host)
        return TCP4ClientEndpoint(self._clock, self.host, self.port)

    # -- what came

    @property
    def sessions(self) -> list[CapturedSession]:
        """Every session, in order, as it is now."""
        if self._factory is None:
            return []
        return [snapshot(protocol) for protocol in self._factory.sessions.values()]

    @property
    def transcript(self) -> str:
        """What was said in every session, secrets and mail data left out."""
        return "\n".join(map(str, self.sessions))

    def wait_for(self, count: int = 1, timeout: float = 5.0) -> Deferred[list[CapturedMessage]]:
        """Wait until so many messages have come since the start, or since `clear`.

        Args:
            count: How many.
            timeout: Seconds.

        Returns:
            Fires with the first `count` messages. Fails with `MissingMessages`, which tells what
            came and what was said, also at once where the server does not run; with `ConfigError`
            where these are no numbers.
        """
        return maybeDeferred(self._wait_for, count, timeout)

    def _wait_for(self, count: int, timeout: float) -> Deferred[list[CapturedMessage]]:
        if type(count) is not int or count < 0:
            raise ConfigError(f"so many messages cannot be waited for: {count!r}")
        if not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf:
            raise ConfigError(f"a timeout is a number of seconds, not {timeout!r}")
        if len(self.messages) >= count:
            return succeed(self.messages[:count])
        if self._listening is None:
            raise self._missing(count, "and the server does not run")
        waiting = _Waiting(count, self._missing, self._waiting.remove)
        waiting.call = self._clock.callLater(timeout, waiting.fail, f"within {timeout:g} s")
        self._waiting.append(waiting)
        return waiting.deferred

    def clear(self) -> None:
        """Forget the messages, and the sessions that have ended."""
        self.messages.clear()
        if self._factory is not None:
            self._factory.forget_sessions()

    def _took(self, message: CapturedMessage) -> None:
        self.messages.append(message)
        for waiting in list(self._waiting):
            if len(self.messages) >= waiting.count:
                waiting.succeed(self.messages[: waiting.count])

    # -- rules

    def add_rule(self, rule: Rule) -> Rule:
        """Add a rule behind the others; return it with its number."""
        return self._rules.add(rule)

    def hits(self, rule: Rule) -> int:
        """Return how often a rule has struck."""
        return self._rules.hits(rule)

    def clear_rules(self) -> None:
        """Behave from now on."""
        self._rules.clear()

    def _missing(self, count: int, why: str) -> MissingMessages:
        return MissingMessages(
            self._report(f"{count} message{'' if count == 1 else 's'} expected, {why}")
        )

    def _report(self, wanted: str | None = None) -> str:
        wanted = wanted or f"a capture server listens on {self._address}"
        return report(wanted, self.messages, self.sessions, str(self._rules), self._place)

    @property
    def _place(self) -> str:
        """Where it listens, or would."""
        if self._network is not None:
            return self._address
        return f"{self.host}:{self.port}" if self._path is None else self.host


def _passwords(users: Mapping[str, str] | None) -> dict[str, str] | None:
    if users is None:
        return None
    if not isinstance(users, Mapping):
        raise ConfigError("users are passwords by name")
    if not all(isinstance(word, str) for pair in users.items() for word in pair):
        raise ConfigError("users are passwords by name, both of them text")
    return dict(users)


class _Waiting:
    """Somebody who waits for messages.

    Args:
        count: How many.
        missing: Makes the error that says why they are not there.
        ended: Called when the waiting is over.
    """

    def __init__(
        self,
        count: int,
        missing: Callable[[int, str], MissingMessages],
        ended: Callable[[_Waiting], None],
    ) -> None:
        self.count = count
        self.deferred: Deferred[list[CapturedMessage]] = Deferred(self._cancelled)
        self.call: IDelayedCall | None = None
        self._missing = missing
        self._ended = ended

    def succeed(self, messages: list[CapturedMessage]) -> None:
        self._end()
        self.deferred.callback(messages)

    def fail(self, why: str) -> None:
        self._end()
        self.deferred.errback(self._missing(self.count, why))

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        self._end()
        deferred.errback(CancelledError())

    def _end(self) -> None:
        self._ended(self)
        if self.call is not None and self.call.active():
            self.call.cancel()
