"""What a script is told by the number that a command ends with."""

from __future__ import annotations

from txsmtpconn.errors import (
    AuthenticationError,
    ConfigError,
    DNSError,
    EnvelopeError,
    MessageError,
    NoCredentialsError,
    ProtocolError,
    SMTPError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery

SOME_REFUSED = 1
IN_DOUBT = 2
# Those of sysexits(3).
USAGE = 64
UNREADABLE = 65
REFUSED = 69
TRY_AGAIN = 75

_KINDS: tuple[tuple[type[SMTPError] | tuple[type[SMTPError], ...], int], ...] = (
    (ConfigError, 78),
    ((EnvelopeError, MessageError), UNREADABLE),
    (SendCancelled, TRY_AGAIN),
    (DNSError, 68),
    ((AuthenticationError, NoCredentialsError), 77),
    (ProtocolError, 76),
)


def exit_code(error: SMTPError) -> int:
    """Return the number for an error."""
    if error.delivery is Delivery.IN_DOUBT:
        return IN_DOUBT
    if error.reply is not None and not isinstance(error, (AuthenticationError, ProtocolError)):
        return TRY_AGAIN if error.is_transient else REFUSED
    for kind, code in _KINDS:
        if isinstance(error, kind):
            return code
    return TRY_AGAIN if error.is_transient else REFUSED
