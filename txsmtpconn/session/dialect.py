"""What tells SMTP, message submission and LMTP apart, as data.

The three are one conversation. They differ in the greeting verb, in how many replies
follow the end of mail data and in the port that IANA gave them, so no code in this package
asks "which protocol is this?": it reads the dialect.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One member of the SMTP family.

    Attributes:
        name: As people write it.
        hello: The verb that opens the session and lists the service extensions.
        fallback: The verb to open it with where ``hello`` is not known to the peer
            (RFC 5321 section 3.2), or None where there is none.
        reply_per_recipient: Whether the end of mail data is answered once for each
            accepted recipient (RFC 2033 section 4.2) instead of once.
        port: The assigned TCP port.
    """

    name: str
    hello: bytes
    fallback: bytes | None
    reply_per_recipient: bool
    port: int


#: RFC 5321.
SMTP = Dialect("SMTP", b"EHLO", b"HELO", reply_per_recipient=False, port=25)
#: RFC 6409: SMTP between an author's program and the first relay.
SUBMISSION = Dialect("submission", b"EHLO", b"HELO", reply_per_recipient=False, port=587)
#: RFC 2033: SMTP for a last hop that keeps no queue.
LMTP = Dialect("LMTP", b"LHLO", None, reply_per_recipient=True, port=24)
