"""Pytest fixtures, there in every project that has this package installed.

Importing this module imports no Twisted, nor anything else that takes time: what a fixture needs
is imported when it is asked for.

    capture_server    a `CaptureServer` in the tests' own reactor; needs pytest-twisted
    capture_process   the same in another process, for synchronous code and for asyncio
    capture_options   what both are made with; override it, or parametrize a test with it
    memory_network    a `MemoryNetwork`
    certificate_zoo   throw-away certificates, good and bad
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from txsmtpconn.testing import (
        CaptureProcess,
        CaptureServer,
        CertificateZoo,
        MemoryNetwork,
    )


@pytest.fixture(scope="session")
def certificate_zoo(tmp_path_factory: pytest.TempPathFactory) -> CertificateZoo:
    """Throw-away certificates, good and bad, made once in a test run."""
    from txsmtpconn.testing import CertificateZoo

    directory = tmp_path_factory.mktemp("certificates")
    return CertificateZoo.make(directory)


@pytest.fixture
def memory_network() -> MemoryNetwork:
    """A network in memory, on a clock of its own."""
    from txsmtpconn.testing import MemoryNetwork

    return MemoryNetwork()


@pytest.fixture
def capture_options() -> dict[str, Any]:
    """The options of `capture_server` and `capture_process`: none. Made to be overridden."""
    return {}


@pytest.fixture
def capture_server(
    request: pytest.FixtureRequest, capture_options: dict[str, Any]
) -> Iterator[CaptureServer]:
    """A server that captures mail, in the reactor of pytest-twisted."""
    pytest_twisted: Any = request.config.pluginmanager.get_plugin("twisted")
    if pytest_twisted is None:
        pytest.fail("capture_server needs pytest-twisted; capture_process does without", False)
    from txsmtpconn.testing import CaptureServer

    server = CaptureServer(**capture_options)
    pytest_twisted.blockon(server.start())
    yield server
    pytest_twisted.blockon(server.stop())


@pytest.fixture(scope="session")
def _capture_processes() -> Iterator[_Processes]:
    with ExitStack() as stack:
        yield _Processes(stack)


@pytest.fixture
def capture_process(
    capture_options: dict[str, Any], _capture_processes: _Processes
) -> CaptureProcess:
    """A server that captures mail, in another process; empty and without rules."""
    return _capture_processes.get(capture_options)


class _Processes:
    """The processes of a test run, one for each set of options: a start takes half a second."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, CaptureProcess] = {}

    def get(self, options: dict[str, Any]) -> CaptureProcess:
        """Return a process with these options that has seen nothing yet."""
        from txsmtpconn.testing import CaptureProcess

        key = json.dumps(options, sort_keys=True, default=str)
        server = self._running.get(key)
        if server is None:
            server = self._stack.enter_context(CaptureProcess(**options))
            self._running[key] = server
        else:
            server.clear()
            server.clear_rules()
        return server
