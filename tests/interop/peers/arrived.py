"""Messages as a peer has them, told apart by a marker that each test puts into its own."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

#: Header fields that a server puts in front of a message when it takes it.
_TRACE = frozenset({b"return-path", b"delivered-to", b"x-original-to", b"received"})
_FIELD = re.compile(rb"([!-9;-~]+):[^\n]*\n(?:[ \t][^\n]*\n)*")

_POLL = 0.02


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message.

    Attributes:
        data: its octets, with CRLF, without the trace fields of the peer.
        mail_from: the reverse-path, with what followed it in MAIL, where the peer tells.
        rcpt_to: the forward-paths in the same way.
        trace: the header fields that the peer put in front, in lower case.
        facts: what else the peer told; for a maildir, its name.
    """

    data: bytes
    mail_from: str = ""
    rcpt_to: tuple[str, ...] = ()
    trace: tuple[tuple[str, str], ...] = ()
    facts: Any = None

    def field(self, name: str) -> str:
        """Return the first of the trace fields that has this name, or ""."""
        return next((value for field, value in self.trace if field == name.lower()), "")


def split_trace(stored: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Take the trace fields off a message that a server stored with LF; give the rest with CRLF."""
    fields = []
    position = 0
    while (match := _FIELD.match(stored, position)) and match[1].lower() in _TRACE:
        name, _, value = match[0].decode("utf-8", "replace").partition(":")
        fields.append((name.lower(), " ".join(value.split())))
        position = match.end()
    return tuple(fields), stored[position:].replace(b"\n", b"\r\n")


def from_maildirs(directory: Path) -> Callable[[], Iterable[Arrived]]:
    """Return what reads all messages of all maildirs below a directory."""

    def read() -> Iterable[Arrived]:
        for path in sorted(directory.glob("**/new/*")):
            trace, data = split_trace(path.read_bytes())
            yield Arrived(data, trace=trace, facts=path.parent.parent.name)

    return read


def from_json(directory: Path) -> Callable[[], Iterable[Arrived]]:
    """Return what reads the messages that a script of ours wrote, one JSON file for each."""

    def read() -> Iterable[Arrived]:
        for path in sorted(directory.glob("*.json")):
            facts = json.loads(path.read_text("utf-8"))
            yield Arrived(
                base64.b64decode(facts["data"]),
                facts["mail_from"],
                tuple(facts["rcpt_to"]),
                facts=facts,
            )

    return read


async def wait_for(
    read: Callable[[], Iterable[Arrived]], marker: str, count: int = 1, seconds: float = 20.0
) -> list[Arrived]:
    """Wait, with the reactor running, until so many messages with a marker have arrived.

    Raises:
        AssertionError: fewer have, in this time, or more.
    """
    from twisted.internet import reactor

    sought = marker.encode()
    found: list[Arrived] = []
    for _ in range(int(seconds / _POLL)):
        found = [each for each in read() if sought in each.data]
        if len(found) >= count:
            break
        await deferLater(reactor, _POLL)
    assert len(found) == count, f"{len(found)} of {count} messages with {marker!r} arrived"
    return found
