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
        binary: Whether it said BODY=BINARYMIME (RFC 3030).
        recipients: Accepted ones, in order, duplicates kept.
    """

    __slots__ = ("_rcpt_parameters", "address", "binary", "parameters", "recipients")

    def __init__(self, address: str, parameters: MailParameters) -> None:
        self.address = address
        self.parameters = parameters
        self.binary = parameters.body == "BINARYMIME"
        self.recipients: list[str] = []
        # The place of a recipient among them -> what RCPT said besides the path.
        self._rcpt_parameters: dict[int, RcptParameters] = {}

    def accept(self, address: str, parameters: RcptParameters) -> None:
        """Add a recipient."""
        if parameters is not NO_RCPT_PARAMETERS:
            self._rcpt_parameters[len(self.recipients)] = parameters
        self.recipients.append(address)

    def envelope(self) -> Envelope:
        """Return the envelope that is now complete."""
        given = self.parameters
        if given is NO_PARAMETERS and not self._rcpt_parameters:
            # All ASCII: without SMTPUTF8 no other path is accepted.
            return Envelope.of_parsed(self.address, self.recipients)
        rcpt_to: list[str | Recipient] = list(self.recipients)
        for place, told in self._rcpt_parameters.items():
            dsn = DSN(notify=told.notify or None, orcpt=told.orcpt)
            rcpt_to[place] = Recipient(self.recipients[place], dsn)
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
