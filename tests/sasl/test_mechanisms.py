"""The client's mechanisms, held to their RFCs' examples."""

from __future__ import annotations

import base64
from collections.abc import Callable
from traceback import format_exception

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sasl.kerberos import installed
from txsmtpconn.sasl import (
    MECHANISMS,
    Channel,
    Claim,
    ClientMechanism,
    CramMD5Client,
    LoginClient,
    Mechanism,
    PlainClient,
    SASLError,
    XOAuth2Client,
)
from txsmtpconn.wire.errors import LocalProtocolError

PASSWORD_CLIENTS: list[Callable[[str, str], ClientMechanism]] = [
    PlainClient,
    LoginClient,
    CramMD5Client,
]
CLIENTS = [*PASSWORD_CLIENTS, XOAuth2Client]


def test_cram_md5_gives_the_answer_of_rfc_2195() -> None:
    """The example of RFC 2195 section 2: user tim, secret tanstaaftanstaaf."""
    client: ClientMechanism = CramMD5Client("tim", "tanstaaftanstaaf")
    assert client.initial() is None
    assert not client.done
    answer = client.step(b"<1896.697170952@postoffice.reston.mci.net>")
    assert answer == b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert base64.b64encode(answer) == b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"
    assert client.done


def test_plain_gives_the_messages_of_rfc_4616() -> None:
    """The examples of RFC 4616 section 4, without and with an authorization identity."""
    assert PlainClient("tim", "tanstaaftanstaaf").initial() == b"\0tim\0tanstaaftanstaaf"
    assert PlainClient("Kurt", "xipj3plmq", "Ursel").initial() == b"Ursel\0Kurt\0xipj3plmq"


def test_xoauth2_gives_the_shape_that_google_documents() -> None:
    """The public example of the XOAUTH2 protocol page, octet for octet."""
    client = XOAuth2Client("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    initial = client.initial()
    assert base64.b64encode(initial) == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhk"
        b"SFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )
    assert client.done


def test_login_answers_by_order_and_never_by_the_prompt() -> None:
    """A server's prompts may be translated, empty or swapped; the order is fixed."""
    client: ClientMechanism = LoginClient("user", "secret")
    assert client.initial() is None
    assert client.step(b"Password:") == b"user"
    assert not client.done
    assert client.step(b"") == b"secret"
    assert client.done


def test_login_refuses_a_third_prompt() -> None:
    """A server that goes on asking hears nothing more."""
    client = LoginClient("user", "secret")
    client.step(b"Username:")
    client.step(b"Password:")
    with pytest.raises(SASLError, match="more than LOGIN"):
        client.step(b"Password:")


def test_cram_md5_refuses_an_empty_challenge_and_a_second_one() -> None:
    """An empty challenge would give the same digest to everybody, for ever."""
    client = CramMD5Client("tim", "x")
    with pytest.raises(SASLError, match="empty"):
        client.step(b"")
    assert not client.done
    client.step(b"<1@x>")
    with pytest.raises(SASLError, match="more than CRAM-MD5"):
        client.step(b"<2@x>")


@pytest.mark.parametrize("start", [PlainClient, XOAuth2Client])
def test_an_initial_response_can_follow_an_empty_challenge(
    start: Callable[[str, str], ClientMechanism],
) -> None:
    """Where the AUTH line carried no initial response, the empty challenge asks for it."""
    said = start("user", "secret").initial()
    client = start("user", "secret")
    assert not client.done
    with pytest.raises(SASLError, match="not empty"):
        client.step(b"who are you?")
    assert client.step(b"") == said
    assert client.done


def test_plain_says_its_password_once() -> None:
    """A 334 after the message is out of place, whatever it holds."""
    client = PlainClient("user", "secret")
    client.initial()
    with pytest.raises(SASLError, match="more than PLAIN"):
        client.step(b"")


def test_xoauth2_answers_a_reported_failure_with_nothing_and_cannot_succeed_then() -> None:
    """The report is kept for people, the answer is empty, and success is no longer legal."""
    client = XOAuth2Client("user", "tok-1234")
    client.initial()
    before = client.failure
    assert client.step(b'{"status":"401","schemes":"bearer"}') == b""
    assert (before, client.failure) == (None, '{"status":"401","schemes":"bearer"}')
    assert not client.done
    with pytest.raises(SASLError, match="goes on"):
        client.step(b"")


def test_a_server_cannot_make_us_repeat_the_token() -> None:
    """A report that quotes the token, at any length and in any bytes, is shown without it."""
    client = XOAuth2Client("user", "tok-1234")
    client.initial()
    client.step(b"\xff" + b"tok-1234" * 200)
    assert client.failure is not None
    assert "tok-1234" not in client.failure
    assert len(client.failure) == 512


@pytest.mark.parametrize("start", PASSWORD_CLIENTS)
@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("", "secret"),
        ("user", ""),
        ("us\0er", "secret"),
        ("user", "sec\0ret"),
        ("user\r\nMAIL FROM:<e@e>", "secret"),
        ("user", "secret\x7f"),
        ("user", "sec\x85ret"),
        ("user", "sec\ud800ret"),
    ],
)
def test_unfit_credentials_are_refused_before_a_word_is_said(
    start: Callable[[str, str], ClientMechanism], user: str, password: str
) -> None:
    """NUL would move the parts, a control character is forbidden; the value is never shown."""
    with pytest.raises(LocalProtocolError, match=r"user name|password") as caught:
        start(user, password)
    assert "sec" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_password_that_is_no_text_is_refused() -> None:
    """Bytes are not guessed at."""
    with pytest.raises(LocalProtocolError, match="password must be a text"):
        PlainClient("user", b"secret")  # type: ignore[arg-type]


def test_an_authorization_identity_obeys_the_same_rules() -> None:
    """A NUL in it would make another user log in."""
    with pytest.raises(LocalProtocolError, match="authorization identity"):
        PlainClient("user", "secret", "boss\0boss")


@pytest.mark.parametrize(
    "token", ["", "a\rb", "a\nb", "a\x01b", "a b", "tök", "a\x00", b"abc", None]
)
def test_a_token_that_could_break_the_message_is_refused(token: str) -> None:
    """RFC 7628's separator, a line end or anything unprintable in a token is the caller's error."""
    with pytest.raises(LocalProtocolError, match="access token") as caught:
        XOAuth2Client("user", token)
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize("user", ["", "a\x01b", "a\r\nb"])
def test_a_user_that_could_break_the_message_is_refused(user: str) -> None:
    """The user name of XOAUTH2 stands before the separator and may not hold one."""
    with pytest.raises(LocalProtocolError, match="user name"):
        XOAuth2Client(user, "token")


#: What each mechanism can be told, so that it gets to its last step or stumbles on the way there.
# A password, a token, and for XOAUTH the base64 of something.
SECRET = "secret4711=="
CHALLENGES = [
    b"",
    b"<challenge>",
    b"r=abc,s=QUJD,i=4096",
    b"v=QUJD",
    b"e=invalid-proof",
    b"\xff " + SECRET.encode(),
    b'nonce="abc",algorithm=md5-sess,charset=utf-8',
    b"rspauth=00",
]


@pytest.mark.parametrize("mechanism", MECHANISMS.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("first", CHALLENGES)
def test_no_secret_shows_in_a_repr_or_an_exception(mechanism: Mechanism, first: bytes) -> None:
    """A stepper may be printed at any point of its life, and so may whatever it raises."""
    channel = Channel("host", 25, {"tls-exporter": SECRET.encode()}, plus_offered=True)
    claim = Claim("user-4711", SECRET, channel=channel)
    with installed():
        client = mechanism.start(claim)
        shown = [repr(mechanism), repr(claim), repr(client)]
        client.initial()
        for challenge in (first, *CHALLENGES):
            shown.append(repr(client))
            try:
                client.step(challenge)
            except SASLError as error:
                shown += format_exception(error)
            shown.append(str(client.failure))
    assert not [text for text in shown if SECRET in text]


words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(user=words, password=words, authzid=words | st.just(""))
def test_plain_keeps_every_character_that_is_no_control(
    user: str, password: str, authzid: str
) -> None:
    """Whatever is accepted comes out as exactly three parts in UTF-8, unchanged."""
    message = PlainClient(user, password, authzid).initial()
    assert [part.decode("utf-8") for part in message.split(b"\0")] == [authzid, user, password]


@given(
    mechanism=st.sampled_from(list(MECHANISMS.values())),
    challenges=st.lists(st.binary(max_size=40) | st.sampled_from(CHALLENGES), max_size=6),
    initial=st.booleans(),
)
def test_no_challenge_breaks_a_client(
    mechanism: Mechanism, challenges: list[bytes], initial: bool
) -> None:
    """Any sequence of challenges is answered or refused with SASLError, nothing else."""
    channel = Channel(bindings={"tls-exporter": b"x"}) if mechanism.binds else Channel()
    with installed():
        client = mechanism.start(Claim("user", "secret==", channel=channel))
        if initial:
            client.initial()
        for challenge in challenges:
            try:
                assert isinstance(client.step(challenge), bytes)
            except SASLError:
                pass
