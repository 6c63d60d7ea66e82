"""One mail transaction as a server sees it: what MAIL and RCPT have said so far."""

from __future__ import annotations

from txsmtpconn.envelope import DSN, Envelope, Recipient
from txsmtpconn.session.server.data import MailData
from txsmtpconn.wire.parameters import MailParameters, RcptParameters
from txsmtpconn.wire.reply import Reply

_NO_PARAMETERS = MailParameters()


class IncomingTransaction:
    """A mail transaction, from an accepted MAIL to its end.

    Attributes:
        address: The reverse-path; empty for the null reverse-path.
        parameters: Those of MAIL.
        recipients: Accepted ones, in order, duplicates kept.
        mail_data: The message, once DATA or the first chunk has been agreed to.
        chunk_left: Octets of the chunk in hand that have not come yet.
        chunk_last: Whether that chunk is the last.
    """

    __slots__ = ("address", "chunk_last", "chunk_left", "mail_data", "parameters", "recipients")

    def __init__(self, address: str, parameters: MailParameters) -> None:
        self.address = address
        self.parameters = parameters
        self.recipients: list[tuple[str, RcptParameters]] = []
        self.mail_data: MailData | None = None
        self.chunk_left = 0
        self.chunk_last = False

    @property
    def binary(self) -> bool:
        """Whether MAIL said BODY=BINARYMIME (RFC 3030)."""
        return self.parameters.body == "BINARYMIME"

    def envelope(self) -> Envelope:
        """Return the envelope that is now complete."""
        rcpt_to: list[str | Recipient] = [
            Recipient(address, DSN(notify=parameters.notify or None, orcpt=parameters.orcpt))
            if parameters.notify or parameters.orcpt is not None
            else address
            for address, parameters in self.recipients
        ]
        given = self.parameters
        if given is _NO_PARAMETERS or given == _NO_PARAMETERS:
            return Envelope(self.address, rcpt_to)
        reports = given.ret is not None or given.envid is not None
        return Envelope(
            self.address,
            rcpt_to,
            size=given.size,
            body=given.body,
            smtputf8=given.smtputf8 or None,
            dsn=DSN(ret=given.ret, envid=given.envid) if reports else None,
            requiretls=given.requiretls,
            deliver_by=given.deliver_by,
            mt_priority=given.mt_priority,
            hold_for=given.hold_for,
            hold_until=given.hold_until,
            auth=given.auth,
        )


def each_recipient(reply: Reply, count: int) -> list[Reply]:
    """Return one and the same answer for every accepted recipient (RFC 2033 section 4.2)."""
    return [reply] * count
