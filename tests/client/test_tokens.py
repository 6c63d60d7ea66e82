"""Logins with a token provider: when it is asked, and what a refused token leads to."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from tests.client.dial import Dial, greeted
from txsmtpconn import AuthenticationError, Credentials, OAuth2Error, SendCancelled
from txsmtpconn.testing import failure_result_of
from txsmtpconn.testing.script import Step, close, expect, expect_close, expect_silence, send

USER = "us3r@a.test"
REPORT = b64encode(b'{"status":"401"}').decode()


def auth(token: str, user: str = USER) -> str:
    """The AUTH command with a token."""
    return "AUTH XOAUTH2 " + b64encode(f"user={user}\1auth=Bearer {token}\1\1".encode()).decode()


def refusal(token: str, *, report: bool) -> tuple[Step, ...]:
    """The steps of a server that refuses a token, with a report before or plainly."""
    if report:
        return (expect(auth(token)), send(f"334 {REPORT}"), expect(""), send("535 5.7.8 no"))
    return (expect(auth(token)), send("535 5.7.8 no"))


def dial_bearer(*steps: Step, **options: Any) -> Dial:
    """A connection to a server that takes tokens."""
    options.setdefault("allow_insecure_auth", True)
    return Dial(*greeted("AUTH PLAIN XOAUTH2"), *steps, **options)


class Tokens:
    """A provider with a list of tokens; each renewal takes the next one."""

    user = USER

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[bool] = []

    def get_token(self, renew: bool = False) -> Deferred[str]:
        self.asked.append(renew)
        if renew and len(self.tokens) > 1:
            del self.tokens[0]
        return succeed(self.tokens[0])


def test_a_provider_gives_user_and_token() -> None:
    """It is asked for each login, and nothing is renewed that is good."""
    tokens = Tokens("one")
    for _ in range(2):
        dial = dial_bearer(expect(auth("one")), send("235 ok"))
        assert dial.result_of(dial.ready.login(Credentials(token_provider=tokens))).code == 235
        dial.ready.close()
    assert tokens.asked == [False, False]


def test_a_user_of_the_credentials_wins() -> None:
    """A shared mailbox, for one, has another user than the token."""
    dial = dial_bearer(expect(auth("one", "info@a.test")), send("235 ok"))
    given = Credentials("info@a.test", token_provider=Tokens("one"))
    assert dial.result_of(dial.ready.login(given)).code == 235
    dial.ready.close()


@pytest.mark.parametrize("report", [True, False])
def test_a_refused_token_is_renewed_once(report: bool) -> None:
    """After 334 and 535, and after a plain 535."""
    tokens = Tokens("old", "new")
    dial = dial_bearer(*refusal("old", report=report), expect(auth("new")), send("235 ok"))
    assert dial.result_of(dial.ready.login(Credentials(token_provider=tokens))).code == 235
    assert tokens.asked == [False, False, True]
    dial.ready.close()


@pytest.mark.parametrize("report", [True, False])
def test_a_renewed_token_that_is_refused_is_the_end(report: bool) -> None:
    """Never more than once: the third token of the provider is not used."""
    tokens = Tokens("old", "new", "newest")
    dial = dial_bearer(
        *refusal("old", report=report),
        *refusal("new", report=report),
        expect("NOOP"),
        send("250 ok"),
    )
    error = dial.failure_of(dial.ready.login(Credentials(token_provider=tokens)))
    assert isinstance(error, AuthenticationError)
    assert error.response_code == 535
    assert tokens.tokens == ["new", "newest"]
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_a_token_that_cannot_be_renewed_is_refused_once() -> None:
    """The same again would only count as another failure."""
    tokens = Tokens("only")
    dial = dial_bearer(*refusal("only", report=False), expect("NOOP"), send("250 ok"))
    error = dial.failure_of(dial.ready.login(Credentials(token_provider=tokens)))
    assert error.response_code == 535
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_a_token_that_came_meanwhile_is_used() -> None:
    """Another connection had it renewed: one renewal serves both."""
    tokens = Tokens("old", "new")
    dial = dial_bearer(*refusal("old", report=False), expect(auth("new")), send("235 ok"))
    ready = dial.ready
    login = ready.login(Credentials(token_provider=tokens))
    tokens.tokens = ["new"]
    assert dial.result_of(login).code == 235
    assert tokens.asked == [False, False]
    ready.close()


@pytest.mark.parametrize("last", ["454 4.7.0 later", "530 no", "501 what", "432 wait"])
def test_other_refusals_do_not_blame_the_token(last: str) -> None:
    """Nothing is renewed for a server that has not looked at it."""
    tokens = Tokens("one", "two")
    dial = dial_bearer(expect(auth("one")), send(last))
    error = dial.failure_of(dial.ready.login(Credentials(token_provider=tokens)))
    assert error.response_code == int(last[:3])
    assert tokens.asked == [False]
    dial.ready.close()


def test_tokens_of_the_callers_own_are_not_renewed() -> None:
    """There is nobody to ask."""
    dial = dial_bearer(*refusal("mine", report=True), expect_silence(1))
    error = dial.failure_of(dial.ready.login(Credentials(USER, access_token="mine")), within=1)
    assert error.response_code == 535
    dial.ready.close()


@pytest.mark.parametrize("expires", [None, 4_102_444_800.0])
def test_a_token_beside_a_provider_is_used_first(expires: float | None) -> None:
    """Until it expires; refused before that, it is the provider's turn."""
    tokens = Tokens("theirs")
    given = Credentials(USER, access_token="mine", expires=expires, token_provider=tokens)
    dial = dial_bearer(expect(auth("mine")), send("235 ok"))
    assert dial.result_of(dial.ready.login(given)).code == 235
    assert tokens.asked == []
    dial.ready.close()
    dial = dial_bearer(*refusal("mine", report=False), expect(auth("theirs")), send("235 ok"))
    assert dial.result_of(dial.ready.login(given)).code == 235
    assert tokens.asked == [False]
    dial.ready.close()


def test_a_token_that_has_expired_is_not_shown() -> None:
    """The provider is asked at once; without one it is used as it is."""
    dial = dial_bearer(expect(auth("theirs")), send("235 ok"))
    given = Credentials(USER, access_token="mine", expires=1.0, token_provider=Tokens("theirs"))
    assert dial.result_of(dial.ready.login(given)).code == 235
    dial.ready.close()
    dial = dial_bearer(expect(auth("mine")), send("235 ok"))
    alone = Credentials(USER, access_token="mine", expires=1.0)
    assert dial.result_of(dial.ready.login(alone)).code == 235
    dial.ready.close()


async def by_coroutine(renew: bool) -> str:
    """A token later."""
    return await succeed("one")


@pytest.mark.parametrize(
    "function", [lambda renew: "one", lambda renew: succeed("one"), by_coroutine]
)
def test_a_function_in_place_of_a_provider(function: Any) -> None:
    """It is called with `renew`, and may take its time."""
    dial = dial_bearer(expect(auth("one")), send("235 ok"))
    given = Credentials(USER, token_provider=function)
    assert dial.result_of(dial.ready.login(given)).code == 235
    dial.ready.close()


def test_xoauth_with_a_function_that_makes_the_string() -> None:
    """simplesmtp's generator: a ready string for each login."""
    ready = b64encode(b"GET https://mail.example/smtp/ oauth_token=x").decode()
    dial = dial_bearer(expect(f"AUTH XOAUTH {ready}"), send("235 ok"))
    given = Credentials(mechanism="XOAUTH", token_provider=lambda renew: ready)
    assert dial.result_of(dial.ready.login(given)).code == 235
    dial.ready.close()


class Broken(Exception):
    """What a provider raises of its own."""


def raising(renew: bool) -> str:
    """A function that fails."""
    raise Broken("s3cret")


@pytest.mark.parametrize(
    "function",
    [
        raising,
        lambda renew: fail(Broken("s3cret")),
        lambda renew: fail(OAuth2Error("none to be had")),
        lambda renew: None,
        lambda renew: b"bytes",
        lambda renew: "",
        lambda renew: "s3cret token",
        lambda renew: "s3cret\r\nMAIL FROM:<>",
    ],
)
def test_no_token_is_eoauth2(function: Any) -> None:
    """Before a word is said; the connection lives, and nothing secret is told."""
    dial = dial_bearer(expect("NOOP"), send("250 ok"))
    error = dial.failure_of(dial.ready.login(Credentials(USER, token_provider=function)))
    assert isinstance(error, OAuth2Error)
    assert error.code == "EOAUTH2"
    assert "s3cret" not in str(error)
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_a_renewal_that_fails_is_eoauth2() -> None:
    """It says why there is no login better than the refusal does."""

    def provider(renew: bool) -> Deferred[str]:
        return fail(OAuth2Error("the grant was revoked")) if renew else succeed("old")

    dial = dial_bearer(*refusal("old", report=True))
    error = dial.failure_of(dial.ready.login(Credentials(USER, token_provider=provider)))
    assert isinstance(error, OAuth2Error)
    dial.ready.close()


def test_nothing_is_asked_for_that_cannot_be_used() -> None:
    """In clear, without AUTH, or on a dead connection there is no need for a token."""
    tokens = Tokens("one")
    given = Credentials(token_provider=tokens)
    dial = dial_bearer(expect_silence(1), allow_insecure_auth=False)
    assert dial.failure_of(dial.ready.login(given), within=1).code == "EAUTH"
    dial.ready.close()
    dial = Dial(*greeted("SIZE 1"), expect_silence(1), allow_insecure_auth=True)
    assert dial.failure_of(dial.ready.login(given), within=1).code == "EAUTH"
    dial.ready.close()
    assert tokens.asked == []


def test_cancelling_while_the_token_is_awaited() -> None:
    """Nothing was said: the connection lives on, and the provider hears of it."""
    cancelled: list[object] = []
    never: Deferred[str] = Deferred(cancelled.append)
    dial = dial_bearer(expect("NOOP"), send("250 ok"))
    login = dial.ready.login(Credentials(USER, token_provider=lambda renew: never))
    noop = dial.ready.noop()
    login.cancel()
    assert isinstance(failure_result_of(login), SendCancelled)
    assert cancelled == [never]
    assert dial.result_of(noop).code == 250
    dial.ready.close()


def test_a_connection_that_dies_while_the_token_is_awaited() -> None:
    """Ends the login at once; a token that comes later is nobody's."""
    late: Deferred[str] = Deferred(lambda _: None)
    dial = dial_bearer(expect_silence(1), close())
    login = dial.ready.login(Credentials(USER, token_provider=lambda renew: late))
    assert dial.failure_of(login, within=1).code == "ECONNECTION"
    assert late.called
    assert dial.is_over()


def test_closing_while_the_token_is_awaited() -> None:
    """The same, for a reason of ours."""
    never: Deferred[str] = Deferred()
    dial = dial_bearer(expect_close())
    ready = dial.ready
    login = ready.login(Credentials(USER, token_provider=lambda renew: never))
    ready.close()
    assert dial.failure_of(login).code == "ECONNECTION"
    assert dial.is_over()
