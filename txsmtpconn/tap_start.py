"""What ``twistd`` and ``twist`` run, and how it ends where it cannot start: in a sentence."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.error import CannotListenError

from txsmtpconn.errors import SMTPError


class CannotStart(SystemExit, Exception):
    """Ends the process with a sentence and status 1.

    It is an exit, so that Python shows no traceback; and an `Exception`, so that twistd, which
    knows of no other way to fail, removes its PID file and tells the process that it was started
    from.
    """


class PluginService(MultiService):
    """Another service, of which twistd shows one sentence where it cannot start.

    Args:
        name: The plugin's.
        service: The other.
        *reasons: Exceptions that tell an operator all; besides those of a port and of a file.
    """

    def __init__(self, name: str, service: IService, *reasons: type[Exception]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plugin = name
        told: tuple[type[Exception], ...] = (SMTPError, CannotListenError, OSError)
        self._reasons = told + reasons
        service.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Start what may need privileges.

        Raises:
            CannotStart: It cannot.
        """
        with self._in_a_sentence():
            super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Start the rest.

        Raises:
            CannotStart: It cannot.
        """
        with self._in_a_sentence():
            super().startService()  # type: ignore[no-untyped-call]

    @contextmanager
    def _in_a_sentence(self) -> Iterator[None]:
        try:
            yield
        except self._reasons as error:
            raise CannotStart(f"{self._plugin}: {error}") from None


def give_up(reactor: Any) -> None:
    """End a process that is up already with status 1, for whoever restarts what has failed.

    twistd would say 0.
    """
    atexit.register(_fail)
    reactor.stop()


def _fail() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
