"""``twistd smtprelay``: options in, a relay out, and a clear word for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from txsmtpconn.relay.configuration import RelayOptions
from txsmtpconn.relay.spool import Doubt
from txsmtpconn.tap import PASSWORD_VARIABLE, Options, _relay_options, makeService

UPSTREAM = "--upstream=smtp://mx.example:2525"


def parsed(*arguments: str) -> Options:
    """Return what twistd would hand to `makeService`."""
    options = Options()
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    return options


def relay_options(tmp_path: Path, *arguments: str) -> RelayOptions:
    """Return the relay's options, the two that are required given."""
    return _relay_options(parsed(f"--spool={tmp_path}", UPSTREAM, *arguments))


def test_the_defaults_are_closed(tmp_path: Path) -> None:
    """Loopback only, on both sides of the door, and the schedule of the documentation."""
    options = relay_options(tmp_path)
    assert options.listen == ("tcp:2525:interface=127.0.0.1",)
    assert options.networks == ("127.0.0.0/8", "::1/128")
    assert options.max_size == 50 * 1024 * 1024
    assert options.schedule.waits[:2] == (300.0, 600.0)
    assert options.schedule.lifetime == 5 * 86400
    assert options.in_doubt is Doubt.RETRY


def test_each_option_reaches_the_relay(tmp_path: Path) -> None:
    """What the help promises."""
    options = relay_options(
        tmp_path,
        "--listen=tcp:1:interface=127.0.0.1",
        "--listen=tcp:2:interface=127.0.0.1",
        "--listen-lmtp=unix:/run/x",
        "--network=192.0.2.0/24",
        "--network=127.0.0.0/8",
        "--proxy-network=10.0.0.5",
        "--xclient-network=10.0.0.6",
        "--xclient-network=unix",
        "--name=relay.test",
        "--max-size=500K",
        "--max-recipients=200",
        "--max-clients=7",
        "--retry=1m,2m*2",
        "--lifetime=2d",
        "--in-doubt=hold",
        "--concurrency=9",
        "--connections=3",
        "--drain=5s",
    )
    assert len(options.listen) == 2
    assert options.listen_lmtp == ("unix:/run/x",)
    assert options.networks == ("192.0.2.0/24", "127.0.0.0/8")
    assert options.proxy_networks == ("10.0.0.5",)
    assert options.xclient_networks == ("10.0.0.6", "unix")
    assert options.name == "relay.test"
    assert options.max_size == 500 * 1024
    assert options.max_recipients == 200
    assert options.max_clients == 7
    assert options.schedule.waits == (60.0, 120.0, 120.0)
    assert options.schedule.lifetime == 2 * 86400
    assert options.in_doubt is Doubt.HOLD
    assert (options.concurrency, options.connections, options.drain) == (9, 3, 5.0)


def test_lmtp_alone_opens_no_smtp_port(tmp_path: Path) -> None:
    """The default is for those who name no endpoint at all."""
    assert relay_options(tmp_path, "--listen-lmtp=unix:/run/x").listen == ()


def test_password_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    """A file of something else was named by mistake, and may be secret, too."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"hunter2\xff")
    arguments = (f"--spool={tmp_path}", UPSTREAM, f"--password-file={secret}")
    with pytest.raises(SystemExit, match="is not text in UTF-8") as caught:
        makeService(parsed(*arguments))
    assert "hunter2" not in repr(caught.value)


def test_the_password_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never from the command line; and no text of the options shows it."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    monkeypatch.setenv(PASSWORD_VARIABLE, "from-the-environment")
    assert relay_options(tmp_path).upstream_password == "from-the-environment"
    options = relay_options(tmp_path, f"--password-file={secret}")
    assert options.upstream_password == "hunter2"
    assert "hunter2" not in repr(options)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([UPSTREAM], "--spool is required"),
        (["--spool=x"], "--upstream is required"),
        (["--spool=x", "--upstream=http://h"], "http"),
        (["--spool=x", "--upstream=smtp://user@h.test"], "password"),
        (["--spool=x", "--upstream=smtp://user:hunter2@h.test"], "--password-file"),
        (["--spool=x", UPSTREAM, "--listen=tcp:2525"], "listens beyond this host"),
        (["--spool=x", UPSTREAM, "--listen=tcp:25", "--network=0.0.0.0/0"], "open relay"),
        (["--spool=x", UPSTREAM, "--network=everybody"], "everybody"),
        (["--spool=x", UPSTREAM, "--max-size=much"], "much"),
        (["--spool=x", UPSTREAM, "--connections=many"], "--connections is a number, not 'many'"),
        (["--spool=x", UPSTREAM, "--max-size=1"], "max_size"),
        (["--spool=x", UPSTREAM, "--retry=soon"], "soon"),
        (["--spool=x", UPSTREAM, "--lifetime=0"], "'0'"),
        (["--spool=x", UPSTREAM, "--in-doubt=bounce"], "retry, hold"),
        (["--spool=x", UPSTREAM, "--users=/no/such"], "/no/such"),
        (["--spool=x", UPSTREAM, "--password-file=/no/such"], "/no/such"),
        (["--spool=x", UPSTREAM, "--certificate=/no/such.pem"], "such.pem"),
        (["--spool=x", UPSTREAM, "--private-key=k.pem"], "certificate"),
        (["--spool=x", UPSTREAM, "--listen=nonsense:1:interface=127.0.0.1"], "nonsense"),
        (["--spool=x", UPSTREAM, "--listen=tcp:65536:interface=127.0.0.1"], "tcp:65536"),
    ],
    ids=str,
)
def test_mistakes_are_told_before_anything_is_opened(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence and no traceback; no spool is made, no port opened."""
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, SystemExit), match=told):
        makeService(parsed(*arguments))
    assert not list(tmp_path.iterdir())
