"""Enhanced status codes: ``class.subject.detail`` (RFC 3463, RFC 2034)."""

from __future__ import annotations

import re
from typing import NamedTuple

# status-code = class "." subject "." detail, one to three digits each (RFC 3463
# section 2). What follows must be white space or the end, so that neither
# "5.7." nor the address "2.1.0.127.in-addr.arpa" passes for a code.
_STATUS_CODE = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:[ \t]+|\Z)")


class EnhancedStatusCode(NamedTuple):
    """What happened, in three numbers; ``str()`` gives ``"5.1.1"``.

    Attributes:
        klass: 2 success, 4 persistent transient failure, 5 permanent failure.
        subject: 1 addressing, 2 mailbox, 3 mail system, 4 network, 5 protocol,
            6 content, 7 security.
        detail: the precise condition within the subject.
    """

    klass: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"

    @classmethod
    def parse(cls, text: str) -> EnhancedStatusCode | None:
        """Read the code that leads ``text``; None if there is none, whatever it is."""
        return split_status_code(text)[0]


def split_status_code(text: str) -> tuple[EnhancedStatusCode | None, str]:
    """Split ``"5.1.1 No such user"`` into its code and the text behind it."""
    found = _STATUS_CODE.match(text)
    if found is None:
        return None, text
    klass, subject, detail = found.groups()
    return EnhancedStatusCode(int(klass), int(subject), int(detail)), text[found.end() :]
