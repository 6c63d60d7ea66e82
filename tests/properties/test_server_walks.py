"""Random walks of a client and an application through a server session."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.session.server_talk import LATER, Client
from txsmtpconn.session.dialect import LMTP, SMTP
from txsmtpconn.session.server import events
from txsmtpconn.session.server.rules import DEFAULT_EXTENSIONS, PROMISES, BareLineEnds
from txsmtpconn.session.server.tables import Reading
from txsmtpconn.wire.attributes import XCLIENT, XFORWARD
from txsmtpconn.wire.reply import Reply

NO = Reply.of(550, "5.0.0 No")
ENVELOPE = b"RSET\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<c@y.test>\r\n"
SAYINGS = [
    *(ENVELOPE, ENVELOPE + b"DATA\r\n", ENVELOPE + b"BDAT 2\r\nab", b"EHLO a\r\n", b"LHLO a\r\n"),
    *(b"MAIL FROM:<>", b" SMTPUTF8", b" BODY=BINARYMIME", b" NOTIFY=NEVER", b"\r\n", b"\r", b"\n"),
    *(b"DATA\r\n", b".\r\n", b"\r\n.\r\n", b"BDAT 5\r\n", b"BDAT 3 LAST\r\n", b"BDAT 0 LAST\r\n"),
    *(
        b"AUTH PLAIN\r\n",
        b"AUTH LOGIN QQ==\r\n",
        b"*\r\n",
        b"QQ==\r\n",
        b"STARTTLS\r\n",
        b"NOOP\r\n",
        b"XCLIENT ADDR=192.0.2.7\r\n",
        b"XFORWARD NAME=c.test\r\n",
    ),
    *(b"abc", b"\0", b"\xff", b"x" * 5000, b"QUIT\r\n"),
]


def walk(random: Random) -> Client:
    """Let chance choose the server, and what either side does."""

    def decide(event: events.Event) -> Any:
        if isinstance(event, (events.Connected, events.Secured)):
            return None
        return random.choices([None, NO, LATER], [8, 1, 1])[0]

    client = Client(
        decide,
        dialect=random.choice([SMTP, LMTP]),
        starttls=True,
        auth_mechanisms=("PLAIN", "LOGIN"),
        allow_insecure_auth=True,
        extensions=DEFAULT_EXTENSIONS | PROMISES,
        xclient=random.choice([(), XCLIENT]),
        xforward=XFORWARD,
        max_messages=random.choice([None, 3]),
        max_recipient_domains=random.choice([None, 1]),
        max_size=random.choice([None, 20]),
        max_line=random.choice([None, 9]),
        bare_line_ends=random.choice(list(BareLineEnds)),
    )
    session = client.session
    client.says(session.rules.dialect.hello + b" me.test\r\n")
    for _ in range(random.randrange(40)):
        if isinstance(session.question, (events.AuthStarted, events.AuthContinued)):
            if random.random() < 0.5:
                session.challenge(b"x", client.now)
            else:
                session.authenticated("u", client.now)
            client.hears()
        elif session.question is not None and random.random() < 0.6:
            client.answers(random.choice([None, NO]))
        chance = random.random()
        if chance < 0.03:
            client.waits(random.choice([1, 200, 400]))
        elif chance < 0.04:
            session.shut_down(client.now)
        elif chance < 0.05:
            session.input_ended()
        elif session.reading is Reading.HANDSHAKE:
            session.tls_established(client.now)
        else:
            client.says(random.choice(SAYINGS), cut=random.choice([0, 0, 1, 3]))
        client.hears()
    return client


@pytest.mark.parametrize("seed", range(20))
def test_every_message_that_is_begun_comes_to_one_end(seed: int) -> None:
    """`DataStarted`, data, and then one of `DataEnded` and `DataRefused`, if the client stays.

    And nothing that a client does makes the session raise.
    """
    random = Random(seed)
    for _ in range(25):
        client = walk(random)
        state = "idle"
        for event in client.events:
            match event:
                case events.DataStarted():
                    assert state in ("idle", "asked")
                    state = "asked"
                case events.DataReceived():
                    assert state in ("asked", "open")
                    state = "open"
                case events.DataEnded() | events.DataRefused():
                    assert state in ("asked", "open")
                    state = "idle"
                case events.MailReceived():
                    assert state in ("idle", "asked")
                    state = "idle"
                case _:
                    pass
        assert not (client.session.closing and state == "open")
