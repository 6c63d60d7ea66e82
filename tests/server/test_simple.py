"""A server in a few lines: a function, a message and its stream."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.server.hand import OPENING, Meeting, codes
from txsmtpconn import SMTPRejection, simple_server
from txsmtpconn.errors import ConfigError, ConnectionLostError
from txsmtpconn.server import IncomingMessage
from txsmtpconn.testing import MemoryNetwork


def serve(handler: Any, **options: Any) -> tuple[Any, Meeting]:
    """Return a client, and the server that is one function."""
    network = MemoryNetwork()
    meeting = Meeting(network=network)
    options.setdefault("name", "mx.test")
    meeting.factory = simple_server(network.clock, handler, **options)
    network._ports.clear()
    network.listen(meeting.factory)
    return meeting.hand(), meeting


def test_a_function_is_given_each_message() -> None:
    """Its envelope, its session and its octets; returning accepts."""
    taken = []

    async def receive(message: IncomingMessage) -> None:
        body = await message.read()
        taken.append((message.envelope.mail_from, message.session.hello_name, body))

    hand, meeting = serve(receive)
    heard = meeting.says(hand, OPENING + b"one\r\n.\r\n" + OPENING + b"two\r\n.\r\n")
    assert codes(heard) == [250, 250, 250, 354, 250] * 2
    assert taken == [("s@x.test", "me.test", b"one\r\n"), ("s@x.test", "me.test", b"two\r\n")]
    meeting.ends()


def test_a_plain_function_may_accept_or_reject() -> None:
    """Without reading a word of the message."""
    hand, meeting = serve(lambda message: None)
    assert codes(meeting.says(hand, OPENING + b"x\r\n.\r\n"))[-1] == 250
    meeting.ends()

    def refuse(message: IncomingMessage) -> None:
        raise SMTPRejection(550, "5.7.1", "No")

    hand, meeting = serve(refuse)
    assert codes(meeting.says(hand, OPENING + b"NOOP\r\n"))[-2:] == [550, 250]
    meeting.ends()


def test_a_message_is_streamed_and_the_client_waits() -> None:
    """Not more of it comes than was asked for and fits the buffers."""
    message: list[IncomingMessage] = []
    done: Deferred[None] = Deferred()

    def receive(incoming: IncomingMessage) -> Deferred[None]:
        message.append(incoming)
        return done

    hand, meeting = serve(receive, max_size=None)
    meeting.says(hand, OPENING)
    body = b"x" * 998 + b"\r\n"
    meeting.says(hand, body * 5000 + b".\r\n")
    assert message[0].stream.octets <= 256 * 1024

    received = message[0].read()
    meeting.network.settle()
    results: list[bytes] = []
    received.addCallback(results.append)
    assert results == [body * 5000]
    assert codes(hand.heard)[-1] == 354
    done.callback(None)
    meeting.network.settle()
    assert codes(hand.heard)[-1] == 250
    meeting.ends()


@pytest.mark.parametrize("when", ["while reading", "behind the end"])
def test_a_rejection_from_the_function_is_the_reply(when: str) -> None:
    """Also when there is more of the message to come: the rest is swallowed."""

    async def receive(message: IncomingMessage) -> None:
        async for chunk in message.stream:
            if when == "while reading":
                raise SMTPRejection(552, "5.3.4", f"{len(chunk)} are too many")
        raise SMTPRejection(554, "5.6.0", "No")

    hand, meeting = serve(receive)
    meeting.says(hand, OPENING)
    meeting.says(hand, b"x\r\n")
    assert codes(meeting.says(hand, b"y\r\n.\r\nNOOP\r\n")) == [
        552 if when == "while reading" else 554,
        250,
    ]
    meeting.ends()


def test_a_function_that_reads_hears_of_a_client_that_left() -> None:
    """The iteration raises; the message is never taken for a whole one."""
    ends = []

    async def receive(message: IncomingMessage) -> None:
        try:
            await message.read()
            ends.append("whole")
        except ConnectionLostError:
            ends.append("lost")
            raise

    hand, meeting = serve(receive)
    meeting.says(hand, OPENING + b"x\r\n")
    meeting.ends()
    assert ends == ["lost"]


def test_a_function_that_waits_elsewhere_is_cancelled() -> None:
    """Its client has left; there is nobody to wait for."""
    ends = []

    async def receive(message: IncomingMessage) -> None:
        try:
            await Deferred()
        except CancelledError:
            ends.append("cancelled")
            raise

    hand, meeting = serve(receive)
    meeting.says(hand, OPENING + b"x\r\n")
    meeting.ends()
    assert ends == ["cancelled"]


def test_a_function_that_fails_is_451(logged_failures: list[Any]) -> None:
    """With its traceback in the log, once."""

    async def receive(message: IncomingMessage) -> None:
        await message.read()
        raise RuntimeError("x")

    hand, meeting = serve(receive)
    assert codes(meeting.says(hand, OPENING + b"x\r\n.\r\n"))[-1] == 451
    assert len(logged_failures) == 1
    logged_failures.clear()
    meeting.ends()


def test_hooks_may_be_given_by_name() -> None:
    """Beside the options; anything else is refused."""

    def on_rcpt_to(session: Any, address: str, parameters: Any) -> None:
        raise SMTPRejection(550, "5.1.1", "No such user")

    hand, meeting = serve(lambda message: None, on_rcpt_to=on_rcpt_to)
    assert codes(meeting.says(hand, OPENING)) == [250, 250, 550, 503]
    meeting.ends()
    with pytest.raises(TypeError):
        simple_server(meeting.network.clock, lambda message: None, on_rcpt=on_rcpt_to)
    with pytest.raises(ConfigError):
        simple_server(meeting.network.clock, lambda message: None, max_size=0)
