"""Running a client program on Twisted's reactor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, FirstError
from twisted.python.failure import Failure

from bench.job import Job


def run(work: Callable[[Any, Job], Coroutine[Any, Any, None]]) -> None:
    """Do the job given on the command line; what fails is said in one line, with exit status 1."""

    def begin(reactor: Any) -> Deferred[None]:
        doing = Deferred.fromCoroutine(work(reactor, Job.from_arguments()))
        return doing.addErrback(_complain)

    task.react(begin)


def _complain(failure: Failure) -> None:
    error = failure.value
    while isinstance(error, FirstError):
        error = error.subFailure.value
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    raise SystemExit(1)
