"""The two sessions as fuzz targets: any octets from the peer, whatever was asked for before.

A session never raises for what the peer did; each operation ends once, and the end of the session
is the last that is heard of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.session.server_talk import AUTH_QUESTIONS, Client
from txsmtpconn.envelope import Envelope
from txsmtpconn.session.client.events import (
    BodyWanted,
    ChallengeReceived,
    Event,
    OperationEnded,
    SessionEnded,
    TLSAgreed,
    TransactionEnded,
    WordsAnswered,
)
from txsmtpconn.session.client.policy import Chunking, Pipelining, Security
from txsmtpconn.session.client.session import ClientSession
from txsmtpconn.session.client.tables import State
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.client.transaction import (
    Authenticate,
    Noop,
    Operation,
    OwnWords,
    Quit,
    Reset,
    Transaction,
)
from txsmtpconn.session.dialect import LMTP, SMTP
from txsmtpconn.session.server import events as server_events
from txsmtpconn.session.server.tables import Reading
from txsmtpconn.wire.limits import ReplyLimits

_LIMITS = ReplyLimits(line=256, lines=16, total=1024)


class _Caller:
    """Asks a client session for things, and holds it to its contract."""

    def __init__(self, choices: int) -> None:
        terms = Terms(
            name=b"me.test",
            dialect=LMTP if choices & 1 else SMTP,
            security=Security.OPPORTUNISTIC if choices & 2 else Security.OFFERED,
            pipelining=[Pipelining.FULL, Pipelining.TRANSACTION, Pipelining.OFF][choices % 3],
            chunking=Chunking.ALWAYS if choices & 4 else Chunking.AUTO,
            limits=_LIMITS,
        )
        self.session = ClientSession(terms)
        streamed = None if choices & 8 else b"three\r\n"
        self.operations: list[Operation] = [
            *([Authenticate("PLAIN", b"x")] if choices & 16 else []),
            *([OwnWords("X", b"AUTH X c2VjcmV0\r\n")] if choices & 64 else []),
            Transaction(Envelope("", ["a@x.test", "b@x.test"]), b"one\r\n"),
            Noop(),
            Transaction(Envelope("s@x.test", ["a@x.test"]), b"two\r\n.\r\n"),
            Transaction(Envelope("t@x.test", ["c@x.test"]), streamed, hold=bool(choices & 32)),
            Reset(),
            Quit(),
        ]
        self.ended: list[Operation] = []
        self.over = False
        self.heed(self.session.connection_made(0.0))
        for operation in self.operations:
            self.heed(self.session.submit(operation))

    def heed(self, events: Sequence[Event]) -> None:
        """Act on events as the glue does."""
        for event in events:
            assert not self.over, "an event after the end"
            match event:
                case TransactionEnded(transaction):
                    self.ended.append(transaction)
                    assert len(transaction.outcomes()) == len(transaction.envelope.recipients)
                case OperationEnded(operation):
                    self.ended.append(operation)
                case SessionEnded(cause):
                    self.over = True
                    assert cause is None or str(cause).isprintable() or "\n" in str(cause)
                case ChallengeReceived():
                    self.heed(self.session.respond(b"y"))
                case WordsAnswered(operation, reply):
                    assert isinstance(operation, OwnWords)
                    if reply.code % 3:
                        self.session.say(operation, b"XMORE\r\n")
                    else:
                        succeeded = reply.is_positive
                        self.heed(self.session.conclude(operation, succeeded=succeeded))
                case BodyWanted(transaction):
                    self.heed(self.session.send_body(transaction, b"\n.\nstream", 0.0))
                    self.heed(self.session.end_body(transaction, 0.0))
                case TLSAgreed():
                    self.heed(self.session.tls_established(0.0, verified=True))
        self.session.data_to_send(0.0)


def client_session(octets: bytes) -> None:
    """Let any octets come from a server, cut anywhere, and then the connection end."""
    if not octets:
        return
    step, data = octets[0] % 16 + 1, octets[2:]
    caller = _Caller(octets[1] if len(octets) > 1 else 0)
    for at in range(0, len(data), step):
        caller.heed(caller.session.receive_data(data[at : at + step], 0.0))
    caller.heed(caller.session.connection_lost(None, 0.0))
    assert caller.over
    assert caller.session.state is State.CLOSED
    assert sorted(map(id, caller.ended)) == sorted(map(id, caller.operations))


def server_session(octets: bytes) -> None:
    """Let any octets come from a client, cut anywhere; the application answers at once."""
    if not octets:
        return
    choices, data = octets[0], octets[1:]
    client = Client(
        dialect=LMTP if choices & 1 else SMTP,
        starttls=bool(choices & 2),
        auth_mechanisms=("PLAIN", "LOGIN") if choices & 4 else (),
        allow_insecure_auth=True,
        max_size=64,
    )
    session = client.session
    for at in range(0, len(data), choices % 16 + 1):
        if session.reading is Reading.HANDSHAKE:
            session.tls_established(client.now)
            client.hears()
        client.says(data[at : at + choices % 16 + 1])
        if isinstance(session.question, AUTH_QUESTIONS):
            session.authenticated("u", client.now)
            client.hears()
    session.input_ended()
    client.hears()
    started = len(client.seen(server_events.DataStarted))
    assert 0 <= started - len(client.messages) - len(client.refused) <= 1


_OFFER = b"250-peer\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SIZE 99\r\n250 STARTTLS\r\n"
_CLEAR = b"250-peer\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"
_MAIL = b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n250 taken\r\n250 ok\r\n"

#: Each target with inputs to start from.
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "client_session": (
        client_session,
        [
            b"\x0f\x00220 peer\r\n" + _CLEAR + _MAIL * 2 + b"221 bye\r\n",
            b"\x03\x04220 peer\r\n" + _OFFER + b"220 go\r\n" + _OFFER + _MAIL * 3,
            b"\x0f\x10220 peer\r\n" + _CLEAR + b"334 eA==\r\n235 ok\r\n" + _MAIL,
            b"\x0f\x01220 peer\r\n" + _CLEAR + _MAIL + b"451 later\r\n" * 3,
            b"\x0f\x08421 busy\r\n",
        ],
    ),
    "server_session": (
        server_session,
        [
            b"\x0eEHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n..y\r\n.\r\nQUIT\r\n",
            b"\x0fLHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\n",
            b"\x06EHLO a\r\nAUTH PLAIN AHUAcA==\r\nSTARTTLS\r\nEHLO b\r\nRSET\r\nVRFY x\r\n",
        ],
    ),
}
