"""Pytest fixtures, there in every project that has this package installed.

Importing this module imports no Twisted, nor anything else that takes time: what a fixture needs
is imported when it is asked for.

    capture_server    a `CaptureServer` in the reactor of pytest-twisted, or in memory
    capture_process   the same in another process, for synchronous code and for asyncio
    capture_options   what both are made with; override it, or parametrize a test with it
    memory_network    a `MemoryNetwork`
    certificate_zoo   throw-away certificates, good and bad

When a test fails that has a capture server, or one of its fixtures does, the report shows what the
server was told.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from txsmtpconn.testing import (
        CaptureProcess,
        CaptureServer,
        CertificateZoo,
        MemoryNetwork,
    )

#: The server of a test, and what the test calls it.
_SERVER = pytest.StashKey["tuple[str, CaptureServer | CaptureProcess]"]()

#: Processes that run at one time: options may have a directory of the test in them, and a test run
#: thousands of tests.
_MOST_PROCESSES = 4


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
    """A server that captures mail, in the reactor of pytest-twisted or in memory."""
    network: MemoryNetwork | None = capture_options.get("network")
    pytest_twisted: Any = request.config.pluginmanager.get_plugin("twisted")
    if network is None and pytest_twisted is None:
        pytest.fail("capture_server needs pytest-twisted; capture_process does without", False)
    from txsmtpconn.testing import CaptureServer

    finish = pytest_twisted.blockon if network is None else network.result_of
    server = CaptureServer(**capture_options)
    finish(server.start())
    request.node.stash[_SERVER] = ("capture_server", server)
    yield server
    finish(server.stop())


@pytest.fixture(scope="session")
def _capture_processes() -> Iterator[_Processes]:
    processes = _Processes()
    yield processes
    processes.stop(left=0)


@pytest.fixture
def capture_process(
    request: pytest.FixtureRequest, capture_options: dict[str, Any], _capture_processes: _Processes
) -> CaptureProcess:
    """A server that captures mail, in another process; empty and without rules."""
    server = _capture_processes.get(capture_options)
    request.node.stash[_SERVER] = ("capture_process", server)
    return server


class _Processes:
    """The processes of a test run, one for each set of options: a start takes half a second."""

    def __init__(self) -> None:
        self._running: dict[str, CaptureProcess] = {}  # the one used last is the last

    def get(self, options: dict[str, Any]) -> CaptureProcess:
        """Return a process with these options that has seen nothing yet."""
        from txsmtpconn.testing import CaptureProcess

        key = json.dumps(options, sort_keys=True, default=str)
        server = self._running.pop(key, None)
        if server is None:
            self.stop(left=_MOST_PROCESSES - 1)
            server = self._running[key] = CaptureProcess(**options).start()
            return server
        self._running[key] = server
        try:
            server.clear()
            server.clear_rules()
        except RuntimeError:  # killed; the tests that follow are not to suffer for that
            server.stop()
            server.start()
        return server

    def stop(self, *, left: int) -> None:
        """Stop all but some: those that were used last are left."""
        while len(self._running) > left:
            self._running.pop(next(iter(self._running))).stop()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add to the report of a test that failed what its capture servers were told."""
    if call.excinfo is None:
        return
    if isinstance(call.excinfo.value, (pytest.skip.Exception, pytest.xfail.Exception)):
        return
    if call.excinfo.typename == "MissingMessages":
        return  # it has told
    servers, found = _classes_of_servers(), getattr(item, "funcargs", {})
    told = {name: value for name, value in found.items() if isinstance(value, servers)}
    if _SERVER in item.stash:  # what another fixture has asked for is no argument of the test
        name, server = item.stash[_SERVER]
        told[name] = server
    for name, server in told.items():
        item.add_report_section(call.when, f"SMTP at {name}", _said_to(server))


def _classes_of_servers() -> Any:
    """Return those that somebody has imported: no other can have an instance."""
    places = {"capture": "CaptureServer", "process": "CaptureProcess"}
    modules = {name: sys.modules.get(f"txsmtpconn.testing.{name}") for name in places}
    return tuple(getattr(module, places[name]) for name, module in modules.items() if module)


def _said_to(server: CaptureServer | CaptureProcess) -> str:
    try:
        return server.transcript or "nobody has connected"
    except RuntimeError as reason:
        return str(reason)
