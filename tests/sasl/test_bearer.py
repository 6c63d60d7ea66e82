"""Bearer tokens: OAUTHBEARER by RFC 7628, XOAUTH2, and what servers make of both."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sasl.talk import converse
from txsmtpconn.sasl import (
    Challenge,
    Channel,
    Finished,
    OAuthBearerClient,
    OAuthBearerServer,
    SASLError,
    XOAuth2Client,
    XOAuth2Server,
    XOAuthClient,
)
from txsmtpconn.wire.errors import LocalProtocolError

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
SERVER = Channel("server.example.com", 143)

words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def test_oauthbearer_gives_the_message_of_rfc_7628() -> None:
    """The example of section 4.1, octet for octet."""
    client = OAuthBearerClient("user@example.com", TOKEN, channel=SERVER)
    assert client.initial() == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert client.done


def test_oauthbearer_leaves_out_what_is_not_known() -> None:
    """No user, no host, no port: the token says whose it is."""
    assert OAuthBearerClient("", "tok").initial() == b"n,,\x01auth=Bearer tok\x01\x01"
    acting = OAuthBearerClient("tim", "tok", "boss", Channel("mx.test"))
    assert acting.initial() == b"n,a=boss,\x01host=mx.test\x01auth=Bearer tok\x01\x01"


def test_oauthbearer_acknowledges_a_failure_with_one_octet() -> None:
    """RFC 7628 section 3.2.3: ^A, and a success can no longer follow."""
    client = OAuthBearerClient("tim", "x9y")
    client.initial()
    report = b'{"status":"invalid_token","scope":"mail"}'
    assert client.step(report) == b"\x01"
    assert client.failure == report.decode()
    assert not client.done
    with pytest.raises(SASLError, match="goes on"):
        client.step(b"")


@pytest.mark.parametrize("token", ["", "a\rb", "a\nb", "a\x01b", "a b", "tök", b"abc", None])
def test_a_token_that_could_break_the_message_is_refused(token: str) -> None:
    """A30: its separator, a line end, or anything that is not printable ASCII."""
    with pytest.raises(LocalProtocolError, match="access token"):
        OAuthBearerClient("tim", token)


def test_a_host_that_could_break_the_message_is_refused() -> None:
    """It comes from an option, and stands before a separator."""
    with pytest.raises(LocalProtocolError, match="host name"):
        OAuthBearerClient("tim", "tok", channel=Channel("mx\x01auth=Bearer x"))


@given(user=words | st.just(""), token=tokens, initial=st.booleans())
def test_the_servers_hear_what_the_clients_say(user: str, token: str, initial: bool) -> None:
    """Whose token it is, nobody claims to know: the user is whom to act as."""
    finished = converse(
        OAuthBearerClient(user, token, channel=SERVER), OAuthBearerServer(), initial=initial
    )
    assert (finished.authcid, finished.authzid, finished.token) == ("", user, token)
    assert repr(finished) == repr(Finished("", user, mechanism="OAUTHBEARER"))
    if user:
        finished = converse(XOAuth2Client(user, token), XOAuth2Server(), initial=initial)
        assert (finished.authcid, finished.authzid, finished.token) == ("", user, token)
        assert finished.mechanism == "XOAUTH2"


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (OAuthBearerClient("tim", "x9y"), OAuthBearerServer()),
        (XOAuth2Client("tim", "x9y"), XOAuth2Server()),
    ],
)
def test_a_refusal_is_told_in_json_and_acknowledged(
    client: OAuthBearerClient | XOAuth2Client, server: OAuthBearerServer | XOAuth2Server
) -> None:
    """What a server sends before its 535, our client understands."""
    finished = converse(client, server)
    assert finished.refusal is not None
    assert json.loads(finished.refusal)["status"] in ("401", "invalid_token")
    assert client.step(finished.refusal) in (b"", b"\x01")
    assert client.failure == finished.refusal.decode()


def test_the_scheme_is_bearer_in_any_case() -> None:
    """RFC 7628 section 3.1 takes it from HTTP, where case does not count."""
    finished = OAuthBearerServer().step(b"n,,\x01AUTH=bearer  tok\x01\x01")
    assert isinstance(finished, Finished)
    assert finished.token == "tok"


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"n,,",
        b"n,,\x01\x01",
        b"n,,auth=Bearer tok\x01\x01",
        b"n,,\x01auth=Bearer tok",
        b"n,,\x01auth=Bearer tok\x01",
        b"n,,\x01auth=Bearer tok\x01\x01x",
        b"n,,\x01auth=Bearer tok\x01auth=Bearer tak\x01\x01",
        b"n,,\x01auth=Basic dGltOnNlY3JldA==\x01\x01",
        b"n,,\x01auth=Bearer\x01\x01",
        b"n,,\x01auth=Bearer t k\x01\x01",
        b"n,,\x01auth=Bearer t\xffk\x01\x01",
        b"n,,\x01host=x\x01\x01",
        b"n,,\x01nonsense\x01auth=Bearer tok\x01\x01",
        b"n,,\x01a b=c\x01auth=Bearer tok\x01\x01",
        b"n,,\x01\x01auth=Bearer tok\x01\x01",
        b"p=tls-exporter,,\x01auth=Bearer tok\x01\x01",
        b"n,a=t\x00m,\x01auth=Bearer tok\x01\x01",
        b"user=tim\x01auth=Bearer tok\x01\x01",
    ],
)
def test_oauthbearer_server_refuses_what_is_no_such_message(response: bytes) -> None:
    """And there is no second try."""
    server = OAuthBearerServer()
    with pytest.raises(SASLError) as caught:
        server.step(response)
    assert "tok" not in str(caught.value).replace("token", "")
    with pytest.raises(SASLError, match="one response"):
        server.step(b"n,,\x01auth=Bearer tok\x01\x01")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"auth=Bearer tok\x01\x01",
        b"user=\x01auth=Bearer tok\x01\x01",
        b"user=t\xffm\x01auth=Bearer tok\x01\x01",
        b"user=tim\x01\x01",
        b"user=tim\x01auth=Bearer tok\x01",
        b"n,a=tim,\x01auth=Bearer tok\x01\x01",
    ],
)
def test_xoauth2_server_refuses_what_is_no_such_message(response: bytes) -> None:
    """A user and a token, both."""
    with pytest.raises(SASLError):
        XOAuth2Server().step(response)


def test_servers_ask_once() -> None:
    """With an empty challenge, where nothing came with the command."""
    for server in (OAuthBearerServer(), XOAuth2Server()):
        assert server.step(None) == Challenge()
        with pytest.raises(SASLError, match="one response"):
            server.step(None)


REQUEST = b'GET https://mail.google.com/mail/b/u@gmail.com/smtp/ oauth_token="x",oauth_nonce="y"'


def test_xoauth_says_the_ready_string() -> None:
    """What was signed elsewhere, whole; a refusal is acknowledged as XOAUTH2's is."""
    ready = b64encode(REQUEST).decode()
    client = XOAuthClient(ready)
    assert client.initial() == REQUEST
    assert client.done
    assert client.step(b'{"status":"400"} ' + ready.encode()) == b""
    assert client.failure == '{"status":"400"} ***'
    assert ready not in repr(client)


@pytest.mark.parametrize("token", ["", "GET https://x", "abc", "===="])
def test_xoauth_wants_base64(token: str) -> None:
    """Anything else is a mistake of the caller's, and is not shown."""
    with pytest.raises(LocalProtocolError, match="must be base64"):
        XOAuthClient(token)
