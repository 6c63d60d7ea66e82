"""DIGEST-MD5: the examples of RFC 2831, and a server that lies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.sasl import Channel, DigestMD5Client, SASLError
from txsmtpconn.wire.errors import LocalProtocolError

ELWOOD = Channel("elwood.innosoft.com")

# RFC 2831 section 4: user chris, password secret, at elwood.innosoft.com; by IMAP and by ACAP.
EXAMPLES = [
    (
        "imap",
        "OA6MHXh6VqTrRk",
        (
            b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",'
            b"algorithm=md5-sess,charset=utf-8"
        ),
        b"d388dad90d4bbd760a152321f2143af7",
        b"rspauth=ea40f60335c427b5527b84dbabcdfffd",
    ),
    (
        "acap",
        "OA9BSuZWMSpW8m",
        (
            b'realm="elwood.innosoft.com",nonce="OA9BSXrbuRhWay",qop="auth",'
            b"algorithm=md5-sess,charset=utf-8"
        ),
        b"6084c6db3fede7352c551284490fd0fc",
        b"rspauth=2f0b3d7c3c2e486600ef710726aa2eae",
    ),
]
CHALLENGE = b'nonce="abc",algorithm=md5-sess'


def directives(message: bytes) -> dict[bytes, bytes]:
    """What a simple message says; no quoted commas."""
    pairs = (part.split(b"=", 1) for part in message.split(b","))
    return {name: value.strip(b'"') for name, value in pairs}


@pytest.mark.parametrize(
    ("service", "nonce", "challenge", "response", "last"), EXAMPLES, ids=["IMAP", "ACAP"]
)
def test_the_client_speaks_the_examples_of_rfc_2831(
    service: str, nonce: str, challenge: bytes, response: bytes, last: bytes
) -> None:
    """The digest, everything else that is said, and the server's proof."""
    client = DigestMD5Client("chris", "secret", channel=ELWOOD, service=service, nonce=nonce)
    assert client.initial() is None
    said = directives(client.step(challenge))
    assert said == {
        b"charset": b"utf-8",
        b"username": b"chris",
        b"realm": b"elwood.innosoft.com",
        b"nonce": directives(challenge)[b"nonce"],
        b"nc": b"00000001",
        b"cnonce": nonce.encode(),
        b"digest-uri": f"{service}/elwood.innosoft.com".encode(),
        b"response": response,
        b"qop": b"auth",
    }
    undone = client.done
    assert client.step(last) == b""
    assert (undone, client.done) == (False, True)
    with pytest.raises(SASLError, match="more than DIGEST-MD5"):
        client.step(last)


def test_without_more_the_client_speaks_of_smtp() -> None:
    """`smtp/host`, or this host where none is known; a new nonce each time; no realm invented."""
    said = directives(DigestMD5Client("u", "p", channel=ELWOOD).step(CHALLENGE))
    assert said[b"digest-uri"] == b"smtp/elwood.innosoft.com"
    assert b"realm" not in said
    assert b"charset" not in said
    assert said != directives(DigestMD5Client("u", "p", channel=ELWOOD).step(CHALLENGE))
    assert b"smtp/localhost" in DigestMD5Client("u", "p").step(CHALLENGE)


def test_an_identity_to_act_as_is_part_of_the_digest() -> None:
    """It cannot be changed on the way."""
    answers = [
        directives(DigestMD5Client("u", "p", who, nonce="n").step(CHALLENGE))
        for who in ("", "boss", "bass")
    ]
    assert [said.get(b"authzid") for said in answers] == [None, b"boss", b"bass"]
    assert len({said[b"response"] for said in answers}) == 3


def test_quotes_are_written_out() -> None:
    """A name cannot end its own quotes."""
    said = DigestMD5Client('t"i\\m', "p").step(CHALLENGE)
    assert b'username="t\\"i\\\\m"' in said


def test_names_are_hashed_in_latin_1_where_that_has_them() -> None:
    """RFC 2831 section 2.1.2.1; a server without UTF-8 is told names in it too."""
    utf8, plain = CHALLENGE + b",charset=utf-8", CHALLENGE
    told = [
        DigestMD5Client("tïm", "sécret", nonce="n").step(challenge) for challenge in (utf8, plain)
    ]
    assert "tïm".encode() in told[0]
    assert "tïm".encode("latin-1") in told[1]
    assert len({directives(each)[b"response"] for each in told}) == 1
    assert DigestMD5Client("ŧim", "sécret").step(utf8)
    with pytest.raises(SASLError, match="character set"):
        DigestMD5Client("ŧim", "sécret").step(plain)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"algorithm=md5-sess",
        b'nonce="",algorithm=md5-sess',
        b'nonce="abc"',
        b'nonce="abc",algorithm=md5',
        b'nonce="abc",nonce="abd",algorithm=md5-sess',
        b'nonce="abc",algorithm=md5-sess,algorithm=md5-sess',
        b'nonce="abc",algorithm=md5-sess,qop="auth-int,auth-conf"',
        b'nonce="abc",algorithm=md5-sess,charset=koi8-r',
        b'nonce="abc,algorithm=md5-sess',
        b"nonce=abc algorithm=md5-sess",
        b"rspauth=ea40f60335c427b5527b84dbabcdfffd",
        b"\xff" * 50,
        b'"' * 5000,
    ],
)
def test_a_challenge_that_makes_no_sense_is_refused(challenge: bytes) -> None:
    """No digest is computed over it."""
    client = DigestMD5Client("chris", "secret")
    with pytest.raises(SASLError) as caught:
        client.step(challenge)
    assert "secret" not in str(caught.value)
    assert not client.done


@pytest.mark.parametrize(
    "last", [b"", b"rspauth=", b"rspauth=ea40f60335c427b5527b84dbabcdfffe", b"rspauth", CHALLENGE]
)
def test_a_server_that_does_not_know_the_password_is_not_believed(last: bytes) -> None:
    """There is no success without its proof."""
    _, nonce, challenge, _, _ = EXAMPLES[0]
    client = DigestMD5Client("chris", "secret", channel=ELWOOD, service="imap", nonce=nonce)
    client.step(challenge)
    with pytest.raises(SASLError):
        client.step(last)
    assert not client.done


@pytest.mark.parametrize("qop", [b"auth", b'"auth-int,auth"', b'"AUTH, auth-conf"'])
def test_authentication_without_a_layer_is_all_that_is_asked_for(qop: bytes) -> None:
    """Among whatever the server offers."""
    said = DigestMD5Client("u", "p").step(CHALLENGE + b",qop=" + qop)
    assert b"qop=auth" in said


def test_nothing_unfit_goes_into_the_digest() -> None:
    """The caller hears it first."""
    with pytest.raises(LocalProtocolError, match="user name"):
        DigestMD5Client("a\rb", "secret")
    client = DigestMD5Client("user", "sikrit")
    assert "sikrit" not in repr(client) + repr(vars(client).keys())
    assert repr(client) == "<DigestMD5Client waiting>"


@given(
    st.lists(
        st.binary(max_size=40)
        | st.lists(
            st.sampled_from(
                [b'nonce="a"', b"algorithm=md5-sess", b"qop=auth", b"rspauth=00", b"realm=x", b"="]
            ),
            max_size=6,
        ).map(b",".join),
        max_size=3,
    )
)
def test_no_challenge_breaks_the_client_or_makes_it_believe(challenges: list[bytes]) -> None:
    """Anything is answered or refused with SASLError."""
    client = DigestMD5Client("user", "secret")
    for challenge in challenges:
        try:
            assert isinstance(client.step(challenge), bytes)
        except SASLError:
            pass
        assert not client.done
