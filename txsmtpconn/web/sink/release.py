"""Sending a message that was kept to a real server, for those whom the operator allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import SMTPError
from txsmtpconn.outcome import RecipientOutcome
from txsmtpconn.sink.rules import fits
from txsmtpconn.transport import SMTPTransport


class NotAllowed(Exception):
    """Somebody is not on the list.

    Attributes:
        addresses: Who.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__(f"not on the list of --release-allow: {', '.join(addresses)}")
        self.addresses = list(addresses)


class Releases:
    """Releases messages.

    Args:
        transport: The real server.
        allowed: Patterns of recipients, ``*`` standing for any text. Nobody else gets anything.
    """

    def __init__(self, transport: SMTPTransport, allowed: Sequence[str]) -> None:
        self._transport = transport
        self.allowed = tuple(allowed)

    @property
    def server(self) -> str:
        """Where messages go."""
        options = self._transport.options
        return options.path if options.path is not None else f"{options.host}:{options.port}"

    def refused(self, addresses: Sequence[str]) -> list[str]:
        """Return those who are not on the list."""
        return [each for each in addresses if not any(fits(one, each) for one in self.allowed)]

    async def release(
        self, path: Path, facts: Mapping[str, Any], rcpt_to: Sequence[str]
    ) -> list[RecipientOutcome]:
        """Send a message; return what became of each recipient.

        Args:
            path: Its octets.
            facts: What is known of it.
            rcpt_to: For whom.

        Raises:
            NotAllowed: Somebody is not on the list; nothing is sent to anybody.
            SMTPError: It cannot be sent, and nothing can be said of single recipients.
            OSError: It is not there any more.
        """
        refused = self.refused(rcpt_to)
        if refused:
            raise NotAllowed(refused)
        envelope = Envelope(str(facts.get("mail_from", "")), rcpt_to)
        with path.open("rb") as message:
            try:
                result = await self._transport.send(envelope, message)
            except SMTPError as error:
                if not error.recipients:
                    raise
                return list(error.recipients)
        return list(result.recipients)

    async def close(self) -> None:
        """Let go of the server."""
        await self._transport.close()
