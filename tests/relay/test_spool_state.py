"""The spool against a model, through any history of calls, crashes and flipped fences.

A crash is what a kill leaves: the files as they are, copied while the old process still has them
open, and opened by a new one. The old claims stay in the hands of a claimant who knows of nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.relay.spool_contract import accept, claim, envelope, read
from tests.relay.test_sqlite import SQLiteLaboratory
from txsmtpconn.relay.spool import SETTLED, Claim, Doubt, Event, State, Verdict
from txsmtpconn.testing.results import success_result_of

OUTCOMES = {
    State.DELIVERED: Event.DELIVERED,
    State.FAILED: Event.FAILED,
    State.EXPIRED: Event.EXPIRED,
    State.HELD: Event.IN_DOUBT,
    State.READY: Event.DEFERRED,
}
LEASE = 60.0


@dataclass
class Mail:
    """What the model knows of one acknowledged message."""

    body: bytes
    states: dict[str, State] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    doubts: int = 0


class SpoolMachine(RuleBasedStateMachine):
    """Calls in any order; the model says what each must do."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="spool-state-"))
        self.generation = 0
        self.lab = SQLiteLaboratory(self.root / "0")
        self.spool = self.lab.start()
        self.mail: dict[str, Mail] = {}
        self.claims: list[Claim] = []
        self.abandoned: list[SQLiteLaboratory] = []

    def teardown(self) -> None:
        for lab in (*self.abandoned, self.lab):
            lab.crash()
        shutil.rmtree(self.root)

    @rule(count=st.integers(1, 3), size=st.sampled_from([0, 5, 300_000]))
    def accept(self, count: int, size: int) -> None:
        addresses = [f"{number}@example.net" for number in range(count)]
        message = accept(self.spool, *addresses, body=b"x" * size)
        assert message not in self.mail
        self.mail[message] = Mail(
            b"x" * size, dict.fromkeys(addresses, State.READY), dict.fromkeys(addresses, 0)
        )

    @rule(finish=st.booleans())
    def begin_and_leave(self, finish: bool) -> None:
        incoming = self.spool.open(envelope("b@example.net"))
        for _ in range(9):
            incoming.write(b"y" * 60_000)
        if finish:
            incoming.abort()

    @rule(limit=st.integers(1, 3), recipients=st.integers(1, 3), marked=st.booleans())
    def claim(self, limit: int, recipients: int, marked: bool) -> None:
        for one in claim(self.spool, limit, recipients=recipients, marked=marked):
            mail = self.mail[one.message]
            assert one.body in (mail.body, None)
            for recipient in one.recipients:
                assert mail.states[recipient.address] is State.READY
                state = State.COMMITTING if one.marked else State.LEASED
                mail.states[recipient.address] = state
                assert recipient.token > mail.tokens[recipient.address]
                mail.tokens[recipient.address] = recipient.token
            self.claims.append(one)

    def holds(self, one: Claim, address: str, token: int) -> bool:
        mail = self.mail[one.message]
        claimed = (State.LEASED, State.COMMITTING)
        return mail.states[address] in claimed and mail.tokens[address] == token

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def mark(self, data: Any) -> None:
        one = data.draw(st.sampled_from(self.claims))
        marked = success_result_of(self.spool.mark(one, LEASE))
        assert marked == all(self.holds(one, each.address, each.token) for each in one.recipients)
        if marked:
            for each in one.recipients:
                self.mail[one.message].states[each.address] = State.COMMITTING

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), keep=st.booleans())
    def record(self, data: Any, keep: bool) -> None:
        index = data.draw(st.integers(0, len(self.claims) - 1))
        one = self.claims[index] if keep else self.claims.pop(index)
        verdicts = []
        fenced = 0
        for each in one.recipients:
            state = data.draw(st.sampled_from(sorted(OUTCOMES)))
            verdicts.append(Verdict(each.id, each.token, state, OUTCOMES[state], "said", 30.0))
            if self.holds(one, each.address, each.token):
                self.mail[one.message].states[each.address] = state
                self.mail[one.message].doubts += state is State.HELD
            else:
                fenced += 1
        assert success_result_of(self.spool.record(one, verdicts)) == fenced

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.lab.advance(seconds)

    @precondition(lambda self: self.mail)
    @rule(data=st.data(), call=st.sampled_from(["hold", "release", "requeue", "remove"]))
    def operate(self, data: Any, call: str) -> None:
        message = data.draw(st.sampled_from(sorted(self.mail)))
        before, after = {
            "hold": ({State.READY}, State.HELD),
            "release": ({State.HELD}, State.READY),
            "requeue": ({State.READY, State.FAILED, State.EXPIRED}, State.READY),
            "remove": ({State.READY, State.HELD, State.FAILED, State.EXPIRED}, State.REMOVED),
        }[call]
        states = self.mail[message].states
        moved = [address for address, state in states.items() if state in before]
        assert success_result_of(getattr(self.spool, call)(message)) == len(moved)
        for address in moved:
            states[address] = after

    @rule(doubt=st.sampled_from(list(Doubt)))
    def crash(self, doubt: Doubt) -> None:
        self.generation += 1
        directory = self.root / str(self.generation)
        shutil.copytree(self.lab.directory, directory)
        (directory / "spool.lock").unlink()
        self.abandoned.append(self.lab)
        lab = SQLiteLaboratory(directory)
        lab.reactor.rightNow = self.lab.reactor.rightNow
        self.lab = lab
        self.spool = lab.start(doubt)
        doubted = 0
        for mail in self.mail.values():
            for address, state in mail.states.items():
                if state is State.LEASED:
                    mail.states[address] = State.READY
                elif state is State.COMMITTING:
                    held = doubt is Doubt.HOLD
                    mail.states[address] = State.HELD if held else State.READY
                    mail.doubts += 1
                    doubted += 1
        assert len(lab.recovery().in_doubt) == doubted
        assert lab.execute(
            "SELECT count(*) FROM chunk WHERE message NOT IN (SELECT id FROM message)"
        ) == [(0,)]

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        for message, mail in self.mail.items():
            shown = success_result_of(self.spool.show(message))
            history = success_result_of(self.spool.why(message))
            if shown is None:
                assert set(mail.states.values()) <= SETTLED
                ends = [one for one in history if one.event in (Event.DELIVERED, Event.REMOVED)]
                assert {one.recipient for one in ends} == set(mail.states)
            else:
                assert {one.address: one.state for one in shown.recipients} == mail.states
            assert sum(one.event is Event.IN_DOUBT for one in history) == mail.doubts

    @invariant()
    def bodies_are_identical(self) -> None:
        for message, mail in self.mail.items():
            if not set(mail.states.values()) <= SETTLED:
                assert read(self.spool, message) == mail.body


TestSpoolState = SpoolMachine.TestCase
TestSpoolState.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
