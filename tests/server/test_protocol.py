"""The server on a transport: hooks, sinks, back-pressure, and the end of a connection."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.server.hand import LMTP_OPENING, OPENING, Meeting, Recording, Sink, codes, later
from txsmtpconn.errors import ConnectionLostError, DeadlineError
from txsmtpconn.server import ServerTimeouts, SMTPRejection
from txsmtpconn.testing import MemoryNetwork
from txsmtpconn.wire.reply import Reply

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
WHOLE = OPENING + MESSAGE + b".\r\n"


def test_a_message_goes_to_the_sink_and_hooks_are_asked_in_order() -> None:
    """What the sink has is what was sent; then 250 is said."""
    hooks = Recording()
    meeting = Meeting(hooks)
    hand = meeting.hand()
    assert codes(hand.heard) == [220]
    assert codes(meeting.says(hand, WHOLE + b"QUIT\r\n")) == [250, 250, 250, 354, 250, 221]
    assert hand.lost is not None
    (sink,) = hooks.sinks
    assert (sink.content, sink.ends) == (MESSAGE, ["finished"])
    assert hooks.names() == ["connect", "mail_from", "rcpt_to", "data", "close"]
    (envelope,) = (asked[1] for asked in hooks.asked if asked[0] == "data")
    assert envelope.mail_from == "s@x.test"
    assert meeting.factory.connections == 0


def test_hooks_that_are_not_there_consent() -> None:
    """A server without an application takes everything and keeps nothing."""
    meeting = Meeting(None)
    hand = meeting.hand()
    assert codes(meeting.says(hand, WHOLE)) == [250, 250, 250, 354, 250]
    meeting.ends()


@pytest.mark.parametrize(
    ("hook", "heard"),
    [
        ("mail_from", [250, 550, 503, 503]),
        ("rcpt_to", [250, 250, 550, 503]),
        ("data", [250, 250, 250, 550]),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_rejection_is_the_reply(hook: str, heard: list[int], late: bool) -> None:
    """Raised at once, or by a Deferred; the commands behind it wait for it."""
    rejection = SMTPRejection(550, "5.7.1", "No\nnever")
    deferred, answer = later()
    hooks = Recording(**{hook: answer if late else rejection})
    meeting = Meeting(hooks)
    hand = meeting.hand()
    said = meeting.says(hand, OPENING)
    if late:
        assert 550 not in codes(said)
        deferred.errback(rejection)
        meeting.network.settle()
    assert codes(hand.heard) == [220, *heard]
    assert b"550-5.7.1 No\r\n550 5.7.1 never\r\n" in hand.heard
    meeting.ends()


def test_a_refused_connection_is_greeted_with_the_refusal() -> None:
    """And the connection closes."""
    hooks = Recording(connect=SMTPRejection(554, "5.7.1", "Not you"))
    meeting = Meeting(hooks)
    hand = meeting.hand()
    assert hand.heard == b"554 5.7.1 Not you\r\n"
    assert hand.lost is not None


@pytest.mark.parametrize("hook", ["connect", "mail_from", "rcpt_to", "data", "finish"])
@pytest.mark.parametrize("late", [False, True])
def test_a_hook_that_fails_shows_nothing_of_it(
    hook: str, late: bool, logged_failures: list[Any]
) -> None:
    """S16: 451 4.3.0 for the client (421 as its greeting), one traceback for the operator."""
    secret = RuntimeError("password is hunter2")
    answer: Any = secret
    if late:
        deferred: Deferred[Any] = Deferred()
        answer = deferred if hook == "finish" else lambda: deferred
    hooks = Recording(**{hook: answer})
    meeting = Meeting(hooks)
    hand = meeting.hand()
    meeting.says(hand, b"" if hook == "connect" else WHOLE)
    if late:
        deferred.errback(secret)
        meeting.network.settle()
    assert (b"421" if hook == "connect" else b"451") + b" 4.3.0 Local error" in hand.heard
    assert b"hunter2" not in hand.heard
    assert [failure.value for failure in logged_failures] == [secret]
    logged_failures.clear()
    meeting.ends()


def test_hooks_may_be_coroutines() -> None:
    """Their answers come in the order of the commands, whenever they are done."""

    class Hooks:
        async def on_mail_from(self, session: Any, address: str, parameters: Any) -> Reply:
            await first
            return Reply.of(250, "2.1.0 Sender known")

        async def on_rcpt_to(self, session: Any, address: str, parameters: Any) -> None:
            await second

    first: Deferred[None] = Deferred()
    second: Deferred[None] = Deferred()
    meeting = Meeting(Hooks())
    hand = meeting.hand()
    meeting.says(hand, OPENING)
    second.callback(None)
    meeting.network.settle()
    assert codes(hand.heard) == [220, 250]
    first.callback(None)
    meeting.network.settle()
    assert codes(hand.heard) == [220, 250, 250, 250, 354]
    assert b"Sender known" in hand.heard
    meeting.ends()


def test_a_hook_that_never_answers_is_cancelled(logged_failures: list[Any]) -> None:
    """S16: 451 after its time, and the session goes on."""
    cancelled = []
    hooks = Recording(rcpt_to=lambda: Deferred(cancelled.append))
    meeting = Meeting(hooks, timeouts=ServerTimeouts(answer=60))
    hand = meeting.hand()
    meeting.says(hand, OPENING)
    meeting.waits(59)
    assert codes(hand.heard) == [220, 250, 250]
    meeting.waits(2)
    assert codes(hand.heard) == [220, 250, 250, 451, 503]
    assert len(cancelled) == 1
    assert codes(meeting.says(hand, b"NOOP\r\n")) == [250]
    meeting.ends()


@pytest.mark.parametrize("hook", ["connect", "mail_from", "rcpt_to", "data"])
def test_a_hook_is_cancelled_when_its_client_leaves(hook: str) -> None:
    """S30: and what it answers then does no harm."""
    cancelled = []
    hooks = Recording(**{hook: lambda: Deferred(cancelled.append)})
    meeting = Meeting(hooks)
    hand = meeting.hand()
    meeting.says(hand, OPENING)
    meeting.ends()
    assert len(cancelled) == 1
    assert hooks.names()[-1] == "close"
    assert meeting.factory.connections == 0


def test_a_sink_that_comes_too_late_is_told_so() -> None:
    """A hook that will not be cancelled gives a sink when the client is gone."""

    class Stubborn:
        async def on_data(self, session: Any, envelope: Any) -> Sink:
            try:
                await forever
            except CancelledError:
                await released
            return sink

    forever: Deferred[None] = Deferred()
    released: Deferred[None] = Deferred()
    sink = Sink()
    meeting = Meeting(Stubborn())
    meeting.says(meeting.hand(), OPENING)
    meeting.ends()
    released.callback(None)
    assert [type(end) for end in sink.ends] == [ConnectionLostError]


# -- sinks


def test_a_message_cut_short_is_aborted_once() -> None:
    """The client leaves within its mail data."""
    hooks = Recording()
    meeting = Meeting(hooks)
    meeting.says(meeting.hand(), OPENING + b"Subject: x\r\n")
    meeting.ends()
    (sink,) = hooks.sinks
    assert [type(end) for end in sink.ends] == [ConnectionLostError]


def test_a_message_that_is_being_taken_is_not_given_up_with_its_client() -> None:
    """S30: it was complete; whether it is taken is the sink's business (RFC 1047)."""
    cancelled = []
    finishing: Deferred[None] = Deferred(cancelled.append)
    hooks = Recording(finish=finishing)
    meeting = Meeting(hooks)
    hand = meeting.hand()
    assert codes(meeting.says(hand, WHOLE))[-1] == 354
    meeting.ends()
    assert not cancelled
    finishing.callback(None)
    assert hooks.sinks[0].ends == ["finished"]


def test_250_is_said_when_the_sink_has_finished_and_not_before() -> None:
    """The next transaction waits, too."""
    finishing: Deferred[Any] = Deferred()
    hooks = Recording(finish=finishing)
    meeting = Meeting(hooks)
    hand = meeting.hand()
    assert codes(meeting.says(hand, WHOLE + b"NOOP\r\n")) == [250, 250, 250, 354]
    finishing.callback(Reply.of(250, "2.0.0 kept"))
    meeting.network.settle()
    assert hand.heard.endswith(b"250 2.0.0 kept\r\n250 2.0.0 Ok\r\n")
    meeting.ends()


def test_a_sink_that_never_finishes_is_cancelled() -> None:
    """451; the client will try again."""
    cancelled = []
    hooks = Recording(finish=Deferred(cancelled.append))
    meeting = Meeting(hooks, timeouts=ServerTimeouts(mark=60))
    hand = meeting.hand()
    meeting.says(hand, WHOLE)
    meeting.waits(60)
    assert codes(hand.heard)[-1] == 451
    assert len(cancelled) == 1
    meeting.ends()


def test_a_sink_that_refuses_in_the_middle() -> None:
    """Its words come at the end of mail data; it is aborted, and never finished."""

    class Full(Sink):
        def write(self, data: bytes) -> None:
            raise SMTPRejection(452, "4.3.1", "Full")

    hooks = Recording(data=Full)
    meeting = Meeting(hooks)
    hand = meeting.hand()
    assert codes(meeting.says(hand, OPENING + b"x\r\n")) == [250, 250, 250, 354]
    assert codes(meeting.says(hand, b"y\r\n.\r\nNOOP\r\n")) == [452, 250]
    hand = meeting.hand()
    assert codes(meeting.says(hand, WHOLE))[-1] == 452
    meeting.ends()


def test_a_message_that_the_session_refuses_is_aborted() -> None:
    """Too big; and the sink hears why."""
    hooks = Recording()
    meeting = Meeting(hooks, max_size=10)
    hand = meeting.hand()
    assert codes(meeting.says(hand, OPENING + b"x" * 100 + b"\r\n.\r\n"))[-1] == 552
    (end,) = hooks.sinks[0].ends
    assert isinstance(end, SMTPRejection)
    assert end.reply.code == 552
    meeting.ends()


@pytest.mark.parametrize(
    "answer",
    ["text", 5, [None], Reply.of(250, "a\r\nb"), pytest.param(lambda: None, id="lambda")],
    ids=repr,
)
def test_an_answer_that_is_none_is_the_applications_fault(
    answer: Any, logged_failures: list[Any]
) -> None:
    """451 and a traceback; nothing of it reaches the wire."""
    meeting = Meeting(Recording(finish=answer))
    hand = meeting.hand()
    assert codes(meeting.says(hand, WHOLE))[-1] == 451
    assert len(logged_failures) == 1
    logged_failures.clear()
    meeting.ends()


def test_lmtp_answers_for_each_recipient() -> None:
    """None, a reply or a rejection for each, in order."""
    hooks = Recording(finish=[None, SMTPRejection(452, "4.2.2", "Full")])
    meeting = Meeting(hooks, lmtp=True)
    hand = meeting.hand()
    heard = meeting.says(hand, LMTP_OPENING + b"x\r\n.\r\n")
    assert codes(heard) == [250, 250, 250, 250, 354, 250, 452]
    meeting.ends()


# -- back-pressure


class Slow(Sink):
    """A sink that takes so much, and then wants to be asked again."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()


def test_a_slow_sink_makes_the_client_wait() -> None:
    """Mail data is neither lost nor heaped up; the transport is paused."""
    sink = Slow()
    meeting = Meeting(Recording(data=lambda: sink), max_size=None)
    hand = meeting.hand()
    body = b"x" * 998 + b"\r\n"
    meeting.says(hand, OPENING)
    meeting.says(hand, body * 1000 + b".\r\nNOOP\r\n")
    (link,) = meeting.network.links
    server = link.server.protocol
    assert len(sink.content) <= 65_536
    assert server._smtp.waiting_octets <= 3 * 65_536
    assert not sink.ends
    while sink.producer is not None:
        sink.producer.resumeProducing()
        meeting.network.settle()
    assert sink.content == body * 1000
    assert sink.ends == ["finished"]
    assert codes(hand.heard)[-2:] == [250, 250]
    meeting.ends()


def test_a_slow_hook_makes_the_client_wait() -> None:
    """What comes behind the command that it decides about is not heaped up."""
    decided: Deferred[None] = Deferred()
    meeting = Meeting(Recording(mail_from=lambda: decided), max_idle_commands=10**6)
    hand = meeting.hand()
    commands = b"EHLO me.test\r\nMAIL FROM:<s@x.test>\r\n" + b"NOOP\r\n" * 100_000
    meeting.says(hand, commands)
    (link,) = meeting.network.links
    assert link.server.protocol._smtp.waiting_octets <= 3 * 65_536
    decided.callback(None)
    meeting.network.settle()
    assert codes(hand.heard) == [220, 250, 250] + [250] * 100_000
    meeting.ends()


def test_a_sink_that_is_busy_for_too_long_is_given_up() -> None:
    """451 at the end of mail data, which is swallowed."""
    sink = Slow()
    meeting = Meeting(Recording(data=lambda: sink), timeouts=ServerTimeouts(mark=60))
    hand = meeting.hand()
    meeting.says(hand, OPENING + b"x\r\n")
    meeting.waits(60)
    assert [type(end) for end in sink.ends] == [DeadlineError]
    assert codes(meeting.says(hand, b"y\r\n.\r\nNOOP\r\n")) == [451, 250]
    meeting.ends()


@pytest.mark.parametrize("in_the_way", ["the client", "nothing"])
def test_a_sink_that_is_busy_holds_no_connection_for_ever(in_the_way: str) -> None:
    """Whichever time is up first: that of a client that reads nothing, or that of the sink."""
    sink = Slow()
    meeting = Meeting(Recording(data=lambda: sink))
    hand = meeting.hand()
    meeting.says(hand, OPENING + b"x\r\n")
    (link,) = meeting.network.links
    if in_the_way == "the client":
        link.server.protocol.pauseProducing()
    timeouts = meeting.factory.options.timeouts
    meeting.waits(timeouts.mark + timeouts.block)
    meeting.waits(timeouts.mark + timeouts.block)
    assert [type(end) for end in sink.ends] == [DeadlineError]
    assert meeting.factory.connections == 0
    meeting.ends()


class Unready(Slow):
    """A sink that is not ready for the first octet, or never will be."""

    def __init__(self, first: Any) -> None:
        super().__init__()
        self._first = first

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        self._first(producer)


def test_a_sink_that_is_not_ready_is_waited_for() -> None:
    """The client's time does not run meanwhile."""
    sink = Unready(lambda producer: producer.pauseProducing())
    meeting = Meeting(Recording(data=lambda: sink), timeouts=ServerTimeouts(mark=600, block=60))
    hand = meeting.hand()
    meeting.says(hand, OPENING + b"x\r\n.\r\n")
    meeting.waits(500)
    assert not sink.ends
    sink.producer.resumeProducing()
    meeting.network.settle()
    sink.producer.resumeProducing()
    meeting.network.settle()
    assert sink.ends == ["finished"]
    assert codes(hand.heard)[-1] == 250
    meeting.ends()


def _gives_up(producer: Any) -> None:
    producer.stopProducing()


def _fails(producer: Any) -> None:
    raise RuntimeError("no way in")


@pytest.mark.parametrize("first", [_gives_up, _fails])
def test_a_sink_that_takes_nothing_refuses_the_message(
    first: Any, logged_failures: list[object]
) -> None:
    """451 at the end of mail data, and the session goes on."""
    sink = Unready(first)
    meeting = Meeting(Recording(data=lambda: sink))
    hand = meeting.hand()
    assert codes(meeting.says(hand, OPENING + b"x\r\n.\r\nNOOP\r\n"))[-3:] == [354, 451, 250]
    assert len(sink.ends) == 1
    logged_failures.clear()
    meeting.ends()


def test_a_client_that_never_reads_is_not_answered_for_ever() -> None:
    """Its replies are held to what the transport holds, and then it is dropped."""
    network = MemoryNetwork(capacity=1000)
    meeting = Meeting(Recording(), network, max_idle_commands=10**6)
    hand = meeting.hand()
    (link,) = network.links
    hand.transport.pauseProducing()
    for _ in range(200):
        meeting.says(hand, b"HELP\r\n" * 1000)
    server = link.server.protocol
    assert server._output_blocked
    assert 0 < server._smtp.waiting_octets <= 3 * 65_536
    meeting.waits(server.factory.options.timeouts.block + 1)
    assert meeting.factory.connections == 0
    meeting.ends()


def test_the_time_to_read_begins_when_the_client_has_stopped_to() -> None:
    """However late the transport finds out that it holds too much."""
    timeouts = ServerTimeouts(block=30, command=300)
    meeting = Meeting(Recording(), timeouts=timeouts)
    meeting.hand()
    (link,) = meeting.network.links
    meeting.waits(100)
    link.server.protocol.pauseProducing()
    meeting.waits(29)
    assert meeting.factory.connections == 1
    meeting.waits(1)
    assert meeting.factory.connections == 0
    meeting.ends()


def test_nothing_hurts_a_connection_that_is_gone() -> None:
    """Whatever a transport, a factory or a hook may still have to say to it."""
    late, answer = later()
    meeting = Meeting(Recording(mail_from=answer))
    hand = meeting.hand()
    meeting.says(hand, b"EHLO me.test\r\nMAIL FROM:<s@x.test>\r\n")
    (link,) = meeting.network.links
    server = link.server.protocol
    link.reset()
    meeting.network.settle()
    for call in (
        server.pauseProducing,
        server.resumeProducing,
        server.stopProducing,
        server.handshakeCompleted,
        server.writeConnectionLost,
        server.shut_down,
        server.abort,
    ):
        call()
    late.addErrback(lambda failure: failure.trap(CancelledError) and None)
    meeting.waits(10**6)
    assert meeting.factory.connections == 0


def test_a_client_that_reads_again_gets_the_rest() -> None:
    """Every command is answered once, in order."""
    network = MemoryNetwork(capacity=1000)
    meeting = Meeting(Recording(), network, max_idle_commands=10**6)
    hand = meeting.hand()
    hand.transport.pauseProducing()
    meeting.says(hand, b"HELP\r\n" * 20_000 + b"QUIT\r\n")
    hand.transport.resumeProducing()
    meeting.network.settle()
    assert codes(hand.heard) == [220] + [214] * 20_000 + [221]


# -- the end of a connection


def test_on_close_that_fails_hurts_nobody(logged_failures: list[Any]) -> None:
    """It is logged; cleanups run all the same, the last added first."""
    hooks = Recording(close=RuntimeError("x"))
    meeting = Meeting(hooks)
    meeting.hand()
    order: list[int] = []
    hooks.sessions[0].add_cleanup(lambda: order.append(1))
    hooks.sessions[0].add_cleanup(lambda: order.append(2))
    meeting.ends()
    assert order == [2, 1]
    assert len(logged_failures) == 1
    logged_failures.clear()


def test_what_hooks_see_of_a_client() -> None:
    """Its address and its claims, and a place for the application that outlives RSET."""
    hooks = Recording()
    meeting = Meeting(hooks)
    hand = meeting.hand()
    (session,) = hooks.sessions
    assert session.remote_address == "127.0.0.1"
    session.data["seen"] = True
    meeting.says(hand, b"EHLO me.test\r\nRSET\r\nMAIL FROM:<s@x.test>\r\n")
    assert session.data == {"seen": True}
    assert session.hello_name == "me.test"
    assert (session.protocol, session.secure, session.identity, session.tls) == (
        "ESMTP",
        False,
        None,
        None,
    )
    assert session.id in repr(session)
    meeting.ends()
