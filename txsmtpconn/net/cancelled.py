"""The error of a cancelled call, which is both ours and Twisted's."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from txsmtpconn.errors import SMTPError


class SendCancelled(SMTPError, CancelledError):
    """The caller cancelled the Deferred.

    It is an `SMTPError`, so `delivery` and `recipients` say how far the message came, and it is
    a `twisted.internet.defer.CancelledError`, so `Deferred.addTimeout` and other code that knows
    nothing of SMTP recognise it.
    """

    code = "ECANCELLED"
