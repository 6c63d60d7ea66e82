"""Which messages of a mailbag are to be seen: the newest, within a number and a size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.logger import Logger

from txsmtpconn.sink.mailbox import Mailbag

#: Messages that a shelf has room for unless it is told otherwise, and their octets together.
MESSAGES = 1000
OCTETS = 1024 * 1024 * 1024

#: Called with the name of a message that has come.
Added = Callable[[str], object]
#: Called with the names of messages that are gone.
Removed = Callable[[Sequence[str]], object]


class Shelf:
    """The newest messages of a mailbag. One that has no room any more is forgotten, or removed.

    The newest message stays, however large it is.

    Args:
        mailbag: Where they are kept. Those that are there already are found.
        messages: How many there is room for.
        octets: How large they may be together.
        discards: Remove what has no room; otherwise its files stay, and are not shown.

    Attributes:
        mailbag: The same.
        octets: How large all messages on it are together.
    """

    _log = Logger(namespace="txsmtpconn.sink")

    def __init__(
        self,
        mailbag: Mailbag,
        *,
        messages: int = MESSAGES,
        octets: int = OCTETS,
        discards: bool = False,
    ) -> None:
        self.mailbag = mailbag
        self.octets = 0
        self._room = (messages, octets)
        self._discards = discards
        self._sizes: dict[str, int] = {}
        self._watchers: list[tuple[Added, Removed]] = []
        self._find()

    def _find(self) -> None:
        """Put those on it that are in the mailbag already."""
        for name in self.mailbag.names():
            try:
                octets = self.mailbag.octets_of(name).stat().st_size
            except OSError:
                continue  # somebody else has removed it meanwhile
            self.add(name, octets)

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, name: object) -> bool:
        return name in self._sizes

    def __iter__(self) -> Iterator[str]:
        """Name the messages, oldest first."""
        return iter(self._sizes)

    def __getitem__(self, name: str) -> int:
        """Return how many octets a message has.

        Raises:
            KeyError: It is not there.
        """
        return self._sizes[name]

    def watch(self, added: Added, removed: Removed) -> None:
        """Have functions called when messages come and go."""
        self._watchers.append((added, removed))

    def add(self, name: str, octets: int) -> None:
        """Put the newest message on the shelf, and make room for it."""
        self._sizes[name] = octets
        self.octets += octets
        for added, _ in self._watchers:
            added(name)
        most, most_octets = self._room
        gone = []
        while len(self._sizes) > 1 and (len(self._sizes) > most or self.octets > most_octets):
            gone.append(next(iter(self._sizes)))
            self._forget(gone[-1], discard=self._discards)
        self._tell(gone)

    def remove(self, names: Sequence[str]) -> list[str]:
        """Remove messages with their files; return the names of those that were there."""
        gone = [name for name in dict.fromkeys(names) if name in self._sizes]
        for name in gone:
            self._forget(name, discard=True)
        self._tell(gone)
        return gone

    def _forget(self, name: str, *, discard: bool) -> None:
        self.octets -= self._sizes.pop(name)
        if discard:
            try:
                self.mailbag.remove(name)
            except OSError as error:
                self._log.error("{name} cannot be removed: {error}", name=name, error=str(error))

    def _tell(self, gone: Sequence[str]) -> None:
        if gone:
            for _, removed in self._watchers:
                removed(gone)
