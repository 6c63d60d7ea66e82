"""Requests to another process, and its answers: from any thread, and as many at once as there are.

A request is a line of JSON, ``{"number": ..., "call": ..., "arguments": {...}}``; its answer is a
line with the same number. A thread reads the answers and hands each to whom it belongs. So whoever
stops waiting, by Ctrl-C or because a test has run out of time, leaves nothing behind that another
would take for an answer to his own request. This module imports no Twisted.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import Future
from itertools import count
from pathlib import PurePath
from threading import Lock, Thread
from typing import Any

from txsmtpconn.errors import ConfigError

#: Octets that are read at one time.
_CHUNK = 65536

_ENDED = "the capture server's process has ended"


class Pipe:
    """Talks to a process through its standard input and output.

    Args:
        process: The process; both are pipes, without a buffer. That would have a lock, and who is
            forked might find it taken for ever.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._owner = os.getpid()
        self._numbers = count(1)
        self._lock = Lock()  # for those who write, and for the two that follow
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._ended = False
        self._reader = Thread(target=self._read, name="txsmtpconn-pipe", daemon=True)
        self._reader.start()

    def ask(self, call: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make a request, and wait for its answer.

        Raises:
            ConfigError: The arguments are not all plain values.
            RuntimeError: The process has ended, or we are not who has started it.
        """
        __tracebackhide__ = True
        if not self.is_ours:
            raise RuntimeError("the capture server belongs to the process that has started it")
        number = next(self._numbers)
        line = _line({"number": number, "call": call, "arguments": arguments})
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            if self._ended:
                raise RuntimeError(_ENDED)
            self._waiting[number] = answer
            self._write(line)
        try:
            return answer.result()
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Let the process end, and with it whoever waits for an answer."""
        assert self._process.stdin is not None
        with self._lock:
            # The end of the pipe alone would not do where somebody was forked, who holds it open.
            self._write(_line({"number": 0, "call": "end", "arguments": {}}))
        self._process.stdin.close()

    def join(self) -> None:
        """Let go of a process that has ended."""
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def is_ours(self) -> bool:
        """Whether we are who has made it: in a process that was forked nobody reads answers."""
        return os.getpid() == self._owner

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        left = memoryview(line)
        try:
            while left:
                left = left[self._process.stdin.write(left) :]
        except (BrokenPipeError, ValueError):
            pass  # the reader will see the end

    def _read(self) -> None:
        assert self._process.stdout is not None
        unread = bytearray()
        while octets := self._process.stdout.read(_CHUNK):
            unread += octets
            if b"\n" in octets:
                *lines, unread = unread.split(b"\n")
                for line in lines:
                    self._take(line)
        with self._lock:
            self._ended = True
            left, self._waiting = self._waiting, {}
        for waiting in left.values():
            waiting.set_exception(RuntimeError(_ENDED))

    def _take(self, line: bytearray) -> None:
        try:
            told = json.loads(line)
            waiting = self._waiting.pop(told["number"], None)
        except (ValueError, TypeError, KeyError):
            return  # somebody's sitecustomize has printed a line
        if waiting is not None:
            waiting.set_result(told)


def _line(request: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(request, default=_spelled).encode("ascii") + b"\n"
    except TypeError as reason:
        raise ConfigError(f"an option cannot be told to another process: {reason}") from None


def _spelled(value: object) -> str:
    """Return a path as text; nothing else that JSON does not know can be told."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no plain value: {value!r}")
