"""A server whose application takes its time, and refuses what `legal_uses` says it will."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from twisted.internet.task import Clock, deferLater

from tests.properties.legal_uses import refusal_in, said_of
from txsmtpconn import Envelope, SMTPRejection
from txsmtpconn.sasl import ScramKeys

USER, PASSWORD = "user", "pässword"
_KEYS: dict[str, ScramKeys] = {}


@dataclass(frozen=True)
class Taken:
    """What one transaction has brought: the envelope, the octets, and for whom they were taken."""

    envelope: Envelope
    octets: bytes
    rcpt_to: tuple[str, ...]


class House:
    """The hooks.

    Args:
        clock: For the time that each of them takes.
        waits: So many seconds, in turn.
        lmtp: Whether each recipient is answered at the end.

    Attributes:
        taken: What was accepted, in order.
        open: Sinks that were neither finished nor aborted.
    """

    def __init__(self, clock: Clock, waits: tuple[float, ...], lmtp: bool) -> None:
        self.taken: list[Taken] = []
        self.open = 0
        self.lmtp = lmtp
        self._clock = clock
        self._waits: Iterator[float] = cycle(waits)

    async def on_auth(self, session: Any, credentials: Any) -> bool:
        await self.pause()
        known = credentials.authcid == USER
        return known and (credentials.verified or credentials.proves(PASSWORD))

    async def on_auth_secret(self, session: Any, user: str, mechanism: str) -> Any:
        await self.pause()
        if mechanism == "CRAM-MD5":
            return PASSWORD
        if mechanism not in _KEYS:
            _KEYS[mechanism] = ScramKeys.derive(PASSWORD, mechanism=mechanism)
        return _KEYS[mechanism]

    async def on_mail_from(self, session: Any, address: str, parameters: Any) -> None:
        await self.pause()
        refuse(said_of(address, "m"))

    async def on_rcpt_to(self, session: Any, address: str, parameters: Any) -> None:
        await self.pause()
        refuse(said_of(address, "r"))

    async def on_data(self, session: Any, envelope: Envelope) -> Sink:
        await self.pause()
        self.open += 1
        return Sink(self, envelope)

    async def pause(self) -> None:
        """Take the time that it takes."""
        seconds = next(self._waits)
        if seconds:
            await deferLater(self._clock, seconds)


class Sink:
    """One message."""

    def __init__(self, house: House, envelope: Envelope) -> None:
        self._house = house
        self._envelope = envelope
        self._octets = b""

    def write(self, data: bytes) -> None:
        self._octets += data

    def abort(self, reason: Exception) -> None:
        self._house.open -= 1

    async def finish(self) -> Any:
        self._house.open -= 1
        await self._house.pause()
        refuse(refusal_in(self._octets))
        everybody = [each.address for each in self._envelope.recipients]
        each = self._house.lmtp or self._envelope.prdr
        codes = [said_of(address, "f") if each else 0 for address in everybody]
        pairs = list(zip(everybody, codes, strict=True))
        taken = tuple(address for address, code in pairs if not code)
        if taken:
            self._house.taken.append(Taken(self._envelope, self._octets, taken))
        if not each:
            return None
        return [SMTPRejection(code) if code else None for code in codes]


def refuse(code: int) -> None:
    """Refuse with a code, if it is one."""
    if code:
        raise SMTPRejection(code)
