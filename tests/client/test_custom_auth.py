"""Mechanisms of the caller's: what a handler is told, what it can say, and how it ends."""

from __future__ import annotations

import traceback
from base64 import b64encode
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger

from tests.client.dial import BODY, ENVELOPE, Dial, delivery, greeted
from txsmtpconn import (
    AuthenticationError,
    ConnectionLostError,
    Credentials,
    SendCancelled,
    SMTPError,
)
from txsmtpconn.client.custom import AuthDialogue
from txsmtpconn.sasl import LoginClient, Mechanism, Secret
from txsmtpconn.testing import failure_result_of, no_result_of
from txsmtpconn.testing.script import Step, close, expect, expect_close, expect_silence, send

WHO = Credentials("us3r", "p4ss-Zk7-word")
KNOCK = "AUTH X-KNOCK a25vY2s="


def dial_custom(
    handler: Any, *steps: Step, offer: str = "PLAIN X-KNOCK", more: Any = (), **options: Any
) -> Dial:
    """A connection to a server that offers a mechanism of ours."""
    options.setdefault("custom_auth", {"x-knock ": handler})
    return Dial(
        *greeted("PIPELINING", *more, f"AUTH {offer}"),
        *steps,
        allow_insecure_auth=True,
        **options,
    )


async def knock(dialogue: AuthDialogue) -> None:
    """Knock; be let in or not."""
    reply = await dialogue.send_command(KNOCK)
    if not reply.is_positive:
        raise AuthenticationError("nobody opens", reply=reply)


def test_a_handler_is_told_what_there_is_to_know() -> None:
    """The credentials, the server's offers, and under which name it is called."""
    seen: list[AuthDialogue] = []

    async def handler(dialogue: AuthDialogue) -> None:
        seen.append(dialogue)
        await knock(dialogue)

    dial = dial_custom(
        handler,
        expect(KNOCK),
        send("235 2.7.0 come in"),
        expect("NOOP"),
        send("250"),
        more=["SIZE 5000"],
    )
    connection = dial.ready
    assert dial.result_of(connection.login(WHO)).code == 235
    (dialogue,) = seen
    assert dialogue.mechanism == "X-KNOCK"
    assert dialogue.credentials is WHO
    assert dialogue.auth_methods == ("PLAIN", "X-KNOCK")
    assert dialogue.max_allowed_size == 5000
    assert dialogue.extensions.pipelining
    assert dialogue.secure is False
    assert dialogue.reply is not None
    assert dialogue.reply.enhanced is not None
    assert connection.authenticated
    assert dial.result_of(connection.noop()).code == 250
    connection.close()


def test_a_dialogue_of_several_lines() -> None:
    """A challenge is answered in base64 as it stands; text and octets alike."""

    async def handler(dialogue: AuthDialogue) -> None:
        reply = await dialogue.send_command(b"AUTH X-KNOCK")
        assert (reply.code, reply.octets) == (334, (b"d2hv",))
        # It looks like a command of the session's, and is none here.
        reply = await dialogue.send_command("RSET")
        assert reply.code == 250
        await dialogue.send_command("XENTER")

    dial = dial_custom(
        handler,
        expect("AUTH X-KNOCK"),
        send("334 d2hv"),
        expect("RSET"),
        send("250-go", "250 on"),
        expect("XENTER"),
        send("235 ok"),
    )
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


def by_deferred(dialogue: AuthDialogue) -> Deferred[None]:
    """The same without a coroutine."""
    return dialogue.send_command(KNOCK).addCallback(lambda reply: None)


def at_once(dialogue: AuthDialogue) -> Any:
    """A function that says its line and does not wait for what comes."""
    dialogue.send_command(KNOCK)


@pytest.mark.parametrize("handler", [knock, by_deferred])
def test_handlers_may_be_of_any_kind(handler: Any) -> None:
    """A coroutine function, or one that returns a Deferred."""
    dial = dial_custom(handler, expect(KNOCK), send("235 ok"))
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


def test_a_handler_that_does_not_wait_is_no_success() -> None:
    """Its last word has no answer yet; that is taken in before anything else is said."""
    dial = dial_custom(at_once, expect(KNOCK), send("235 ok"), *delivery())
    login = dial.ready.login(WHO)
    sending = dial.ready.send(ENVELOPE, BODY)
    error = dial.failure_of(login)
    assert "without a success" in str(error)
    assert not dial.ready.authenticated
    assert dial.result_of(sending).accepted
    dial.ready.close()


def test_what_is_used_when() -> None:
    """A handler comes first where the server offers it, or where it is named."""
    plain = b64encode(b"\0us3r\0p4ss-Zk7-word").decode()
    dial = dial_custom(knock, expect(f"AUTH PLAIN {plain}"), send("235 ok"), offer="PLAIN")
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()
    for options, credentials in (
        ({"auth_method": "x-knock"}, WHO),
        ({}, Credentials(mechanism="X-KNOCK")),
    ):
        dial = dial_custom(knock, expect(KNOCK), send("235 ok"), offer="PLAIN", **options)
        assert dial.result_of(dial.ready.login(credentials)).code == 235
        dial.ready.close()
    dial = dial_custom(knock, expect(f"AUTH PLAIN {plain}"), send("235 ok"), auth_method="plain")
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()
    dial = dial_custom(knock, expect(KNOCK), send("235 ok"), custom_auth={"PLAIN": knock})
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


def test_a_handler_needs_nothing_of_the_credentials() -> None:
    """What is complete is its own affair; without any at all it is ENOAUTH."""
    dial = dial_custom(knock, expect(KNOCK), send("235 ok"))
    assert dial.result_of(dial.ready.login(Credentials())).code == 235
    dial.ready.close()
    dial = dial_custom(knock, expect_silence(1))
    assert dial.failure_of(dial.ready.login(), within=1).code == "ENOAUTH"
    dial.ready.close()


def test_a_token_is_there_when_the_handler_is_called() -> None:
    """The provider has been asked; after a refusal it is asked again, and the handler called."""
    asked: list[bool] = []
    seen: list[Credentials] = []

    def provider(renew: bool) -> Deferred[str]:
        asked.append(renew)
        return succeed("new" if renew else "old")

    async def handler(dialogue: AuthDialogue) -> None:
        seen.append(dialogue.credentials)
        await knock(dialogue)

    dial = dial_custom(handler, expect(KNOCK), send("535 no"), expect(KNOCK), send("235 ok"))
    given = Credentials("us3r", token_provider=provider)
    assert dial.result_of(dial.ready.login(given)).code == 235
    assert [each.access_token for each in seen] == ["old", "new"]
    assert asked == [False, False, True]
    dial.ready.close()


class Rejected(Exception):
    """What a handler raises of its own."""


def raising(error: BaseException, *lines: str) -> Any:
    """Make a handler that says some lines and raises."""

    async def handler(dialogue: AuthDialogue) -> None:
        for line in lines:
            await dialogue.send_command(line)
        raise error

    return handler


@pytest.mark.parametrize("said", [True, False])
def test_what_a_handler_raises_is_eauth(said: bool) -> None:
    """With the exception as its cause; an SMTPError goes through as it is. The connection lives."""
    steps: tuple[Step, ...] = (expect(KNOCK), send("454 later")) if said else ()
    lines = (KNOCK,) if said else ()
    for error in (Rejected("p4ss-Zk7-word"), AuthenticationError("mine", command="AUTH")):
        dial = dial_custom(raising(error, *lines), *steps, expect("NOOP"), send("250 ok"))
        failed = dial.failure_of(dial.ready.login(WHO))
        assert isinstance(failed, AuthenticationError)
        if isinstance(error, Rejected):
            assert failed.__cause__ is error
            assert "Rejected" in str(failed)
            assert "p4ss" not in str(failed)
            assert failed.response_code == (454 if said else None)
        else:
            assert str(failed).startswith("mine")
        assert not dial.ready.authenticated
        assert dial.result_of(dial.ready.noop()).code == 250
        dial.ready.close()


def test_a_success_that_the_handler_does_not_believe_is_none() -> None:
    """The server's proof may be wrong: `authenticated` stays False."""
    dial = dial_custom(raising(Rejected(), KNOCK), expect(KNOCK), send("235 ok"))
    assert isinstance(dial.failure_of(dial.ready.login(WHO)), AuthenticationError)
    assert not dial.ready.authenticated
    dial.ready.close()


@pytest.mark.parametrize("last", ["535 5.7.8 no", "454 later", "504 what", "354 go"])
def test_without_the_servers_success_there_is_none(last: str) -> None:
    """A handler that just returns does not make it one; nor is anything weaker tried."""

    async def careless(dialogue: AuthDialogue) -> None:
        await dialogue.send_command(KNOCK)

    dial = dial_custom(careless, expect(KNOCK), send(last), expect("NOOP"), send("250 ok"))
    error = dial.failure_of(dial.ready.login(WHO))
    assert error.response_code == int(last[:3])
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_a_handler_that_says_nothing() -> None:
    """Is no login, and costs nothing."""
    dial = dial_custom(lambda dialogue: None, expect("NOOP"), send("250 ok"))
    assert "without a success" in str(dial.failure_of(dial.ready.login(WHO)))
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_an_open_challenge_is_given_up() -> None:
    """With the asterisk of RFC 4954, before anything else is said."""
    dial = dial_custom(
        raising(Rejected(), "AUTH X-KNOCK"),
        expect("AUTH X-KNOCK"),
        send("334 "),
        expect("*"),
        send("501 cancelled"),
        *delivery(),
    )
    login, sending = dial.ready.login(WHO), dial.ready.send(ENVELOPE, BODY)
    assert isinstance(dial.failure_of(login), AuthenticationError)
    assert dial.result_of(sending).accepted
    dial.ready.close()


@pytest.mark.parametrize(
    "line",
    ["", "MAIL FROM:<a@b.test>", "rset", "QUIT", "AUTH X\r\nMAIL FROM:<>", "AUTH X\n", "AUTH ä",
     b"AUTH \xff", b"AUTH \0", 5, None, "AUTH " + "x" * 13000],
    ids=repr,
)  # fmt: skip
def test_what_a_handler_cannot_say(line: Any) -> None:
    """What is no line, or has another purpose: nothing of it leaves, and it is not repeated."""

    async def handler(dialogue: AuthDialogue) -> None:
        await dialogue.send_command(line)

    dial = dial_custom(handler, expect("NOOP"), send("250 ok"))
    error = dial.failure_of(dial.ready.login(WHO))
    assert "no line of an authentication" in str(error)
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_one_line_at_a_time_and_none_afterwards() -> None:
    """A second one before the reply, and whoever keeps the dialogue, get an error."""
    kept: list[AuthDialogue] = []

    async def handler(dialogue: AuthDialogue) -> None:
        kept.append(dialogue)
        first = dialogue.send_command(KNOCK)
        with pytest.raises(AuthenticationError, match="awaits a reply"):
            await dialogue.send_command("XAGAIN")
        await first

    dial = dial_custom(handler, expect(KNOCK), send("235 ok"), expect_silence(1))
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    late = kept[0].send_command("XLATE")
    assert "is over" in str(failure_result_of(late))
    dial.network.advance(1)
    dial.ready.close()


def test_what_comes_behind_a_login_waits_for_the_handler() -> None:
    """Also while the handler thinks and owes the server nothing."""
    thinking: Deferred[None] = Deferred()

    async def handler(dialogue: AuthDialogue) -> None:
        await thinking
        await knock(dialogue)

    dial = dial_custom(handler, expect_silence(1), expect(KNOCK), send("235 ok"), *delivery())
    login, sending = dial.ready.login(WHO), dial.ready.send(ENVELOPE, BODY)
    dial.network.advance(1)
    no_result_of(login)
    thinking.callback(None)
    assert dial.result_of(login).code == 235
    assert dial.result_of(sending).accepted
    dial.ready.close()


@pytest.mark.parametrize("moment", ["before", "asking", "between"])
def test_cancelling_a_login_cancels_the_handler(moment: str) -> None:
    """It is told; before it spoke the connection lives on, after that it cannot."""
    told: list[BaseException] = []
    thinking: Deferred[None] = Deferred()

    async def handler(dialogue: AuthDialogue) -> None:
        try:
            if moment != "before":
                await dialogue.send_command(KNOCK)
            await thinking
        except CancelledError as error:
            told.append(error)
            raise

    steps: dict[str, tuple[Step, ...]] = {
        "before": (expect("NOOP"), send("250 ok")),
        "asking": (expect(KNOCK), expect_close()),
        "between": (expect(KNOCK), send("334 "), expect_close()),
    }
    dial = dial_custom(handler, *steps[moment])
    login = dial.ready.login(WHO)
    dial.network.settle()
    login.cancel()
    assert isinstance(dial.failure_of(login), SendCancelled)
    assert len(told) == 1
    if moment == "before":
        assert dial.result_of(dial.ready.noop()).code == 250
        dial.ready.close()
    assert dial.is_over()


@pytest.mark.parametrize("waiting", [True, False])
def test_a_connection_that_dies_ends_the_handler(waiting: bool) -> None:
    """While it awaits a reply, or thinks about one."""
    told: list[BaseException] = []
    thinking: Deferred[None] = Deferred()

    async def handler(dialogue: AuthDialogue) -> None:
        try:
            await dialogue.send_command(KNOCK)
            await thinking
        except (SMTPError, CancelledError) as error:
            told.append(error)
            raise

    steps: tuple[Step, ...] = (close(),) if waiting else (send("334 "), close())
    dial = dial_custom(handler, expect(KNOCK), *steps)
    assert isinstance(dial.failure_of(dial.ready.login(WHO)), ConnectionLostError)
    assert len(told) == 1
    assert dial.is_over()


def test_a_handler_that_ends_after_its_connection_opens_nothing_again() -> None:
    """What is asked for from then on fails, as on any connection that is gone."""
    pause: Deferred[None] = Deferred(lambda _: pause.callback(None))

    async def handler(dialogue: AuthDialogue) -> None:
        await knock(dialogue)
        await pause

    dial = dial_custom(handler, expect(KNOCK), send("235 come in"), close())
    connection = dial.ready
    login = connection.login(WHO)
    assert isinstance(dial.failure_of(login), ConnectionLostError)
    assert pause.called
    assert "closed" in repr(connection)
    assert isinstance(dial.failure_of(connection.noop()), ConnectionLostError)


def test_a_server_that_does_not_answer_has_its_deadline() -> None:
    """`command_timeout`, also where the handler has given up waiting before."""

    async def impatient(dialogue: AuthDialogue) -> None:
        waiting = dialogue.send_command(KNOCK)
        waiting.addTimeout(1, dial.clock)
        await waiting

    for handler in (knock, impatient):
        dial = dial_custom(handler, expect(KNOCK), expect_close(), command_timeout=7)
        login = dial.ready.login(WHO)
        assert dial.failure_of(login, within=8).code in ("ETIMEDOUT", "EAUTH")
        assert dial.is_over()


def test_a_reply_that_comes_after_the_handler_has_left() -> None:
    """Is taken for what it is: the connection is in step and lives on."""

    async def impatient(dialogue: AuthDialogue) -> None:
        waiting = dialogue.send_command(KNOCK)
        waiting.addTimeout(1, dial.clock)
        await waiting

    dial = dial_custom(
        impatient, expect(KNOCK), expect_silence(2), send("235 ok"), expect("NOOP"), send("250 ok")
    )
    login = dial.ready.login(WHO)
    dial.network.advance(1)
    dial.network.advance(1)
    error = dial.failure_of(login)
    assert isinstance(error, AuthenticationError)
    assert "TimeoutError" in str(error)
    assert not dial.ready.authenticated
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_nothing_secret_of_a_handler_is_in_log_or_error() -> None:
    """Its lines are known as secrets by their place; a server that repeats them is not repeated."""
    events: list[str] = []
    logger = Logger("test", observer=lambda event: events.append(repr(event)))

    async def handler(dialogue: AuthDialogue) -> None:
        await dialogue.send_command("AUTH X-KNOCK c2VjcmV0LTE=")
        await dialogue.send_command("c2VjcmV0LTI=")
        raise Rejected

    dial = dial_custom(
        handler,
        expect("AUTH X-KNOCK c2VjcmV0LTE="),
        send("334 c2VjcmV0LTM="),
        expect("c2VjcmV0LTI="),
        send("535 p4ss-Zk7-word of c2VjcmV0LTI= and AUTH X-KNOCK c2VjcmV0LTE= is wrong"),
        logger=logger,
        debug=True,
    )
    error = dial.failure_of(dial.ready.login(WHO))
    dial.ready.close()
    told = "".join(traceback.format_exception(error)) + "".join(events) + str(error.reply)
    assert "AUTH X-KNOCK [secret]" in told
    for secret in ("c2VjcmV0", "p4ss-Zk7-word"):
        assert secret not in told


def test_a_mechanism_as_a_stepper() -> None:
    """Base64, limits and cancellation come with it."""
    mine = Mechanism("X-KNOCK", Secret.PASSWORD, lambda my: LoginClient(my.user, my.secret))
    dial = dial_custom(
        mine,
        expect("AUTH X-KNOCK"),
        send("334 "),
        expect(b64encode(b"us3r").decode()),
        send("334 "),
        expect(b64encode(b"p4ss-Zk7-word").decode()),
        send("235 ok"),
    )
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


class Stepper:
    """A mechanism with a mistake in it.

    Args:
        initial: What it says first, or raises.
        answer: What it answers, or raises.
    """

    name = "X-KNOCK"
    failure = None
    done = False

    def __init__(self, initial: Any, answer: Any) -> None:
        self._initial = initial
        self._answer = answer

    def initial(self) -> Any:
        if isinstance(self._initial, Exception):
            raise self._initial
        return self._initial

    def step(self, challenge: bytes) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize("answer", [Rejected("p4ss"), "text", None])
def test_a_stepper_with_a_mistake_in_it(answer: Any) -> None:
    """The dialogue is given up, EAUTH has the mistake as its cause, and the connection lives on."""
    mine = Mechanism("X-KNOCK", Secret.PASSWORD, lambda my: Stepper(b"hi", answer))
    dial = dial_custom(
        mine,
        expect("AUTH X-KNOCK aGk="),
        send("334 "),
        expect("*"),
        send("501 cancelled"),
        expect("NOOP"),
        send("250 ok"),
    )
    error = dial.failure_of(dial.ready.login(WHO))
    assert isinstance(error, AuthenticationError)
    assert "the mechanism X-KNOCK failed" in str(error)
    assert isinstance(error.__cause__, (Rejected, TypeError))
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_a_stepper_that_cannot_begin() -> None:
    """Nothing is said."""
    mine = Mechanism("X-KNOCK", Secret.PASSWORD, lambda my: Stepper(Rejected("p4ss"), b""))
    dial = dial_custom(mine, expect("NOOP"), send("250 ok"))
    error = dial.failure_of(dial.ready.login(WHO))
    assert isinstance(error.__cause__, Rejected)
    assert "p4ss" not in str(error)
    assert dial.result_of(dial.ready.noop()).code == 250
    dial.ready.close()


def test_a_success_that_a_stepper_chokes_on_is_none() -> None:
    """It had not said all it has to say: whoever calls that a success is not believed."""
    mine = Mechanism("X-KNOCK", Secret.PASSWORD, lambda my: Stepper(b"hi", Rejected()))
    dial = dial_custom(mine, expect("AUTH X-KNOCK aGk="), send("235 YWJj"), expect_close())
    assert dial.failure_of(dial.ready.login(WHO)).code == "EPROTOCOL"
    assert dial.is_over()
