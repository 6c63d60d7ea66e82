"""What every spool engine promises. An engine's test module imports all of this and gives `lab`.

Octets, states and tokens are looked at only through `ISpool`; what needs a look behind it (a crash,
a flipped bit) is the laboratory's to arrange.
"""

from __future__ import annotations

from typing import Any, Protocol

import pytest
from twisted.internet.defer import Deferred

from txsmtpconn.relay.spool import (
    WHOLE_BODY,
    Claim,
    CorruptMessageError,
    Doubt,
    Event,
    ISpool,
    NewMessage,
    NewRecipient,
    Recovery,
    SpoolUnavailableError,
    State,
    Verdict,
)
from txsmtpconn.testing.results import failure_result_of, success_result_of

BODY = b"Subject: x\r\n\r\n\x00\xff.\r\n"


class Laboratory(Protocol):
    """An engine under test, on a clock that stands still until it is advanced."""

    def start(self, doubt: Doubt = Doubt.RETRY) -> ISpool:
        """Start the engine on the same storage as before."""

    def crash(self) -> None:
        """End the running engine as a kill would."""

    def recovery(self) -> Recovery:
        """What the last start recovered."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""

    def corrupt_body(self, message: str) -> None:
        """Flip a bit of the stored mail data."""

    def corrupt_recipient(self, message: str) -> None:
        """Change a stored address."""


def envelope(*addresses: str, destination: str = "") -> NewMessage:
    """An envelope to some recipients."""
    return NewMessage(
        "a@example.org",
        tuple(NewRecipient(one, b" NOTIFY=NEVER", destination) for one in addresses),
        b" RET=HDRS",
        "192.0.2.1",
    )


def accept(spool: ISpool, *addresses: str, body: bytes = BODY, destination: str = "") -> str:
    """Put a message in the spool."""
    incoming = spool.open(envelope(*addresses or ("b@example.net",), destination=destination))
    for start in range(0, len(body), 50_000):
        ready = incoming.write(body[start : start + 50_000])
        assert ready is None or success_result_of(ready) is None
    return success_result_of(incoming.commit())


def claim(spool: ISpool, limit: int = 10, **terms: object) -> tuple[Claim, ...]:
    """Claim what is due, for a minute."""
    return success_result_of(spool.claim(limit, 60.0, **terms)).claims  # type: ignore[arg-type]


def end(
    spool: ISpool,
    claimed: Claim,
    state: State = State.DELIVERED,
    event: Event = Event.DELIVERED,
    *,
    delay: float = 0.0,
    detail: str = "250 2.0.0 Ok",
    burnt: bool = True,
) -> int:
    """Record one outcome for all recipients of a claim."""
    verdicts = [
        Verdict(one.id, one.token, state, event, detail, delay, burnt) for one in claimed.recipients
    ]
    return success_result_of(spool.record(claimed, verdicts))


def states(spool: ISpool, message: str) -> dict[str, State]:
    """Where each recipient of a message stands."""
    shown = success_result_of(spool.show(message))
    return {} if shown is None else {one.address: one.state for one in shown.recipients}


def events(spool: ISpool, message: str) -> list[Event]:
    """What the history says of a message."""
    return [entry.event for entry in success_result_of(spool.why(message))]


def read(spool: ISpool, message: str) -> bytes:
    """All octets of a message."""
    body = spool.body(message)
    octets = b""
    while True:
        chunk = body.read()
        if isinstance(chunk, Deferred):
            chunk = success_result_of(chunk)
        if not chunk:
            return octets
        assert len(chunk) <= 64 * 1024
        octets += chunk


def test_accepted_message_is_claimed_as_it_was_given(lab: Laboratory) -> None:
    """Envelope, parameters and every octet come back with the claim."""
    spool = lab.start()
    message = accept(spool, "b@example.net", "ü@example.net", destination="hub")
    lab.advance(5)
    (claimed,) = claim(spool)
    assert claimed.message == message
    assert claimed.reverse_path == "a@example.org"
    assert claimed.parameters == b" RET=HDRS"
    assert [one.address for one in claimed.recipients] == ["b@example.net", "ü@example.net"]
    assert {one.parameters for one in claimed.recipients} == {b" NOTIFY=NEVER"}
    assert claimed.destination == "hub"
    assert (claimed.body, claimed.size, claimed.age) == (BODY, len(BODY), 5.0)
    assert not claimed.marked


def test_nothing_is_visible_before_commit(lab: Laboratory) -> None:
    """A message under way is neither claimed nor listed, however much of it is stored."""
    spool = lab.start()
    incoming = spool.open(envelope("b@example.net"))
    for _ in range(20):
        incoming.write(b"x" * 60_000)
    assert claim(spool) == ()
    assert success_result_of(spool.messages()) == []
    incoming.abort()
    incoming.abort()
    assert success_result_of(spool.messages()) == []


def test_duplicate_recipients_keep_their_rows_and_order(lab: Laboratory) -> None:
    """A recipient given twice is delivered twice, in RCPT order."""
    spool = lab.start()
    accept(spool, "b@example.net", "c@example.net", "b@example.net")
    (claimed,) = claim(spool)
    assert [one.address for one in claimed.recipients] == [
        "b@example.net",
        "c@example.net",
        "b@example.net",
    ]


def test_large_body_is_read_in_pieces(lab: Laboratory) -> None:
    """A body above the limit is not loaded with the claim, and reads back identical."""
    body = bytes(range(256)) * 4096 + b"end"
    spool = lab.start()
    message = accept(spool, body=body)
    (claimed,) = claim(spool)
    assert claimed.body is None
    assert claimed.size == len(body)
    assert read(spool, message) == body


def test_body_at_the_limit_comes_whole(lab: Laboratory) -> None:
    """The limit itself is still whole; one octet more is not."""
    spool = lab.start()
    accept(spool, body=b"x" * WHOLE_BODY)
    accept(spool, body=b"x" * (WHOLE_BODY + 1))
    whole, streamed = claim(spool)
    assert whole.body == b"x" * WHOLE_BODY
    assert streamed.body is None


def test_empty_body_is_a_body(lab: Laboratory) -> None:
    """No octet at all is kept and returned as such."""
    spool = lab.start()
    message = accept(spool, body=b"")
    (claimed,) = claim(spool)
    assert claimed.body == b""
    assert read(spool, message) == b""


def test_committed_message_survives_a_kill(lab: Laboratory) -> None:
    """What was acknowledged is there after a crash, and due."""
    message = accept(lab.start())
    lab.crash()
    (claimed,) = claim(lab.start())
    assert (claimed.message, claimed.body) == (message, BODY)


def test_uncommitted_octets_are_swept_at_start(lab: Laboratory) -> None:
    """A kill in mid-message leaves neither message nor octets."""
    spool = lab.start()
    incoming = spool.open(envelope("b@example.net"))
    for _ in range(20):
        incoming.write(b"x" * 60_000)
    lab.crash()
    spool = lab.start()
    assert claim(spool) == ()
    assert read_nothing(spool, incoming.id)


def read_nothing(spool: ISpool, message: str) -> bool:
    """Whether no octet of a message is stored."""
    chunk = spool.body(message).read()
    assert isinstance(chunk, Deferred)
    failure_result_of(chunk, CorruptMessageError)
    return True


def test_a_claim_is_exclusive(lab: Laboratory) -> None:
    """While a lease runs nobody else gets the row."""
    spool = lab.start()
    accept(spool)
    assert len(claim(spool)) == 1
    assert claim(spool) == ()


def test_claim_takes_the_longest_due_first_and_tells_what_is_next(lab: Laboratory) -> None:
    """Order is by due time; a short claim says when to come again."""
    spool = lab.start()
    first, second = accept(spool, "1@example.net"), accept(spool, "2@example.net")
    (one,) = claim(spool, 1)
    assert one.message == first
    end(spool, one, State.READY, Event.DEFERRED, delay=100)
    (two,) = claim(spool, 5)
    assert two.message == second
    batch = success_result_of(spool.claim(5, 60.0))
    assert (batch.claims, batch.next_due) == ((), 100.0)
    lab.advance(100)
    assert [each.message for each in claim(spool)] == [first]
    assert success_result_of(spool.claim(5, 60.0)).next_due is None


def test_claim_cuts_large_messages_and_separates_destinations(lab: Laboratory) -> None:
    """A transaction has so many recipients at most, and one destination."""
    spool = lab.start()
    addresses = [f"{number}@example.net" for number in range(7)]
    accept(spool, *addresses)
    claims = claim(spool, recipients=3)
    assert [len(each.recipients) for each in claims] == [3, 3, 1]
    assert [one.address for each in claims for one in each.recipients] == addresses


def test_claim_avoids_destinations(lab: Laboratory) -> None:
    """What goes to a dead host is left alone, what goes elsewhere is not kept waiting."""
    spool = lab.start()
    dead = accept(spool, destination="dead")
    alive = accept(spool, destination="alive")
    assert [each.message for each in claim(spool, avoid={"dead"})] == [alive]
    batch = success_result_of(spool.claim(5, 60.0, avoid={"dead"}))
    assert (batch.claims, batch.next_due) == ((), None)
    assert [each.message for each in claim(spool)] == [dead]


def test_delivered_message_leaves_its_history_only(lab: Laboratory) -> None:
    """The last delivery removes message, recipients and octets; the reply stays in the history."""
    spool = lab.start()
    message = accept(spool)
    (claimed,) = claim(spool)
    assert success_result_of(spool.mark(claimed, 60.0)) is True
    assert end(spool, claimed) == 0
    assert success_result_of(spool.show(message)) is None
    assert success_result_of(spool.counts()) == {}
    assert read_nothing(spool, message)
    (entry,) = success_result_of(spool.why(message))
    assert (entry.event, entry.recipient, entry.detail) == (
        Event.DELIVERED,
        "b@example.net",
        "250 2.0.0 Ok",
    )


def test_recipients_end_one_by_one(lab: Laboratory) -> None:
    """Delivered, deferred and failed recipients of one message do not disturb each other."""
    spool = lab.start()
    message = accept(spool, "ok@example.net", "later@example.net", "no@example.net")
    (claimed,) = claim(spool)
    ok, later, no = claimed.recipients
    verdicts = [
        Verdict(ok.id, ok.token, State.DELIVERED, Event.DELIVERED, "250 Ok"),
        Verdict(later.id, later.token, State.READY, Event.DEFERRED, "450 4.2.0 no", 30.0),
        Verdict(no.id, no.token, State.FAILED, Event.FAILED, "550 5.1.1 who?"),
    ]
    assert success_result_of(spool.record(claimed, verdicts)) == 0
    lab.crash()
    spool = lab.start()
    assert states(spool, message) == {
        "ok@example.net": State.DELIVERED,
        "later@example.net": State.READY,
        "no@example.net": State.FAILED,
    }
    shown = success_result_of(spool.show(message))
    assert shown is not None
    assert [one.last_reply for one in shown.recipients] == [
        "250 Ok",
        "450 4.2.0 no",
        "550 5.1.1 who?",
    ]
    assert claim(spool) == ()
    lab.advance(30)
    (again,) = claim(spool)
    assert [(one.address, one.attempts) for one in again.recipients] == [("later@example.net", 1)]


def test_an_attempt_that_reached_nobody_is_not_counted(lab: Laboratory) -> None:
    """A host that is down burns no attempt of a message."""
    spool = lab.start()
    accept(spool)
    end(spool, claim(spool)[0], State.READY, Event.DEFERRED, burnt=False)
    assert claim(spool)[0].recipients[0].attempts == 0


def test_stale_token_cannot_mark_or_record(lab: Laboratory) -> None:
    """Who lost the lease learns it before the mark and changes nothing afterwards."""
    spool = lab.start()
    message = accept(spool)
    (stale,) = claim(spool)
    lab.advance(61)
    assert success_result_of(spool.recover()).released == 1
    (fresh,) = claim(spool)
    assert success_result_of(spool.mark(stale, 60.0)) is False
    assert end(spool, stale, State.FAILED, Event.FAILED) == 1
    assert states(spool, message) == {"b@example.net": State.LEASED}
    assert success_result_of(spool.mark(fresh, 60.0)) is True
    assert end(spool, fresh) == 0
    assert end(spool, fresh) == 1
    assert events(spool, message) == [Event.DELIVERED]


def test_a_stale_verdict_never_hits_another_message(lab: Laboratory) -> None:
    """A verdict for a row that is gone is turned away, also where its place was taken since."""
    spool = lab.start()
    accept(spool)
    (gone,) = claim(spool)
    end(spool, gone)
    message = accept(spool)
    claim(spool)
    assert end(spool, gone, State.FAILED, Event.FAILED) == 1
    assert states(spool, message) == {"b@example.net": State.LEASED}


def test_mark_takes_all_rows_of_a_claim_or_none(lab: Laboratory) -> None:
    """One lost row is enough to stop the transaction."""
    spool = lab.start()
    message = accept(spool, "b@example.net", "c@example.net")
    (claimed,) = claim(spool)
    one = claimed.recipients[0]
    verdict = Verdict(one.id, one.token, State.HELD, Event.HELD)
    success_result_of(spool.record(claimed, [verdict]))
    assert success_result_of(spool.mark(claimed, 60.0)) is False
    assert states(spool, message)["c@example.net"] is State.LEASED


def test_renewed_lease_is_not_recovered(lab: Laboratory) -> None:
    """A heartbeat keeps what is slow."""
    spool = lab.start()
    accept(spool)
    claim(spool)
    lab.advance(50)
    assert success_result_of(spool.renew(60.0)) == 1
    lab.advance(50)
    assert success_result_of(spool.recover()) == Recovery()
    lab.advance(11)
    assert success_result_of(spool.recover()).released == 1


def test_cut_off_before_the_mark_is_without_doubt(lab: Laboratory) -> None:
    """A kill while the mark has not been set: due again, no attempt, no doubt."""
    spool = lab.start()
    message = accept(spool)
    claim(spool)
    lab.crash()
    spool = lab.start()
    assert lab.recovery() == Recovery(released=1)
    assert events(spool, message) == []
    assert claim(spool)[0].recipients[0].attempts == 0


def test_cut_off_after_the_mark_is_in_doubt_and_retried(lab: Laboratory) -> None:
    """A kill behind the mark: due again, and the doubt is told and written down."""
    spool = lab.start()
    message = accept(spool)
    success_result_of(spool.mark(claim(spool)[0], 60.0))
    lab.crash()
    spool = lab.start()
    assert lab.recovery() == Recovery(in_doubt=((message, "b@example.net"),))
    assert events(spool, message) == [Event.IN_DOUBT]
    assert len(claim(spool)) == 1


def test_doubt_can_be_held(lab: Laboratory) -> None:
    """With the other policy the recipient waits for the operator."""
    spool = lab.start()
    message = accept(spool)
    (claimed,) = claim(spool, marked=True)
    assert claimed.marked
    lab.crash()
    spool = lab.start(Doubt.HOLD)
    assert states(spool, message) == {"b@example.net": State.HELD}
    assert events(spool, message) == [Event.IN_DOUBT, Event.HELD]
    assert claim(spool) == ()
    assert success_result_of(spool.release(message)) == 1
    assert len(claim(spool)) == 1


def test_flipped_bit_in_a_body_is_quarantined_and_others_flow(lab: Laboratory) -> None:
    """A corrupt message is set aside with a reason; its neighbour is delivered."""
    spool = lab.start()
    bad, good = accept(spool), accept(spool)
    lab.corrupt_body(bad)
    batch = success_result_of(spool.claim(10, 60.0))
    assert [each.message for each in batch.claims] == [good]
    assert batch.quarantined == (bad,)
    assert states(spool, bad) == {"b@example.net": State.QUARANTINED}
    assert events(spool, bad) == [Event.QUARANTINED]
    assert claim(spool) == ()


def test_flipped_bit_in_an_address_is_quarantined(lab: Laboratory) -> None:
    """Mail never goes to an address that nobody gave."""
    spool = lab.start()
    message = accept(spool)
    lab.corrupt_recipient(message)
    assert claim(spool) == ()
    assert set(states(spool, message).values()) == {State.QUARANTINED}


def test_flipped_bit_in_a_large_body_fails_the_reading(lab: Laboratory) -> None:
    """A streamed body that does not match never ends well."""
    spool = lab.start()
    message = accept(spool, body=b"x" * 300_000)
    lab.corrupt_body(message)
    body = spool.body(message)
    while isinstance(chunk := body.read(), bytes) or _succeeded(chunk):
        pass
    failure_result_of(chunk, CorruptMessageError)


def _succeeded(chunk: Deferred[bytes]) -> bool:
    outcome: list[object] = []

    def pass_on(result: Any) -> Any:
        outcome.append(result)
        return result

    chunk.addBoth(pass_on)
    return isinstance(outcome[0], bytes)


def test_hold_release_requeue_remove(lab: Laboratory) -> None:
    """The operator's calls do what they say and leave their entries."""
    spool = lab.start()
    message = accept(spool)
    assert success_result_of(spool.hold(message, "wait")) == 1
    assert claim(spool) == ()
    assert success_result_of(spool.release(message)) == 1
    (claimed,) = claim(spool)
    assert success_result_of(spool.hold(message)) == 0
    assert success_result_of(spool.remove(message)) == 0
    end(spool, claimed, State.FAILED, Event.FAILED)
    assert claim(spool) == ()
    assert success_result_of(spool.requeue(message)) == 1
    (again,) = claim(spool)
    assert again.recipients[0].attempts == 0
    end(spool, again, State.READY, Event.DEFERRED, delay=1000)
    assert success_result_of(spool.requeue(message)) == 1
    end(spool, claim(spool)[0], State.READY, Event.DEFERRED, delay=1000)
    assert success_result_of(spool.remove(message, "spam")) == 1
    assert success_result_of(spool.show(message)) is None
    assert events(spool, message) == [
        Event.HELD,
        Event.RELEASED,
        Event.FAILED,
        Event.REQUEUED,
        Event.DEFERRED,
        Event.REQUEUED,
        Event.DEFERRED,
        Event.REMOVED,
    ]


@pytest.mark.parametrize("call", ["release", "requeue"])
def test_operator_gives_an_old_message_a_new_life(lab: Laboratory, call: str) -> None:
    """What is released or requeued after its lifetime is not given up before it was tried."""
    spool = lab.start()
    message = accept(spool)
    if call == "requeue":
        end(spool, claim(spool)[0], State.EXPIRED, Event.EXPIRED)
    else:
        success_result_of(spool.hold(message))
    lab.advance(1000)
    assert success_result_of(getattr(spool, call)(message)) == 1
    assert success_result_of(spool.expire(100, "too old")) == 0
    lab.advance(99)
    (claimed,) = claim(spool)
    assert claimed.age == 99


def test_operator_calls_on_unknown_ids_do_nothing(lab: Laboratory) -> None:
    """No id, however odd, is an error or somebody else's message."""
    spool = lab.start()
    accept(spool)
    for text in ("", "x", "0" * 13, "Z" * 13, "ÄÄÄÄÄÄÄÄÄÄÄÄÄ", "'; DROP TABLE message; --"):
        assert success_result_of(spool.remove(text)) == 0
        assert success_result_of(spool.show(text)) is None
        assert success_result_of(spool.why(text)) == []
    assert len(claim(spool)) == 1


def test_messages_are_listed_by_state_and_page(lab: Laboratory) -> None:
    """Listing goes on behind an id and picks a state."""
    spool = lab.start()
    ids = [accept(spool, f"{number}@example.net") for number in range(5)]
    end(spool, claim(spool, 1)[0], State.FAILED, Event.FAILED)
    assert [one.message for one in success_result_of(spool.messages())] == ids
    page = success_result_of(spool.messages(after=ids[1], limit=2))
    assert [one.message for one in page] == ids[2:4]
    failed = success_result_of(spool.messages(state=State.FAILED))
    assert [one.message for one in failed] == ids[:1]
    assert success_result_of(spool.counts()) == {State.FAILED: 1, State.READY: 4}


def test_expire_gives_up_what_is_old_and_waits(lab: Laboratory) -> None:
    """Old waiting recipients expire with a reason; leased ones and young ones do not."""
    spool = lab.start()
    old, leased = accept(spool), accept(spool)
    claimed = {each.message: each for each in claim(spool)}
    end(spool, claimed[old], State.READY, Event.DEFERRED, delay=1000)
    lab.advance(100)
    young = accept(spool)
    assert success_result_of(spool.expire(50, "host down")) == 1
    assert states(spool, old) == {"b@example.net": State.EXPIRED}
    assert states(spool, leased) == {"b@example.net": State.LEASED}
    assert states(spool, young) == {"b@example.net": State.READY}
    assert success_result_of(spool.why(old))[-1].detail == "host down"


def test_prune_removes_what_was_kept_long_enough(lab: Laboratory) -> None:
    """A failed recipient stays for the retention time, then goes with an entry."""
    spool = lab.start()
    message = accept(spool)
    end(spool, claim(spool)[0], State.FAILED, Event.FAILED)
    lab.advance(99)
    assert success_result_of(spool.prune(100, 1000)) == 0
    lab.advance(2)
    assert success_result_of(spool.prune(100, 1000)) == 1
    assert success_result_of(spool.show(message)) is None
    assert events(spool, message) == [Event.FAILED, Event.REMOVED]
    lab.advance(1001)
    success_result_of(spool.prune(100, 1000))
    assert events(spool, message) == []


def test_clock_set_back_strands_nothing(lab: Laboratory) -> None:
    """What waits for longer than any schedule can say is due again."""
    spool = lab.start()
    accept(spool)
    end(spool, claim(spool)[0], State.READY, Event.DEFERRED, delay=1_000_000)
    assert claim(spool) == ()
    success_result_of(spool.recover(horizon=20_000))
    assert len(claim(spool)) == 1


def test_clock_set_back_is_made_up_for(lab: Laboratory) -> None:
    """Who says by how much the clock was set back has what waits so much earlier, and no more."""
    spool = lab.start()
    accept(spool)
    end(spool, claim(spool)[0], State.READY, Event.DEFERRED, delay=4000)
    success_result_of(spool.recover(set_back=3600))
    lab.advance(399)
    assert claim(spool) == ()
    lab.advance(2)
    assert len(claim(spool)) == 1


def test_stopped_spool_refuses(lab: Laboratory) -> None:
    """After stop nothing is promised any more; stopping twice is fine."""
    spool = lab.start()
    incoming = spool.open(envelope("b@example.net"))
    success_result_of(spool.stop())
    success_result_of(spool.stop())
    failure_result_of(incoming.commit(), SpoolUnavailableError)
