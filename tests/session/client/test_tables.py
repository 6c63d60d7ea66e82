"""The two tables of a client session, over their whole product."""

from __future__ import annotations

import itertools

import pytest

from tests.session.talk import Talk
from txsmtpconn.session.client.conversation import _CARRIERS, Conversation
from txsmtpconn.session.client.tables import (
    EFFECTS,
    FIRST_CODE,
    MAY_LEAVE,
    Effect,
    Expected,
    State,
    Verb,
    effect,
    row,
)
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.wire.errors import LocalProtocolError


@pytest.mark.parametrize(("state", "verb"), list(itertools.product(State, Verb)))
def test_only_what_the_table_allows_may_leave(state: State, verb: Verb) -> None:
    """In each state, each command leaves or is a local error, just as the table says."""
    conversation = Conversation(Terms(b"me.test"), None)
    conversation.enter(state)
    if MAY_LEAVE[state][verb]:
        conversation.write(verb, b"X\r\n", Expected.OPERATION, None)
        assert conversation.take_pieces(0.0, was_idle=True) == [b"X\r\n"]
        assert len(conversation.owed) == 1
    else:
        with pytest.raises(LocalProtocolError):
            conversation.write(verb, b"X\r\n", Expected.OPERATION, None)
        assert not conversation.owed


def test_nothing_leaves_before_the_greeting_nor_during_a_handshake_nor_after_the_end() -> None:
    """The states in which the client must be silent allow no command at all."""
    silent = {State.CONNECTING, State.GREETING, State.UPGRADING, State.DRAINING, State.CLOSED}
    assert {state for state in State if not any(MAY_LEAVE[state])} == silent


@pytest.mark.parametrize("expected", list(Expected))
def test_each_code_has_an_effect(expected: Expected) -> None:
    """A compiled row holds, for every code from 200 to 599, what the table says of it."""
    effects = row(expected)
    assert len(effects) == 400
    for code in range(200, 600):
        assert effects[code - FIRST_CODE] is effect(expected, code)


@pytest.mark.parametrize("expected", list(Expected))
def test_421_always_ends_the_session_or_is_taken_for_the_answer(expected: Expected) -> None:
    """RFC 5321 section 3.8: 421 may answer anything, and no command may follow it."""
    closing = effect(expected, 421)
    if expected in (Expected.GREETING, Expected.MARK, Expected.VERDICT, Expected.QUIT):
        assert closing is effect(expected, 421) is not Effect.CLOSING
    else:
        assert closing is Effect.CLOSING


@pytest.mark.parametrize(
    ("expected", "wanted", "only"),
    [
        (Expected.GREETING, Effect.GREETED, 220),
        (Expected.STARTTLS, Effect.TLS_AGREED, 220),
        (Expected.DATA, Effect.DATA_AGREED, 354),
        (Expected.AUTH, Effect.CHALLENGED, 334),
    ],
)
def test_one_code_alone_has_the_meaning(expected: Expected, wanted: Effect, only: int) -> None:
    """Only 354 starts data, only 220 starts TLS or a session, only 334 is a challenge."""
    assert [code for code in range(200, 600) if effect(expected, code) is wanted] == [only]


def test_only_235_is_success_of_auth() -> None:
    """No other 2xx or 3xx ends a SASL dialogue."""
    ends = [code for code in range(200, 400) if effect(Expected.AUTH, code) is Effect.AUTH_ENDED]
    assert ends == [235]


def test_hello_falls_back_after_five_codes_only() -> None:
    """HELO is tried only where the reply says that EHLO is not known."""
    unknown = [c for c in range(200, 600) if effect(Expected.HELLO, c) is Effect.HELLO_UNKNOWN]
    assert unknown == [500, 501, 502, 504, 550]


def test_each_effect_is_reachable_and_carried_out() -> None:
    """The table names every effect, and a session has a function for each of its own."""
    named = {effect(expected, code) for expected in EFFECTS for code in range(200, 600)}
    assert named == set(Effect)
    parts = Talk().session._conversation.parts
    assert {each for each in Effect if _CARRIERS[each][0] in parts} == set(Effect)
