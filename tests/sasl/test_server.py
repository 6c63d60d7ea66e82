"""The server's mechanisms: what they make of a client's responses, good and bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sasl.talk import converse
from txsmtpconn.sasl import (
    SECRET_MECHANISMS,
    SERVER_MECHANISMS,
    AnonymousClient,
    AnonymousServer,
    Challenge,
    Channel,
    CramMD5Client,
    CramMD5Server,
    ExternalClient,
    ExternalServer,
    Finished,
    LoginClient,
    LoginServer,
    NotProved,
    PlainClient,
    PlainServer,
    SASLError,
    ScramKeys,
    SecretWanted,
    needs_tls,
)
from txsmtpconn.wire.errors import LocalProtocolError

words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(user=words, password=words, authzid=words | st.just(""), initial=st.booleans())
def test_plain_server_hears_what_plain_client_says(
    user: str, password: str, authzid: str, initial: bool
) -> None:
    """All three parts arrive, with an initial response or without."""
    finished = converse(PlainClient(user, password, authzid), PlainServer(), initial=initial)
    assert finished == Finished(user, authzid, password=password, mechanism="PLAIN")


@given(user=words, password=words)
def test_login_server_hears_what_login_client_says(user: str, password: str) -> None:
    """User name and password arrive, in this order."""
    finished = converse(LoginClient(user, password), LoginServer(), initial=True)
    assert finished == Finished(user, password=password, mechanism="LOGIN")


def test_login_server_takes_the_user_name_with_the_command() -> None:
    """AUTH LOGIN dGlt: clients do, and the next prompt is for the password."""
    server = LoginServer()
    assert server.step(b"tim") == Challenge(b"Password:")
    assert server.step(b"secret") == Finished("tim", password="secret", mechanism="LOGIN")


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


@pytest.mark.parametrize(
    ("password", "right", "proved"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", None, False),
        (None, "a", False),
        (None, None, False),
    ],
)
def test_a_password_is_proved_by_the_same_password_only(
    password: str | None, right: str | None, proved: bool
) -> None:
    """Two that are missing do not agree: nobody is let in by an unknown name and a token."""
    assert Finished("tim", password=password).proves(right) is proved


def test_passwords_are_compared_whatever_is_in_them() -> None:
    """A table may hold what no client could send."""
    assert not Finished("tim", password="ä").proves("\ud800")


# -- CRAM-MD5


def test_cram_md5_server_takes_the_answer_of_rfc_2195() -> None:
    """The example of section 2, its digest in either case."""
    for digest in (b"b913a602c7eda7a495b4e6e7334d3890", b"B913A602C7EDA7A495B4E6E7334D3890"):
        server = CramMD5Server(b"<1896.697170952@postoffice.reston.mci.net>")
        assert server.step(None) == Challenge(b"<1896.697170952@postoffice.reston.mci.net>")
        wanted = server.step(b"tim " + digest)
        assert isinstance(wanted, SecretWanted)
        assert wanted.authcid == "tim"
        finished = wanted.go_on("tanstaaftanstaaf")
        assert finished == Finished("tim", mechanism="CRAM-MD5", verified=True)


@given(user=words, password=words, right=words)
def test_cram_md5_believes_the_right_password_only(user: str, password: str, right: str) -> None:
    """Our client against our server; an unknown user like a wrong password."""
    client = CramMD5Client(user, password)
    if password == right:
        finished = converse(client, CramMD5Server(), {user: right}, initial=False)
        assert finished == Finished(user, mechanism="CRAM-MD5", verified=True)
        return
    for known in ({user: right}, {}):
        with pytest.raises(NotProved):
            converse(CramMD5Client(user, password), CramMD5Server(), known, initial=False)


def test_cram_md5_challenges_are_never_the_same() -> None:
    """Nor do they tell what host they come from."""
    challenges = {CramMD5Server().step(None) for _ in range(20)}
    assert len(challenges) == 20


@pytest.mark.parametrize("response", [b"", b"tim", b" 0123", b"t\xffm 0123", b"t\x00m 0123"])
def test_cram_md5_server_refuses_what_is_no_name_and_digest(response: bytes) -> None:
    """And takes no second one."""
    server = CramMD5Server()
    server.step(None)
    with pytest.raises(SASLError):
        server.step(response)
    with pytest.raises(SASLError, match="one challenge and one response"):
        server.step(b"tim 0123")


def test_cram_md5_server_speaks_first() -> None:
    """An initial response is out of place, and so is a second start."""
    with pytest.raises(SASLError):
        CramMD5Server().step(b"tim 0123")
    server = CramMD5Server()
    server.step(None)
    with pytest.raises(SASLError):
        server.step(None)


def test_cram_md5_server_cannot_use_keys() -> None:
    """An application that gives SCRAM's keys is told so, not the client."""
    server = CramMD5Server()
    server.step(None)
    wanted = server.step(b"tim 0123")
    assert isinstance(wanted, SecretWanted)
    with pytest.raises(LocalProtocolError, match="needs the password"):
        wanted.go_on(ScramKeys.derive("secret"))


# -- EXTERNAL and ANONYMOUS


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize(
    ("user", "authzid", "expected"), [("", "", ""), ("tim", "", "tim"), ("tim", "boss", "boss")]
)
def test_external_conveys_whom_to_act_as(
    user: str, authzid: str, expected: str, initial: bool
) -> None:
    """And never whose certificate it is: the connection tells that."""
    server = ExternalServer(Channel(certificate=True))
    finished = converse(ExternalClient(user, authzid), server, initial=initial)
    assert finished == Finished("", expected, mechanism="EXTERNAL")


def test_external_needs_a_certificate() -> None:
    """A claim alone proves nothing."""
    with pytest.raises(NotProved):
        ExternalServer().step(b"root")


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("trace", ["", "sirhc", "sirhc@example.com", "é" * 255])
def test_anonymous_conveys_its_trace(trace: str, initial: bool) -> None:
    """RFC 4505 section 4: who is nobody may leave an address."""
    finished = converse(AnonymousClient(trace), AnonymousServer(), initial=initial)
    assert finished == Finished("", trace=trace, mechanism="ANONYMOUS")


def test_a_trace_is_short() -> None:
    """RFC 4505 section 2: 255 characters, on both sides."""
    with pytest.raises(LocalProtocolError, match="255"):
        AnonymousClient("x" * 256)
    with pytest.raises(SASLError, match="255"):
        AnonymousServer().step(b"x" * 256)


# -- all of them


def test_what_needs_tls_is_known_by_name() -> None:
    """Channel binding and certificates; the names of those that ask for a secret are known too."""
    assert {name for name in SERVER_MECHANISMS if needs_tls(name)} == {
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "EXTERNAL",
    }
    assert SERVER_MECHANISMS.keys() >= SECRET_MECHANISMS


@given(
    name=st.sampled_from(sorted(SERVER_MECHANISMS)),
    responses=st.lists(
        st.none()
        | st.binary(max_size=30)
        | st.sampled_from(
            [b"n,,n=tim,r=abc", b"p=tls-exporter,,n=tim,r=abc", b"c=biws,r=abcdef,p=AAAA", b""]
        ),
        max_size=5,
    ),
    known=st.booleans(),
)
def test_no_response_breaks_a_server(name: str, responses: list[bytes | None], known: bool) -> None:
    """Any sequence of responses is taken, or refused with SASLError or NotProved; nothing else."""
    server = SERVER_MECHANISMS[name](Channel(bindings={"tls-exporter": b"x"}, certificate=True))
    assert server.name == name
    for response in responses:
        try:
            outcome = server.step(response)
            if isinstance(outcome, SecretWanted):
                outcome = outcome.go_on("x" if known and name == "CRAM-MD5" else None)
            assert isinstance(outcome, Challenge | Finished)
            assert not isinstance(outcome, Finished) or not outcome.verified
        except (SASLError, NotProved):
            pass


def test_cram_md5_may_be_judged_by_the_application() -> None:
    """The claim beside the question tells whether a password is the right one, and shows none."""
    server = CramMD5Server(b"<1.2@x.test>")
    server.step(None)
    client = CramMD5Client("u", "hunter2")
    wanted = server.step(client.step(b"<1.2@x.test>"))
    assert isinstance(wanted, SecretWanted)
    claim = wanted.claim
    assert claim is not None
    assert (claim.authcid, claim.password, claim.verified) == ("u", None, False)
    assert claim.proves("hunter2")
    assert not claim.proves("hunter3")
    assert not claim.proves(None)
