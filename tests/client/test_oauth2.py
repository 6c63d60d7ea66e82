"""`OAuth2TokenProvider`: what it asks for and when, what it shares, and what its errors tell."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.internet.defer import Deferred, succeed
from twisted.logger import globalLogPublisher

from tests.client.authority import URL, World, token
from txsmtpconn import ConfigError, OAuth2Error, OAuth2TokenProvider, SendCancelled, TLSOptions
from txsmtpconn.client.grants import AccessToken
from txsmtpconn.testing import CertificateZoo, failure_result_of, no_result_of

KEY = rsa.generate_private_key(65537, 2048)


def pem(key: Any, password: bytes | None = None) -> str:
    """A private key as a file has it."""
    hidden = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden).decode()


# -- asking


def test_a_refresh_token_gets_an_access_token(certificate_zoo: CertificateZoo) -> None:
    """RFC 6749 section 6; scope, further fields and headers go along."""
    world = World(certificate_zoo, token("one"))
    provider = world.provider(
        user="me@a.test",
        client_secret="cl1ent-secret",
        scope="mail",
        headers={"X-Tenant": "t1", "user-agent": "mine"},
        params={"resource": "https://mail.test/?a=b&c"},
    )
    assert world.network.result_of(provider.get_token()) == "one"
    assert world.authority.forms == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "r3fresh-token-1",
            "client_id": "c1ient",
            "client_secret": "cl1ent-secret",
            "scope": "mail",
            "resource": "https://mail.test/?a=b&c",
        }
    ]
    (fields,) = world.authority.headers
    assert fields["x-tenant"] == "t1"
    assert fields["user-agent"] == "mine"
    assert fields["host"] == "mx.test"
    assert fields["content-type"] == "application/x-www-form-urlencoded"
    assert world.is_quiet()


def test_a_client_gets_a_token_for_itself(certificate_zoo: CertificateZoo) -> None:
    """RFC 6749 section 4.4, as Microsoft has it for applications."""
    world = World(certificate_zoo, token("one"))
    provider = world.provider(client_id="c1ient", client_secret="s", scope="https://x/.default")
    assert world.network.result_of(provider.get_token()) == "one"
    assert world.authority.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "c1ient",
            "client_secret": "s",
            "scope": "https://x/.default",
        }
    ]


@pytest.mark.parametrize("more", [{}, {"user": "me@a.test", "private_key_id": "k1", "scope": "s"}])
def test_a_service_account_signs_for_a_user(
    certificate_zoo: CertificateZoo, more: dict[str, str]
) -> None:
    """RFC 7523, RS256: who signs, for whom, to whom, for what and for how long."""
    world = World(certificate_zoo, token("one"), token("two"))
    provider = world.provider(
        service_client="robot@project.test", private_key=pem(KEY), assertion_lifetime=120, **more
    )
    assert world.network.result_of(provider.get_token()) == "one"
    world.network.advance(10)
    assert world.network.result_of(provider.get_token(renew=True)) == "two"
    for form, seconds in zip(world.authority.forms, (0, 10), strict=True):
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = jwt.decode(
            form["assertion"],
            KEY.public_key(),
            algorithms=["RS256"],
            audience=URL,
            options={"verify_exp": False, "verify_iat": False},
        )
        assert claims == {
            "iss": "robot@project.test",
            "aud": URL,
            "scope": more.get("scope", "https://mail.google.com/"),
            "iat": int(world.time) + seconds,
            "exp": int(world.time) + seconds + 120,
            **({"sub": "me@a.test"} if more else {}),
        }
        assert jwt.get_unverified_header(form["assertion"]).get("kid") == more.get("private_key_id")


# -- keeping


def test_a_token_is_kept_until_shortly_before_it_expires(certificate_zoo: CertificateZoo) -> None:
    """By the skew; what is good is not asked for again."""
    world = World(certificate_zoo, token("one", expires_in=100), token("two"))
    provider = world.provider(skew=30)
    for seconds, expected in ((0, "one"), (69, "one"), (1, "two"), (3000, "two")):
        world.network.advance(seconds)
        assert world.network.result_of(provider.get_token()) == expected
    assert world.connections == 2


@pytest.mark.parametrize("given", ["3600", 3600.0])
def test_servers_write_a_lifetime_in_several_ways(
    certificate_zoo: CertificateZoo, given: Any
) -> None:
    """As a number or as a text."""
    world = World(certificate_zoo, token("one", expires_in=given), token("two"))
    provider = world.provider()
    assert world.network.result_of(provider.get_token()) == "one"
    world.network.advance(3600)
    assert world.network.result_of(provider.get_token()) == "two"


@pytest.mark.parametrize("given", [None, 0, -1, "soon", [], {"a": 1}, float("nan"), float("inf")])
def test_a_token_without_a_lifetime_is_good_until_it_is_refused(
    certificate_zoo: CertificateZoo, given: Any
) -> None:
    """Nobody knows when it expires."""
    world = World(certificate_zoo, token("one", expires_in=given), token("two"))
    provider = world.provider()
    assert world.network.result_of(provider.get_token()) == "one"
    world.network.advance(1_000_000)
    assert world.network.result_of(provider.get_token()) == "one"
    assert world.network.result_of(provider.get_token(renew=True)) == "two"


def test_a_token_that_is_there_already_is_used_first(certificate_zoo: CertificateZoo) -> None:
    """Until its time; without a way to another one it is used beyond that."""
    world = World(certificate_zoo, token("new"))
    more = {"access_token": "old", "expires": world.time + 100}
    provider = world.provider(client_id="c", refresh_token="r", **more)
    alone = world.provider(**more)
    assert world.network.result_of(provider.get_token()) == "old"
    world.network.advance(1000)
    assert world.network.result_of(provider.get_token()) == "new"
    for renew in (False, True):
        assert world.network.result_of(alone.get_token(renew=renew)) == "old"
    assert world.connections == 1


def test_a_refresh_token_that_is_replaced(certificate_zoo: CertificateZoo) -> None:
    """The new one is used from then on, and told."""
    told: list[AccessToken] = []
    world = World(
        certificate_zoo, token("one", refresh_token="r3fresh-token-2"), token("two"), token("three")
    )
    provider = world.provider(user="me@a.test", on_token=told.append)
    for expected in ("one", "two", "three"):
        assert world.network.result_of(provider.get_token(renew=True)) == expected
    assert [form["refresh_token"] for form in world.authority.forms] == [
        "r3fresh-token-1",
        "r3fresh-token-2",
        "r3fresh-token-2",
    ]
    assert told[0] == AccessToken("me@a.test", "one", world.time + 3600, "r3fresh-token-2")
    assert told[1].refresh_token is None
    assert not {"one", "r3fresh-token-2"} & set(repr(told[0]).split("'"))


# -- sharing


def test_one_request_however_many_wait(certificate_zoo: CertificateZoo) -> None:
    """Those who come while it is under way join it, whatever they want."""
    world = World(certificate_zoo, token("one"))
    provider = world.provider()
    waiting = [provider.get_token(renew=bool(number % 2)) for number in range(10)]
    assert [world.network.result_of(each) for each in waiting] == ["one"] * 10
    assert world.connections == 1


def test_one_failure_for_all_who_wait(certificate_zoo: CertificateZoo) -> None:
    """Each has an error of its own; who comes later has another try."""
    world = World(certificate_zoo, (503, b"busy"), token("one"))
    provider = world.provider()
    waiting = [provider.get_token() for _ in range(3)]
    world.network.settle()
    errors = [failure_result_of(each) for each in waiting]
    assert len({id(error) for error in errors}) == 3
    assert world.connections == 1
    assert world.network.result_of(provider.get_token()) == "one"


def test_cancelling_one_does_not_cancel_the_others(certificate_zoo: CertificateZoo) -> None:
    """Nor the request, even if nobody waits any more: its answer is kept."""
    for others in (1, 0):
        world = World(certificate_zoo, token("one"))
        provider = world.provider()
        first = provider.get_token()
        rest = [provider.get_token() for _ in range(others)]
        first.cancel()
        assert isinstance(failure_result_of(first), SendCancelled)
        for each in rest:
            assert world.network.result_of(each) == "one"
        world.network.settle()
        assert world.network.result_of(provider.get_token()) == "one"
        assert world.connections == 1


def test_a_waiter_that_cancels_another_when_it_hears(certificate_zoo: CertificateZoo) -> None:
    """Each fires once."""
    for answer in (token("one"), (500, b"")):
        world = World(certificate_zoo, answer)
        provider = world.provider()
        first = provider.get_token()
        second = provider.get_token()
        first.addBoth(lambda _, other=second: other.cancel())
        world.network.settle()
        assert isinstance(failure_result_of(second), SendCancelled)


# -- telling


class Broken(Exception):
    """What a function of the caller's raises."""


def raising(*_: Any) -> Any:
    """A function that fails."""
    raise Broken("s3cret")


async def raising_later(*_: Any) -> Any:
    """A coroutine that fails."""
    raise Broken("s3cret")


@pytest.mark.parametrize("on_token", [raising, raising_later])
def test_a_token_event_that_fails_harms_no_login(
    certificate_zoo: CertificateZoo, on_token: Any
) -> None:
    """It is logged, by its kind."""
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    try:
        world = World(certificate_zoo, token("one"))
        provider = world.provider(on_token=on_token)
        assert world.network.result_of(provider.get_token()) == "one"
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event["kind"] for event in events if "kind" in event] == ["Broken"]
    assert "s3cret" not in repr(events)


def test_a_token_event_is_not_waited_for(certificate_zoo: CertificateZoo) -> None:
    """Storage that takes its time holds no login up."""
    world = World(certificate_zoo, token("one"))
    provider = world.provider(on_token=lambda token: Deferred())
    assert world.network.result_of(provider.get_token()) == "one"


# -- a function of the caller's


async def provided(user: str | None, renew: bool) -> str:
    """A token later."""
    return await succeed(f"for-{user}-{renew}")


@pytest.mark.parametrize(
    "provision", [provided, lambda user, renew: succeed(f"for-{user}-{renew}")]
)
def test_a_provision_function_is_told_who_and_whether(
    certificate_zoo: CertificateZoo, provision: Any
) -> None:
    """And its tokens are kept and shared as all are."""
    world = World(certificate_zoo)
    provider = world.provider(user="me", provision=provision)
    for renew, expected in (
        (False, "for-me-False"),
        (False, "for-me-False"),
        (True, "for-me-True"),
    ):
        assert world.network.result_of(provider.get_token(renew=renew)) == expected
    assert world.connections == 0


def test_a_provision_function_may_say_when_its_token_expires(
    certificate_zoo: CertificateZoo,
) -> None:
    """As a pair, or as an `AccessToken`."""
    world = World(certificate_zoo)
    tokens: list[Any] = [("one", world.time + 100), AccessToken(None, "two", world.time + 200)]
    provider = world.provider(provision=lambda user, renew: tokens.pop(0), skew=0)
    for seconds, expected in ((0, "one"), (99, "one"), (1, "two"), (99, "two")):
        world.network.advance(seconds)
        assert world.network.result_of(provider.get_token()) == expected


@pytest.mark.parametrize(
    "provision",
    [
        raising,
        raising_later,
        lambda user, renew: None,
        lambda user, renew: "",
        lambda user, renew: b"s3cret",
        lambda user, renew: "s3cret token",
        lambda user, renew: ("token", "s3cret"),
        lambda user, renew: ("token", 1, 2),
        lambda user, renew: AccessToken(None, "s3cret\r\n"),
    ],
)
def test_a_provision_function_that_fails(certificate_zoo: CertificateZoo, provision: Any) -> None:
    """EOAUTH2, without anything of what it gave."""
    world = World(certificate_zoo)
    asked = world.provider(provision=provision).get_token()
    world.network.settle()
    error = failure_result_of(asked)
    assert isinstance(error, OAuth2Error)
    assert "s3cret" not in str(error)


def test_a_provision_function_has_its_time(certificate_zoo: CertificateZoo) -> None:
    """As long as a request; it is then cancelled."""
    cancelled: list[object] = []
    never: Deferred[str] = Deferred(cancelled.append)
    world = World(certificate_zoo)
    asked = world.provider(provision=lambda user, renew: never, timeout=5).get_token()
    world.network.advance(4.9)
    no_result_of(asked)
    world.network.advance(0.1)
    assert isinstance(failure_result_of(asked), OAuth2Error)
    assert cancelled == [never]
    assert world.is_quiet()


# -- failing

SECRETS = {"client_secret": "cl1ent-secret", "headers": {"X-Api-Key": "h3ader-secret"}}
TOLD = ("r3fresh-token-1", "cl1ent-secret", "h3ader-secret", "t0ken-value-1")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((400, {"error": "invalid_grant"}), "400, invalid_grant"),
        (
            (400, {"error": "invalid_grant", "error_description": "Bad \x1b[31m r3fresh-token-1"}),
            r"invalid_grant: Bad \x1b[31m [secret]",
        ),
        (
            (401, {"error": "invalid_client", "error_description": "cl1ent-secret h3ader-secret"}),
            "[secret] [secret]",
        ),
        ((400, {"error": "r3fresh-token-1"}), "400, [secret]"),
        (
            (400, {"error": "invalid_grant", "error_description": "The refresh_token is too old"}),
            "The refresh_token is too old",
        ),
        ((400, {"error": "bad\nthing"}), "answered 400"),
        ((400, {"error": ["a"], "error_description": {}}), "answered 400"),
        ((200, {"error": "slow_down", "access_token": "t0ken-value-1"}), "slow_down"),
        ((503, b"<html>t0ken-value-1</html>"), "answered 503"),
        ((200, b""), "no access token"),
        ((200, b"t0ken-value-1"), "no access token"),
        ((200, b"[" * 60_000), "no access token"),
        ((200, b"\xff\xfe"), "no access token"),
        ((200, []), "no access token"),
        ((200, {"access_token": None}), "no access token"),
        ((200, {"access_token": "t0ken-value-1\r\nMAIL FROM:<>"}), "no access token"),
        ((200, {"access_token": "t0ken-value-1", "token_type": "mac"}), "logs nobody in"),
        ((200, {"access_token": "t0ken-value-1", "token_type": 5}), "logs nobody in"),
        ((201, {"access_token": "t0ken-value-1"}), "answered 201"),
        ((302, b"", ("Location", "https://evil.test/")), "redirects (302)"),
        ((200, b"x" * 70_000), "too long"),
    ],
)
def test_an_answer_without_a_token(
    certificate_zoo: CertificateZoo, answer: Any, expected: str
) -> None:
    """EOAUTH2 tells what the server said, and nothing that was said to it."""
    world = World(certificate_zoo, answer)
    asked = world.provider(user="me@a.test", **SECRETS).get_token()
    world.network.settle()
    error = failure_result_of(asked)
    assert isinstance(error, OAuth2Error)
    assert (error.code, error.command, error.is_transient) == ("EOAUTH2", "API", True)
    assert expected in str(error)
    everything = "".join(traceback.format_exception(error))
    assert not [secret for secret in TOLD if secret in everything]
    assert world.connections == 1
    assert world.is_quiet()


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [("otherissuer", "certificate verify failed"), ("wronghost", "does not name 'mx.test'")],
)
def test_another_server(certificate_zoo: CertificateZoo, certificate: str, expected: str) -> None:
    """Is told nothing, and named in the error."""
    world = World(certificate_zoo, token(), certificate=certificate)
    asked = world.provider().get_token()
    world.network.settle()
    error = failure_result_of(asked)
    assert isinstance(error, OAuth2Error)
    assert expected in str(error)
    assert world.authority.forms == []


def test_a_server_that_does_not_answer(certificate_zoo: CertificateZoo) -> None:
    """EOAUTH2 after the timeout; then another try is possible."""
    world = World(certificate_zoo, None, token("one"))
    provider = world.provider(timeout=5)
    asked = provider.get_token()
    world.network.advance(5)
    error = failure_result_of(asked)
    assert isinstance(error, OAuth2Error)
    assert "no token from mx.test: no answer within 5 s" in str(error)
    assert world.network.result_of(provider.get_token()) == "one"


def test_a_server_that_is_not_there(certificate_zoo: CertificateZoo) -> None:
    """EOAUTH2, with the kind of the failure."""
    world = World(certificate_zoo)
    asked = world.provider(endpoint=world.network.client_endpoint("elsewhere")).get_token()
    world.network.settle()
    assert "ConnectionRefusedError" in str(failure_result_of(asked))


# -- what it is told


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"user": "me"},
        {"user": 5, "access_token": "t"},
        {"user": "", "access_token": "t"},
        {"client_id": "c"},
        {"client_id": "c", "client_secret": "s3cret"},
        {"client_id": "c", "scope": "s"},
        {"client_id": b"c", "refresh_token": "s3cret"},
        {"client_id": "c", "refresh_token": ""},
        {"refresh_token": "s3cret"},
        {"client_secret": "s3cret", "scope": "s"},
        {"service_client": "r"},
        {"service_client": "r", "private_key": "s3cret"},
        {"service_client": "r", "private_key": 5},
        {"service_client": "r", "private_key": pem(ec.generate_private_key(ec.SECP256R1()))},
        {"service_client": "r", "private_key": pem(KEY, b"s3cret")},
        {"service_client": "r", "private_key": pem(KEY), "client_id": "c"},
        {"service_client": "r", "private_key": pem(KEY), "assertion_lifetime": 3601},
        {"service_client": "r", "private_key": pem(KEY), "assertion_lifetime": 0},
        {"private_key": pem(KEY), "access_token": "t"},
        {"private_key_id": "k", "access_token": "t"},
        {"provision": "s3cret"},
        {"provision": raising, "client_id": "c", "refresh_token": "s3cret"},
        {"provision": raising, "on_token": "s3cret"},
        {"access_token": "s3cret token"},
        {"access_token": b"s3cret"},
        {"access_token": "t", "expires": "s3cret"},
        {"access_token": "t", "expires": float("nan")},
        {"access_token": "t", "expires": -1},
        {"provision": raising, "expires": 5},
        {"access_token": "t", "token_url": "http://mx.test/s3cret"},
        {"access_token": "t", "token_url": None},
        {"access_token": "t", "skew": -1},
        {"access_token": "t", "skew": True},
        {"access_token": "t", "timeout": 0},
        {"access_token": "t", "timeout": float("inf")},
        {"access_token": "t", "tls": TLSOptions(verify=False)},
        {"access_token": "t", "tls": True},
        {"access_token": "t", "endpoint": "s3cret"},
        {"access_token": "t", "headers": ["s3cret"]},
        {"access_token": "t", "headers": {"X": 5}},
        {"access_token": "t", "headers": {5: "x"}},
        {"access_token": "t", "headers": {"": "x"}},
        {"access_token": "t", "headers": {"X Y": "s3cret"}},
        {"access_token": "t", "headers": {"X": "s3cret\r\nHost: evil"}},
        {"access_token": "t", "headers": {"X": "s3crät"}},
        {"access_token": "t", "headers": {"HOST": "evil"}},
        {"access_token": "t", "headers": {"Content-Length": "5"}},
        {"access_token": "t", "params": "a=b"},
        {"access_token": "t", "params": {"a": None}},
    ],
    ids=", ".join,
)
def test_nonsense_is_refused_at_once(
    certificate_zoo: CertificateZoo, given: dict[str, Any]
) -> None:
    """ECONFIG where it is made, and no secret in the text."""
    with pytest.raises(ConfigError) as caught:
        OAuth2TokenProvider(World(certificate_zoo).network.clock, **given)
    everything = "".join(traceback.format_exception(caught.value)[1:])
    told = "".join(traceback.format_exception_only(caught.value))
    assert "s3cret" not in told
    assert caught.value.__context__ is None or "s3cret" not in str(caught.value.__context__)
    assert everything


def test_a_service_account_needs_pyjwt(
    certificate_zoo: CertificateZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install; nothing else needs it."""
    world = World(certificate_zoo, token("one"))
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigError, match=r"txsmtpconn\[oauth2\]"):
        world.provider(service_client="r", private_key=pem(KEY))
    assert world.network.result_of(world.provider().get_token()) == "one"


def test_no_secret_shows_in_a_repr(certificate_zoo: CertificateZoo) -> None:
    """Of a provider, whom it is for and whom it asks."""
    provider = World(certificate_zoo).provider(user="me@a.test", **SECRETS)
    assert repr(provider) == "<OAuth2TokenProvider for 'me@a.test' at mx.test>"
    for grant in (
        provider._grant,
        World(certificate_zoo).provider(service_client="r", private_key=pem(KEY))._grant,
    ):
        assert not [secret for secret in TOLD if secret in repr(grant)]
        assert "key" not in repr(grant).replace("key_id", "")
