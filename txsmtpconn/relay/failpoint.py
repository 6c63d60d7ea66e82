"""A place where the relay dies on purpose, so that tests can see what is left of its promises.

The environment names one: ``TXSMTPCONN_FAILPOINT=commit:after`` kills the process with SIGKILL when
the first `Incoming.commit` has succeeded, and before anybody hears of it; ``mark:before@3`` when
`ISpool.mark` is called for the third time. The points lie around the spool's calls, where all that
must survive passes, and nowhere else in the code.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txsmtpconn.errors import ConfigError
from txsmtpconn.relay.spool import Incoming, ISpool, NewMessage

VARIABLE = "TXSMTPCONN_FAILPOINT"

_FORM = re.compile(r"(open|write|commit|claim|mark|record):(before|after)(?:@([1-9][0-9]{0,5}))?")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def with_failpoint(spool: ISpool, text: str, die: Callable[[], None] = _kill) -> ISpool:
    """Wrap a spool so that the process dies at a call.

    Raises:
        ConfigError: The text names no failpoint.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(f"{VARIABLE} is CALL:before or CALL:after, and @NUMBER, not {text!a}")
    Logger(namespace="txsmtpconn.relay").critical("this relay dies at {point}", point=text)
    point = _Failpoint(found[1], found[2] == "after", int(found[3] or 1), die)
    return cast(ISpool, _FailingSpool(spool, point))


class _Failpoint:
    def __init__(self, call: str, after: bool, number: int, die: Callable[[], None]) -> None:
        self._call = call
        self._after = after
        self._left = number
        self._die = die

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, with the failpoint if it is this one's."""
        if name != self._call:
            return call

        def failing(*arguments: Any, **keywords: Any) -> Any:
            self._left -= 1
            armed = self._left == 0
            if armed and not self._after:
                self._die()
            result = call(*arguments, **keywords)
            if not armed or not self._after:
                return result
            if isinstance(result, Deferred):
                return result.addCallback(self._fail_with)
            return self._fail_with(result)

        return failing

    def _fail_with(self, result: Any) -> Any:
        self._die()
        return result


class _FailingSpool:
    def __init__(self, spool: ISpool, point: _Failpoint) -> None:
        self._spool = spool
        self._point = point

    def open(self, envelope: NewMessage) -> Incoming:
        incoming = self._point.around("open", self._spool.open)(envelope)
        return cast(Incoming, _FailingIncoming(incoming, self._point))

    def __getattr__(self, name: str) -> Any:
        return self._point.around(name, getattr(self._spool, name))


class _FailingIncoming:
    def __init__(self, incoming: Incoming, point: _Failpoint) -> None:
        self._incoming = incoming
        self._point = point

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._incoming, name)
        return self._point.around(name, value) if callable(value) else value
