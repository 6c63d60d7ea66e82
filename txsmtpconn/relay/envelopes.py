"""Envelopes as the spool keeps them: addresses, and parameters as on the wire.

What the client asked for (RFC 3461 notifications, BODY, SMTPUTF8, REQUIRETLS, ...) travels with
the message to the next hop. SIZE does not: the message has grown by its trace field, and the
session of the next hop counts for itself. Nor does whom AUTH= names: we would vouch for a claim
that we cannot check, and say "nobody known" instead (RFC 4954 section 5). BY is not offered: what
is passed on would have to be the time that is left (RFC 2852 section 4.1.4).
"""

from __future__ import annotations

from collections.abc import Sequence

from txsmtpconn.envelope import DSN, Envelope, Recipient
from txsmtpconn.relay.spool import ClaimedRecipient, NewMessage, NewRecipient
from txsmtpconn.wire.parameters import MailParameters, RcptParameters


def to_spool(envelope: Envelope, client: str, destination: str = "") -> NewMessage:
    """Return what the spool is to keep of an envelope."""
    common = envelope.dsn
    parameters = MailParameters(
        body=envelope.body,
        smtputf8=envelope.needs_smtputf8,
        ret=common.ret if common else None,
        envid=common.envid if common else None,
        auth=None if envelope.auth is None else "",
        requiretls=envelope.requiretls,
        mt_priority=envelope.mt_priority,
    )
    recipients = tuple(
        NewRecipient(one.address, envelope.rcpt_parameters(one).encode(), destination)
        for one in envelope.recipients
    )
    return NewMessage(envelope.mail_from, recipients, parameters.encode(), client)


def from_spool(
    reverse_path: str, parameters: bytes, recipients: Sequence[ClaimedRecipient]
) -> Envelope:
    """Return the envelope of a claim, its recipients in the order of the claim.

    Raises:
        EnvelopeError, ParameterError: What is stored is not what any client may have said.
    """
    if not parameters and not any(one.parameters for one in recipients):
        return Envelope(reverse_path, [one.address for one in recipients])
    asked = MailParameters.parse(parameters)
    common = None
    if asked.ret is not None or asked.envid is not None:
        common = DSN(ret=asked.ret, envid=asked.envid)
    return Envelope(
        reverse_path,
        [_recipient(one) for one in recipients],
        body=asked.body,
        smtputf8=asked.smtputf8 or None,
        dsn=common,
        requiretls=asked.requiretls,
        mt_priority=asked.mt_priority,
        auth=asked.auth,
    )


def _recipient(one: ClaimedRecipient) -> str | Recipient:
    if not one.parameters:
        return one.address
    asked = RcptParameters.parse(one.parameters)
    return Recipient(one.address, dsn=DSN(notify=asked.notify or None, orcpt=asked.orcpt))
