"""The server's mechanisms: what they make of a client's responses, good and bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.sasl import (
    SERVER_MECHANISMS,
    Challenge,
    ClientMechanism,
    Finished,
    LoginClient,
    LoginServer,
    PlainClient,
    PlainServer,
    SASLError,
    ServerMechanism,
)


def converse(client: ClientMechanism, server: ServerMechanism, *, initial: bool) -> Finished:
    """Let the two talk to the end."""
    outcome = server.step(client.initial() if initial else None)
    while isinstance(outcome, Challenge):
        outcome = server.step(client.step(outcome.octets))
    return outcome


words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(user=words, password=words, authzid=words | st.just(""), initial=st.booleans())
def test_plain_server_hears_what_plain_client_says(
    user: str, password: str, authzid: str, initial: bool
) -> None:
    """All three parts arrive, with an initial response or without."""
    finished = converse(PlainClient(user, password, authzid), PlainServer(), initial=initial)
    assert finished == Finished(user, authzid, password=password)


@given(user=words, password=words)
def test_login_server_hears_what_login_client_says(user: str, password: str) -> None:
    """User name and password arrive, in this order."""
    finished = converse(LoginClient(user, password), LoginServer(), initial=True)
    assert finished == Finished(user, password=password)


def test_login_server_takes_the_user_name_with_the_command() -> None:
    """AUTH LOGIN dGlt: clients do, and the next prompt is for the password."""
    server = LoginServer()
    assert server.step(b"tim") == Challenge(b"Password:")
    assert server.step(b"secret") == Finished("tim", password="secret")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"user\0secret",
        b"\0user\0secret\0",
        b"\0\0secret",
        b"\0user\0",
        b"\0us\xffer\0secret",
        b"\0us\rer\0secret",
        b"\0user\0sec\x7fret",
        b"bo\xc2\x85ss\0user\0secret",
    ],
)
def test_plain_server_refuses_what_is_not_three_fit_parts(response: bytes) -> None:
    """Too few, too many, empty, not UTF-8, with controls: refused, and nothing of it is shown."""
    server = PlainServer()
    with pytest.raises(SASLError) as caught:
        server.step(response)
    assert "secret" not in str(caught.value)
    with pytest.raises(SASLError, match="one response"):
        server.step(b"\0user\0secret")


def test_plain_server_asks_once() -> None:
    """The empty challenge is not repeated, and a finished exchange stays finished."""
    server = PlainServer()
    assert server.step(None) == Challenge(b"")
    with pytest.raises(SASLError, match="one response"):
        server.step(None)
    server.step(b"\0user\0secret")
    with pytest.raises(SASLError, match="one response"):
        server.step(b"\0user\0secret")


@pytest.mark.parametrize("responses", [[b""], [b"user", b""], [b"us\x01er"], [b"user", b"\xff"]])
def test_login_server_refuses_unfit_answers(responses: list[bytes]) -> None:
    """Each answer obeys the rules of PLAIN's parts."""
    server = LoginServer()
    *good, bad = responses
    for response in good:
        server.step(response)
    with pytest.raises(SASLError):
        server.step(bad)


def test_login_server_ends_after_two_answers() -> None:
    """A third answer, or a second start, is out of place."""
    server = LoginServer()
    server.step(None)
    with pytest.raises(SASLError, match="two responses"):
        server.step(None)
    server.step(b"user")
    server.step(b"secret")
    with pytest.raises(SASLError, match="two responses"):
        server.step(b"secret")


def test_no_secret_shows_in_what_a_client_claims() -> None:
    """Password and token stay out of the repr of the finished exchange."""
    shown = repr(Finished("tim", password="pass-4711", token="tok-4711"))
    assert "tim" in shown
    assert "4711" not in shown


@given(
    name=st.sampled_from(sorted(SERVER_MECHANISMS)),
    responses=st.lists(st.none() | st.binary(max_size=30), max_size=5),
)
def test_no_response_breaks_a_server(name: str, responses: list[bytes | None]) -> None:
    """Any sequence of responses is taken or refused with SASLError, nothing else."""
    server = SERVER_MECHANISMS[name]()
    assert server.name == name
    for response in responses:
        try:
            assert isinstance(server.step(response), Challenge | Finished)
        except SASLError:
            pass
