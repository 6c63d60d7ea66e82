"""Our server behind others, and our client before them: HAProxy, Postfix, Exim, OpenSSL."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.interop.mail import connected, deliveries, marker, message, trusting
from tests.interop.peers.arrived import wait_for
from tests.interop.peers.available import program
from tests.interop.peers.haproxy import haproxy
from tests.interop.peers.process import accepts, wait_until
from txsmtpconn import Delivery, Envelope, SMTPRejection
from txsmtpconn.server import ServerOptions, SMTPServerFactory

ONE = Envelope("a@a.test", ["u@a.test"])


class Application:
    """Takes every message, and remembers who brought it."""

    def __init__(self, answer: Any = None) -> None:
        self.sessions: list[Any] = []
        self.taken: list[tuple[Any, dict[str, Any]]] = []
        self.envelopes: list[Any] = []
        self.answer = answer
        self._octets = b""

    def on_connect(self, session: Any) -> None:
        self.sessions.append(session)

    def on_data(self, session: Any, envelope: Any) -> Application:
        self.taken.append((session.peer, dict(session.forwarded)))
        self.envelopes.append(envelope)
        return self

    def write(self, data: bytes) -> None:
        """Drop it."""

    def finish(self) -> Any:
        """Answer for it."""
        return self.answer(self.envelopes[-1]) if self.answer else None

    def abort(self, reason: Exception) -> None:
        """Have nothing to forget."""


@asynccontextmanager
async def serving(application: Any, **options: Any) -> AsyncIterator[int]:
    """Serve on a port of 127.0.0.1, and leave nothing behind."""
    from twisted.internet import reactor

    factory = SMTPServerFactory(reactor, application, ServerOptions(name="mx.test", **options))
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    try:
        yield port.getHost().port
    finally:
        await port.stopListening()
        await factory.drain(0.5)


async def until(done: Any, seconds: float = 20.0) -> None:
    """Let the reactor turn until something is so."""
    from twisted.internet import reactor

    for _ in range(int(seconds / 0.05)):
        if done():
            return
        await deferLater(reactor, 0.05)
    raise TimeoutError


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
@pytest.mark.parametrize("road", ["clear", "starttls", "implicit"])
async def test_behind_haproxy(certificate_zoo, how, road):
    """The client is the one behind it, from its own address, in clear and in TLS."""
    files, application = certificate_zoo["server"], Application()
    tls, implicit = road != "clear", road == "implicit"
    shown = {"tls_cert_file": files.chain, "tls_key_file": files.key} if tls else {}
    shown["implicit_tls"] = implicit
    async with serving(application, proxy_networks=["127.0.0.1"], **shown) as ours:
        with haproxy(ours, how) as port:
            await deferToThread(wait_until, lambda: accepts(port), "HAProxy")
            async with connected(
                port,
                host="127.0.0.1",
                local_address="127.0.0.9",
                secure=implicit,
                tls=trusting(certificate_zoo),
            ) as connection:
                assert connection.secure is tls
                await connection.send(ONE, message(marker()))
    ((peer, _),) = application.taken
    assert peer.host == "127.0.0.9"
    assert application.sessions[-1].host.port == port


async def test_haproxy_sees_that_we_live(certificate_zoo):
    """Its own checks come by LOCAL, and are its own; mail goes on."""
    application = Application()
    async with serving(application, proxy_networks=["127.0.0.1"]) as ours:
        with haproxy(ours, "send-proxy-v2 check check-send-proxy inter 100ms"):
            await until(lambda: any(each.hello_name for each in application.sessions))
    (name, host), *_ = {(each.hello_name, each.remote_address) for each in application.sessions}
    assert (name, host) == ("haproxy.test", "127.0.0.1")


async def test_haproxy_that_says_nothing_is_not_served():
    """A header that was forgotten does not make all clients the balancer."""
    application = Application()
    async with serving(application, proxy_networks=["127.0.0.1"]) as ours:
        with haproxy(ours, "") as port:
            await deferToThread(wait_until, lambda: accepts(port), "HAProxy")
            with pytest.raises(Exception, match=r"connection|greeting"):
                async with connected(port, host="127.0.0.1", greeting_timeout=8):
                    pass
    assert application.sessions == []


async def test_postfix_takes_us_for_another(postfix, certificate_zoo):
    """XCLIENT: what it writes into its trace field is what it was told."""
    mark = marker()
    async with connected(postfix.believing, tls=trusting(certificate_zoo)) as connection:
        assert "XCLIENT" in connection.extensions
        secure = connection.secure
        await connection.xclient(name="client.example", addr="192.0.2.7", port="4711")
        assert connection.secure is secure
        await connection.send(ONE, message(mark))
    (arrived,) = await wait_for(postfix.messages, mark)
    received = dict(arrived.trace)["received"]
    assert "client.example [192.0.2.7]" in received


async def test_postfix_trusts_whom_it_takes_us_for_no_more(postfix, certificate_zoo):
    """Behind another message, and with a name that nobody knows; XCLIENT is over then."""
    mark = marker()
    async with connected(postfix.believing, tls=trusting(certificate_zoo)) as connection:
        await connection.send(ONE, message(marker()))
        await connection.xclient(name=None, addr="192.0.2.8")
        assert "XCLIENT" not in connection.extensions
        await connection.send(ONE, message(mark))
    (arrived,) = await wait_for(postfix.messages, mark)
    assert "unknown [192.0.2.8]" in dict(arrived.trace)["received"]


async def test_what_we_forward_is_what_postfix_forwards(postfix, certificate_zoo):
    """XFORWARD from our client through Postfix to our server, and for one message only."""
    application = Application()
    told = {"NAME": "client.example", "ADDR": "192.0.2.7", "HELO": "helo.example"}
    async with serving(application, xforward_networks=["127.0.0.1"]) as ours:
        envelope = Envelope("a@a.test", [f"u@{postfix.onward('forward', ours)}"])
        async with connected(postfix.believing, tls=trusting(certificate_zoo)) as connection:
            await connection.xforward(**told, port="4711", proto="ESMTP", source="REMOTE")
            await connection.send(envelope, message(marker()))
            await until(lambda: len(application.taken) == 1)
            await connection.send(envelope, message(marker()))
            await until(lambda: len(application.taken) == 2)
    (peer, first), (_, second) = application.taken
    assert peer.host == "127.0.0.1"
    assert {name: first[name] for name in told} == told
    assert first["SOURCE"] == "REMOTE"
    assert first["IDENT"]
    assert second["ADDR"] == "127.0.0.1"


async def test_exim_tells_recipients_apart(exim, certificate_zoo):
    """PRDR from our client: one is refused for its content, the other has the message."""
    mark = marker()
    people = ["u@a.test", "picky@a.test", "v@a.test"]
    async with connected(exim.mx, tls=trusting(certificate_zoo)) as connection:
        assert "PRDR" in connection.extensions
        sending = [
            connection.send(Envelope("a@a.test", people, prdr=True), message(mark)),
            connection.send(Envelope("a@a.test", people[:1], prdr=True), message(marker())),
            connection.send(Envelope("a@a.test", people[:2]), message(marker())),
        ]
        apart, alone, together = [await each for each in sending]
    accepted, rejected = Delivery.ACCEPTED, Delivery.REJECTED
    assert deliveries(apart) == [accepted, rejected, accepted]
    assert "not such mail" in str(apart.recipients[1].reply)
    assert deliveries(alone) == [accepted]
    assert deliveries(together) == [accepted, accepted]
    for _ in range(2):
        await wait_for(exim.messages, mark, 2)


@pytest.mark.parametrize("offered", [True, False], ids=["prdr", "without"])
async def test_exim_is_told_of_each_recipient(exim, certificate_zoo, offered):
    """PRDR to our server: Exim asks, and believes what each one is told."""

    def answer(envelope: Any) -> Any:
        if not envelope.prdr:
            return None
        refused = SMTPRejection(550, "5.7.1", "Not such mail")
        return [refused if each.startswith("picky@") else None for each in envelope.addresses]

    files, application = certificate_zoo["server"], Application(answer)
    promises = ["PRDR"] if offered else []
    async with serving(
        application, promises=promises, tls_cert_file=files.chain, tls_key_file=files.key
    ) as ours:
        domain = exim.onward("smtp", ours)
        people = [f"{name}@{domain}" for name in ("u", "picky", "v")]
        async with connected(exim.mx, tls=trusting(certificate_zoo)) as connection:
            await connection.send(Envelope("a@a.test", people), message(marker()))
        await until(lambda: application.envelopes)
        fates = await deferToThread(exim.fates, domain, 3)
    (envelope,) = application.envelopes
    assert envelope.prdr is offered
    refused = "**" if offered else "=>"
    assert {name.partition("@")[0]: fate for name, fate in fates.items()} == {
        "u": "=>",
        "picky": refused,
        "v": "=>",
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [("localhost", "localhost"), ("other.test", "other.test"), ("mx.wild.test", "wild.test")],
)
async def test_openssl_asks_for_a_name(certificate_zoo, name, shown):
    """SNI behind STARTTLS: the certificate for that name, or the first one."""
    own, other = certificate_zoo["server"], certificate_zoo["wronghost"]
    wild = certificate_zoo["wildcard"]
    names = {"other.test": (other.chain, other.key), "*.wild.test": (wild.chain, wild.key)}
    command = [program("openssl"), "s_client", "-starttls", "smtp", "-servername", name]
    async with serving(None, tls_cert_file=own.chain, tls_key_file=own.key, tls_sni=names) as ours:
        done = await deferToThread(
            subprocess.run,
            [*command, "-connect", f"127.0.0.1:{ours}", "-CAfile", str(certificate_zoo.ca)],
            input=b"QUIT\r\n",
            capture_output=True,
            timeout=20,
            check=False,
        )
    told = done.stdout.decode("utf-8", "replace")
    assert f"CN = {shown}" in told.partition("issuer=")[0].rpartition("subject=")[2]
    assert "Verify return code: 0 (ok)" in told
