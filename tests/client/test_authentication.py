"""`login()`: the choice of a mechanism, the dialogue, the guard, and that no secret gets out."""

from __future__ import annotations

import traceback
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from twisted.logger import Logger

from tests.client.dial import BODY, ENVELOPE, Dial, delivery, greeted
from txsmtpconn import (
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    Credentials,
    NoCredentialsError,
    ProtocolError,
    SendCancelled,
)
from txsmtpconn.testing import failure_result_of, no_result_of, success_result_of
from txsmtpconn.testing.script import Step, close, expect, expect_close, expect_silence, send

USER, PASSWORD = "us3r-Xq", "p4ss-Zk7-word"
TOKEN = "t0ken.of.Jw9-access"
WHO = Credentials(USER, PASSWORD)
BEARER = Credentials(USER, access_token=TOKEN)


def b64(text: str | bytes) -> str:
    """Base64, as text."""
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


PLAIN = f"AUTH PLAIN {b64(f'{chr(0)}{USER}{chr(0)}{PASSWORD}')}"
XOAUTH2 = f"AUTH XOAUTH2 {b64(f'user={USER}{chr(1)}auth=Bearer {TOKEN}{chr(1)}{chr(1)}')}"


def dial_auth(offer: str, *steps: Step, **options: Any) -> Dial:
    """A clear connection, on which credentials are allowed."""
    options.setdefault("allow_insecure_auth", True)
    return Dial(*greeted("PIPELINING", f"AUTH {offer}"), *steps, **options)


def test_plain_goes_with_its_initial_response() -> None:
    """One round trip; the reply is the result, and mail follows."""
    dial = dial_auth("PLAIN", expect(PLAIN), send("235 2.7.0 welcome"), *delivery())
    connection = dial.ready
    assert dial.result_of(connection.login(WHO)).code == 235
    assert connection.authenticated
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


def test_login_answers_two_prompts() -> None:
    """Whatever they say."""
    dial = dial_auth(
        "LOGIN",
        expect("AUTH LOGIN"),
        send(f"334 {b64('Who?')}"),
        expect(b64(USER)),
        send("334 "),
        expect(b64(PASSWORD)),
        send("235 ok"),
    )
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


def test_cram_md5_is_preferred_to_plain() -> None:
    """Strongest first; `auth_method` overrides."""
    dial = dial_auth("PLAIN CRAM-MD5 LOGIN", expect("AUTH CRAM-MD5"), send("535 no"))
    assert dial.failure_of(dial.ready.login(WHO)).command == "AUTH CRAM-MD5"
    dial.ready.close()
    dial = dial_auth("PLAIN CRAM-MD5", expect(PLAIN), send("235 ok"), auth_method="plain")
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


def test_a_token_wins_over_a_password() -> None:
    """XOAUTH2 with the token that was given."""
    both = Credentials(USER, PASSWORD, access_token=TOKEN)
    dial = dial_auth("PLAIN XOAUTH2", expect(XOAUTH2), send("235 ok"))
    assert dial.result_of(dial.ready.login(both)).code == 235
    dial.ready.close()


def test_a_refused_token_is_acknowledged_and_its_report_shown() -> None:
    """RFC-less XOAUTH2: the JSON of the 334 is answered with nothing and told, not the token."""
    report = '{"status":"401","schemes":"bearer"}'
    dial = dial_auth(
        "XOAUTH2", expect(XOAUTH2), send(f"334 {b64(report)}"), expect(""), send("535 5.7.8 no")
    )
    error = dial.failure_of(dial.ready.login(BEARER))
    assert isinstance(error, AuthenticationError)
    assert error.response_code == 535
    assert '"401"' in str(error)
    dial.ready.close()


def test_a_long_token_waits_for_the_challenge() -> None:
    """RFC 4954 section 4: AUTH stays within the length of a command."""
    token = "t" * 600
    message = b64(f"user={USER}\x01auth=Bearer {token}\x01\x01")
    dial = dial_auth(
        "XOAUTH2", expect("AUTH XOAUTH2"), send("334 "), expect(message), send("235 ok")
    )
    assert dial.result_of(dial.ready.login(Credentials(USER, access_token=token))).code == 235
    dial.ready.close()


def test_options_auth_is_the_default() -> None:
    """`login()` without arguments; with neither it is ENOAUTH."""
    dial = dial_auth("PLAIN", expect(PLAIN), send("235 ok"), auth=WHO)
    assert dial.result_of(dial.ready.login()).code == 235
    dial.ready.close()
    dial = dial_auth("PLAIN", expect_silence(1))
    error = dial.failure_of(dial.ready.login(), within=1)
    assert isinstance(error, NoCredentialsError)
    assert error.code == "ENOAUTH"
    dial.ready.close()


@pytest.mark.parametrize(
    "credentials", [Credentials(), Credentials(USER), Credentials(None, PASSWORD)]
)
def test_half_credentials_are_eauth(credentials: Credentials) -> None:
    """Nothing is said to the server."""
    dial = dial_auth("PLAIN", expect_silence(1))
    error = dial.failure_of(dial.ready.login(credentials), within=1)
    assert isinstance(error, AuthenticationError)
    assert error.code == "EAUTH"
    dial.ready.close()


@pytest.mark.parametrize("method", [None, "CRAM-MD5"])
def test_credentials_never_go_in_clear_unless_told_to(method: str | None) -> None:
    """The guard: EAUTH before a word of it, the loopback being no exception."""
    dial = Dial(
        *greeted("AUTH PLAIN LOGIN CRAM-MD5"),
        expect_silence(1),
        auth_method=method,
        host="127.0.0.1",
    )
    error = dial.failure_of(dial.ready.login(WHO), within=1)
    assert isinstance(error, AuthenticationError)
    assert "TLS" in str(error)
    assert not dial.ready.authenticated
    dial.ready.close()


def test_auth_that_is_not_offered_is_an_error() -> None:
    """Never an unauthenticated message instead; `force_auth` tries PLAIN all the same."""
    dial = Dial(*greeted("PIPELINING"), expect_silence(1), allow_insecure_auth=True)
    error = dial.failure_of(dial.ready.login(WHO), within=1)
    assert isinstance(error, AuthenticationError)
    dial.ready.close()
    dial = Dial(
        *greeted("PIPELINING"),
        expect(PLAIN),
        send("235 ok"),
        allow_insecure_auth=True,
        force_auth=True,
    )
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


def test_credentials_in_the_options_make_helo_useless() -> None:
    """C32: no AUTH without EHLO, so the session fails before mail."""
    dial = Dial(
        send("220 mx"), expect("EHLO client.test"), send("502 no"), expect_close(), auth=WHO
    )
    assert isinstance(dial.refusal, ConnectionLostError)


def test_a_mechanism_that_only_looks_alike_is_not_taken() -> None:
    """`PLAIN-CLIENTTOKEN` is not PLAIN."""
    dial = dial_auth("PLAIN-CLIENTTOKEN GSSAPI", expect_silence(1))
    error = dial.failure_of(dial.ready.login(WHO), within=1)
    assert isinstance(error, AuthenticationError)
    assert "PLAIN-CLIENTTOKEN" in str(error)
    dial.ready.close()


@pytest.mark.parametrize("code", [504, 534])
def test_another_mechanism_is_tried_where_the_first_was_refused(code: int) -> None:
    """Only 504 and 534 refuse the mechanism."""
    dial = dial_auth(
        "CRAM-MD5 PLAIN", expect("AUTH CRAM-MD5"), send(f"{code} no"), expect(PLAIN), send("235 ok")
    )
    assert dial.result_of(dial.ready.login(WHO)).code == 235
    dial.ready.close()


def test_when_every_mechanism_was_refused_the_last_refusal_is_told() -> None:
    """And a preferred one is the only one."""
    dial = dial_auth(
        "CRAM-MD5 PLAIN", expect("AUTH CRAM-MD5"), send("504 no"), expect(PLAIN), send("534 weak")
    )
    assert dial.failure_of(dial.ready.login(WHO)).response_code == 534
    dial.ready.close()
    dial = dial_auth("CRAM-MD5 PLAIN", expect(PLAIN), send("504 no"), expect_silence(1))
    chosen = Credentials(USER, PASSWORD, mechanism="PLAIN")
    assert dial.failure_of(dial.ready.login(chosen), within=1).response_code == 504
    dial.ready.close()


@pytest.mark.parametrize(
    "reply", ["535 5.7.8 wrong", "454 4.7.0 later", "432 change it", "530 what", "500 what"]
)
def test_a_wrong_password_is_sent_once(reply: str) -> None:
    """No other mechanism; the connection lives and may log in again."""
    dial = dial_auth(
        "PLAIN LOGIN", expect(PLAIN), send(reply), expect_silence(1), expect(PLAIN), send("235 ok")
    )
    connection = dial.ready
    error = dial.failure_of(connection.login(WHO), within=1)
    assert isinstance(error, AuthenticationError)
    assert error.response_code == int(reply[:3])
    assert error.is_transient is reply.startswith("4")
    assert error.command == "AUTH PLAIN"
    assert dial.result_of(connection.login(WHO)).code == 235
    connection.close()


def test_a_second_login_is_refused_by_ourselves() -> None:
    """C50, RFC 4954 section 4: no AUTH after a successful one."""
    dial = dial_auth("PLAIN", expect(PLAIN), send("235 ok"), expect_silence(1))
    connection = dial.ready
    dial.result_of(connection.login(WHO))
    assert isinstance(dial.failure_of(connection.login(WHO), within=1), AuthenticationError)
    connection.close()


# -- hostile servers: C48


def test_success_before_the_dialogue_is_complete_is_a_protocol_error() -> None:
    """235 at once to LOGIN: whoever says so has not seen the password. The connection closes."""
    dial = dial_auth("LOGIN", expect("AUTH LOGIN"), send("235 ok"), expect_close())
    error = dial.failure_of(dial.ready.login(WHO))
    assert isinstance(error, ProtocolError)
    assert dial.is_over()


def test_success_after_a_reported_failure_is_a_protocol_error() -> None:
    """XOAUTH2: a 235 behind the report of a failure."""
    dial = dial_auth(
        "XOAUTH2",
        expect(XOAUTH2),
        send(f"334 {b64('{}')}"),
        expect(""),
        send("235 ok"),
        expect_close(),
    )
    assert isinstance(dial.failure_of(dial.ready.login(BEARER)), ProtocolError)
    assert dial.is_over()


def test_endless_challenges_are_cut_off() -> None:
    """A challenge too many is cancelled; there is no round without end."""
    dial = dial_auth(
        "PLAIN", expect(PLAIN), send("334 "), expect("*"), send("501 cancelled"), *delivery()
    )
    connection = dial.ready
    error = dial.failure_of(connection.login(WHO))
    assert isinstance(error, AuthenticationError)
    assert dial.result_of(connection.send(ENVELOPE, BODY)).accepted
    connection.close()


@pytest.mark.parametrize("challenge", ["not base64!", "====", "\xff"])
def test_a_challenge_that_is_no_base64_is_cancelled(challenge: str) -> None:
    """No digest is computed over garbage."""
    dial = dial_auth(
        "CRAM-MD5", expect("AUTH CRAM-MD5"), send(f"334 {challenge}"), expect("*"), send("501 ok")
    )
    error = dial.failure_of(dial.ready.login(WHO))
    assert isinstance(error, (AuthenticationError, ProtocolError))
    dial.ready.close()


@pytest.mark.parametrize("reply", ["250 ok", "334", "354 go"])
def test_a_reply_that_makes_no_sense_ends_the_session(reply: str) -> None:
    """Anything that is neither 235 nor a refusal nor a challenge in its place."""
    dial = dial_auth("PLAIN", expect(PLAIN), send(reply), interrupted=True)
    connection = dial.ready
    failure_result_of_any(dial, connection.login(WHO))
    assert not connection.authenticated
    connection.close()


def failure_result_of_any(dial: Dial, deferred: Any) -> BaseException:
    """The failure, whichever it is."""
    dial.network.settle()
    dial.ready.close()
    return failure_result_of(deferred)


# -- order and cancellation


def test_what_is_called_behind_a_login_waits_for_its_end() -> None:
    """Also through a second mechanism."""
    dial = dial_auth(
        "CRAM-MD5 PLAIN",
        expect("AUTH CRAM-MD5"),
        send("504 no"),
        expect(PLAIN),
        send("235 ok"),
        *delivery(),
    )
    connection = dial.ready
    logged_in, sent = connection.login(WHO), connection.send(ENVELOPE, BODY)
    assert dial.result_of(logged_in).code == 235
    assert dial.result_of(sent).accepted
    connection.close()


def test_a_login_waits_for_the_messages_before_it() -> None:
    """RFC 4954 section 4: no AUTH within a mail transaction."""
    dial = dial_auth("PLAIN", *delivery(), expect(PLAIN), send("235 ok"))
    connection = dial.ready
    sent, logged_in = connection.send(ENVELOPE, BODY), connection.login(WHO)
    assert dial.result_of(sent).accepted
    assert dial.result_of(logged_in).code == 235
    connection.close()


def test_a_login_that_waits_can_be_cancelled() -> None:
    """Nobody else notices."""
    dial = dial_auth("PLAIN", *delivery(), expect_silence(1))
    connection = dial.ready
    sent, logged_in = connection.send(ENVELOPE, BODY), connection.login(WHO)
    logged_in.cancel()
    assert isinstance(failure_result_of(logged_in), SendCancelled)
    assert dial.result_of(sent).accepted
    dial.network.advance(1)
    connection.close()


def test_cancelling_a_dialogue_ends_the_session() -> None:
    """Its replies could not be told from those to come."""
    dial = dial_auth("LOGIN", expect("AUTH LOGIN"), expect_close())
    connection = dial.ready
    logged_in = connection.login(WHO)
    dial.network.settle()
    no_result_of(logged_in)
    logged_in.cancel()
    assert isinstance(failure_result_of(logged_in), SendCancelled)
    assert dial.is_over()


def test_a_connection_lost_in_the_dialogue_fails_the_login() -> None:
    """Once, as ECONNECTION."""
    dial = dial_auth("LOGIN", expect("AUTH LOGIN"), interrupted=True)
    connection = dial.ready
    logged_in = connection.login(WHO)
    dial.network.settle()
    connection.close()
    assert isinstance(failure_result_of(logged_in), ConnectionLostError)


# -- no secret in any text


def forms(secret: str) -> set[str]:
    """The secret as a careless program might show it: base64 at three alignments, and quoted."""
    octets = secret.encode()
    inner = {b64encode(b"x" * shift + octets)[4:-4].decode() for shift in range(3)}
    return {secret, secret.encode().hex(), quote(secret, safe=""), b64(secret).rstrip("=")} | {
        each for each in inner if len(each) > 6
    }


@pytest.mark.parametrize(
    ("offer", "credentials", "steps"),
    [
        ("PLAIN", WHO, [expect(PLAIN), send("535 no")]),
        ("PLAIN", WHO, [expect(PLAIN), send("235 ok")]),
        (
            "LOGIN",
            WHO,
            [
                expect("AUTH LOGIN"),
                send("334 VXNlcg=="),
                expect(b64(USER)),
                send("334 UGFzcw=="),
                expect(b64(PASSWORD)),
                send("535 no"),
            ],
        ),
        (
            "XOAUTH2",
            BEARER,
            [expect(XOAUTH2), send(f"334 {b64('{}')}"), expect(""), send("535 no")],
        ),
        ("PLAIN", WHO, [expect(PLAIN), send("334 "), expect("*"), send("501 no")]),
        ("PLAIN", WHO, [expect(PLAIN), send(b"xyz\r\n"), expect_close()]),
        ("PLAIN", WHO, [expect(PLAIN), send(f'500-what is "{PLAIN}"', f"500 {PASSWORD}?")]),
        ("PLAIN", WHO, [expect(PLAIN), send(f"what is {PLAIN}"), expect_close()]),
        ("PLAIN", WHO, [expect(PLAIN), send(f"500 {PLAIN}".encode()), close()]),
        ("XOAUTH2", BEARER, [expect(XOAUTH2), send(f"500 what is {XOAUTH2[:40]}...")]),
        (
            "LOGIN",
            WHO,
            [
                expect("AUTH LOGIN"),
                send("334 VXNlcg=="),
                expect(b64(USER)),
                send("334 UGFzcw=="),
                expect(b64(PASSWORD)),
                send(f"500 {b64(PASSWORD)}?"),
            ],
        ),
    ],
    ids=[
        "PLAIN",
        "PLAIN accepted",
        "LOGIN",
        "XOAUTH2",
        "cancelled",
        "garbage",
        "quoted",
        "quoted in garbage",
        "quoted in a fragment",
        "quoted in part",
        "LOGIN quoted",
    ],
)
def test_no_secret_gets_out(offer: str, credentials: Credentials, steps: list[Step]) -> None:
    """Not in a log event at any level, a repr, an exception or a traceback, in no form."""
    events: list[dict[str, Any]] = []
    logger = Logger("test", observer=events.append)
    dial = dial_auth(
        offer, *steps, logger=logger, debug=True, transaction_log=True, auth=credentials
    )
    connection = dial.ready
    results: list[Any] = []
    connection.login().addBoth(results.append)
    dial.network.settle()
    [result] = results
    told = [repr(event) for event in events] + [repr(connection), repr(credentials), repr(result)]
    if hasattr(result, "value"):
        told += traceback.format_exception(result.value)
        told += [str(result.value), result.getTraceback(), repr(result.value.__dict__)]
        result.cleanFailure()
    told.append(repr(connection._options))
    everything = "\n".join(told)
    for secret in (PASSWORD, TOKEN):
        for form in forms(secret):
            assert form not in everything
    assert any("[secret]" in str(event.get("text")) for event in events)
    connection.close()


@pytest.mark.parametrize("token", ["a\r\nb", "a\x01b", "a b", "", "tökén"])
def test_a_token_that_could_break_out_is_refused(token: str) -> None:
    """A30: at construction, without showing it."""
    with pytest.raises(ConfigError) as caught:
        Credentials(USER, access_token=token)
    if token:
        assert token not in str(caught.value)


def test_an_authorization_identity_needs_a_mechanism_that_has_one() -> None:
    """PLAIN is taken though CRAM-MD5 is stronger."""
    acting = Credentials(USER, PASSWORD, authzid="boss")
    message = b64(f"boss\0{USER}\0{PASSWORD}")
    dial = dial_auth("CRAM-MD5 PLAIN", expect(f"AUTH PLAIN {message}"), send("235 ok"))
    assert success_result_of(_settled(dial, dial.ready.login(acting))).code == 235
    dial.ready.close()


def _settled(dial: Dial, deferred: Any) -> Any:
    dial.network.settle()
    return deferred
