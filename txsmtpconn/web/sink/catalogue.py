"""What is on the shelf, in a line each, and found by words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from txsmtpconn.sink.shelf import Shelf
from txsmtpconn.web.sink.reading import Reading, read

#: Octets at the beginning of a message that are looked at for its line, and for words to find.
LOOKED_AT = 128 * 1024
#: Characters of a message that can be found by search.
SEARCHED = 16 * 1024
#: Characters of what its text begins with.
PREVIEW = 160

# What is between the tags of these is no text; the lengths keep the work within the octets'.
_NO_TEXT = re.compile(r"<(style|script|title)\b[^<>]{0,500}>[^<]{0,100000}", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,2000}>|&(?:nbsp|zwnj|#847|#8199|shy|#xAD);", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Summary:
    """A message in a line.

    Attributes:
        id: Its name in the mailbag.
        received: When it came, as ISO 8601 says it.
        octets: How large it is.
        mail_from: Its reverse-path.
        rcpt_to: Whom it was taken for.
        subject: Its Subject field.
        sender: Its From field.
        preview: What its text begins with.
        attachments: How many parts are attached, among those near its beginning.
    """

    id: str
    received: str
    octets: int
    mail_from: str
    rcpt_to: tuple[str, ...]
    subject: str
    sender: str
    preview: str
    attachments: int

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        told = asdict(self)
        told["from"] = told.pop("sender")
        return told


class Catalogue:
    """Summaries of the messages on a shelf, made when they are first asked for.

    Its methods read files, and are called in a thread.

    Args:
        shelf: The shelf.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._known: dict[str, tuple[Summary, str]] = {}
        shelf.watch(lambda _: None, self._forget)

    def find(
        self, names: Sequence[str], words: str, limit: int, before: str | None
    ) -> tuple[list[Summary], int]:
        """Return the newest messages that have all words in them, and how many there are.

        Args:
            names: The messages to look through, oldest first.
            words: In any order and case of letters; none are in every message.
            limit: How many to return.
            before: Only those that came before this one.
        """
        wanted = words.casefold().split()
        found = [
            summary
            for summary, text in self._all(reversed(names) if wanted else [])
            if all(word in text for word in wanted)
        ]
        chosen = [summary.id for summary in found] if wanted else list(reversed(names))
        total = len(chosen)
        if before is not None:
            chosen = [name for name in chosen if name < before]
        return [summary for summary, _ in self._all(chosen[:limit])], total

    def _all(self, names: Sequence[str] | Iterator[str]) -> Iterator[tuple[Summary, str]]:
        for name in names:
            known = self._known.get(name)
            if known is None:
                try:
                    known = self._look(name)
                except OSError:
                    continue  # gone meanwhile
                self._known[name] = known
                if name not in self._shelf:  # gone while it was looked at
                    self._known.pop(name, None)
            yield known

    def _look(self, name: str) -> tuple[Summary, str]:
        mailbag = self._shelf.mailbag
        path = mailbag.octets_of(name)
        octets = path.stat().st_size
        with path.open("rb") as file:
            reading = read(file.read(LOOKED_AT))
        facts = mailbag.facts_of(name)
        rcpt_to = facts.get("rcpt_to")
        text = _plain(reading)
        summary = Summary(
            id=name,
            received=str(facts.get("received", "")),
            octets=octets,
            mail_from=str(facts.get("mail_from", "")),
            rcpt_to=tuple(map(str, rcpt_to)) if isinstance(rcpt_to, list) else (),
            subject=reading.subject[:500],
            sender=reading.first("from")[:500],
            preview=text[:PREVIEW],
            attachments=sum(not part.inline for part in reading.parts),
        )
        return summary, _searched(summary, reading, text)

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            self._known.pop(name, None)


def _plain(reading: Reading) -> str:
    """Return what a message says, in one line."""
    text = reading.text
    if text is None and reading.html is not None:
        text = _TAG.sub(" ", _NO_TEXT.sub(" ", reading.html))
    return " ".join((text or "")[: 8 * SEARCHED].split())


def _searched(summary: Summary, reading: Reading, text: str) -> str:
    words = [
        summary.subject,
        summary.sender,
        *(reading.first(name) for name in ("to", "cc", "reply-to", "message-id")),
        summary.mail_from,
        " ".join(summary.rcpt_to),
        *(part.name for part in reading.parts),
        text,
    ]
    return "\n".join(words)[:SEARCHED].casefold()
