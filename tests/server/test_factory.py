"""Who is let in, and how everybody is shown out."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from tests.server.hand import OPENING, Hand, Meeting, Recording, codes
from txsmtpconn.server import SMTPServerFactory
from txsmtpconn.testing import no_result_of, success_result_of


def test_clients_beyond_the_maximum_are_told_421() -> None:
    """S31: and a place that becomes free is given away again."""
    hooks = Recording()
    meeting = Meeting(hooks, max_clients=2)
    first = meeting.hand()
    meeting.hand()
    third = meeting.hand()
    assert third.heard.startswith(b"421 4.7.0 Too many connections")
    assert third.lost is not None
    assert hooks.names() == ["connect", "connect"]
    meeting.says(first, b"QUIT\r\n")
    assert codes(meeting.hand().heard) == [220]
    meeting.ends()


def test_clients_from_one_address_are_counted_apart() -> None:
    """S31."""
    meeting = Meeting(Recording(), max_clients_per_address=1)
    first = meeting.hand()
    assert codes(meeting.hand().heard) == [421]
    meeting.says(first, b"QUIT\r\n")
    assert codes(meeting.hand().heard) == [220]
    meeting.ends()
    assert not meeting.factory._per_address


def test_clients_that_are_shown_out_take_nobodys_place() -> None:
    """S31: one address that knocks for ever, and never leaves, does not keep the others out."""
    meeting = Meeting(None, max_clients=4, max_clients_per_address=2)
    heard = [_stubborn(meeting).heard[:3] for _ in range(8)]
    assert heard == [b"220"] * 2 + [b"421"] * 6
    assert meeting.factory._refusal(IPv4Address("TCP", "192.0.2.9", 5)) is None
    # To say no takes a connection too, so not everybody is told.
    assert meeting.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5)) is None
    meeting.ends()
    assert not meeting.factory._per_address
    assert meeting.factory._served == 0


def _stubborn(meeting: Meeting) -> Hand:
    """Connect a client that does not close its half."""

    class Stubborn(Hand):
        def readConnectionLost(self) -> None:
            pass

    network = meeting.network
    hand: Hand = network.result_of(network.connect(Factory.forProtocol(Stubborn)))
    network.settle()
    return hand


def test_clients_of_a_unix_socket_are_not_counted_by_address() -> None:
    """They have none."""
    meeting = Meeting(None, max_clients_per_address=1)
    for _ in range(3):
        protocol = meeting.factory.buildProtocol(UNIXAddress(None))
        assert protocol is not None
        assert protocol._turned_away is None


def test_no_protocol_is_made_to_refuse_before_a_handshake() -> None:
    """There is no way to say 421 in TLS that is not up."""
    meeting = Meeting(None, implicit_tls=True)
    meeting.factory.draining = True
    assert meeting.factory.buildProtocol(None) is None


def test_draining_an_idle_server_is_done_at_once() -> None:
    """With no clients there is nothing to wait for."""
    meeting = Meeting()
    assert success_result_of(meeting.factory.drain()) is None


def test_draining_finishes_messages_and_shows_others_out() -> None:
    """S39: a message under way has its reply; idle clients and new ones hear 421."""
    finishing: Deferred[Any] = Deferred()
    hooks = Recording()
    meeting = Meeting(hooks)
    idle, busy, taking = meeting.hand(), meeting.hand(), meeting.hand()
    meeting.says(busy, OPENING + b"x\r\n")
    meeting.says(taking, OPENING)
    hooks.sinks[1].answer = finishing
    meeting.says(taking, b"x\r\n.\r\n")
    drained = meeting.factory.drain(60)
    again = meeting.factory.drain(60)
    meeting.network.settle()
    assert codes(idle.heard) == [220, 421]
    assert idle.lost is not None
    assert codes(meeting.hand().heard) == [421]
    no_result_of(drained)
    finishing.callback(None)
    meeting.network.settle()
    assert codes(taking.heard)[-2:] == [250, 421]
    assert codes(meeting.says(busy, b".\r\n")) == [250, 421]
    assert success_result_of(drained) is None
    assert success_result_of(again) is None
    assert not meeting.network.clock.getDelayedCalls()


def test_draining_is_over_when_the_application_knows() -> None:
    """Every `on_close` was called by then: what it uses may be closed next."""
    told: list[str] = []
    hooks = Recording(close=lambda: told.append("closed"))
    meeting = Meeting(hooks)
    meeting.hand()
    meeting.factory.drain(0).addCallback(lambda _: told.append("drained"))
    meeting.waits(1)
    assert told == ["closed", "drained"]
    meeting.ends()


def test_draining_comes_to_an_end() -> None:
    """What is not done in time is aborted, and its sink hears of it."""
    hooks = Recording()
    meeting = Meeting(hooks)
    hand = meeting.hand()
    meeting.says(hand, OPENING + b"x\r\n")
    drained = meeting.factory.drain(5)
    meeting.waits(4.9)
    no_result_of(drained)
    meeting.waits(0.2)
    assert success_result_of(drained) is None
    assert len(hooks.sinks[0].ends) == 1
    assert hooks.sinks[0].ends != ["finished"]


def test_draining_cancels_a_hook_that_is_thinking() -> None:
    """Nothing was promised yet."""
    cancelled = []
    meeting = Meeting(Recording(rcpt_to=lambda: Deferred(cancelled.append)))
    hand = meeting.hand()
    meeting.says(hand, OPENING)
    drained = meeting.factory.drain()
    meeting.network.settle()
    assert codes(hand.heard) == [220, 250, 250, 421]
    assert len(cancelled) == 1
    assert success_result_of(drained) is None


def test_a_factory_needs_nothing_but_a_clock() -> None:
    """Hooks and options have defaults."""
    meeting = Meeting()
    factory = SMTPServerFactory(meeting.network.clock)
    assert factory.options.max_size == 50 * 1024 * 1024
    assert factory.connections == 0
