"""GSSAPI (RFC 4752): what SASL puts behind a Kerberos exchange."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sasl.kerberos import Kerberos, RequirementFlag, installed, missing
from txsmtpconn.sasl import Channel, GSSAPIClient, LibraryMissing, SASLError
from txsmtpconn.wire.errors import LocalProtocolError

SERVER = Channel("mail.example", 587)
TICKET = b"ticket for smtp@mail.example (service)"
OFFER = b"wrapped \x01\0\0\0"


@pytest.fixture
def kerberos() -> Iterator[Kerberos]:
    """A Kerberos to log in with."""
    with installed() as kerberos:
        yield kerberos


def test_a_ticket_a_proof_and_no_layer(kerberos: Kerberos) -> None:
    """Section 3.1: token, empty response, and the choice of no layer with whom to act as."""
    client = GSSAPIClient("", "boss", SERVER)
    assert client.initial() == TICKET
    assert client.step(kerberos.proof) == b""
    assert not client.done
    assert client.step(OFFER) == b"wrapped \x01\0\0\0boss"
    assert client.done
    with pytest.raises(SASLError, match="more than"):
        client.step(OFFER)


def test_the_first_challenge_may_be_empty(kerberos: Kerberos) -> None:
    """A server that was sent no initial response asks for it; with anything else it is no such."""
    assert GSSAPIClient(channel=SERVER).step(b"") == TICKET
    with pytest.raises(SASLError, match="not empty"):
        GSSAPIClient(channel=SERVER).step(b"x")


def test_a_ticket_by_its_owner(kerberos: Kerberos) -> None:
    """Of several tickets the one that is named; none of that name is told before a word is said."""
    client = GSSAPIClient("alice@EXAMPLE", channel=SERVER)
    assert client.initial() == TICKET + b" of alice@EXAMPLE (user)"
    with pytest.raises(LocalProtocolError, match="no such ticket"):
        GSSAPIClient("nobody@EXAMPLE", channel=SERVER)


def test_no_ticket(kerberos: Kerberos) -> None:
    """Nothing is said to the server then."""
    kerberos.ticket = False
    with pytest.raises(LocalProtocolError, match="no credentials cache"):
        GSSAPIClient(channel=SERVER).initial()


@pytest.mark.parametrize("flags", [0, 1, 2, 4])
def test_a_server_that_does_not_prove_itself(kerberos: Kerberos, flags: int) -> None:
    """Without mutual authentication, or protection of what follows, it is not the end of it."""
    kerberos.flags = RequirementFlag(flags)
    client = GSSAPIClient(channel=SERVER)
    client.initial()
    with pytest.raises(SASLError, match="not proved itself"):
        client.step(kerberos.proof)
    assert not client.done


def test_another_server(kerberos: Kerberos) -> None:
    """Its proof is refused."""
    client = GSSAPIClient(channel=SERVER)
    client.initial()
    with pytest.raises(SASLError, match="another"):
        client.step(b"I am the other")


@pytest.mark.parametrize(
    "offer", [b"", b"\x01\0\0\0", b"wrapped ", b"wrapped \x01\0\0", b"wrapped \x06\0\x10\0"]
)
def test_an_offer_that_cannot_be_taken(kerberos: Kerberos, offer: bytes) -> None:
    """Not protected, not an offer, or of a server that insists on a layer of its own."""
    client = GSSAPIClient(channel=SERVER)
    client.initial()
    client.step(kerberos.proof)
    with pytest.raises(SASLError):
        client.step(offer)
    assert not client.done
    assert "waiting" in repr(client)


def test_without_the_library() -> None:
    """The error says what to install."""
    with missing(), pytest.raises(LibraryMissing, match=r"txsmtpconn\[gssapi\]"):
        GSSAPIClient(channel=SERVER)


@pytest.mark.parametrize("names", [("a\rb", ""), ("", "a\nb")])
def test_names_with_control_characters(kerberos: Kerberos, names: tuple[str, str]) -> None:
    """Refused, as everywhere."""
    with pytest.raises(LocalProtocolError, match="control"):
        GSSAPIClient(*names, SERVER)
