"""The conversation as log events, with nothing secret in them.

Each line on the wire is one `twisted.logger` event with the fields `session_id`, `direction`
("S" from the server, "C" from the client) and `text`, so a callback (any log observer) can
watch a conversation as well as a file can.  What is secret is known by the state of the SASL
dialogue and never guessed from the text; control characters are escaped, so that no peer can
forge a line of a log or steer a terminal (RFC 5321 does not forbid it to try).
"""

from __future__ import annotations

import sys
from itertools import count
from typing import Any

from twisted.logger import Logger, textFileLogObserver

from txsmtpconn.errors import printable
from txsmtpconn.session.trace import Direction

REDACTED = "[secret]"

_SESSION_IDS = count(1)


def next_session_id() -> str:
    """Return an identifier for one session, unique in this process."""
    return f"{next(_SESSION_IDS):x}"


def logger_for(option: Logger | bool | None) -> Logger | None:
    """Return the logger that the option `logger` stands for: None is silence."""
    if option is None or option is False:
        return None
    if option is True:
        return Logger("txsmtpconn", observer=textFileLogObserver(sys.stdout))
    return option


class Transcript:
    """Writes one session's conversation to a logger: a session's `trace`.

    Args:
        logger: Where to write.
        session_id: The field `session_id` of each event.
        content: Whether mail data is written too, instead of its size.
    """

    __slots__ = ("_content", "_logger", "_session_id")

    def __init__(self, logger: Logger, session_id: str, *, content: bool = False) -> None:
        self._logger = logger
        self._session_id = session_id
        self._content = content

    def __call__(self, direction: Direction, octets: bytes, secret: bool) -> None:
        """Write a line, or a piece of mail data.

        Args:
            direction: Who sent it, and whether it is mail data.
            octets: What may be shown of it.
            secret: Whether something was left out of it that must not be shown.
        """
        if direction is Direction.CONTENT:
            self._write_content(octets)
        elif secret:
            self._write(direction.value, f"{_shown(octets)} {REDACTED}".lstrip())
        else:
            self._write(direction.value, _shown(octets))

    def _write_content(self, octets: bytes) -> None:
        if not self._content:
            self._write("C", f"[{len(octets)} octets of mail data]")
            return
        for line in octets.removesuffix(b"\r\n").split(b"\r\n"):
            self._write("C", _shown(line))

    def _write(self, direction: str, text: str) -> None:
        self._logger.debug(
            "{session_id} {direction}: {text}",
            session_id=self._session_id,
            direction=direction,
            text=text,
        )


def _shown(line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("latin-1")
    return printable(text)


def announce(logger: Logger | None, text: str, **fields: Any) -> None:
    """Write an event of the session's life (connected, secured, ended) where there is a logger.

    Args:
        logger: What `logger_for` returned.
        text: A constant format.
        **fields: Its fields; none may be secret.
    """
    if logger is not None:
        logger.info(text, **fields)
