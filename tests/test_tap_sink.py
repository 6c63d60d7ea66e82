"""``twistd smtpsink``: options in, a service out, and a clear word for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.python.usage import UsageError

from txsmtpconn.server.listening import ListeningService
from txsmtpconn.tap_sink import Options, makeService


def service(*arguments: str) -> ListeningService:
    """Return the service that a command line makes."""
    options = Options()
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    made = makeService(options)
    assert isinstance(made, ListeningService)
    return made


def test_the_defaults_stay_on_loopback() -> None:
    """Nobody becomes an open door by leaving options out."""
    options = Options()
    options.parseOptions([])  # type: ignore[no-untyped-call]
    assert options["listen"] == ["tcp:2525:interface=127.0.0.1"]


def test_options_reach_the_server(tmp_path: Path) -> None:
    """Each option means what its help says."""
    made: Any = service(
        "--listen=tcp:0", "--lmtp", "--name=mx.test", "--max-size=0", "--hide=CHUNKING"
    )
    options = made.factory.options
    assert options.lmtp
    assert options.name == "mx.test"
    assert options.max_size is None
    assert options.disabled == ("CHUNKING",)
    users = tmp_path / "users"
    users.write_text("# staff\n\nalice:won:der\n")
    made = service(
        f"--users={users}", "--require-auth", "--allow-insecure-auth", f"--store={tmp_path}/bag"
    )
    assert made.factory.options.auth_required
    assert (tmp_path / "bag").is_dir()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen=nonsense:1"], "nonsense"),
        (["--listen=tcp:port"], "tcp:port"),
        (["--max-size=-1"], "--max-size"),
        (["--max-size=x"], "x"),
        (["--private-key=key.pem"], "--certificate"),
        (["--certificate=missing.pem"], "missing.pem"),
        (["--users=missing"], "missing"),
        (["--name=a b"], "a b"),
        (["--implicit-tls", "--require-auth", "extra"], "arguments"),
    ],
)
def test_mistakes_are_told_before_anything_is_opened(arguments: list[str], told: str) -> None:
    """One sentence, without a traceback, that names what is wrong."""
    with pytest.raises((UsageError, SystemExit), match=told):
        service(*arguments)


def test_a_users_file_with_a_broken_line(tmp_path: Path) -> None:
    """The line is named, and its text, which may be a password, is not shown."""
    users = tmp_path / "users"
    users.write_text("alice:x\nhunter2\n")
    with pytest.raises(SystemExit, match="line 2") as caught:
        service(f"--users={users}")
    assert "hunter2" not in str(caught.value)
