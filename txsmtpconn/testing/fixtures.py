"""Pytest fixtures, there in every project that has this package installed.

Importing this module imports no Twisted, nor anything else that takes time: what a fixture needs
is imported when it is asked for.

    capture_server    a `CaptureServer` in the reactor of pytest-twisted, or in memory
    capture_process   the same in another process, for synchronous code and for asyncio
    capture_options   what both are made with; override it, or parametrize a test with it
    memory_network    a `MemoryNetwork`
    certificate_zoo   throw-away certificates, good and bad

When a test fails that has a capture server, its report shows what the server was told.
"""

from __future__ import annotations

import json
import sys
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
    """A server that captures mail, in the reactor of pytest-twisted or in memory."""
    network: MemoryNetwork | None = capture_options.get("network")
    pytest_twisted: Any = request.config.pluginmanager.get_plugin("twisted")
    if network is None and pytest_twisted is None:
        pytest.fail("capture_server needs pytest-twisted; capture_process does without", False)
    from txsmtpconn.testing import CaptureServer

    finish = pytest_twisted.blockon if network is None else network.result_of
    server = CaptureServer(**capture_options)
    finish(server.start())
    yield server
    finish(server.stop())


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
            return server
        try:
            server.clear()
            server.clear_rules()
        except RuntimeError:  # killed; the tests that follow are not to suffer for that
            server.stop()
            server.start()
        return server


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add to the report of a test that failed what its capture servers were told."""
    if call.when != "call" or call.excinfo is None:
        return
    if isinstance(call.excinfo.value, (pytest.skip.Exception, pytest.xfail.Exception)):
        return
    if call.excinfo.typename == "MissingMessages":
        return  # it has told
    servers = _classes_of_servers()
    for name, value in getattr(item, "funcargs", {}).items():
        if isinstance(value, servers):
            item.add_report_section("call", f"SMTP at {name}", _said_to(value))


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
