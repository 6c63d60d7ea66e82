"""``smtpconn`` as its users run it: a process with arguments, output and an exit code."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.running import RunningSink, command, environment, smtpconn
from txsmtpconn.cli import parsed
from txsmtpconn.cli.exit_codes import exit_code
from txsmtpconn.cli.out import tell, tell_json
from txsmtpconn.cli.pieces import Pieces, split
from txsmtpconn.cli.progress import Progress
from txsmtpconn.cli.secrets import secret
from txsmtpconn.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    DNSError,
    EnvelopeError,
    MessageError,
    ProtocolError,
    SMTPError,
    TLSError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery
from txsmtpconn.relay.users import PasswordHash
from txsmtpconn.testing import failure_result_of, success_result_of
from txsmtpconn.wire.reply import Reply

MESSAGE = b"From: a@x.test\nTo: b@y.test\nBcc: c@y.test\nSubject: hi\n\n.hello\n"
SENT = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: hi\r\n\r\n.hello\r\n"


def test_send_a_file_to_whom_its_header_names(sink: RunningSink, tmp_path: Path) -> None:
    """Bcc recipients get it, and nobody sees them; each recipient's fate is printed."""
    path = tmp_path / "m.eml"
    path.write_bytes(MESSAGE)
    done = smtpconn("send", f"smtp://127.0.0.1:{sink.port}", str(path))
    assert done.returncode == 0, done.stderr
    message, facts = sink.take()
    assert message == SENT
    assert facts["mail_from"] == "a@x.test"
    assert facts["rcpt_to"] == ["b@y.test", "c@y.test"]
    told = done.stdout.decode().splitlines()
    assert [line.split(" (")[0] for line in told] == ["b@y.test: accepted", "c@y.test: accepted"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_exit_code_is_the_messages_where_nobody_reads_what_became_of_it(
    sink: RunningSink, unbuffered: str
) -> None:
    """Whoever was told that it failed would send it again."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("send", f"smtp://127.0.0.1:{sink.port}"),
            input=MESSAGE,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            env=environment(PYTHONUNBUFFERED=unbuffered),
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().startswith("smtpconn: standard output: ")
    assert len(done.stderr.splitlines()) == 1
    sink.take()


def test_a_directory_is_no_message(tmp_path: Path) -> None:
    """The error names it."""
    done = smtpconn("send", "smtp://127.0.0.1:1", str(tmp_path))
    assert done.returncode == 65
    assert done.stderr.decode() == f"smtpconn: {tmp_path}: Is a directory\n"


def test_letters_that_the_terminal_lacks_are_written_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server's reply may be in any script, and the message has been delivered."""
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", terminal)
    tell("250 gr\u00fc\u00df dich")
    tell_json("\u00fc")
    assert terminal.buffer.getvalue() == b'250 gr\\xfc\\xdf dich\n"\\u00fc"\n'  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("raised", "expected"), [(EOFError, ConfigError), (KeyboardInterrupt, SendCancelled)]
)
def test_a_question_for_a_password_without_an_answer(
    monkeypatch: pytest.MonkeyPatch, raised: type[BaseException], expected: type[SMTPError]
) -> None:
    """As in a job that has no terminal, or by Ctrl-C."""

    def ask(*_: object) -> str:
        raise raised

    monkeypatch.setattr("getpass.getpass", ask)
    with pytest.raises(expected):
        secret("-", "SMTPCONN_PASSWORD")


def test_send_standard_input_with_an_envelope_of_options(sink: RunningSink) -> None:
    """What is given wins over the header; the null reverse-path is an empty word."""
    url = f"smtp://127.0.0.1:{sink.port}"
    done = smtpconn(
        *("send", url, "--from=", "--to=x@z.test", "--quiet", "--notify=never", "--ret=hdrs"),
        given=MESSAGE,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout
    message, facts = sink.take()
    assert message == SENT
    assert facts["mail_from"] == ""
    assert facts["rcpt_to"] == ["x@z.test"]
    assert facts["ret"] == "HDRS"


def test_the_transcript_shows_the_conversation_and_no_secret(sink: RunningSink) -> None:
    """``--verbose`` is for looking at what went wrong, with others at the screen."""
    url = f"smtp://alice@127.0.0.1:{sink.port}?allow_insecure_auth=true"
    done = smtpconn("send", url, "--verbose", given=MESSAGE, password="wonderland")
    assert done.returncode == 0, done.stderr
    assert sink.take()[1]["user"] == "alice"
    shown = (done.stdout + done.stderr).decode()
    for line in ("C: EHLO", "C: AUTH PLAIN", "S: 235", "C: MAIL FROM:<a@x.test>", "C: QUIT"):
        assert line in shown
    for hidden in ("wonderland", "AGFsaWNlAHdvbmRlcmxhbmQ="):
        assert hidden not in shown


def test_verify_says_what_it_found_and_sends_nothing(sink: RunningSink, tmp_path: Path) -> None:
    """Address, TLS, extensions, mechanisms and the login."""
    secret = tmp_path / "password"
    secret.write_text("wonderland\n")
    url = f"smtp://alice@127.0.0.1:{sink.port}?allow_insecure_auth=true"
    done = smtpconn("verify", url, f"--password-file={secret}")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    assert f"127.0.0.1 port {sink.port}" in shown
    assert re.search(r"^extensions .*\bPIPELINING\b.*\bSIZE\b", shown, re.MULTILINE)
    assert re.search(r"^AUTH +PLAIN LOGIN$", shown, re.MULTILINE)
    assert re.search(r"^TLS +none", shown, re.MULTILINE)
    assert re.search(r"^login +succeeded$", shown, re.MULTILINE)
    assert not list(sink.kept.glob("*.eml"))


def test_a_refused_login_is_told_without_the_password(sink: RunningSink) -> None:
    """77, and the server's words."""
    url = f"smtp://alice@127.0.0.1:{sink.port}?allow_insecure_auth=true"
    done = smtpconn("verify", url, password="hunter2")
    assert done.returncode == 77
    assert b"EAUTH" in done.stderr
    assert b"535" in done.stderr
    assert b"hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["verify", "smtp://u:hush-hush@h.test"], 78, "SMTPCONN_PASSWORD"),
        (["verify", "smtp://u@h.test"], 78, "--password-file"),
        (["verify", "smtp://h.test", "--password-file=x"], 78, "user"),
        (["verify", "smtp://h.test", "--no-verify", "--ca-file=x"], 78, "contradict"),
        (["verify", "smtp://h.test", "--ca-file=/no/such.pem"], 78, "such.pem"),
        (["verify", "smtp://h.test?nonsense=1"], 78, "nonsense"),
        (["verify", "http://h.test"], 78, "http"),
        (["verify", "smtp://127.0.0.1:1"], 75, "refused"),
        (["send", "smtp://h.test", "/no/such/file"], 65, "/no/such/file"),
        (["send", "smtp://h.test", "/dev/null"], 65, "empty"),
        (["send", "smtp://h.test", "--to=a b@c"], 65, "a b@c"),
        (["send", "smtp://h.test", "--notify=never,success"], 65, "NEVER"),
        (["send"], 64, "usage"),
        (["fly"], 64, "usage"),
        (["send", "--fly", "smtp://h.test", "-"], 64, "usage"),
    ],
    ids=str,
)
def test_mistakes_have_a_sentence_and_a_code(arguments: list[str], code: int, told: str) -> None:
    """No traceback, and no connection where none is needed to find the mistake."""
    done = smtpconn(*arguments, given=MESSAGE)
    shown = done.stderr.decode()
    assert done.returncode == code, shown
    assert told in shown
    assert "Traceback" not in shown
    assert "hush-hush" not in shown


def test_a_line_for_a_relays_file_of_users(tmp_path: Path) -> None:
    """The relay lets in who has the password, and the line does not tell it."""
    secret = tmp_path / "password"
    secret.write_text("wonderland\n")
    done = smtpconn("user", "alice", f"--password-file={secret}")
    assert done.returncode == 0, done.stderr
    name, _, text = done.stdout.decode().strip().partition(":")
    assert name == "alice"
    assert "wonderland" not in text
    assert PasswordHash.parse(text).matches("wonderland")
    assert not PasswordHash.parse(text).matches("looking-glass")
    assert smtpconn("user", "a:b", f"--password-file={secret}").returncode == 78


def test_help_names_every_command() -> None:
    """A newcomer's first call."""
    shown = smtpconn("--help").stdout.decode()
    for name in ("send", "verify", "user", "queue"):
        assert f"\n    {name} " in shown


def test_a_command_does_not_wait_for_what_only_another_needs() -> None:
    """Neither the server, of which a relay's users are a part, nor a resolver is imported."""
    script = (
        "import sys, txsmtpconn.cli\n"
        "print(*(name for name in sys.modules if name.startswith("
        "('txsmtpconn.server', 'txsmtpconn.transport.nexthop', 'twisted.names'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionLostError("x", delivery=Delivery.IN_DOUBT), 2),
        (ConnectionLostError("x"), 75),
        (EnvelopeError("x", reply=Reply.of(550, "no")), 69),
        (EnvelopeError("x", reply=Reply.of(450, "no")), 75),
        (MessageError("x"), 65),
        (DNSError("x"), 68),
        (AuthenticationError("x", reply=Reply.of(535, "no")), 77),
        (ProtocolError("x", reply=Reply.of(554, "no")), 76),
        (ConfigError("x"), 78),
        (TLSError("x"), 75),
    ],
)
def test_exit_codes(error: SMTPError, code: int) -> None:
    """Each tells a script whether to try again, and doubt is told apart from both."""
    assert exit_code(error) == code


@pytest.mark.parametrize("file", ["message.eml", "-"])
def test_the_file_may_stand_behind_switches(file: str) -> None:
    """As everybody writes it; a second one is a mistake."""
    url = "smtp://mx.test"
    assert parsed(["send", url, "--to", "b@y.test", file]).file == file
    assert parsed(["send", url, file, "--to", "b@y.test"]).file == file
    with pytest.raises(SystemExit):
        parsed(["send", url, "one", "--to", "b@y.test", file])
    with pytest.raises(SystemExit):
        parsed(["send", url, "--bogus", "--to", "b@y.test"])


def test_progress_is_shown_of_big_messages_on_a_terminal_only() -> None:
    """A bar that grows to the whole, once per change; nothing for small ones or a pipe."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    mib = 1024 * 1024
    terminal = Terminal()

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * mib

    async def through(progress: Progress, count: int) -> bytes:
        return b"".join([piece async for piece in progress.over(pieces(count))])

    progress = Progress(terminal, 4 * mib, quiet=False)
    assert success_result_of(through(progress, 4)) == b"x" * 4 * mib
    progress.end()
    shown = terminal.getvalue()
    assert shown.count("\r") == 4
    assert "100%" in shown
    assert shown.endswith("\n")
    for size, quiet, device in [
        (mib // 2, False, Terminal()),
        (4 * mib, True, Terminal()),
        (4 * mib, False, io.StringIO()),
    ]:
        silent = Progress(device, size, quiet=quiet)
        success_result_of(through(silent, 4))
        silent.end()
        assert device.getvalue() == ""
    unknown = Terminal()
    progress = Progress(unknown, None, quiet=False)
    success_result_of(through(progress, 2))
    assert "2 MiB" in unknown.getvalue()


def test_a_header_section_without_an_end_is_bounded(tmp_path: Path) -> None:
    """A file that is no message is not read into memory whole."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3 * 1024 * 1024)
    with Pieces.of(None, str(path)) as pieces:
        assert isinstance(failure_result_of(split(pieces)), MessageError)
        assert os.lseek(pieces.fileno(), 0, os.SEEK_CUR) < 2.5 * 1024 * 1024
    path.write_bytes(b"A: b\n")
    with Pieces.of(None, str(path)) as pieces:
        assert success_result_of(split(pieces)) == (b"A: b\n", b"")
        assert pieces.size == 5
