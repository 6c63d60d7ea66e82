"""A server that follows rules: chance that can be repeated, and cuts in the midst of mail data."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from txsmtpconn.errors import ConfigError
from txsmtpconn.server import ServerOptions, ServerTimeouts, SMTPRejection
from txsmtpconn.server.hooks import Hooks
from txsmtpconn.sink import RuleBook, RuledFactory
from txsmtpconn.sink.rules import Delay, Drop, Effect, Reject, Rule

HELLO = b"EHLO me.test\r\n"
ENVELOPE = b"MAIL FROM:<s@x.test>\r\nRCPT TO:<a@y.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"
PATIENT = ServerTimeouts(answer=86400, mark=86400)


class Taker:
    """Notes what becomes of messages."""

    def __init__(self) -> None:
        self.octets = b""
        self.ends: list[Any] = []

    def on_data(self, session: object, envelope: object) -> Taker:
        self.octets = b""
        return self

    def write(self, data: bytes) -> None:
        self.octets += data

    def finish(self) -> None:
        self.ends.append("finish")

    def finish_for(self, rcpt_to: list[str]) -> None:
        self.ends.append(list(rcpt_to))

    def abort(self, reason: Exception) -> None:
        self.ends.append("abort")


class Talk:
    """One client of a server with these rules."""

    def __init__(self, *rules: Rule, seed: int = 1, lmtp: bool = False) -> None:
        self.clock = Clock()
        self.book = RuleBook(seed)
        for rule in rules:
            self.book.add(rule)
        self.taker = Taker()
        options = ServerOptions(
            name="sink.test", lmtp=lmtp, timeouts=PATIENT, max_idle_commands=10_000
        )
        self.factory = RuledFactory(self.clock, self.taker, options, self.book, records=True)
        self.connect()

    def connect(self) -> None:
        self.transport = StringTransport()
        self.transport.abortConnection = self.transport.loseConnection  # type: ignore[attr-defined]
        protocol = self.factory.buildProtocol(None)
        assert protocol is not None
        self.protocol: Any = protocol
        self.protocol.makeConnection(self.transport)

    def say(self, data: bytes) -> bytes:
        """Say something; return what is said back."""
        self.transport.clear()
        self.protocol.dataReceived(data)
        return self.heard

    @property
    def heard(self) -> bytes:
        return bytes(self.transport.value())

    @property
    def dropped(self) -> bool:
        return bool(self.transport.disconnecting)

    def leave(self) -> None:
        self.protocol.connectionLost()


def rule(effect: Effect, verb: str, **more: Any) -> Rule:
    """Make a rule."""
    return Rule(effect, verb, **more)


def fates(seed: int, sessions: int = 12) -> list[list[bool]]:
    """Say which of ten NOOPs are refused in each of some sessions that take turns."""
    talk = Talk(rule(Reject.at("NOOP"), "NOOP", probability=0.4), seed=seed)
    protocols = []
    for _ in range(sessions):
        talk.connect()
        protocols.append((talk.protocol, talk.transport))
    fate: list[list[bool]] = [[] for _ in protocols]
    for turn in range(10):
        # In another order each time.
        for place in sorted(range(sessions), key=lambda each: (each * 7 + turn) % sessions):
            protocol, transport = protocols[place]
            transport.clear()
            protocol.dataReceived(b"NOOP\r\n")
            fate[place].append(transport.value().startswith(b"502"))
    return fate


def test_chance_is_what_it_says_and_is_repeated_with_the_seed() -> None:
    """The same seed gives each session the same fate, and another seed another one."""
    once = fates(7, sessions=40)
    assert once == fates(7, sessions=40)
    assert once != fates(8, sessions=40)
    assert once[:12] != once[12:24]
    struck = sum(map(sum, once))
    assert 110 < struck < 210  # 400 throws at 0.4: six standard deviations to each side


def test_a_session_s_fate_does_not_depend_on_the_others() -> None:
    """Who else is there, and who talks when, changes nothing."""
    assert fates(7, sessions=3) == fates(7, sessions=12)[:3]


def test_a_book_without_a_seed_draws_one_and_tells_it() -> None:
    """What has happened once can be made to happen again."""
    book = RuleBook()
    assert str(book) == ""
    book.add(rule(Drop(), "RCPT", probability=0.25))
    assert str(book).splitlines() == [
        "at RCPT: drop the connection, 25 % of the time (struck: 0)",
        f"seed: {book.seed}",
    ]
    assert RuleBook().seed != RuleBook().seed


def test_a_delay_by_chance_is_between_its_bounds() -> None:
    """It is another one each time, and nothing is answered before it is over."""
    talk = Talk(rule(Delay(1.0, 3.0), "NOOP"))
    waits = []
    for _ in range(8):
        assert talk.say(b"NOOP\r\n") == b""
        before = talk.clock.seconds()
        while not talk.heard:
            talk.clock.advance(0.125)
        waits.append(talk.clock.seconds() - before)
    assert 1 <= min(waits) < max(waits) <= 3.125


def test_mail_data_is_cut_after_so_many_octets() -> None:
    """What came before is handed on, the message is forgotten, and nothing more is said."""
    talk = Talk(rule(Drop(), "CONTENT", after=10))
    assert b"354" in talk.say(HELLO + ENVELOPE)
    assert talk.say(b"12345\r\n") == b""
    assert not talk.dropped
    assert talk.say(b"678\r\n") == b""
    assert talk.dropped
    assert talk.taker.ends == ["abort"]
    talk.leave()
    assert talk.taker.ends == ["abort"]


@pytest.mark.parametrize("effect", [Drop(), Reject.at("CONTENT", 451)])
def test_a_cut_that_comes_with_the_end_of_the_message_forgets_it_once(effect: Effect) -> None:
    """All of a message may come in one read: still nobody takes it."""
    talk = Talk(rule(effect, "CONTENT"))
    talk.say(HELLO + ENVELOPE)
    said = talk.say(b"Subject: x\r\n\r\nx\r\n.\r\nNOOP\r\n")
    assert said == (b"" if isinstance(effect, Drop) else b"451 4.7.1 Refused by a rule\r\n")
    assert talk.dropped
    assert talk.taker.ends == ["abort"]
    talk.leave()
    assert talk.taker.ends == ["abort"]


def test_a_refusal_in_the_midst_of_mail_data_is_said_at_once() -> None:
    """And closes: the client that still writes cannot get out of step (smtp-sink -A)."""
    talk = Talk(rule(Delay(2), "CONTENT"), rule(Reject.at("CONTENT", 550), "CONTENT"))
    talk.say(HELLO + ENVELOPE)
    assert talk.say(b"Subject: x\r\n") == b""
    assert not talk.dropped
    talk.clock.advance(2)
    assert talk.heard == b"550 5.7.1 Refused by a rule\r\n"
    assert talk.dropped
    assert talk.taker.ends == ["abort"]
    talk.leave()


def test_mail_data_that_is_held_up_is_taken_afterwards() -> None:
    """A delay at CONTENT stops reading, and loses nothing (smtp-sink -H)."""
    talk = Talk(rule(Delay(5), "CONTENT", after=4))
    talk.say(HELLO + ENVELOPE)
    assert talk.say(b"one\r\ntwo\r\n.\r\n") == b""
    talk.clock.advance(4.9)
    assert talk.heard == b""
    assert talk.taker.ends == []
    talk.clock.advance(0.2)
    assert talk.heard.startswith(b"250 ")
    assert talk.taker.octets == b"one\r\ntwo\r\n"
    assert talk.taker.ends == [["a@y.test", "b@y.test"]]
    talk.leave()


def test_a_client_that_leaves_while_it_is_held_up_leaves_nothing() -> None:
    """The message is forgotten, and nothing waits any more."""
    talk = Talk(rule(Delay(5), "CONTENT"))
    talk.say(HELLO + ENVELOPE + b"one\r\n")
    talk.leave()
    assert talk.taker.ends == ["abort"]
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("effect", "end"),
    [
        (Reject.at("MESSAGE"), "abort"),
        (Drop(), "abort"),
        (Drop(taken=True), ["a@y.test", "b@y.test"]),
    ],
)
def test_the_application_hears_of_each_message_once(effect: Effect, end: object) -> None:
    """A message that a rule refuses at its end is aborted, one that is taken is finished."""
    talk = Talk(rule(effect, "MESSAGE"))
    talk.say(HELLO + ENVELOPE + b"x\r\n.\r\n")
    talk.leave()
    assert talk.taker.ends == [end]


def test_who_takes_a_message_may_hold_it_up_itself() -> None:
    """The application's own back-pressure passes through the rules."""

    class Slow(Taker):
        producer: Any = None

        def registerProducer(self, producer: Any, streaming: bool) -> None:
            self.producer = producer

        def unregisterProducer(self) -> None:
            self.producer = None

    talk = Talk()
    slow = talk.taker = Slow()
    talk.factory._application = Hooks.of(slow)
    talk.say(HELLO + ENVELOPE)
    slow.producer.pauseProducing()
    assert talk.say(b"x\r\n.\r\n") == b""
    assert slow.octets == b""
    slow.producer.resumeProducing()
    assert talk.heard.startswith(b"250 ")
    assert slow.producer is None
    talk.leave()


def test_in_lmtp_the_application_hears_for_whom_it_takes_a_message() -> None:
    """One refusal, one consent; and none to take it for if all are refused."""
    talk = Talk(rule(Reject.at("MESSAGE"), "MESSAGE", rcpt="a@*"), lmtp=True)
    said = talk.say(HELLO.replace(b"EHLO", b"LHLO") + ENVELOPE + b"x\r\n.\r\n")
    assert [line[:3] for line in said.splitlines()][-2:] == [b"554", b"250"]
    assert talk.taker.ends == [["b@y.test"]]
    talk.book.add(rule(Reject.at("MESSAGE"), "MESSAGE", rcpt="b@*"))
    talk.say(ENVELOPE + b"x\r\n.\r\n")
    assert talk.taker.ends == [["b@y.test"], "abort"]
    talk.leave()


@pytest.mark.parametrize("knows_all", [False, True])
def test_in_lmtp_a_rule_s_refusal_stands_beside_the_application_s_answers(knows_all: bool) -> None:
    """Each recipient hears what is meant for it, though the application answers for each, too."""
    mine = SMTPRejection(452, "4.2.2", "full")
    talk = Talk(rule(Reject.at("MESSAGE"), "MESSAGE", rcpt="a@*"), lmtp=True)
    if knows_all:
        talk.taker.finish_for = None  # type: ignore[assignment]
        talk.taker.finish = lambda: [None, mine]  # type: ignore[assignment, method-assign, return-value]
    else:
        talk.taker.finish_for = lambda rcpt_to: [mine]  # type: ignore[assignment, method-assign, return-value]
    talk.say(HELLO.replace(b"EHLO", b"LHLO") + ENVELOPE)
    codes = [line[:3] for line in talk.say(b"x\r\n.\r\n").splitlines()]
    assert codes == [b"554", b"452"]


def test_what_is_said_is_recorded_in_bounded_memory() -> None:
    """The beginning and the end are there, and how much is missing between them."""
    talk = Talk()
    talk.say(HELLO)
    for number in range(600):
        talk.say(b"NOOP %d\r\n" % number)
    lines = talk.protocol.record.lines
    assert lines[0].startswith("S: 220 sink.test")
    assert lines[1] == "C: EHLO me.test"
    assert len(lines) == 100 + 1 + 200
    assert lines[100].endswith("lines left out)")
    assert lines[-2:] == ["C: NOOP 599", "S: 250 2.0.0 Ok"]
    talk.leave()


def test_sessions_are_forgotten_when_they_end() -> None:
    """A sink runs for days."""
    talk = Talk()
    assert len(talk.factory.sessions) == 1
    talk.leave()
    assert talk.factory.sessions == {}


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("RCPT", {"probability": 0.0}),
        ("RCPT", {"probability": 1.5}),
        ("RCPT", {"after": 5}),
        ("CONTENT", {"after": -5}),
    ],
)
def test_what_makes_no_rule(verb: str, more: dict[str, Any]) -> None:
    """A chance is one, and only mail data has octets to wait for."""
    with pytest.raises(ConfigError):
        rule(Drop(), verb, **more)


@pytest.mark.parametrize("bounds", [(0,), (-1,), (float("nan"),), (float("inf"),), (2, 1)])
def test_what_makes_no_delay(bounds: Any) -> None:
    """A delay takes some time, and some day it is over."""
    with pytest.raises(ConfigError):
        Delay(*bounds)
