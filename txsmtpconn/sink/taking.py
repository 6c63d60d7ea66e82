"""The sink as an application of the server: hooks that take everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.logger import Logger

from txsmtpconn.envelope import Envelope
from txsmtpconn.sasl import Finished
from txsmtpconn.server import Session, SMTPRejection
from txsmtpconn.sink.mailbox import KeptMessage, Mailbag
from txsmtpconn.sink.record import RECORD, Record
from txsmtpconn.sink.shelf import Shelf
from txsmtpconn.wire.reply import Reply


class Sink:
    """Hooks that take every message, and every login unless users are named.

    Args:
        mailbag: Where to keep messages; None drops them.
        users: Passwords by user name; None lets everybody in.
        shelf: Is told of each message that is kept; its mailbag is the one above.

    Attributes:
        taken: How many messages were taken.
        octets: How large they were together.
    """

    _log = Logger(namespace="txsmtpconn.sink")

    def __init__(
        self,
        mailbag: Mailbag | None = None,
        users: dict[str, str] | None = None,
        *,
        shelf: Shelf | None = None,
    ) -> None:
        self._mailbag = mailbag
        self._users = users
        self._shelf = shelf
        self.taken = 0
        self.octets = 0

    def on_auth(self, session: Session, credentials: Finished) -> bool:
        """Let in whoever may be let in."""
        del session
        if self._users is None:
            return True
        return (
            credentials.password is not None
            and self._users.get(credentials.authcid) == credentials.password
        )

    def on_data(self, session: Session, envelope: Envelope) -> _Taking:
        """Begin to take a message."""
        kept = None
        if self._mailbag is not None:
            try:
                kept = self._mailbag.begin(_facts(session, envelope))
            except OSError as error:
                self._log.error("a message cannot be kept: {error}", error=str(error))
                raise SMTPRejection(452, "4.3.1", "There is no room for it") from error
        return _Taking(self, session, envelope, kept)

    def took(self, taking: _Taking) -> None:
        """Count a message and say so."""
        self.taken += 1
        self.octets += taking.octets
        if self._shelf is not None and taking.kept is not None:
            self._shelf.add(taking.kept.name, taking.octets)
        self._log.info(
            "took {octets} octets from <{mail_from}> for {recipients}{name}",
            octets=taking.octets,
            mail_from=taking.envelope.mail_from,
            recipients=_named([each.address for each in taking.envelope.recipients]),
            name="" if taking.kept is None else f" as {taking.kept.name}",
            session_id=taking.session.id,
        )


class _Taking:
    """One message on its way in."""

    def __init__(
        self, sink: Sink, session: Session, envelope: Envelope, kept: KeptMessage | None
    ) -> None:
        self.session = session
        self.envelope = envelope
        self.kept = kept
        self.octets = 0
        self._sink = sink

    def write(self, data: bytes) -> None:
        """Keep octets, or drop them."""
        self.octets += len(data)
        if self.kept is not None:
            try:
                self.kept.write(data)
            except OSError as error:
                raise SMTPRejection(452, "4.3.1", "There is no room for it") from error

    def finish(self) -> Reply:
        """Say under which name the message is kept; in LMTP to each recipient."""
        return self.finish_for([each.address for each in self.envelope.recipients])

    def finish_for(self, rcpt_to: Sequence[str]) -> Reply:
        """Take it for those whom no rule has refused."""
        told = f"2.0.0 Ok: {'dropped' if self.kept is None else f'kept as {self.kept.name}'}"
        if self.kept is not None:
            try:
                self.kept.finish(**_recipients(self.envelope, rcpt_to), **self._said(told))
            except OSError as error:
                self.kept.abandon()
                raise SMTPRejection(452, "4.3.1", "There is no room for it") from error
        self._sink.took(self)
        return Reply.of(250, told)

    def _said(self, last: str) -> dict[str, Any]:
        """Return what was said in the session so far, our own last word in it."""
        record: Record | None = self.session.data.get(RECORD)
        return {} if record is None else {"transcript": [*record.lines, f"S: 250 {last}"]}

    def abort(self, reason: Exception) -> None:
        """Forget it."""
        del reason
        if self.kept is not None:
            self.kept.abandon()


def _facts(session: Session, envelope: Envelope) -> dict[str, Any]:
    """Return what is known of a message besides its octets, in JSON's types."""
    dsn = envelope.dsn
    facts: dict[str, Any] = {
        "mail_from": envelope.mail_from,
        "rcpt_to": [],
        "protocol": session.protocol,
        "hello": session.hello_name,
        "client": session.remote_address,
        "user": session.identity,
        "tls": None if session.tls is None else session.tls.version,
    }
    for name in ("size", "body", "smtputf8", "requiretls", "mt_priority", "auth"):
        value = getattr(envelope, name)
        if value not in (None, False):
            facts[name] = value
    if dsn is not None:
        facts["ret"], facts["envid"] = dsn.ret, dsn.envid
    return facts


def _recipients(envelope: Envelope, rcpt_to: Sequence[str]) -> dict[str, Any]:
    """Return for whom a message was taken, and what those have asked to hear, by their place."""
    left, taken = list(rcpt_to), []
    for each in envelope.recipients:
        if each.address in left:
            left.remove(each.address)
            taken.append(each)
    facts: dict[str, Any] = {"rcpt_to": [each.address for each in taken]}
    notifications = {
        str(place): {"notify": each.dsn.notify, "orcpt": each.dsn.orcpt}
        for place, each in enumerate(taken)
        if each.dsn is not None
    }
    if notifications:
        facts["notifications"] = notifications
    return facts


def _named(addresses: Sequence[str]) -> str:
    few = ", ".join(f"<{address}>" for address in addresses[:3])
    return few if len(addresses) <= 3 else f"{few} and {len(addresses) - 3} more"
