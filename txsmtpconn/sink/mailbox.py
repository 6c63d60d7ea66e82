"""Messages as files: ``NAME.eml`` with the octets as they came, ``NAME.json`` with all else.

Names begin with the time of arrival, so that a listing is in that order. A message has its name
only once it is complete: until then its file begins with a dot. What a test reads is never half a
message, and what a crash leaves is told apart from mail.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from txsmtpconn.errors import ConfigError

#: What a message of ours is called. Other files are somebody else's, neither shown nor removed.
_OURS = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}")


class Mailbag:
    """A directory of messages.

    Writing goes through the page cache and is not synced: what is kept here is to be looked at,
    not to be relied on.

    Args:
        path: The directory; it is made if it is not there.

    Raises:
        ConfigError: It cannot be made or written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot keep messages in {self.path}: {error.strerror}") from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot keep messages in {self.path}: it is not writable")

    def begin(self, facts: Mapping[str, Any]) -> KeptMessage:
        """Begin a message.

        Args:
            facts: What goes into the JSON file; of JSON's own types.

        Raises:
            OSError: There is no room, or no permission.
        """
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
        return KeptMessage(self.path, name, {"received": now.isoformat(), **facts})

    def __len__(self) -> int:
        """How many complete messages there are."""
        return len(self.names())

    def names(self) -> list[str]:
        """Name the complete messages, in the order in which they came."""
        return sorted(path.stem for path in self.path.glob("*.eml") if _OURS.fullmatch(path.stem))

    def octets_of(self, name: str) -> Path:
        """Return where the octets of a message are."""
        return self.path / f"{name}.eml"

    def facts_of(self, name: str) -> dict[str, Any]:
        """Return what is known of a message besides its octets; empty where nothing is."""
        try:
            facts = json.loads((self.path / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def remove(self, name: str) -> None:
        """Remove a message; one that is gone already is no mistake.

        Raises:
            OSError: It cannot be removed.
        """
        for suffix in ("eml", "json"):
            (self.path / f"{name}.{suffix}").unlink(missing_ok=True)


class TemporaryMailbag(Mailbag):
    """A directory of messages that is there while somebody needs it.

    It is made by `make`, and not before: by then a server has given up its privileges.
    """

    def __init__(self) -> None:
        # A name that nobody can guess, and `make` takes none that is there already.
        self.path = Path(tempfile.gettempdir()) / f"smtpsink-{secrets.token_hex(16)}"

    def make(self) -> None:
        """Make the directory.

        Raises:
            OSError: It cannot be made.
        """
        self.path.mkdir(mode=0o700)

    def discard(self) -> None:
        """Remove the directory, and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _private(path: Path) -> IO[bytes]:
    """Make a file that nobody else may read, whatever the umask and the directory allow."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


class KeptMessage:
    """One message on its way into a directory.

    Attributes:
        name: Its file's name without ``.eml``; unique in its directory.
        octets: How many have come.
    """

    def __init__(self, directory: Path, name: str, facts: dict[str, Any]) -> None:
        self.name = name
        self.octets = 0
        self._directory = directory
        self._facts = facts
        self._partial = directory / f".{name}.partial"
        self._file: IO[bytes] | None = _private(self._partial)

    def write(self, data: bytes) -> None:
        """Add octets."""
        assert self._file is not None
        self.octets += len(data)
        self._file.write(data)

    def finish(self, **more: Any) -> Path:
        """Give the message its name, envelope first, and return the path of its octets.

        Args:
            **more: Facts that were not known at the beginning, or are otherwise now.
        """
        assert self._file is not None
        self._file.close()
        self._file = None
        facts = {"id": self.name, "octets": self.octets, **self._facts, **more}
        text = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
        beside = self._directory / f"{self.name}.json"
        with _private(beside) as file:
            file.write(text.encode())
        path = self._directory / f"{self.name}.eml"
        self._partial.rename(path)
        return path

    def abandon(self) -> None:
        """Remove what there is of it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._partial.unlink(missing_ok=True)
        (self._directory / f"{self.name}.json").unlink(missing_ok=True)
