"""What a Deferred holds now, asserted without a reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


def as_deferred(awaitable: Awaitable[_T]) -> Deferred[_T]:
    """Return the Deferred itself, or one that runs the coroutine."""
    if isinstance(awaitable, Deferred):
        return awaitable
    return Deferred.fromCoroutine(cast(Coroutine[Deferred[Any], Any, _T], awaitable))


def _results(awaitable: Awaitable[_T]) -> list[object]:
    """Drain what has been fired so far: nothing, one value, or one `Failure`."""
    results: list[object] = []
    as_deferred(awaitable).addBoth(results.append)
    return results


def result_or_raise(awaitable: Awaitable[_T]) -> _T:
    """Return the result of a Deferred (or a coroutine) that has fired, or raise its exception."""
    (result,) = _results(awaitable)
    if isinstance(result, Failure):
        result.raiseException()
    return cast(_T, result)


def success_result_of(awaitable: Awaitable[_T]) -> _T:
    """Return the result of a Deferred (or a coroutine) that has already succeeded.

    Raises:
        AssertionError: it has not fired, or it failed (the message has the traceback).
    """
    results = _results(awaitable)
    if not results:
        raise AssertionError(f"a result was expected, but {awaitable!r} has not fired")
    if isinstance(results[0], Failure):
        raise AssertionError(
            f"a result was expected, but it failed:\n{results[0].getTraceback()}"
        ) from results[0].value
    return cast(_T, results[0])


def failure_result_of(
    awaitable: Awaitable[object], *expected: type[BaseException]
) -> BaseException:
    """Return the exception of a Deferred (or a coroutine) that has already failed.

    Args:
        awaitable: the Deferred; its failure counts as observed from now on.
        expected: the exception is an instance of one of these, if any are given.

    Raises:
        AssertionError: it has not fired, it succeeded, or its exception is of another class.
    """
    results = _results(awaitable)
    if not results:
        raise AssertionError(f"a failure was expected, but {awaitable!r} has not fired")
    if not isinstance(results[0], Failure):
        raise AssertionError(f"a failure was expected, but it fired with {results[0]!r}")
    failure = results[0]
    if expected and not failure.check(*expected):
        names = " or ".join(kind.__name__ for kind in expected)
        raise AssertionError(
            f"{names} was expected, but it failed with:\n{failure.getTraceback()}"
        ) from failure.value
    return cast(BaseException, failure.value)


def no_result_of(deferred: Deferred[_T]) -> None:
    """Assert that a Deferred has not fired, and leave it as it was.

    Raises:
        AssertionError: it has fired already.
    """
    results: list[object] = []

    def pass_on(result: _T | Failure) -> _T | Failure:
        results.append(result)
        return result

    deferred.addBoth(pass_on)
    if results:
        shown = results[0].getTraceback() if isinstance(results[0], Failure) else repr(results[0])
        raise AssertionError(f"no result was expected, but it fired with {shown}")
