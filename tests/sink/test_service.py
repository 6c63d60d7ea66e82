"""The sink as a service: it says how to repeat chance, counts, and ends by itself where told."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher

from txsmtpconn.server import ServerOptions
from txsmtpconn.sink import RuleBook
from txsmtpconn.sink.mailbox import TemporaryMailbag
from txsmtpconn.sink.ruletext import parse_rule
from txsmtpconn.sink.service import SinkService
from txsmtpconn.sink.shelf import Shelf
from txsmtpconn.testing import success_result_of

LETTER = b"EHLO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nx\r\n.\r\n"


class Reactor(MemoryReactorClock):
    """One that notes that it was stopped."""

    stopped = 0

    def stop(self) -> None:  # type: ignore[override]
        self.stopped += 1


def make(reactor: Reactor, *rules: str, **more: Any) -> SinkService:
    """Make a service."""
    book = RuleBook(42)
    for text in rules:
        book.add(parse_rule(text)[0])
    options = ServerOptions(name="sink.test")
    made = SinkService(reactor, options, ["tcp:2525:interface=127.0.0.1"], book=book, **more)
    made.startService()
    return made


def talk(service: SinkService, octets: bytes) -> bytes:
    """Say something to it, and leave."""
    transport = StringTransport()
    protocol: Any = service.factory.buildProtocol(None)
    protocol.makeConnection(transport)
    protocol.dataReceived(octets)
    said: bytes = transport.value()
    protocol.connectionLost()
    return said


@pytest.fixture
def said() -> Any:
    """What the log was told."""
    from twisted.logger import formatEvent

    lines: list[str] = []

    def observe(event: Any) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_rules_and_seed_are_told_at_the_start_and_figures_at_the_end(said: list[str]) -> None:
    """So that a run can be repeated, and looked back upon."""
    made = make(Reactor(), "RCPT 50% reject 451")
    assert "rule: RCPT 50% reject 451 4.1.1 'Refused by a rule'" in said
    assert "what chance decides is repeated with --seed 42" in said
    talk(made, LETTER * 2)
    success_result_of(made.stopService())
    assert said[-1].startswith("took ")
    assert said[-1].endswith(" in 1 sessions")


def test_without_chance_there_is_no_seed_to_tell(said: list[str]) -> None:
    """Nothing is said that means nothing."""
    success_result_of(make(Reactor(), "RCPT reject").stopService())
    assert not any("--seed" in line for line in said)


@pytest.mark.parametrize(
    ("most", "ends"),
    [
        ({"max_messages": 2}, [False, True]),
        ({"max_sessions": 2}, [False, True]),
        ({"max_messages": 1, "max_sessions": 9}, [True, True]),
        ({}, [False, False]),
    ],
)
def test_it_ends_by_itself(most: dict[str, int], ends: list[bool]) -> None:
    """After so many, once, and behind the last reply."""
    reactor = Reactor()
    made = make(reactor, **most)
    for end in ends:
        assert b"250 2.0.0 Ok: dropped" in talk(made, LETTER)
        reactor.advance(0)
        assert bool(reactor.stopped) is end
    talk(made, LETTER)
    reactor.advance(0)
    assert reactor.stopped <= 1
    success_result_of(made.stopService())


def test_a_temporary_directory_lasts_as_long_as_the_sink() -> None:
    """It is made at the start, and goes with all that is in it."""
    bag = TemporaryMailbag()
    made = make(Reactor(), shelf=Shelf(bag), records=True)
    talk(made, LETTER)
    (name,) = bag.names()
    assert bag.facts_of(name)["transcript"][0] == "S: 220 sink.test ESMTP ready"
    success_result_of(made.stopService())
    assert not bag.path.exists()


def test_nobody_waits_at_the_end() -> None:
    """An answer that a rule holds back does not hold back the stop."""
    reactor = Reactor()
    made = make(reactor, "MAIL delay 3600")
    transport = StringTransport()
    protocol: Any = made.factory.buildProtocol(None)
    protocol.makeConnection(transport)
    protocol.dataReceived(b"EHLO me\r\nMAIL FROM:<a@x.test>\r\n")
    stopping = made.stopService()
    protocol.connectionLost()
    success_result_of(stopping)
    assert not [call for call in reactor.getDelayedCalls() if call.active()]
