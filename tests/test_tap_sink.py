"""``twistd smtpsink``: options in, a service out, and a clear word for each mistake."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.python.usage import UsageError

from txsmtpconn.sink.mailbox import TemporaryMailbag
from txsmtpconn.sink.ruletext import rule_text
from txsmtpconn.sink.service import SinkService
from txsmtpconn.tap_sink import Options, makeService
from txsmtpconn.tap_start import PluginService
from txsmtpconn.web.service import WebService


def service(*arguments: str) -> SinkService:
    """Return the service that a command line makes."""
    options = Options()
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    [made] = cast("PluginService", makeService(options)).services
    assert isinstance(made, SinkService)
    return made


def test_the_defaults_stay_on_loopback() -> None:
    """Nobody becomes an open door by leaving options out."""
    options = Options()
    options.parseOptions([])  # type: ignore[no-untyped-call]
    assert options["listen"] == ["tcp:2525:interface=127.0.0.1"]


def test_options_reach_the_server(tmp_path: Path) -> None:
    """Each option means what its help says."""
    made: Any = service(
        *("--listen=tcp:0", "--lmtp", "--name=mx.test", "--max-size=0", "--hide=CHUNKING"),
        *("--bare-line-ends=allow", "--banner=hi", "--max-clients=3"),
    )
    options = made.factory.options
    assert options.lmtp
    assert options.name == "mx.test"
    assert options.max_size is None
    assert options.disabled == ("CHUNKING",)
    assert options.bare_line_ends.value == "allow"
    assert (options.banner, options.max_clients) == ("hi", 3)
    made = service(
        "--proxy-network=10.0.0.5", "--xclient-network=127.0.0.1", "--xforward-network=unix"
    )
    options = made.factory.options
    assert "10.0.0.5" in options.proxy_networks
    assert "127.0.0.1" in options.xclient_networks
    assert options.xforward_networks
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
        (["--listen=tcp:99999999"], "tcp:99999999"),
        (["--listen=tcp6:port=-5"], "0 to 65535"),
        (["--max-size=-1"], "--max-size"),
        (["--max-size=x"], "x"),
        (["--private-key=key.pem"], "--certificate"),
        (["--certificate=missing.pem"], "missing.pem"),
        (["--users=missing", "--allow-insecure-auth"], "missing"),
        (["--users=missing"], "nobody could log in"),
        (["--require-auth"], "nobody could log in"),
        (["--max-clients=many"], "--max-clients is a number, not 'many'"),
        (["--timeout=soon"], "--timeout is a number, not 'soon'"),
        (["--keep-octets=5"], "--store or --web"),
        (["--keep-octets=5 MB", "--web"], "--keep-octets: '5 MB' is no number of octets"),
        (["--name=a b"], "a b"),
        (["--proxy-network=10.0.0.5/8"], "proxy_networks"),
        (["--xclient-network=all"], "xclient_networks"),
        (["--implicit-tls", "--require-auth", "extra"], "arguments"),
        (["--rule=RCPT explode"], "'explode'"),
        (["--rules=missing"], "missing"),
        (["--seed=x"], "x"),
        (["--banner=a\nb"], "banner"),
        (["--timeout=0"], "timeout"),
        (["--bare-line-ends=eat"], "bare_line_ends"),
        (["--max-clients=0"], "max_clients"),
        (["--stop-after-messages=0"], "--stop-after-messages"),
        (["--keep=0", "--web"], "--keep"),
        (["--keep=5"], "--store or --web"),
        (["--keep-octets=0", "--web"], "--keep-octets"),
        (["--web-listen=tcp:8025"], "--web"),
        (["--web-host=sink.test"], "--web"),
        (["--web-remote"], "--web"),
        (["--web", "--web-host=sink.test:8025"], "a name such as"),
        (["--web", "--web-host=http://sink.test"], "a name such as"),
        (["--web", "--web-listen=nonsense:1"], "nonsense"),
        (["--web", "--web-listen=tcp:65536:interface=127.0.0.1"], "tcp:65536"),
        (["--web", "--web-listen=tcp:8025"], "not on loopback"),
        (["--web", "--web-listen=tcp:8025:interface=0.0.0.0"], "not on loopback"),
        (["--web", "--web-listen=tcp:8025:interface=192.0.2.1"], "not on loopback"),
        (["--web", r"--web-listen=tcp6:8025:interface=\:\:"], "not on loopback"),
        (["--web", "--web-listen=tcp:8025:interface=sink.test"], "not on loopback"),
        (["--release-to=smtp://mx.test"], "--web"),
        (["--web", "--release-to=smtp://mx.test"], "--release-allow"),
        (["--web", "--release-allow=*"], "--release-to"),
        (["--web", "--release-password-file=x"], "--release-to"),
        (["--web", "--release-to=smtp://u:p@mx.test", "--release-allow=*"], "holds a password"),
        (["--web", "--release-to=http://mx.test", "--release-allow=*"], "smtp"),
        (["--web", "--release-to=smtp://u@mx.test", "--release-allow=*"], "SMTPSINK_PASSWORD a"),
        (
            ["--web", "--release-to=smtp://u@x", "--release-allow=*", "--release-password-file=no"],
            "cannot read 'no'",
        ),
        (["--timeout=nan"], "timeout"),
        (["--hide=CHUNKNG"], "CHUNKNG"),
        (["--implicit-tls"], "--certificate"),
        (["--implicit-tls", "--listen=ssl:0", "--listen=tcp:0"], "--certificate"),
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
        service(f"--users={users}", "--allow-insecure-auth")
    assert "hunter2" not in str(caught.value)


def test_rules_come_from_both_places_in_order(tmp_path: Path) -> None:
    """Those of the command line first; and the seed is what was said, or is drawn."""
    path = tmp_path / "rules"
    path.write_text("DATA 5% drop\n")
    made = service("-r", "RCPT reject 450", f"--rules={path}", "--seed=77", "--rule=MAIL delay 1")
    assert [rule_text(rule).split(" ")[0] for rule in made.book] == ["RCPT", "MAIL", "DATA"]
    assert made.book.seed == 77
    assert service().book.seed != service().book.seed


def test_an_answer_may_be_held_back_for_as_long_as_a_rule_says() -> None:
    """The server's own deadline for an application does not come first."""
    options = service("--timeout=7").factory.options
    assert options.timeouts.answer == options.timeouts.mark == 86400
    assert options.timeouts.command == options.timeouts.block == 7


@pytest.mark.parametrize(
    ("arguments", "room", "discards", "temporary"),
    [
        (["--web"], (1000, 2**30), True, True),
        (["--web", "--keep=5"], (5, 2**30), True, True),
        (["--web", "--keep-octets=5M"], (1000, 5 * 2**20), True, True),
        (["--web", "--store={}"], (1000, 2**30), False, False),
        (["--store={}", "--keep=5"], (5, sys.maxsize), True, False),
        (["--store={}", "--keep-octets=7"], (sys.maxsize, 7), True, False),
        (["--store={}", "--keep=5", "--keep-octets=1K"], (5, 1024), True, False),
    ],
)
def test_what_is_kept(
    tmp_path: Path, arguments: list[str], room: tuple[int, int], discards: bool, temporary: bool
) -> None:
    """What somebody asked to store is never removed unless somebody asked for that, too."""
    shelf = service(*(each.format(tmp_path) for each in arguments)).shelf
    assert shelf is not None
    assert shelf._room == room
    assert shelf._discards is discards
    assert isinstance(shelf.mailbag, TemporaryMailbag) is temporary
    assert service().shelf is None


def test_a_page_is_on_loopback_by_default() -> None:
    """And elsewhere only by leave."""
    for arguments in (
        [],
        ["--web-listen=tcp:0:interface=127.0.0.7"],
        ["--web-listen=tcp:0:interface=localhost"],
        [r"--web-listen=tcp6:0:interface=\:\:1"],
        ["--web-listen=unix:/tmp/never-made.sock"],
        ["--web-listen=tcp:0", "--web-remote"],
    ):
        made = service("--web", *arguments)
        assert any(isinstance(each, WebService) for each in made)


def test_the_password_to_release_with_is_not_in_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from a file, or from the environment."""
    from txsmtpconn import tap_sink

    def password(*arguments: str) -> object:
        options = Options()
        options.parseOptions(
            ["--web", "--release-to=smtp://u@mx.test", "--release-allow=*", *arguments]
        )  # type: ignore[no-untyped-call]
        given = tap_sink._release_to(options)
        assert given is not None
        return given["auth"].user, given["auth"].password

    path = tmp_path / "password"
    path.write_text("of the file\n")
    monkeypatch.setenv(tap_sink.PASSWORD_VARIABLE, "of the environment")
    assert password() == ("u", "of the environment")
    assert password(f"--release-password-file={path}") == ("u", "of the file")
    assert service("--web", "--release-to=smtp://u@mx.test", "--release-allow=*")


def test_without_a_page_nothing_of_klein_is_needed(tmp_path: Path) -> None:
    """It is not imported; and where it is missing, --web names the extra."""
    script = (
        "import sys\n"
        "sys.modules['klein'] = None\n"
        "from txsmtpconn.tap_sink import Options, makeService\n"
        "def make(*arguments):\n"
        "    options = Options()\n"
        "    options.parseOptions(list(arguments))\n"
        "    return makeService(options)\n"
        "make('--rule=RCPT reject')\n"
        "assert 'txsmtpconn.web.sink.page' not in sys.modules\n"
        "assert 'werkzeug' not in sys.modules\n"
        "make('--web')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "install txsmtpconn[web]" in done.stderr
    assert "Traceback" not in done.stderr


def smtp_sink_options() -> list[tuple[str, list[str]]]:
    """Read the table of Postfix's options in the guide: the option, and what it is here."""
    text = (Path(__file__).parent.parent / "docs" / "howto" / "sink.rst").read_text("utf-8")
    table = text.split(".. smtp-sink-options")[1]
    rows = re.findall(
        r"^   \* - ``(-[^`]+)``\n     - (.*?)(?=^   \* - |\Z|^\S)", table, re.MULTILINE | re.DOTALL
    )
    return [(option, re.findall(r"``([^`]+)``", ours)) for option, ours in rows]


def test_every_option_of_smtp_sink_has_a_counterpart_or_a_reason() -> None:
    """Those of its manual page, each once, and what stands beside them is taken."""
    rows = smtp_sink_options()
    told = [option.split(" ")[0] for option, _ in rows]
    assert sorted(told) == sorted(f"-{letter}" for letter in "468aAbBcCdDeEfFhHLmMnNpPqQrRsStTuvwW")
    taken = 0
    for _, ours in rows:
        for text in ours:
            if text.startswith("--") and not text.startswith(("--uid", "--gid", "--chroot")):
                options = Options()
                options.parseOptions(shlex.split(text))  # type: ignore[no-untyped-call]
                makeService(options)
                taken += 1
    assert taken > 20
