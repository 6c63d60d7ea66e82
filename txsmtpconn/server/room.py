"""Free space: mail for which the disk has no room is refused before it is sent (RFC 1870)."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConfigError
from txsmtpconn.server.hooks import Hooks, SMTPRejection
from txsmtpconn.server.session import Session
from txsmtpconn.wire.parameters import MailParameters


@dataclass(frozen=True, slots=True)
class Room:
    """The room for mail on one disk.

    Attributes:
        directory: On that disk.
        reserve: Octets of it that mail may not use.

    Raises:
        ConfigError: There is no such directory, or its disk cannot be asked.
    """

    directory: str | Path
    reserve: int

    def __post_init__(self) -> None:
        try:
            self.free()
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"room_in: cannot look at {self.directory!r}: {error}") from error

    def free(self) -> int:
        """Return how many octets are free for mail; below 0, the reserve is being used."""
        facts = os.statvfs(self.directory)
        return facts.f_bavail * facts.f_frsize - self.reserve

    def check(self, octets: int) -> None:
        """See whether so many octets find room.

        Raises:
            SMTPRejection: They do not.
        """
        if self.free() < max(octets, 1):
            raise SMTPRejection(452, "4.3.1", "Insufficient system storage, try again later")


def guarded(hooks: Hooks, room: Room) -> Hooks:
    """Return hooks that ask for room before they ask the application.

    That is at MAIL, with the size that the client declares, and once more before the data, as many
    messages may be on their way at once.
    """

    def on_mail_from(session: Session, address: str, parameters: MailParameters) -> Any:
        room.check(parameters.size or 0)
        if hooks.on_mail_from is not None:
            return hooks.on_mail_from(session, address, parameters)
        return None

    def on_data(session: Session, envelope: Envelope) -> Any:
        room.check(envelope.size or 0)
        return None if hooks.on_data is None else hooks.on_data(session, envelope)

    return replace(hooks, on_mail_from=on_mail_from, on_data=on_data)
