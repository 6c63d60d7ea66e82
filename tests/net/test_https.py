"""A request with a secret in it: who gets to see it, and what a hostile server can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions

from tests.client.authority import URL, World, token
from txsmtpconn import (
    ConfigError,
    DeadlineError,
    ProtocolError,
    SendCancelled,
    TLSError,
    TLSOptions,
)
from txsmtpconn.net.https import HTTPS, Answer, https_url
from txsmtpconn.testing import CertificateZoo, MemoryNetwork, failure_result_of
from txsmtpconn.testing.certificates import KINDS

LIMIT = 8192
TIMEOUT = 10.0
OK = b"HTTP/1.1 200 OK\r\n"


def asking(world: World, **options: Any) -> Deferred[Answer]:
    """Ask the server of this world, with a secret."""
    options.setdefault("tls", TLSOptions(ca_file=world.zoo.ca))
    options.setdefault("endpoint", world.network.client_endpoint())
    https = HTTPS(world.network.clock, timeout=TIMEOUT, limit=LIMIT, **options)
    return https.fetch("POST", URL, headers={"X-Key": "s3cret"}, content=b"a=s3cret")


class Hostile(Protocol):
    """A server that does something else than HTTP has in mind."""

    def __init__(self, world: list[World], act: Callable[[Hostile, Any], None]) -> None:
        self.heard = b""
        self._world = world
        self._act = act

    def dataReceived(self, data: bytes) -> None:
        first, self.heard = not self.heard, self.heard + data
        if first:
            self._act(self, self._world[0].network.clock)

    def say(self, data: bytes) -> None:
        """Say this."""
        assert self.transport is not None
        self.transport.write(data)


def hostile(zoo: CertificateZoo, act: Callable[[Hostile, Any], None]) -> World:
    """A world with such a server."""
    found: list[World] = []
    world = World(zoo, protocol=lambda: Hostile(found, act))
    found.append(world)
    return world


def test_a_request_and_its_answer(certificate_zoo: CertificateZoo) -> None:
    """Status and content; the connection is closed, and nothing is left to do."""
    world = World(certificate_zoo, (418, b"short and stout"))
    answer = world.network.result_of(asking(world))
    assert answer == Answer(418, b"short and stout", "text/html")
    assert world.authority.forms == [{"a": "s3cret"}]
    assert world.authority.headers[0]["x-key"] == "s3cret"
    assert "short" not in repr(answer)
    assert world.is_quiet()


@pytest.mark.parametrize(
    "certificate",
    [name for name in KINDS if name not in ("server", "server-rsa", "wildcard")],
)
def test_who_is_not_the_server_hears_nothing(
    certificate_zoo: CertificateZoo, certificate: str
) -> None:
    """ETLS, and not an octet of the request."""
    world = World(certificate_zoo, token(), certificate=certificate)
    asked = asking(world)
    world.network.settle()
    assert isinstance(failure_result_of(asked), TLSError)
    assert world.authority.forms == []
    assert world.is_quiet()


def test_the_platforms_authorities_do_not_know_ours(certificate_zoo: CertificateZoo) -> None:
    """Without a CA file of its own, a test's authority is nobody."""
    world = World(certificate_zoo, token())
    asked = asking(world, tls=TLSOptions())
    world.network.settle()
    assert isinstance(failure_result_of(asked), TLSError)
    assert world.authority.forms == []


def test_a_connection_creator_of_the_callers(certificate_zoo: CertificateZoo) -> None:
    """The name in the certificate is verified all the same; one that fails harms nothing."""
    from OpenSSL import SSL
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
    from zope.interface import implementer

    @implementer(IOpenSSLClientConnectionCreator)
    class Careless:
        def clientConnectionForTLS(self, tls_protocol: object) -> SSL.Connection:
            return SSL.Connection(CertificateOptions().getContext(), None)

    @implementer(IOpenSSLClientConnectionCreator)
    class Broken:
        def clientConnectionForTLS(self, tls_protocol: object) -> SSL.Connection:
            raise ValueError("s3cret")

    for creator, certificate in ((Careless(), "wronghost"), (Broken(), "server")):
        world = World(certificate_zoo, token(), certificate=certificate)
        asked = asking(world, tls=TLSOptions(connection_creator=creator))
        world.network.settle()
        assert isinstance(failure_result_of(asked), TLSError)
        assert world.authority.forms == []
        assert world.is_quiet()
    world = World(certificate_zoo, token(), certificate="otherissuer")
    asked = asking(world, tls=TLSOptions(connection_creator=Careless()))
    assert world.network.result_of(asked).status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirection_is_followed(certificate_zoo: CertificateZoo, status: int) -> None:
    """It is an answer like any other: the secret goes to nobody else."""
    world = World(certificate_zoo, (status, b"", ("Location", "https://evil.test/")), token())
    assert world.network.result_of(asking(world)).status == status
    assert world.connections == 1


def flood_body(self: Hostile, clock: Any) -> None:
    """An answer without an end."""
    self.say(OK + b"\r\n")
    for _ in range(3):
        self.say(b"x" * 4096)


def flood_fields(self: Hostile, clock: Any) -> None:
    """Header fields without an end."""
    self.say(OK + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 100) for i in range(100)))


def flood_line(self: Hostile, clock: Any) -> None:
    """A status line without an end."""
    self.say(b"HTTP/1.1 200 " + b"O" * 9000)


def flood_chunks(self: Hostile, clock: Any) -> None:
    """Many small chunks."""
    self.say(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2000)


@pytest.mark.parametrize("act", [flood_body, flood_fields, flood_line, flood_chunks])
def test_an_answer_has_a_limit(certificate_zoo: CertificateZoo, act: Any) -> None:
    """Counted in octets of everything; the connection is dropped at once."""
    world = hostile(certificate_zoo, act)
    asked = asking(world)
    world.network.settle()
    error = failure_result_of(asked)
    assert isinstance(error, ProtocolError)
    assert "too long" in str(error)
    assert world.is_quiet()


def silent(self: Hostile, clock: Any) -> None:
    """No answer."""


def stalling(self: Hostile, clock: Any) -> None:
    """The beginning of an answer."""
    self.say(OK + b"Content-Length: 100\r\n\r\nx")


def trickling(self: Hostile, clock: Any) -> None:
    """An octet each second."""
    self.say(b"H")
    for second in range(1, 30):
        clock.callLater(second, self.say, b"T")


@pytest.mark.parametrize("act", [silent, stalling, trickling])
def test_a_slow_server_has_its_time(certificate_zoo: CertificateZoo, act: Any) -> None:
    """For the whole, whatever it does in it; then the connection is dropped."""
    world = hostile(certificate_zoo, act)
    asked = asking(world)
    world.network.advance(TIMEOUT - 0.1)
    assert not asked.called
    world.network.advance(0.2)
    assert isinstance(failure_result_of(asked), DeadlineError)
    world.network.settle()
    assert all(link.closed for link in world.network.links)


def test_a_server_that_is_not_there(certificate_zoo: CertificateZoo) -> None:
    """Unreachable, refusing, or one that never says anything of TLS."""
    network = MemoryNetwork()
    https = HTTPS(
        network.clock,
        TLSOptions(ca_file=certificate_zoo.ca),
        endpoint=network.client_endpoint(),
        timeout=TIMEOUT,
        limit=LIMIT,
    )
    refused = https.fetch("GET", URL, headers={})
    network.settle()
    assert "refused" in str(failure_result_of(refused))
    mute = network.listen(Factory.forProtocol(Protocol))
    for make in (network.make_unreachable, network.make_reachable):
        make()
        late = https.fetch("GET", URL, headers={})
        network.advance(TIMEOUT)
        assert isinstance(failure_result_of(late), DeadlineError)
    mute.stopListening()
    network.settle()
    assert all(link.closed for link in network.links)
    assert not network.clock.getDelayedCalls()


def closing_early(self: Hostile, clock: Any) -> None:
    """Less than was announced."""
    stalling(self, clock)
    assert self.transport is not None
    self.transport.loseConnection()


def closing_at_once(self: Hostile, clock: Any) -> None:
    """Nothing."""
    assert self.transport is not None
    self.transport.loseConnection()


def speaking_smtp(self: Hostile, clock: Any) -> None:
    """Another protocol."""
    self.say(b"220 mx.test ESMTP\r\n")


@pytest.mark.parametrize("act", [closing_early, closing_at_once, speaking_smtp])
def test_a_server_that_breaks_off(certificate_zoo: CertificateZoo, act: Any) -> None:
    """Is an error, whichever Twisted makes of it; nothing secret is in it, and nothing left."""
    world = hostile(certificate_zoo, act)
    asked = asking(world)
    world.network.settle()
    assert "s3cret" not in repr(failure_result_of(asked))
    assert world.is_quiet()


def test_an_answer_that_ends_with_the_connection(certificate_zoo: CertificateZoo) -> None:
    """HTTP/1.0 has it so."""

    def act(self: Hostile, clock: Any) -> None:
        self.say(b"HTTP/1.0 200 OK\r\n\r\nwhole")
        assert self.transport is not None
        self.transport.loseConnection()

    world = hostile(certificate_zoo, act)
    assert world.network.result_of(asking(world)) == Answer(200, b"whole")


@pytest.mark.parametrize("act", [None, silent, stalling])
def test_cancelling_drops_the_connection(certificate_zoo: CertificateZoo, act: Any) -> None:
    """Before there is one, and while an answer is awaited or has begun."""
    world = hostile(certificate_zoo, act or silent)
    if act is None:
        world.network.make_unreachable()
    asked = asking(world)
    world.network.settle()
    asked.cancel()
    assert isinstance(failure_result_of(asked), SendCancelled)
    assert world.is_quiet()


def test_it_cannot_be_told_not_to_verify(certificate_zoo: CertificateZoo) -> None:
    """And a file that is wrong is told of at once."""
    world = World(certificate_zoo)
    with pytest.raises(ConfigError, match="always verified"):
        asking(world, tls=TLSOptions(verify=False))
    with pytest.raises(ConfigError, match="CA file"):
        asking(world, tls=TLSOptions(ca_file="/nonexistent"))


@pytest.mark.parametrize(
    "url",
    [
        "http://mx.test/token",
        "mx.test/token",
        "https://",
        "https:///token",
        "https://user:s3cret@mx.test/",
        "https://mx.test/#s3cret",
        "https://mx.test:0/s3cret",
        "https://mx.test:99999/s3cret",
        "https://mx.test/s3cret x",
        "https://mx.test/s3cret\r\nHost: evil",
        "https://mx.test/\ts3cret",
        "https://mx.täst/s3cret",
        "https://[::1/s3cret",
        "https://-bad-/s3cret",
        b"https://mx.test/s3cret",
        None,
    ],
)
def test_what_is_no_url_for_a_request(url: object) -> None:
    """ECONFIG, and nothing of it is shown."""
    with pytest.raises(ConfigError) as caught:
        https_url(url, "token_url")
    assert "s3cret" not in str(caught.value)


def test_addresses_are_good_in_a_url() -> None:
    """With and without a port; they are found in the certificate as addresses."""
    assert https_url("https://[::1]:8443/token?x=1", "url").port == 8443
    assert https_url("https://127.0.0.1/", "url").hostname == "127.0.0.1"
