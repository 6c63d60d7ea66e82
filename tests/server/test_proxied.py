"""Clients behind a load balancer: who they are, and what becomes of those that say it wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.hand import OPENING, Meeting, Recording, codes
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.addresses import UnknownAddress
from txsmtpconn.server import ServerOptions
from txsmtpconn.testing import CertificateZoo

TRUSTED = {"proxy_networks": ["127.0.0.1"]}
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 57000 25\r\n"
V2_LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a") + b"\x20\x00\x00\x00"
V2_UNIX = bytes.fromhex("0d0a0d0a000d0a515549540a") + b"\x21\x31\x00\xd8" + bytes(216)


def test_nothing_is_said_before_the_header() -> None:
    """Then the client is greeted; hooks, caps and trace know the client and not the balancer."""
    hooks = Recording()
    meeting = Meeting(hooks, **TRUSTED)
    hand = meeting.hand()
    assert hand.heard == b""
    assert hooks.names() == []
    assert codes(meeting.says(hand, HEADER)) == [220]
    (session,) = hooks.sessions
    assert session.remote_address == "192.0.2.7"
    assert (session.peer.port, session.host.host, session.host.port) == (57000, "198.51.100.1", 25)
    assert codes(meeting.says(hand, OPENING + b"x\r\n.\r\nQUIT\r\n")) == [
        250,
        250,
        250,
        354,
        250,
        221,
    ]
    assert meeting.factory.connections == 0


def test_a_header_byte_by_byte() -> None:
    """However it is cut, and what follows it is left to the client."""
    meeting = Meeting(None, **TRUSTED)
    hand = meeting.hand()
    heard = b"".join(meeting.says(hand, HEADER[at : at + 1]) for at in range(len(HEADER)))
    assert codes(heard) == [220]
    assert codes(meeting.says(hand, b"EHLO me.test\r\n")) == [250]
    meeting.ends()


def test_what_stands_behind_the_header_talks_too_soon() -> None:
    """The client's own octets in the header's packet came before the greeting, as ever."""
    meeting = Meeting(None, greet_delay=0.5, **TRUSTED)
    hand = meeting.hand()
    assert codes(meeting.says(hand, HEADER + b"EHLO me.test\r\n")) == [554]
    assert hand.lost is not None


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO me.test\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 57000 25\n",
        b"PROXY " + b"x" * 108,
        b"\x16\x03\x01\x02\x00",
    ],
    ids=repr,
)
def test_a_trusted_balancer_without_a_header_is_closed(octets: bytes) -> None:
    """It is told nothing, and taken for nobody: it fails closed."""
    hooks = Recording()
    meeting = Meeting(hooks, **TRUSTED)
    hand = meeting.hand()
    assert meeting.says(hand, octets) == b""
    assert hand.lost is not None
    assert hooks.names() == []
    assert meeting.factory.connections == 0


@pytest.mark.parametrize("part", [b"", HEADER[:-2]])
def test_a_header_has_five_seconds(part: bytes) -> None:
    """Trickling does not renew them."""
    meeting = Meeting(None, **TRUSTED)
    hand = meeting.hand()
    meeting.says(hand, part)
    meeting.waits(4.9)
    assert hand.lost is None
    meeting.waits(0.2)
    assert hand.lost is not None
    assert hand.heard == b""


def test_an_untrusted_client_cannot_send_a_header() -> None:
    """It is greeted as itself, and its header is a command that nobody knows."""
    hooks = Recording()
    meeting = Meeting(hooks, proxy_networks=["10.0.0.0/8"])
    hand = meeting.hand()
    assert codes(hand.heard) == [220]
    assert codes(meeting.says(hand, HEADER)) == [500]
    assert hooks.sessions[0].remote_address == "127.0.0.1"
    meeting.ends()


def test_an_untrusted_header_that_comes_before_the_greeting() -> None:
    """It is early talk."""
    meeting = Meeting(None, proxy_networks=["10.0.0.0/8"], greet_delay=1.0)
    hand = meeting.hand()
    assert codes(meeting.says(hand, HEADER)) == [554]
    assert hand.lost is not None


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (V2_LOCAL, "127.0.0.1"),
        (V2_UNIX, ""),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY TCP6 2001:db8::7 ::1 1 25\r\n", "2001:db8::7"),
    ],
)
def test_who_the_client_is(header: bytes, address: str) -> None:
    """The balancer's own check is the balancer; who is not known is in no network."""
    hooks = Recording()
    meeting = Meeting(hooks, xclient_networks=["127.0.0.1", "unix"], **TRUSTED)
    hand = meeting.hand()
    assert codes(meeting.says(hand, header)) == [220]
    (session,) = hooks.sessions
    assert session.remote_address == address
    assert isinstance(session.peer, UnknownAddress) is (address == "")
    offered = b"XCLIENT" in meeting.says(hand, b"EHLO me.test\r\n")
    assert offered is (address == "127.0.0.1")
    meeting.ends()


def test_caps_are_the_clients_own() -> None:
    """One client takes no other's place, though all come from the balancer's address."""
    meeting = Meeting(None, max_clients_per_address=1, **TRUSTED)
    first, second, third = meeting.hand(), meeting.hand(), meeting.hand()
    assert codes(meeting.says(first, HEADER)) == [220]
    assert codes(meeting.says(second, HEADER)) == [421]
    assert codes(meeting.says(third, HEADER.replace(b".7", b".8"))) == [220]
    meeting.says(first, b"QUIT\r\n")
    fourth = meeting.hand()
    assert codes(meeting.says(fourth, HEADER)) == [220]
    meeting.ends()


def test_connections_without_a_header_are_bounded() -> None:
    """As those that are shown out are: twice as many as there may be clients."""
    meeting = Meeting(None, max_clients=2, **TRUSTED)
    hands = [meeting.hand() for _ in range(4)]
    with pytest.raises(Exception, match="nobody listens"):
        meeting.hand()
    meeting.ends()
    assert all(hand.lost for hand in hands)


def test_a_client_that_gets_no_answer_at_all(certificate_zoo: CertificateZoo) -> None:
    """Before a handshake there is no way to say that there are too many: the connection is cut."""
    meeting = Meeting(
        None,
        tls_cert_file=certificate_zoo["server"].certificate,
        tls_key_file=certificate_zoo["server"].key,
        implicit_tls=True,
        max_clients_per_address=1,
        **TRUSTED,
    )
    first, second = meeting.hand(), meeting.hand()
    meeting.says(first, HEADER)
    assert meeting.says(second, HEADER) == b""
    assert second.lost is not None
    assert first.lost is None
    assert meeting.factory.connections == 1
    meeting.ends()


def test_a_stop_does_not_wait_for_headers() -> None:
    """There is nobody to say goodbye to."""
    meeting = Meeting(None, **TRUSTED)
    hand = meeting.hand()
    stopped = meeting.factory.drain()
    meeting.network.settle()
    assert stopped.called
    assert hand.lost is not None


def test_the_balancer_changes_its_mind() -> None:
    """Nothing is left of a connection that ends before its header."""
    meeting = Meeting(None, **TRUSTED)
    hand = meeting.hand()
    hand.transport.loseConnection()
    meeting.network.settle()
    assert meeting.factory.connections == 0
    assert not meeting.network.clock.getDelayedCalls()


@pytest.mark.parametrize("together", [False, True])
def test_the_header_comes_before_implicit_tls(
    certificate_zoo: CertificateZoo, together: bool
) -> None:
    """In clear, and TLS behind it, in the same packet too."""
    from OpenSSL import SSL

    files = certificate_zoo["server"]
    hooks = Recording()
    meeting = Meeting(
        hooks,
        tls_cert_file=files.certificate,
        tls_key_file=files.key,
        implicit_tls=True,
        **TRUSTED,
    )
    hand = meeting.hand()
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    hello = client.bio_read(65536)
    if not together:
        meeting.says(hand, HEADER)
    meeting.says(hand, hello if not together else HEADER + hello)
    client.bio_write(hand.heard)
    client.do_handshake()
    heard = meeting.says(hand, client.bio_read(65536))
    client.bio_write(heard)
    assert codes(client.recv(65536)) == [220]
    assert hooks.sessions[0].remote_address == "192.0.2.7"
    assert hooks.sessions[0].tls is not None
    meeting.ends()


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxy_networks": "127.0.0.1"},
        {"proxy_networks": ["all"]},
        {"implicit_tls": True, **TRUSTED},
    ],
    ids=repr,
)
def test_options_that_cannot_work(wrong: dict[str, Any]) -> None:
    """A listener that does TLS itself has it before the header."""
    with pytest.raises(ConfigError):
        ServerOptions(**wrong)
