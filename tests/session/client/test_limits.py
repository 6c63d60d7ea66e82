"""What a server takes in one session (RFC 9422), and what belongs to another connection."""

from __future__ import annotations

import pytest

from tests.session.talk import Talk
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import PoolError
from txsmtpconn.outcome import Delivery
from txsmtpconn.session.client.limits import SessionLimits
from txsmtpconn.session.client.transaction import Transaction
from txsmtpconn.wire.extensions import Extensions

TWO = Extensions({"LIMITS": ("RCPTDOMAINMAX=2",)})
OFFER = b"250-peer.test\r\n250-PIPELINING\r\n250 LIMITS RCPTDOMAINMAX=1\r\n"


def to(*recipients: str) -> Envelope:
    """Return an envelope."""
    return Envelope("s@x.test", list(recipients))


def test_domains_add_up_over_a_session() -> None:
    """In any case of letters; those that are known already are free."""
    limits = SessionLimits()
    assert limits.objection(to("a@one.test", "b@ONE.test"), TWO, 0) is None
    assert list(limits.admitted(to("a@two.test", "b@three.test", "c@one.test"), TWO)) == [0, 2]
    error = limits.objection(to("a@two.test", "b@three.test"), TWO, 1)
    assert isinstance(error, PoolError)
    assert "RCPTDOMAINMAX" in str(error)
    assert limits.objection(to("a@three.test", "b@Three.test"), TWO, 1) is None
    assert list(limits.admitted(to("a@two.test"), TWO)) == []
    assert list(limits.admitted(to("a@two.test"), Extensions())) == [0]


@pytest.mark.parametrize(("messages", "taken"), [(0, True), (1, True), (2, False)])
def test_messages_are_counted(messages: int, taken: bool) -> None:
    """MAILMAX; what is turned away for it takes no domain's place."""
    offered = Extensions({"LIMITS": ("MAILMAX=2", "RCPTDOMAINMAX=1")})
    limits = SessionLimits()
    assert (limits.objection(to("a@one.test"), offered, messages) is None) is taken
    assert bool(limits.admitted(to("a@two.test"), offered)) is not taken


def test_a_message_to_one_domain_too_many_is_not_begun() -> None:
    """The server is not asked, and the session goes on."""
    talk = Talk.ready(OFFER)
    first = Transaction(to("a@one.test"), b"x\r\n")
    second = Transaction(to("a@two.test"), b"x\r\n")
    third = Transaction(to("b@one.test"), b"x\r\n")
    talk.does(first, second, third)
    (outcome,) = second.outcomes()
    assert outcome.delivery is Delivery.NOT_SENT
    assert isinstance(outcome.error, PoolError)
    for _ in range(2):
        talk.says(b"250 ok\r\n250 ok\r\n354 go\r\n").says(b"250 ok\r\n")
    assert first.was_accepted
    assert third.was_accepted
    assert b"two.test" not in talk.hears()
