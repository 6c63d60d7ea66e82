"""PRDR in the server: the sink answers for each recipient, and the client hears it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.hand import LMTP_OPENING, Meeting, Recording, codes
from txsmtpconn.server import SMTPRejection, simple_server
from txsmtpconn.testing import MemoryNetwork
from txsmtpconn.wire.reply import Reply

NO = SMTPRejection(550, "5.7.1", "Not for me")
LATER = SMTPRejection(450, "4.2.0", "Later")
OPENING = LMTP_OPENING.replace(b"LHLO", b"EHLO").replace(b"x.test>", b"x.test> PRDR")


def talk(answer: Any, opening: bytes = OPENING, **options: Any) -> tuple[list[int], Recording]:
    """Send a message whose sink has this answer; return the codes that follow the 354."""
    hooks = Recording(finish=answer)
    meeting = Meeting(hooks, promises=["PRDR"], **options)
    hand = meeting.hand()
    heard = codes(meeting.says(hand, opening))
    if heard[-1] != 354:
        return heard, hooks
    heard = codes(meeting.says(hand, b"x\r\n.\r\n"))
    # The session goes on where it should.
    assert codes(meeting.says(hand, b"MAIL FROM:<>\r\n")) == [250]
    meeting.ends()
    return heard, hooks


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ([None, None], [353, 250, 250, 250]),
        ([None, NO], [353, 250, 550, 250]),
        ([LATER, NO], [353, 450, 550, 450]),
        ([NO, NO], [353, 550, 550, 554]),
        (None, [250]),
        (Reply.of(250, "2.0.0 Mine"), [250]),
        (NO, [550]),
    ],
    ids=repr,
)
def test_the_answers_of_a_sink(answer: Any, heard: list[int]) -> None:
    """Each recipient's, in order, and one for the message; or one for all, as ever."""
    assert talk(answer)[0] == heard


@pytest.mark.parametrize("answer", [[None], [None, None, None]])
def test_too_few_answers_or_too_many(answer: Any, logged_failures: list[Any]) -> None:
    """They cannot be told whose is whose: nobody has the message."""
    assert talk(answer)[0] == [451]
    assert len(logged_failures) == 1
    logged_failures.clear()


def test_the_sink_knows_whether_it_was_asked_for(logged_failures: list[Any]) -> None:
    """By the envelope; where it was not, a list of answers is a mistake of the sink's."""
    _, hooks = talk(None)
    (envelope,) = (asked[1] for asked in hooks.asked if asked[0] == "data")
    assert envelope.prdr
    heard, hooks = talk([None, NO], OPENING.replace(b" PRDR", b""))
    assert heard == [451]
    (envelope,) = (asked[1] for asked in hooks.asked if asked[0] == "data")
    assert not envelope.prdr
    assert len(logged_failures) == 1
    logged_failures.clear()


def test_one_recipient_needs_one_reply() -> None:
    """There is nobody to tell apart."""
    assert talk([NO], OPENING.replace(b"RCPT TO:<b@y.test>\r\n", b""))[0] == [550]


def test_lmtp_has_its_own_way() -> None:
    """PRDR is not offered there, and its parameter is not known."""
    assert talk([None, NO], LMTP_OPENING, lmtp=True)[0] == [250, 550]
    opening = LMTP_OPENING.replace(b"x.test>", b"x.test> PRDR")
    assert talk(None, opening, lmtp=True)[0] == [250, 555, 503, 503, 503]


def test_it_is_offered_where_it_is_promised() -> None:
    """And is unknown elsewhere."""
    for promises, code in (["PRDR"], 250), ([], 555):
        meeting = Meeting(None, promises=promises)
        hand = meeting.hand()
        assert (b"PRDR" in meeting.says(hand, b"EHLO me.test\r\n")) is (code == 250)
        assert codes(meeting.says(hand, b"MAIL FROM:<> PRDR\r\n")) == [code]
        meeting.ends()


@pytest.mark.parametrize("answers", [[None, NO], [NO, NO]])
def test_our_client_and_our_server(answers: list[Any]) -> None:
    """What the sink says of each recipient is what the sender is told of each."""
    from txsmtpconn import Envelope, SMTPError, connect

    async def receive(message: Any) -> Any:
        await message.read()
        return answers

    network = MemoryNetwork()
    factory = simple_server(network.clock, receive, name="mx.test", promises=["PRDR"])
    network.listen(factory)

    async def send() -> list[str]:
        connection = await connect(network.clock, endpoint=network.client_endpoint())
        envelope = Envelope("s@x.test", ["a@y.test", "b@y.test"], prdr=True)
        try:
            recipients = (await connection.send(envelope, b"hello\r\n")).recipients
        except SMTPError as error:
            recipients = error.recipients
        await connection.quit()
        return [outcome.delivery.name for outcome in recipients]

    from twisted.internet.defer import Deferred

    expected = ["REJECTED" if answer is NO else "ACCEPTED" for answer in answers]
    assert network.result_of(Deferred.fromCoroutine(send())) == expected
