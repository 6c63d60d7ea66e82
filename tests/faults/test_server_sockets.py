"""The server on real sockets: what no network in memory has, and clients that others wrote."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.threads import deferToThread

from tests.collector import TLS_ENDS, without_collector
from tests.server.hand import OPENING, Recording, codes
from txsmtpconn.sasl import Finished
from txsmtpconn.server import ServerOptions, ServerTimeouts, SMTPServerFactory
from txsmtpconn.testing import CertificateZoo
from txsmtpconn.testing.fixtures import certificate_zoo
from txsmtpconn.wire.transparency import stuffed

__all__ = ["certificate_zoo"]

BODY = b"Subject: x\r\n\r\n.\r\n..dots\r\n" + bytes(range(128, 256)) + b"\r\n"


class Login(Recording):
    """Hooks that believe one password."""

    def on_auth(self, session: Any, credentials: Finished) -> bool:
        return (credentials.authcid, credentials.password) == ("u", "hunter2")


@pytest.fixture(autouse=True)
def closing_time(clean_reactor: None) -> Iterator[None]:
    """Let the reactor turn after a test until closed sockets are closed."""
    yield
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    end = time.monotonic() + 2
    pytest_twisted.blockon(deferLater(reactor, 0))
    while reactor.getDelayedCalls() and time.monotonic() < end:
        pytest_twisted.blockon(deferLater(reactor, 0.005))


@contextlib.asynccontextmanager
async def serving(hooks: Any, path: Path | None = None, **options: Any) -> AsyncIterator[Any]:
    """Serve on loopback, or on a unix socket, for as long as it takes."""
    from twisted.internet import reactor

    factory = SMTPServerFactory(reactor, hooks, ServerOptions(name="mx.test", **options))
    if path is None:
        endpoint: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    else:
        endpoint = UNIXServerEndpoint(reactor, str(path))
    port = await endpoint.listen(factory)
    try:
        yield path or port.getHost().port
    finally:
        await port.stopListening()
        await factory.drain(1)


def talk(port: int, *pieces: bytes, close_half: bool = False) -> bytes:
    """Say it all, then read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for piece in pieces:
            client.sendall(piece)
        if close_half:
            client.shutdown(socket.SHUT_WR)
        heard = b""
        while data := client.recv(65_536):
            heard += data
        return heard


def trusting(zoo: CertificateZoo) -> ssl.SSLContext:
    """Return a client's context that trusts the zoo."""
    return ssl.create_default_context(cafile=str(zoo.ca))


@pytest_twisted.ensureDeferred
async def test_a_client_that_has_said_all_may_close_its_half() -> None:
    """S29: its commands are answered first, then we close."""
    hooks = Recording()
    async with serving(hooks) as port:
        heard = await deferToThread(talk, port, OPENING + stuffed(BODY), close_half=True)
    assert codes(heard)[-2:] == [354, 250]
    assert hooks.sinks[0].ends == ["finished"]


@pytest_twisted.ensureDeferred
async def test_a_client_that_closes_its_half_within_a_message_has_sent_none() -> None:
    """The sink is aborted."""
    hooks = Recording()
    async with serving(hooks) as port:
        heard = await deferToThread(talk, port, OPENING + b"Subject: x\r\n", close_half=True)
    assert codes(heard)[-1] == 354
    assert hooks.sinks[0].ends[0] != "finished"


@pytest_twisted.ensureDeferred
async def test_last_words_reach_a_client_that_is_still_talking() -> None:
    """We close our half and read on, so that no reset takes them away from it."""
    async with serving(Recording(), max_errors=3) as port:
        heard = await deferToThread(talk, port, *[b"DATA\r\n" * 10_000] * 50)
    assert codes(heard) == [220, 503, 503, 503, 421]


@pytest_twisted.ensureDeferred
async def test_a_smuggler_hears_why_it_is_shown_out() -> None:
    """S1, with megabytes behind it."""
    hooks = Recording()
    smuggled = b"a\n.\nMAIL FROM:<evil@x.test>\r\n.\r\n"
    async with serving(hooks) as port:
        heard = await deferToThread(talk, port, OPENING, smuggled, *[b"NOOP\r\n" * 10_000] * 50)
    assert codes(heard) == [220, 250, 250, 250, 354, 550]
    assert hooks.names().count("mail_from") == 1


@pytest_twisted.ensureDeferred
async def test_a_client_that_does_not_close_is_dropped_in_the_end() -> None:
    """After our last words it has its time, and no more."""

    def stay(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            heard = b""
            while data := client.recv(100):
                heard += data
            try:
                while True:
                    client.sendall(b"x" * 65_536)
            except OSError:
                return heard

    timeouts = ServerTimeouts(command=0.1, close=0.2)
    async with serving(Recording(), timeouts=timeouts) as port:
        assert codes(await deferToThread(stay, port)) == [220, 421]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"EHLO me.test\r\n",
        b"EHLO me.te",
        OPENING[:-6],
        OPENING,
        OPENING + b"x\r\n",
        OPENING + b"x\r\n.\r\n",
        OPENING[:-6] + b"BDAT 100\r\nx",
        b"EHLO me.test\r\nAUTH PLAIN\r\n",
        b"EHLO me.test\r\nSTARTTLS\r\n",
        b"EHLO me.test\r\nSTARTTLS\r\n\x16\x03\x01",
    ],
    ids=repr,
)
@pytest.mark.parametrize("hooks_answer", [True, False])
async def test_a_reset_at_any_moment_hurts_nobody(
    said: bytes, hooks_answer: bool, certificate_zoo: CertificateZoo
) -> None:
    """S30: no traceback, every sink ends once, every hook that waits is cancelled."""
    cancelled: list[object] = []
    waiting = [] if hooks_answer else ["connect", "rcpt_to", "data"]
    closed: Deferred[None] = Deferred()
    hooks = Login(
        close=lambda: closed.callback(None),
        **{name: lambda: Deferred(cancelled.append) for name in waiting},
    )

    def reset(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(said)
            time.sleep(0.02)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    tls = certificate_zoo.server_options()
    async with serving(hooks, tls=tls, allow_insecure_auth=True) as port:
        await deferToThread(reset, port)
        await closed
    assert all(len(sink.ends) == 1 for sink in hooks.sinks)
    if not hooks_answer:
        assert len(cancelled) == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("behind", [[b"STARTTLS\r\nRSET\r\n"], [b"STARTTLS\r\n", b"RSET\r\n"]])
async def test_clear_text_behind_starttls_on_a_real_socket(
    behind: list[bytes], certificate_zoo: CertificateZoo
) -> None:
    """S3: in one segment it is refused, in a second one it is no handshake."""

    def inject(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(b"EHLO me.test\r\n")
            for piece in behind:
                client.sendall(piece)
                time.sleep(0.05)
            heard = b""
            with contextlib.suppress(ConnectionResetError):
                while data := client.recv(65_536):
                    heard += data
            return heard

    async with serving(Recording(), tls=certificate_zoo.server_options()) as port:
        heard = await deferToThread(inject, port)
    assert b"250 2.0.0 Ok" not in heard
    assert b"554 5.5.0" in heard if len(behind) == 1 else b"220 2.0.0" in heard


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("implicit", [False, True])
async def test_smtplib_sends_over_tls_and_auth(
    implicit: bool, certificate_zoo: CertificateZoo
) -> None:
    """A client of the standard library, with its checks on; the octets are those it sent."""

    def send(port: int) -> None:
        trust = trusting(certificate_zoo)
        if implicit:
            client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", port, context=trust, timeout=20)
        else:
            client = smtplib.SMTP("localhost", port, timeout=20)
            client.starttls(context=trust)
        with client:
            client.login("u", "hunter2")
            client.sendmail("s@x.test", ["r@y.test"], BODY)
            client.sendmail("", ["r@y.test"], b"x" * 76 + b"\r\n" + b"y" * 5_000_000)

    hooks = Login()
    tls = certificate_zoo.server_options()
    async with serving(
        hooks, tls=tls, implicit_tls=implicit, tls_required=True, auth_required=True
    ) as port:
        await deferToThread(send, port)
    first, second = hooks.sinks
    assert first.content == BODY
    assert len(second.content) == 5_000_080
    assert hooks.sessions[0].protocol == "ESMTPSA"


def close_tls(port: int, said: bytes, zoo: CertificateZoo) -> bytes:
    """Say something under STARTTLS, end TLS in order, then talk on in clear."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(zoo).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for command in (b"EHLO me.test\r\n", b"STARTTLS\r\n"):
            client.recv(1000)
            client.sendall(command)
        assert client.recv(1000).startswith(b"220 ")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                incoming.write(client.recv(65_536))
        tls.write(said)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        client.sendall(outgoing.read() + b"x" * 200 + b"\r\n.\r\nRSET\r\nNOOP\r\n")
        heard = b""
        with contextlib.suppress(ConnectionError):
            while data := client.recv(65_536):
                heard += data
        return heard


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "said",
    [OPENING[:-6], OPENING[:-6] + b"BDAT 100\r\nx", OPENING + b"x\r\n"],
    ids=["commands", "chunk", "mail data"],
)
async def test_nothing_in_clear_is_taken_behind_the_end_of_tls(
    said: bytes, certificate_zoo: CertificateZoo
) -> None:
    """S5, CVE-2026-45185: close_notify, at whatever moment, is the end of the connection."""
    closed: Deferred[None] = Deferred()
    hooks = Recording(close=lambda: closed.callback(None))
    async with serving(hooks, tls=certificate_zoo.server_options()) as port:
        heard = await deferToThread(close_tls, port, said, certificate_zoo)
        await closed
    assert b"\r\n250" not in heard  # in clear, that is
    assert all(sink.ends[0] != "finished" for sink in hooks.sinks)
    assert hooks.names()[-1] == "close"


@pytest_twisted.ensureDeferred
async def test_a_tls_listener_may_bring_the_certificate(certificate_zoo: CertificateZoo) -> None:
    """With `implicit_tls` and no certificate of ours, the handshake is the listener's."""
    from twisted.internet import reactor

    def send(port: int) -> None:
        trust = trusting(certificate_zoo)
        with smtplib.SMTP_SSL("localhost", port, context=trust, timeout=20) as client:
            client.sendmail("s@x.test", ["r@y.test"], BODY)

    hooks = Recording()
    options = ServerOptions(name="mx.test", implicit_tls=True)
    factory = SMTPServerFactory(reactor, hooks, options)
    tls = certificate_zoo.server_options()
    port = await SSL4ServerEndpoint(reactor, 0, tls, interface="127.0.0.1").listen(factory)
    await deferToThread(send, port.getHost().port)
    await port.stopListening()
    await factory.drain(1)
    assert hooks.sinks[0].content == BODY
    assert hooks.sessions[0].protocol == "ESMTPS"
    assert hooks.sessions[0].tls.version.startswith("TLS")


@pytest_twisted.ensureDeferred
async def test_lmtp_on_a_unix_socket(tmp_path: Path) -> None:
    """No TCP option is asked of it, and the client has no address."""

    def send(path: Path) -> dict[str, Any]:
        with smtplib.LMTP(str(path)) as client:
            return client.sendmail("s@x.test", ["a@y.test"], BODY)

    hooks = Recording()
    async with serving(hooks, tmp_path / "lmtp", lmtp=True) as path:
        assert await deferToThread(send, path) == {}
    assert hooks.sinks[0].content == BODY
    assert hooks.sessions[0].remote_address == ""


@pytest_twisted.ensureDeferred
async def test_many_clients_at_once_are_all_served() -> None:
    """Each message once, each to its own sink."""

    def send(port: int, number: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            for _ in range(5):
                client.sendmail(f"s{number}@x.test", ["r@y.test"], b"%d\r\n" % number * 10_000)

    hooks = Recording()
    async with serving(hooks) as port:
        sending: list[Deferred[None]] = [deferToThread(send, port, n) for n in range(8)]
        for each in sending:
            await each
    assert len(hooks.sinks) == 40
    senders = [asked[1].mail_from for asked in hooks.asked if asked[0] == "data"]
    for sender, sink in zip(senders, hooks.sinks, strict=True):
        assert sink.content == sender[1:-7].encode() + b"\r\n" + sink.content[3:]
        assert sink.content.count(b"\r\n") == 10_000


def _quits(client: socket.socket) -> None:
    client.sendall(OPENING + stuffed(BODY) + b"QUIT\r\n")
    while client.recv(65_536):
        pass


def _closes_within_a_message(client: socket.socket) -> None:
    client.sendall(OPENING + b"Subject: x\r\n")


def _resets(client: socket.socket) -> None:
    client.sendall(OPENING)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _says_goodbye(client: Any) -> None:
    """To TLS, too; of one that does not, a failure of Twisted's keeps the stack."""
    _quits(client)
    client.unwrap()


@pytest.mark.parametrize(
    ("end", "tls"),
    [
        (_quits, False),
        (_closes_within_a_message, False),
        (_resets, False),
        (_says_goodbye, True),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nothing_of_a_client_is_left_to_the_collector_of_cycles(
    end: Any, tls: bool, certificate_zoo: CertificateZoo
) -> None:
    """A flood of clients would fill the memory between its visits."""
    if tls and not TLS_ENDS:
        pytest.skip("this Twisted leaves every TLS transport to the collector")
    closed: Deferred[None] = Deferred()
    context = trusting(certificate_zoo)

    def talks(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            if not tls:
                end(client)
                return
            for line in (b"", b"EHLO me.test\r\n", b"STARTTLS\r\n"):
                client.sendall(line)
                client.recv(65_536)
            with context.wrap_socket(client, server_hostname="localhost") as secured:
                end(secured)

    hooks = Recording(close=lambda: closed.callback(None))
    async with serving(hooks, tls=certificate_zoo.server_options()) as port, without_collector():
        await deferToThread(talks, port)
        await closed
        hooks.sessions.clear()
