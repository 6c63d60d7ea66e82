"""The capture server on sockets, driven by clients that are not ours, from every kind of code."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from txsmtpconn import Envelope, connect
from txsmtpconn.errors import ConfigError
from txsmtpconn.testing import CaptureProcess, CaptureServer, MissingMessages
from txsmtpconn.testing.fixtures import (
    _capture_processes,
    capture_options,
    capture_process,
    capture_server,
)

__all__ = ["_capture_processes", "capture_options", "capture_process", "capture_server"]

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = b"Subject: hello\r\n\r\n.dots\r\n"


def mail(to: str = "b@b.test") -> EmailMessage:
    """Compose what an application sends."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@a.test", to, "Grüße"
    message.set_content("Hallo!\n")
    return message


def send_by_smtplib(server: Any, *, user: str = "", to: str = "b@b.test") -> dict[str, Any]:
    """Send as synchronous applications do; return who was refused."""
    with smtplib.SMTP(server.host, server.port, timeout=10) as client:
        if server.ca_file is not None:
            client.starttls(context=ssl.create_default_context(cafile=str(server.ca_file)))
        if user:
            client.login(user, "secret")
        return client.send_message(mail(to))


# -- in the reactor of the tests


@pytest_twisted.inlineCallbacks
def test_from_another_thread(capture_server: CaptureServer) -> Any:
    """A synchronous client in a thread, while the test waits in the reactor."""
    sending = deferToThread(send_by_smtplib, capture_server)
    (message,) = yield capture_server.wait_for(1)
    assert (yield sending) == {}
    assert (message.subject, message.text) == ("Grüße", "Hallo!\n")


@pytest.mark.parametrize(
    "capture_options",
    [{"tls": "starttls", "users": {"u": "secret"}}, {"users": {"u": "secret"}}],
    ids=["tls", "clear"],
)
@pytest_twisted.inlineCallbacks
def test_with_tls_and_a_login(capture_server: CaptureServer) -> Any:
    """The context trusts the throw-away authority, for the address of the loopback interface."""
    yield deferToThread(send_by_smtplib, capture_server, user="u")
    (message,) = capture_server.messages
    assert message.session.user == "u"
    assert (message.session.tls is None) is (capture_server.ca_file is None)


@pytest.mark.parametrize("capture_options", [{"tls": "implicit"}])
@pytest_twisted.inlineCallbacks
def test_with_implicit_tls(capture_server: CaptureServer) -> Any:
    """As `smtplib.SMTP_SSL` wants it."""

    def send() -> None:
        context = ssl.create_default_context(cafile=str(capture_server.ca_file))
        with smtplib.SMTP_SSL(
            capture_server.host, capture_server.port, timeout=10, context=context
        ) as client:
            client.send_message(mail())

    yield deferToThread(send)
    assert capture_server.messages[0].session.protocol == "ESMTPS"
    assert capture_server.url.startswith("smtps://127.0.0.1:")


@pytest_twisted.inlineCallbacks
def test_our_own_client_by_url(capture_server: CaptureServer) -> Any:
    """The URL is all that it needs."""
    from twisted.internet import reactor

    conn = yield connect(reactor, capture_server.url)
    yield conn.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE)
    yield conn.quit()
    assert capture_server.messages[0].raw == MESSAGE


@pytest_twisted.inlineCallbacks
def test_lmtp_on_a_unix_socket(tmp_path: Path) -> Any:
    """By URL and by endpoint; the socket is gone afterwards."""
    from twisted.internet import reactor

    path = tmp_path / "lmtp"
    server = yield CaptureServer(reactor, lmtp=True, path=path).start()
    conn = yield connect(reactor, server.url)
    yield conn.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE)
    yield conn.quit()
    conn = yield connect(reactor, lmtp=True, endpoint=server.client_endpoint())
    yield conn.send(Envelope("a@a.test", ["b@b.test"]), MESSAGE)
    yield conn.quit()
    yield server.stop()
    assert [message.session.protocol for message in server.messages] == ["LMTP", "LMTP"]
    assert not path.exists()


@pytest_twisted.inlineCallbacks
def test_stopping_leaves_nobody_connected() -> Any:
    """A client that says nothing, and one in the middle of its handshake, are dropped."""
    from twisted.internet import reactor

    server = yield CaptureServer(reactor, tls="starttls").start()
    silent = socket.create_connection((server.host, server.port))
    shaking = socket.create_connection((server.host, server.port))

    def begin_tls() -> bytes:
        heard = silent.recv(100)
        shaking.recv(100)
        shaking.sendall(b"EHLO x.test\r\n")
        shaking.recv(1000)
        shaking.sendall(b"STARTTLS\r\n")
        shaking.recv(100)
        shaking.sendall(b"\x16\x03\x01")
        return heard

    assert (yield deferToThread(begin_tls)).startswith(b"220 ")
    yield server.stop()
    with silent, shaking:
        silent.settimeout(10)
        shaking.settimeout(10)
        try:
            assert silent.recv(100).startswith(b"421 ")
        except ConnectionResetError:
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port))


TRIAL = """
import smtplib

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from txsmtpconn.testing import CaptureServer


class MailTests(TestCase):
    def setUp(self):
        self.server = CaptureServer(reactor, tls="starttls")
        self.addCleanup(self.server.stop)
        return self.server.start()

    def send(self):
        with smtplib.SMTP(self.server.host, self.server.port, timeout=10) as client:
            client.sendmail("a@a.test", ["b@b.test"], "Subject: x\\n\\nhello\\n")

    async def test_mail(self):
        sending = deferToThread(self.send)
        (message,) = await self.server.wait_for(1)
        await sending
        self.assertEqual(message.subject, "x")

    def test_failure(self):
        return self.assertFailure(self.server.wait_for(1, timeout=0.01), AssertionError)
"""


def test_in_trial(tmp_path: Path) -> None:
    """Trial finds a clean reactor behind it."""
    (tmp_path / "test_mail.py").write_text(TRIAL, "utf-8")
    command = (sys.executable, "-m", "twisted.trial", "test_mail")
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path))), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED (successes=2)" in done.stdout


# -- in a process of its own


@pytest.fixture(scope="module")
def process() -> Iterator[CaptureProcess]:
    """One process for most of these tests."""
    with CaptureServer.running(tls="starttls", users={"u": "secret"}) as process:
        yield process


@pytest.fixture
def running(process: CaptureProcess) -> CaptureProcess:
    """The process, empty."""
    process.clear()
    process.clear_rules()
    return process


def test_synchronous_code(running: CaptureProcess) -> None:
    """Send, wait, look: no reactor anywhere near."""
    send_by_smtplib(running, user="u")
    (message,) = running.wait_for(1)
    assert running.messages == [message]
    assert (message.subject, message.session.user) == ("Grüße", "u")
    assert message.session.tls is not None
    assert [session.hello_name for session in running.sessions] == [message.session.hello_name]
    assert "AUTH PLAIN [secret]" in running.transcript
    running.clear()
    assert running.messages == []


def test_rules_in_another_process(running: CaptureProcess) -> None:
    """They are made, counted and forgotten as here."""
    rule = running.mailbox_full("full@b.test", times=1)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="Mailbox full"):
        send_by_smtplib(running, to="full@b.test")
    assert running.hits(rule) == 1
    send_by_smtplib(running, to="full@b.test")
    running.drop("MESSAGE", taken=True)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send_by_smtplib(running)
    assert len(running.wait_for(2)) == 2
    running.clear_rules()
    send_by_smtplib(running)
    assert running.hits(rule) == 0


def test_errors_come_back_as_what_they_are(running: CaptureProcess) -> None:
    """With what the other process has to tell."""
    send_by_smtplib(running)
    with pytest.raises(MissingMessages, match=r"2 messages expected, within 0\.01 s; 1 came"):
        running.wait_for(2, timeout=0.01)
    with pytest.raises(ConfigError, match="rcpt is not known at MAIL"):
        running.reject("MAIL", rcpt="b@b.test")
    with pytest.raises(ConfigError, match="runs already"):
        running.start()


def test_waiting_in_asyncio(running: CaptureProcess) -> None:
    """The event loop runs while a thread waits."""

    async def main() -> str:
        waiting = asyncio.create_task(asyncio.to_thread(running.wait_for, 1))
        await aiosmtplib.send(
            mail(),
            hostname=running.host,
            port=running.port,
            tls_context=ssl.create_default_context(cafile=str(running.ca_file)),
        )
        (message,) = await waiting
        return str(message.subject)

    # In a thread: where the tests' reactor is asyncio's, this one has a loop already.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, main()).result() == "Grüße"


def test_many_threads_share_one_process(running: CaptureProcess) -> None:
    """Each call has its own answer."""
    rules = [running.reject("NOOP", text=f"number {number}", times=1) for number in range(8)]
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda rule=rule: counts.append(running.hits(rule)))
        for rule in rules
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [0] * 8
    assert len({rule.number for rule in rules}) == 8


def test_who_waits_in_vain_is_told_where_the_server_is(running: CaptureProcess) -> None:
    """For a client that has never come was perhaps told another place."""
    with pytest.raises(MissingMessages, match=f"connected to 127.0.0.1:{running.port}$"):
        running.wait_for(1, timeout=0.01)


def test_other_threads_need_not_wait_for_one_that_waits(running: CaptureProcess) -> None:
    """As in asyncio, where the thread of the event loop goes on while another waits for a mail."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(running.wait_for, 1, 20)
        rule = running.reject("MAIL", times=1)
        with pytest.raises(smtplib.SMTPSenderRefused):
            send_by_smtplib(running)
        assert running.hits(rule) == 1
        assert not waiting.done()
        send_by_smtplib(running)
        assert len(waiting.result()) == 1


class Interrupted(Exception):
    """What a signal handler raises: Ctrl-C does, and plugins that end tests which take too long."""


def test_who_is_interrupted_leaves_no_answer_behind(running: CaptureProcess) -> None:
    """The answer to what he has asked is not taken for one to what is asked next."""

    def interrupt(*arguments: object) -> None:
        raise Interrupted

    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            running.wait_for(1, 20)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    send_by_smtplib(running)  # and so there is an answer now
    assert [message.subject for message in running.messages] == ["Grüße"]
    assert running.hits(running.reject("MAIL")) == 0
    running.clear()
    assert running.messages == []


def test_whoever_was_forked_has_no_part_in_it() -> None:
    """He can neither ask nor end it, and that he has the pipe open does not keep it alive."""
    refused, refusing = os.pipe()
    with CaptureServer.running() as server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are threads, as we know
            child = os.fork()
        if child == 0:
            try:
                server.wait_for(0)
            except RuntimeError as error:
                server.stop()
                os.write(refusing, str(error).encode())
                signal.pause()
            finally:
                os._exit(1)
        os.close(refusing)
        try:
            assert b"belongs to the process that has started it" in os.read(refused, 100)
            assert server.messages == []
            process = server._process
            assert process is not None
            server.stop()
            assert process.returncode == 0
        finally:
            os.close(refused)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tls": "maybe"}, ConfigError, "'starttls' or 'implicit'"),
        ({"max_size": object()}, ConfigError, "cannot be told to another process"),
        ({"port": 25}, TypeError, "'port'"),
    ],
)
def test_a_wrong_option_ends_the_process(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """The error is the one of `CaptureServer`, and no process is left."""
    process = CaptureServer.running(**options)
    with pytest.raises(error, match=message):
        process.start()
    with pytest.raises(RuntimeError, match="not running"):
        process.wait_for(1)


def test_the_process_ends_in_order(tmp_path: Path) -> None:
    """Interrupts are not for it; its files, its socket and itself are gone at the end."""
    with CaptureServer.running(tls="starttls", path=tmp_path / "smtp") as server:
        process = server._process
        assert process is not None
        os.kill(process.pid, signal.SIGINT)
        assert server.messages == []
        ca_file = server.ca_file
        assert ca_file is not None
        assert ca_file.exists()
        assert (tmp_path / "smtp").exists()
    assert process.returncode == 0
    assert not ca_file.exists()
    assert not (tmp_path / "smtp").exists()
    server.stop()


def test_a_process_that_dies_is_told_of() -> None:
    """Nobody waits for an answer that cannot come, and its files are gone all the same."""
    with CaptureServer.running(tls="starttls") as server:
        assert server._process is not None
        server._process.kill()
        with pytest.raises(RuntimeError, match="has ended"):
            server.wait_for(1)
        assert server.ca_file is not None
        assert server.ca_file.exists()
    assert not server.ca_file.parent.exists()


def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    """A test run that is killed leaves no server behind."""
    script = (
        "import os, signal\n"
        "from txsmtpconn.testing import CaptureProcess\n"
        "server = CaptureProcess().start()\n"
        "print(server.port, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The server's errors go to the same pipe: it has ended once that pipe has.
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(done.stdout)))


@pytest.mark.parametrize("printed", ["hello", "[1]", "{}", "7", '{"number": []}'])
def test_what_else_the_process_prints_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    """As where an environment greets whoever starts Python."""
    (tmp_path / "sitecustomize.py").write_text(f"print({printed!r})\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with CaptureServer.running() as server:
        assert server.messages == []


def test_under_gevent() -> None:
    """Where threads are none, and nothing may block, a test has its answers all the same."""
    pytest.importorskip("gevent")
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import smtplib\n"
        "from txsmtpconn.testing import CaptureProcess\n"
        "with CaptureProcess() as server:\n"
        "    with smtplib.SMTP(server.host, server.port, timeout=10) as client:\n"
        "        client.sendmail('a@a.test', ['b@b.test'], 'Subject: x\\n\\nhello\\n')\n"
        "    print(server.wait_for(1)[0].subject)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.stdout == "x\n", done.stderr


def test_what_lies_about_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the project under test called email.py is not ours to run."""
    (tmp_path / "email.py").write_text("raise SystemExit('imported')", "utf-8")
    monkeypatch.chdir(tmp_path)
    with CaptureServer.running() as server:
        assert server.messages == []


def test_the_fixture_gives_an_empty_server(capture_process: CaptureProcess) -> None:
    """And keeps the process for the tests that follow."""
    send_by_smtplib(capture_process)
    capture_process.reject("MAIL")
    with pytest.raises(smtplib.SMTPSenderRefused):
        send_by_smtplib(capture_process)


def test_the_fixture_gives_an_empty_server_again(capture_process: CaptureProcess) -> None:
    """What the test before this one did is forgotten."""
    assert capture_process.messages == []
    send_by_smtplib(capture_process)
    assert len(capture_process.wait_for(1)) == 1
