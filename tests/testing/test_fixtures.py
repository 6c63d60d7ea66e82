"""The pytest plugin in somebody's project: it costs nothing until it is used, and then it works.

Each test runs pytest on a small project in a process of its own, with our plugin named by its
module, whether or not this checkout is installed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from txsmtpconn.testing.fixtures import _Processes

ROOT = Path(__file__).resolve().parents[2]
# Blocked by its entry point's name, so that it is not registered twice.
PLUGIN = ("-p", "no:txsmtpconn", "-p", "txsmtpconn.testing.fixtures")
# No more than what a project must have; what else is installed here is not its concern.
ALONE = ("-p", "no:twisted", "-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:xdist")

SAY_WHAT_IS_LOADED = """
import sys

def pytest_unconfigure(config):
    heavy = {"twisted", "OpenSSL", "cryptography", "zope", "pytest_twisted"}
    print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules} & heavy))
    ours = sorted(name for name in sys.modules if name.partition(".")[0] == "txsmtpconn")
    print("OURS", *ours)
"""

NO_PYTEST_TWISTED = """
import sys
sys.modules["pytest_twisted"] = None  # as if it were not installed
"""

USES_EVERYTHING = """
import smtplib

import pytest


def send(server):
    with smtplib.SMTP(server.host, server.port, timeout=10) as client:
        client.sendmail("a@a.test", ["b@b.test"], "Subject: x\\n\\nhello\\n")


def test_capture_process(capture_process):
    send(capture_process)
    (message,) = capture_process.wait_for(1)
    assert message.text == "hello\\n"


@pytest.mark.parametrize("capture_options", [{"name": "mx.test"}])
def test_capture_options(capture_process):
    send(capture_process)
    assert "220 mx.test" in capture_process.transcript


def test_memory_network(memory_network):
    assert memory_network.clock.seconds() == 0


def test_certificate_zoo(certificate_zoo):
    assert certificate_zoo.ca.exists()
"""

IN_MEMORY = """
import pytest

from txsmtpconn import Envelope, connect


@pytest.fixture
def capture_options(memory_network):
    return {"network": memory_network, "tls": "starttls"}


def test_capture_server(capture_server, memory_network):
    connecting = connect(memory_network.clock, capture_server.client_options())
    connection = memory_network.result_of(connecting)
    sending = connection.send(Envelope("a@a.test", ["b@b.test"]), b"\\r\\nhello\\r\\n")
    (message,) = memory_network.result_of(capture_server.wait_for(1), within=5)
    memory_network.result_of(sending)
    assert (message.text, message.session.tls) == ("hello\\n", "TLSv1.3")
"""

FAILS = """
import smtplib

import pytest


def test_failure(capture_process):
    with smtplib.SMTP(capture_process.host, capture_process.port, timeout=10) as client:
        client.noop()
    raise LookupError


def test_nobody(capture_process):
    raise LookupError


def test_waiting(capture_process):
    capture_process.wait_for(1, timeout=0.01)


def test_dead(capture_process):
    capture_process._process.kill()
    raise LookupError


@pytest.fixture
def customer(capture_process):
    with smtplib.SMTP(capture_process.host, capture_process.port, timeout=10) as client:
        client.help()
    raise LookupError


def test_fixture(customer):
    pass


def test_skipped(capture_process):
    pytest.skip("not today")


def test_good(capture_process):
    pass
"""

IN_THE_REACTOR = """
import smtplib

from twisted.internet.defer import inlineCallbacks
from twisted.internet.threads import deferToThread
import pytest_twisted


def send(server):
    with smtplib.SMTP(server.host, server.port, timeout=10) as client:
        client.sendmail("a@a.test", ["b@b.test"], "Subject: x\\n\\nhello\\n")


@pytest_twisted.ensureDeferred
async def test_capture_server(capture_server):
    await deferToThread(send, capture_server)
    (message,) = await capture_server.wait_for(1)
    assert message.text == "hello\\n"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with strict settings of its own."""
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings =\n    error\n"
        # The asyncio reactor of older Twisteds, on Python 3.12 and later.
        "    ignore:There is no current event loop:DeprecationWarning\n",
        "utf-8",
    )
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest there."""
    command = (sys.executable, "-m", "pytest", "-q", "-s", *PLUGIN, *arguments)
    return subprocess.run(
        command,
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("--collect-only",), ("--fixtures",), ()])
def test_unused_it_costs_nothing(project: Path, arguments: tuple[str, ...]) -> None:
    """No Twisted, no OpenSSL, and of ours nothing but the fixtures' own module."""
    (project / "conftest.py").write_text(SAY_WHAT_IS_LOADED, "utf-8")
    (project / "test_nothing.py").write_text("def test_nothing():\n    pass\n", "utf-8")
    done = run(project, *ALONE, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert told["LOADED"] == ""
    assert told["OURS"].split() == [
        "txsmtpconn",
        "txsmtpconn.testing",
        "txsmtpconn.testing.fixtures",
    ]


def test_it_works_without_pytest_twisted(project: Path) -> None:
    """All but `capture_server`, which says what it needs; and no Twisted comes in for sockets."""
    (project / "conftest.py").write_text(NO_PYTEST_TWISTED, "utf-8")
    (project / "test_all.py").write_text(USES_EVERYTHING, "utf-8")
    done = run(project, *ALONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    (project / "test_all.py").write_text("def test(capture_server):\n    pass\n", "utf-8")
    done = run(project, *ALONE)
    assert done.returncode == 1
    assert "capture_server needs pytest-twisted; capture_process does without" in done.stdout


def test_in_memory_it_needs_no_reactor(project: Path) -> None:
    """Nor pytest-twisted: the network's clock is all that moves."""
    (project / "conftest.py").write_text(NO_PYTEST_TWISTED + SAY_WHAT_IS_LOADED, "utf-8")
    (project / "test_memory.py").write_text(IN_MEMORY, "utf-8")
    done = run(project, *ALONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_test_that_fails_shows_what_was_said(project: Path) -> None:
    """Unless the failure has told already; and no test that passes or is skipped asks for it."""
    (project / "test_failures.py").write_text(FAILS, "utf-8")
    done = run(project, *ALONE, "-rs")
    counted = "4 failed, 1 passed, 1 skipped, 1 error"
    assert counted in done.stdout, done.stdout + done.stderr
    sections = done.stdout.split(" SMTP at capture_process ")[1:]
    assert len(sections) == 4
    for section, said in zip(
        sections,
        ["C: help\n", "C: noop\n", "nobody has connected", "process has ended"],
        strict=True,
    ):
        assert said in section
    assert done.stdout.count("MissingMessages: 1 message expected") == 1


def test_processes_do_not_pile_up() -> None:
    """Where each test has options of its own, those that were used last are left."""
    processes = _Processes()
    try:
        one, *others = [processes.get({"name": f"mx{number}.test"}) for number in range(4)]
        assert processes.get({"name": "mx0.test"}) is one
        another = processes.get({"name": "mx4.test"})
        running = [each for each in (one, *others, another) if each._process is not None]
        assert running == [one, *others[1:], another]
    finally:
        processes.stop(left=0)
    assert another._process is None


@pytest.mark.parametrize("reactor", ["default", "asyncio"])
def test_it_works_in_the_reactor_of_pytest_twisted(project: Path, reactor: str) -> None:
    """Whichever reactor that is."""
    (project / "test_reactor.py").write_text(IN_THE_REACTOR, "utf-8")
    done = run(project, f"--reactor={reactor}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
