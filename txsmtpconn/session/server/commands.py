"""What each command does in a server session, and what each answer of the application does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from txsmtpconn.session.server import replies
from txsmtpconn.session.server.dialogue import Answered, Reads, refuses
from txsmtpconn.session.server.events import (
    AuthAbandoned,
    AuthContinued,
    AuthStarted,
    DataStarted,
    MailReceived,
    RcptReceived,
    TLSRequested,
)
from txsmtpconn.session.server.introduction import Introductions
from txsmtpconn.session.server.lines import LineError
from txsmtpconn.session.server.tables import HTTP_VERBS, Phase, Reading
from txsmtpconn.session.server.transaction import (
    NO_PARAMETERS,
    NO_RCPT_PARAMETERS,
    IncomingTransaction,
)
from txsmtpconn.session.trace import Direction, Trace
from txsmtpconn.wire import commands
from txsmtpconn.wire.commands import Command, parse_command, parse_response
from txsmtpconn.wire.errors import CommandError
from txsmtpconn.wire.limits import AUTHENTICATION_LINE
from txsmtpconn.wire.parameters import MailParameters, RcptParameters
from txsmtpconn.wire.reply import Reply

# Set for each message: to find them in their class takes longer.
_MAIL: Final = Phase.MAIL
_RCPT: Final = Phase.RCPT


class ServerCommands(Introductions):
    """Commands, read and carried out one at a time."""

    __slots__ = ()

    def _read_command(self, now: float) -> bool:
        try:
            # The longest is that of AUTH; `parse_command` knows what the others may have.
            line = self._backlog.take_line(AUTHENTICATION_LINE)
        except LineError as error:
            self._refuse(error.reply)
            return True
        if line is None:
            return False
        if self._refusal is not None:
            self._show_out(self._refusal)
            return True
        try:
            command = parse_command(line)
        except CommandError as error:
            if self._trace is not None:
                self._trace_command(self._trace, line, understood=False)
            self._refuse(error.reply)
            if line[:4].upper() == b"BDAT":
                # Nobody knows how many octets of mail data follow, to be taken for commands.
                self._leave()
            return True
        if self._trace is not None:
            known = not isinstance(command, commands.Unknown) or command.verb in self._PRIVATE
            self._trace_command(self._trace, line, understood=known)
        self._obey(command, now)
        return True

    def _trace_command(self, trace: Trace, line: bytes, *, understood: bool) -> None:
        if line[:4].upper() != b"AUTH":
            # A client that did not wait for our refusal of AUTH goes on with its responses.
            secret = self._secrets_follow = self._secrets_follow and not understood
            trace(Direction.SENT, b"" if secret else line, secret)
            return
        self._secrets_follow = True
        # What follows the mechanism is a secret even where the line is none that we understand.
        verb, *words = line.split(None, 2)
        if len(verb) > 4:
            trace(Direction.SENT, verb[:4], True)
        else:
            trace(Direction.SENT, b" ".join((verb, *words[:1])), len(words) > 1)

    # -- commands

    def _obey(self, command: Command, now: float) -> None:
        """Carry out a command, or say why not."""
        legality = self.rules.legality[self.secure, self.identity is not None]
        refusal = legality[self.phase].get(command.verb)
        if refusal is None:
            _OBEYED[type(command)](self, command, now)
        elif isinstance(command, commands.Bdat):
            self._swallow_chunk(command, refusal, now)
        else:
            self._refuse(refusal)

    def _other(self, command: commands.Unknown, now: float) -> None:
        """Carry out a command that is not SMTP's, or say that nobody knows it."""
        private = self._PRIVATE.get(command.verb)
        if private is not None:
            private(self, command.argument, now)
        else:
            self._unknown(command.verb)

    def _unknown(self, verb: str) -> None:
        if verb in HTTP_VERBS:
            self._show_out(replies.NOT_HTTP)
            return
        farewell = self._tally.unknown_command()
        if farewell is not None:
            self._show_out(farewell)
        else:
            self._refuse(replies.NOT_RECOGNISED)

    def _idle(self, reply: Reply) -> None:
        """Answer a command that brings no mail forward."""
        farewell = self._tally.idle_command()
        if farewell is not None:
            self._show_out(farewell)
        else:
            self._say(reply)

    def _hello(self, command: commands.Hello, now: float) -> None:
        self._end_transaction()
        self.phase = Phase.READY
        self.hello_name = command.name
        self.extended = command.verb != "HELO"
        lines = self.rules.keyword_lines(now, secure=self.secure) if self.extended else []
        self._idle(Reply.of(250, self.rules.name, *lines))

    def _mail(self, command: commands.Mail, now: float) -> None:
        farewell = self._tally.transaction()
        if farewell is not None:
            self._show_out(farewell)
            return
        parameters = NO_PARAMETERS
        if command.parameters:
            rules = self.rules
            try:
                parameters = MailParameters.parse(command.parameters, offered=rules.offered)
            except CommandError as error:
                self._refuse(error.reply)
                return
            refusal = rules.mail_refusal(parameters, now, secure=self.secure)
            if refusal is not None:
                self._refuse(refusal)
                return
        address = "" if command.path is None else command.path.text
        if not address.isascii() and not parameters.smtputf8:
            self._refuse(replies.NEEDS_SMTPUTF8)
        elif MailReceived in self._consents:
            self._accept_sender(address, parameters, replies.SENDER_OK)
        else:
            self._ask(MailReceived(address, parameters))

    def _mail_answered(self, question: MailReceived, reply: Reply | None, now: float) -> None:
        if reply is not None and refuses(reply):
            self._refuse(reply)
        else:
            told = reply or replies.SENDER_OK
            self._accept_sender(question.address, question.parameters, told)

    def _accept_sender(self, address: str, parameters: MailParameters, reply: Reply) -> None:
        self._transaction = IncomingTransaction(address, parameters)
        self.phase = _MAIL
        self._say(reply)

    def _rcpt(self, command: commands.Rcpt, now: float) -> None:
        transaction = self._transaction
        assert transaction is not None
        parameters = NO_RCPT_PARAMETERS
        if command.parameters:
            try:
                parameters = RcptParameters.parse(command.parameters, offered=self.rules.offered)
            except CommandError as error:
                self._refuse(error.reply)
                return
        mailbox = command.path
        # RFC 5321 section 4.5.1: <Postmaster> without a domain is ours.
        address = mailbox.text if mailbox.domain else f"{mailbox.text}@{self.rules.name}"
        if len(transaction.recipients) >= self.rules.max_recipients:
            # No error of the client's: it is to end this message and send the rest with another
            # (RFC 5321 section 4.5.3.1.10). Shown out instead, it could never send any of it.
            self._say(replies.TOO_MANY_RECIPIENTS)
        elif not self._tally.admits_domain(address):
            self._say(replies.TOO_MANY_DOMAINS)
        elif not mailbox.text.isascii() and not transaction.parameters.smtputf8:
            self._refuse(replies.NEEDS_SMTPUTF8)
        elif RcptReceived in self._consents:
            self._accept_recipient(address, parameters, replies.RECIPIENT_OK)
        else:
            self._ask(RcptReceived(address, parameters))

    def _rcpt_answered(self, question: RcptReceived, reply: Reply | None, now: float) -> None:
        if reply is not None and refuses(reply):
            self._refuse(reply)
        else:
            told = reply or replies.RECIPIENT_OK
            self._accept_recipient(question.address, question.parameters, told)

    def _accept_recipient(self, address: str, parameters: RcptParameters, reply: Reply) -> None:
        assert self._transaction is not None
        self._tally.recipient(address)
        self._transaction.accept(address, parameters)
        self.phase = _RCPT
        self._say(reply)

    def _data(self, command: commands.Data, now: float) -> None:
        assert self._transaction is not None
        if self._transaction.binary:
            self._refuse(replies.CHUNKS_FOR_BINARY)
        else:
            self._ask(DataStarted(self._transaction.envelope()))

    def _bdat(self, command: commands.Bdat, now: float) -> None:
        transaction = self._transaction
        assert transaction is not None
        self._begin_chunk(command, now)
        if self._mail_data is None:
            self._ask(DataStarted(transaction.envelope()))
        elif self._mail_data.refusal is None:
            refusal = self.rules.size_refusal(self._mail_data.octets + command.size)
            if refusal is not None:
                self._mail_data.refuse(refusal)

    def _rset(self, command: commands.Rset, now: float) -> None:
        self._end_transaction()
        self._idle(replies.OK)

    def _noop(self, command: commands.Noop, now: float) -> None:
        self._idle(replies.OK)

    def _vrfy(self, command: commands.Vrfy, now: float) -> None:
        self._idle(replies.CANNOT_VERIFY)

    def _help(self, command: commands.Help, now: float) -> None:
        self._idle(replies.HELP)

    def _quit(self, command: commands.Quit, now: float) -> None:
        self._quit_said = True
        self._show_out(replies.BYE)

    def _starttls(self, command: commands.StartTLS, now: float) -> None:
        if len(self._backlog):
            # RFC 3207 section 4: an attacker put this before the handshake, to have it obeyed
            # behind it.
            self._show_out(replies.TALKED_BEHIND_STARTTLS)
            return
        self._say(replies.TLS_READY)
        self.reading = Reading.HANDSHAKE
        self._facts.append(TLSRequested())

    def _auth(self, command: commands.Auth, now: float) -> None:
        # RFC 4954 section 4: one that needs TLS is refused like one that nobody knows.
        if command.mechanism not in self.rules.mechanisms(secure=self.secure):
            self._refuse(replies.NO_SUCH_MECHANISM)
        else:
            self._ask(AuthStarted(command.mechanism, command.initial))

    def _auth_answered(
        self, question: AuthStarted | AuthContinued, reply: Reply | None, now: float
    ) -> None:
        self.reading = Reading.COMMANDS
        if reply is None or not refuses(reply):
            self._say(reply or replies.AUTHENTICATED)
            return
        farewell = self._tally.auth_failure()
        if farewell is not None:
            self._show_out(farewell)
        else:
            self._refuse(reply)

    def _read_sasl_response(self, now: float) -> bool:
        try:
            line = self._backlog.take_line(AUTHENTICATION_LINE, replies.AUTH_LINE_TOO_LONG)
        except LineError as error:
            self._abandon_auth(error.reply)
            return True
        if line is None:
            return False
        if self._trace is not None:
            self._trace(Direction.SENT, line if line == b"*" else b"", line != b"*")
        try:
            response = parse_response(line)
        except CommandError as error:
            self._abandon_auth(error.reply)
            return True
        if response is None:
            self._abandon_auth(replies.AUTH_CANCELLED)
        else:
            self._ask(AuthContinued(response))
        return True

    def _abandon_auth(self, reply: Reply) -> None:
        self._facts.append(AuthAbandoned())
        self.reading = Reading.COMMANDS
        self._refuse(reply)

    READS: ClassVar[Reads] = {
        **Introductions.READS,
        Reading.COMMANDS: _read_command,
        Reading.SASL_RESPONSE: _read_sasl_response,
    }

    #: A legal command -> who carries it out.
    OBEYED: ClassVar[Mapping[type, Callable[[Any, Any, float], None]]] = {
        commands.Hello: _hello,
        commands.Mail: _mail,
        commands.Rcpt: _rcpt,
        commands.Data: _data,
        commands.Bdat: _bdat,
        commands.Rset: _rset,
        commands.Noop: _noop,
        commands.Vrfy: _vrfy,
        commands.Help: _help,
        commands.Quit: _quit,
        commands.StartTLS: _starttls,
        commands.Auth: _auth,
        commands.Unknown: _other,
    }

    ANSWERED: ClassVar[Answered] = {
        **Introductions.ANSWERED,
        MailReceived: _mail_answered,
        RcptReceived: _rcpt_answered,
        AuthStarted: _auth_answered,
        AuthContinued: _auth_answered,
    }


_OBEYED: Final = ServerCommands.OBEYED
