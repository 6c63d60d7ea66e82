"""One mail transaction as a server sees it: what MAIL and RCPT have said so far."""

from __future__ import annotations

from txsmtpconn.envelope import DSN, Envelope, Recipient
from txsmtpconn.wire.parameters import MailParameters, RcptParameters

#: What MAIL and RCPT say that say nothing more than a path.
NO_PARAMETERS = MailParameters()
NO_RCPT_PARAMETERS = RcptParameters()


class IncomingTransaction:
    """A mail transaction, from an accepted MAIL to its end.

    Attributes:
        address: The reverse-path; empty for the null reverse-path.
        parameters: Those of MAIL.
        recipients: Accepted ones, in order, duplicates kept.
    """

    __slots__ = ("address", "parameters", "recipients")

    def __init__(self, address: str, parameters: MailParameters) -> None:
        self.address = address
        self.parameters = parameters
        self.recipients: list[tuple[str, RcptParameters]] = []

    @property
    def binary(self) -> bool:
        """Whether MAIL said BODY=BINARYMIME (RFC 3030)."""
        return self.parameters.body == "BINARYMIME"

    def envelope(self) -> Envelope:
        """Return the envelope that is now complete."""
        rcpt_to: list[str | Recipient] = [
            address
            if parameters is NO_RCPT_PARAMETERS or parameters == NO_RCPT_PARAMETERS
            else Recipient(address, DSN(notify=parameters.notify or None, orcpt=parameters.orcpt))
            for address, parameters in self.recipients
        ]
        given = self.parameters
        if given is NO_PARAMETERS or given == NO_PARAMETERS:
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
            prdr=given.prdr,
        )
