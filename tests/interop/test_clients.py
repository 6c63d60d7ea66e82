"""Clients that we did not write, against our server: what they send is what it takes."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from tests.interop.mail import BODY, marker, message
from tests.interop.peers.clients import CLIENTS, Errand, run
from txsmtpconn import ServerOptions, SMTPRejection, SMTPServerFactory

USER, PASSWORD = "alice@a.test", "pass word"


class Sink:
    """Keeps one message."""

    def __init__(self, taken):
        self._taken = taken
        self._chunks = []

    def write(self, data):
        self._chunks.append(data)

    def finish(self):
        self._taken.append(b"".join(self._chunks))

    def abort(self, reason):
        self._taken.append(reason)


class Application:
    """Takes mail, and keeps what it was told."""

    def __init__(self):
        self.envelopes = []
        self.taken = []
        self.users = []
        self.secure = []

    def on_auth(self, session, credentials):
        self.users.append(credentials.authcid)
        return (credentials.authcid, credentials.password) == (USER, PASSWORD)

    def on_rcpt_to(self, session, address, parameters):
        if address.startswith("reject@"):
            raise SMTPRejection(550, "5.1.1", "no such user")

    def on_data(self, session, envelope):
        self.envelopes.append(envelope)
        self.secure.append(session.tls is not None)
        return Sink(self.taken)


@asynccontextmanager
async def serving(zoo, **options):
    """Serve on a port of localhost; give the application and the port."""
    from twisted.internet import reactor

    application = Application()
    server = zoo["server"]
    made = ServerOptions(
        name="mx.test", tls_cert_file=server.chain, tls_key_file=server.key, **options
    )
    factory = SMTPServerFactory(reactor, application, made)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        yield application, port.getHost().port
    finally:
        await port.stopListening()
        await factory.drain(5)


@pytest.fixture
def errand(tmp_path, certificate_zoo):
    """Return a function that makes an errand, with the message in a file."""

    def make(port, mark, body=BODY, **settings):
        path = tmp_path / "message.eml"
        path.write_bytes(message(mark, body))
        return Errand(port, certificate_zoo.ca, path, **settings)

    return make


@pytest.mark.parametrize("tls", ["", "starttls", "implicit"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_each_client_delivers_byte_for_byte(client, tls, errand, certificate_zoo):
    """To two recipients, in clear, by STARTTLS, or with TLS from the start."""
    mark = marker()
    async with serving(certificate_zoo, implicit_tls=tls == "implicit") as (application, port):
        ran = await run(client, errand(port, mark, tls=tls))
    assert ran.code == 0, ran.output
    assert application.taken == [message(mark)]
    (envelope,) = application.envelopes
    assert envelope.mail_from == "a@a.test"
    assert [each.address for each in envelope.recipients] == ["u@a.test", "v@a.test"]
    assert application.secure == [bool(tls)]
    assert application.users == []


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_each_client_logs_in(client, mechanism, tls, errand, certificate_zoo):
    """AUTH is required, and there is none in clear."""
    mark = marker()
    login = {"user": USER, "password": PASSWORD, "mechanism": mechanism}
    async with serving(certificate_zoo, implicit_tls=tls == "implicit", auth_required=True) as (
        application,
        port,
    ):
        ran = await run(client, errand(port, mark, tls=tls, **login))
    assert ran.code == 0, ran.output
    assert application.taken == [message(mark)]
    assert application.users == [USER]


@pytest.mark.parametrize("client", CLIENTS)
async def test_no_client_gets_in_with_a_wrong_password(client, errand, certificate_zoo):
    """It is told so, fails, and no message is taken."""
    login = {"user": USER, "password": "wrong", "mechanism": "PLAIN"}
    async with serving(certificate_zoo, auth_required=True) as (application, port):
        ran = await run(client, errand(port, "m", tls="starttls", **login))
    assert ran.code != 0
    assert application.taken == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_no_client_gets_past_a_refusal(client, errand, certificate_zoo):
    """550 for the only recipient: the client says it failed, and no message is taken."""
    async with serving(certificate_zoo) as (application, port):
        ran = await run(client, errand(port, "m", rcpt_to=("reject@a.test",)))
    assert ran.code != 0
    assert application.taken == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_message_beyond_the_limit_is_refused(client, errand, certificate_zoo):
    """By SIZE, or behind the data: refused in any case, and nothing is kept."""
    async with serving(certificate_zoo, max_size=5000) as (application, port):
        ran = await run(client, errand(port, "m", body=b"0123456789" * 7 * 1000 + b"\r\n"))
    assert ran.code != 0
    assert [each for each in application.taken if isinstance(each, bytes)] == []


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_large_message(client, errand, certificate_zoo):
    """Five megabytes with dots, under TLS."""
    body = b"".join(b".%06d 0123456789 0123456789\r\n" % n for n in range(180_000))
    mark = marker()
    async with serving(certificate_zoo) as (application, port):
        ran = await run(client, errand(port, mark, body=body, tls="starttls"))
    assert ran.code == 0, ran.output
    assert application.taken == [message(mark, body)]
