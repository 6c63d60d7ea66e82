"""How a server session takes mail data: DATA, BDAT, and who answers for the message at its end."""

from __future__ import annotations

from typing import ClassVar, Final

from txsmtpconn.session.server import replies
from txsmtpconn.session.server.caps import DataPace
from txsmtpconn.session.server.data import MailData
from txsmtpconn.session.server.dialogue import Answered, Reads, ServerDialogue, refuses
from txsmtpconn.session.server.events import (
    DataEnded,
    DataReceived,
    DataRefused,
    DataStarted,
)
from txsmtpconn.session.server.tables import Phase, Reading
from txsmtpconn.session.trace import Direction
from txsmtpconn.wire import commands
from txsmtpconn.wire.chunking import ChunkReader
from txsmtpconn.wire.reply import Reply

# Set for each message: to find them in their class takes longer.
_COMMANDS: Final = Reading.COMMANDS
_DATA: Final = Reading.DATA
_CHUNK: Final = Reading.CHUNK


class MailDataIntake(ServerDialogue):
    """Mail data from the agreement to take it up to the final reply."""

    __slots__ = ()

    def _begin_chunk(self, command: commands.Bdat, now: float) -> None:
        self._pace = DataPace(self.rules, now)
        self._chunk = ChunkReader(command.size)
        self._chunk_last = command.last
        self.reading = Reading.CHUNK

    def _swallow_chunk(self, command: commands.Bdat, reply: Reply, now: float) -> None:
        """Refuse a chunk out of place: its octets come all the same (RFC 3030 section 2)."""
        self._begin_chunk(command, now)
        self._chunk_refusal = reply

    def _data_answered(self, question: DataStarted, reply: Reply | None, now: float) -> None:
        assert self._transaction is not None
        chunked = self.reading is _CHUNK
        if reply is not None and refuses(reply):
            if chunked:
                self._chunk_refusal = reply
            else:
                self._refuse(reply)
            return
        self._mail_data = MailData(self.rules, binary=self._transaction.binary)
        self._pace = DataPace(self.rules, now)
        if chunked:
            self.phase = Phase.CHUNKS
            refusal = self.rules.size_refusal(self._chunk.remaining)
            if refusal is not None:
                self._mail_data.refuse(refusal)
        else:
            self.reading = _DATA
            self._say(reply or replies.SEND_DATA)

    def _end_chunk(self) -> None:
        self.reading = Reading.COMMANDS
        mail_data, refusal = self._mail_data, self._chunk_refusal
        if mail_data is not None and refusal is None:
            if self._chunk_last:
                self._finish_data(mail_data)
                return
            refusal = mail_data.refusal
        if refusal is None:
            self._say(replies.OK)
            return
        # RFC 3030 section 2: a chunk that fails makes its transaction fail. The last one is the end
        # of the mail data all the same, and who expects a reply for each recipient gets it, if
        # there are none no reply (RFC 2033 section 4.3).
        self._chunk_refusal = None
        if self._chunk_last:
            self._end_data([refusal] * self._final_replies())
        else:
            self._end_transaction()
            self._refuse(refusal)

    def _finish_data(self, mail_data: MailData) -> None:
        """The mail data is complete: ask who takes it, or say why nobody does."""
        self.reading = _COMMANDS
        rest = mail_data.finish()
        if rest:
            self._facts.append(DataReceived(rest))
        if mail_data.refusal is None:
            mail_data.abandoned = True
            self._ask(DataEnded())
        else:
            self._end_data([mail_data.refusal] * self._final_replies())

    def _final_replies(self) -> int:
        if self._transaction is None or not self.rules.dialect.reply_per_recipient:
            return 1
        return len(self._transaction.recipients)

    def _data_ended(self, question: DataEnded, reply: Reply | None, now: float) -> None:
        self._end_data([reply or replies.MESSAGE_OK] * self._final_replies())

    def _end_data(self, answers: list[Reply]) -> None:
        """Say who took the message; a farewell waits until the last recipient has its reply."""
        self._end_transaction()
        taken = leaving = False
        for answer in answers:
            self._say(answer)
            code = answer.code
            if code < 400:
                taken = True
            elif code == 421:
                leaving = True
        if leaving:
            self._leave()
        elif taken:
            self._tally.message()
        else:
            refused_too_often = self._tally.error()
            if refused_too_often is not None:
                self._show_out(refused_too_often)
        if self._draining:
            self._show_out(replies.SHUTTING_DOWN)

    def _read_data(self, now: float) -> bool:
        octets = self._backlog.take_all()
        mail_data = self._mail_data
        if not octets or mail_data is None:
            return False
        if self._pace is not None:
            self._pace.octets += len(octets)
        self._hand_on(mail_data, mail_data.receive_data(octets))
        if mail_data.ended:
            if mail_data.remainder:
                self._backlog.put_back(mail_data.remainder)
            self._finish_data(mail_data)
            if mail_data.refusal is replies.BARE_LINE_END:
                # What follows may have been meant for someone who saw the end elsewhere.
                self._leave()
        return True

    def _read_chunk(self, now: float) -> bool:
        chunk, mail_data = self._chunk, self._mail_data
        octets = self._backlog.take(chunk.remaining)
        if not octets and not chunk.finished:
            return False
        chunk.feed(octets)
        if self._pace is not None:
            self._pace.octets += len(octets)
        if mail_data is not None and self._chunk_refusal is None:
            last = chunk.finished and self._chunk_last
            self._hand_on(mail_data, mail_data.receive_chunk(octets, last=last))
        if chunk.finished:
            self._end_chunk()
        return True

    def _hand_on(self, mail_data: MailData, content: bytes) -> None:
        if content:
            if self._trace is not None:
                self._trace(Direction.CONTENT, content, False)
            self._facts.append(DataReceived(content))
        elif mail_data.refusal is not None and not mail_data.abandoned:
            mail_data.abandoned = True
            self._facts.append(DataRefused(mail_data.refusal))

    READS: ClassVar[Reads] = {
        **ServerDialogue.READS,
        Reading.DATA: _read_data,
        Reading.CHUNK: _read_chunk,
    }

    ANSWERED: ClassVar[Answered] = {
        **ServerDialogue.ANSWERED,
        DataStarted: _data_answered,
        DataEnded: _data_ended,
    }
