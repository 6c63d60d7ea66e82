"""The ground of a server session: its state, what it says, how it greets and how it leaves.

`intake` adds mail data to this, `introduction` clients that speak for others, `commands` the
commands, and `session` inputs, outputs and time: five layers of one state machine, each of which
knows only those below it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from txsmtpconn.session.server import replies
from txsmtpconn.session.server.caps import DataPace, Tally
from txsmtpconn.session.server.data import MailData
from txsmtpconn.session.server.events import (
    Connected,
    DataRefused,
    Event,
    Question,
    Secured,
)
from txsmtpconn.session.server.lines import Backlog
from txsmtpconn.session.server.rules import ServerRules
from txsmtpconn.session.server.tables import Phase, Reading
from txsmtpconn.session.server.transaction import IncomingTransaction
from txsmtpconn.session.trace import Direction, Trace
from txsmtpconn.wire.attributes import Attributes
from txsmtpconn.wire.chunking import ChunkReader
from txsmtpconn.wire.reply import Reply


def refuses(reply: Reply) -> bool:
    """Tell whether an answer is a refusal."""
    return reply.code >= 400


_RENDERED = replies.RENDERED

_NOTHING_TOLD: Attributes = MappingProxyType({})
_NO_CHUNK = ChunkReader(0)

# Looked at for each message: to find them in their class takes longer.
_HELLO: Final = Phase.HELLO
_READY: Final = Phase.READY

Reads = Mapping[Reading, Callable[[Any, float], bool]]
Answered = Mapping[type, Callable[[Any, Any, Reply | None, float], None]]


class ServerDialogue:
    """What a server session knows and says."""

    # Slots, and nothing in the class instead: CPython 3.11 finds a slot at once, what stands in the
    # class or beyond the thirtieth attribute of an instance each time anew.
    __slots__ = (
        "_backlog",
        "_chunk",
        "_chunk_last",
        "_chunk_refusal",
        "_consents",
        "_draining",
        "_facts",
        "_greet_at",
        "_greeted",
        "_mail_data",
        "_moved",
        "_out",
        "_pace",
        "_quit_said",
        "_refusal",
        "_secrets_follow",
        "_tally",
        "_trace",
        "_transaction",
        "closing",
        "extended",
        "forwarded",
        "hello_name",
        "identity",
        "introduced",
        "phase",
        "question",
        "reading",
        "rules",
        "secure",
    )

    def __init__(
        self,
        rules: ServerRules,
        *,
        consents: frozenset[type[Question]] = frozenset(),
        trace: Trace | None = None,
    ) -> None:
        self.rules = rules
        self.phase = Phase.HELLO
        self.reading = Reading.GREETING
        self.secure = False
        self.identity: str | None = None
        self.hello_name = ""
        self.extended = False
        self.question: Question | None = None
        self.closing = False
        # What XCLIENT has told of the client, and XFORWARD of the next message's.
        self.introduced = _NOTHING_TOLD
        self.forwarded = _NOTHING_TOLD
        self._consents = consents
        self._trace = trace
        self._secrets_follow = False  # what is no command may be somebody's response to AUTH
        self._tally = Tally(rules)
        self._backlog = Backlog()
        self._facts: deque[Event] = deque()
        self._out: list[bytes] = []
        self._transaction: IncomingTransaction | None = None
        self._mail_data: MailData | None = None
        self._pace: DataPace | None = None
        self._chunk = _NO_CHUNK
        self._chunk_last = False
        self._chunk_refusal: Reply | None = None  # for a chunk out of place, due at its end
        self._refusal: Reply | None = None  # for whatever command comes next; then the end
        self._greeted = False
        self._greet_at = 0.0
        self._draining = False
        self._quit_said = False
        self._moved = False  # whether anything happened since the timeout began

    # -- saying

    def _say(self, reply: Reply) -> None:
        octets = _RENDERED.get(id(reply)) or reply.encode()
        if self._trace is not None:
            for line in octets.split(b"\r\n")[:-1]:
                self._trace(Direction.RECEIVED, line, False)
        self._out.append(octets)

    def _refuse(self, reply: Reply) -> None:
        """Say no, and count it; 421 ends the session whoever said it (RFC 5321 section 3.8)."""
        farewell = reply if reply.code == 421 else self._tally.error()
        if farewell is not None:
            self._show_out(farewell)
        else:
            self._say(reply)

    def _show_out(self, reply: Reply) -> None:
        """Say the last words."""
        if self.reading is not Reading.NOTHING:
            self._say(reply)
            self._leave()

    def _leave(self) -> None:
        """Read nothing more; the connection closes when all is written."""
        self._end_transaction()
        self.reading = Reading.NOTHING
        self.closing = True
        self.question = None
        self._backlog.clear()
        self._moved = True

    def _ask(self, question: Question) -> None:
        self.question = question
        self._facts.append(question)

    def _end_transaction(self) -> None:
        """Forget the mail transaction; the session stands where a hello left it."""
        mail_data = self._mail_data
        if mail_data is not None and not mail_data.abandoned:
            self._facts.append(DataRefused(mail_data.refusal or replies.ABANDONED))
        self._transaction = self._mail_data = self._pace = None
        if self.forwarded:
            self.forwarded = _NOTHING_TOLD
        if self.phase is not _HELLO:
            self.phase = _READY

    # -- the greeting

    def _connected(self, question: Connected, reply: Reply | None, now: float) -> None:
        if reply is not None and refuses(reply):
            # RFC 5321 section 4.3.2: a greeting is 220, 554 or 421, where it is ours to choose.
            self._show_out(replies.NO_SERVICE if reply is replies.LOCAL_ERROR else reply)
        elif self.secure and Secured not in self._consents:
            self._ask(Secured())
        else:
            self._greet(now)

    def _secured(self, question: Secured, reply: Reply | None, now: float) -> None:
        if self._greeted:
            # After STARTTLS it is the client's turn: a refusal waits for its first command.
            self._refusal = reply if reply is not None and refuses(reply) else None
        elif reply is not None and refuses(reply):
            self._show_out(reply)
        else:
            self._greet(now)

    def _greet(self, now: float) -> None:
        """Greet, unless the client has talked already or is to be given time to."""
        rules = self.rules
        if len(self._backlog):
            self._show_out(replies.TALKED_TOO_SOON)
            return
        if now < self._greet_at:
            return
        protocol = "LMTP" if rules.dialect.reply_per_recipient else "ESMTP"
        self._say(Reply.of(220, f"{rules.name} {protocol} {rules.banner}".rstrip()))
        self._greeted = True
        self.reading = Reading.COMMANDS

    def _not_now(self, now: float) -> bool:
        """Read nothing: it is not for us, or not yet."""
        return False

    #: What comes next -> who reads it from the front of the backlog; False if it is not all there.
    READS: ClassVar[Reads] = dict.fromkeys(
        (Reading.GREETING, Reading.HANDSHAKE, Reading.NOTHING), _not_now
    )

    #: A question -> who acts on its answer; each layer adds its own.
    ANSWERED: ClassVar[Answered] = {Connected: _connected, Secured: _secured}
