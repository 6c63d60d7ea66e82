"""`twistd smtpsink` as a program, with Postfix's smtp-source and smtplib as its clients."""

from __future__ import annotations

import re
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.peers.available import program
from tests.interop.peers.process import wait_until
from tests.interop.peers.sink import Sink, running_sink


def source(sink: Sink, *arguments: str) -> None:
    """Have smtp-source send messages."""
    where = f"127.0.0.1:{sink.port}"
    command = [program("smtp-source", "postfix"), "-f", "a@x.test", "-t", "b@y.test"]
    subprocess.run([*command, *arguments, where], check=True, timeout=120)


def test_it_ends_by_itself_behind_the_last_reply() -> None:
    """After so many messages from ten sessions at once, each of which hears its answer."""
    with running_sink("--stop-after-messages=50") as sink:
        source(sink, "-s", "10", "-m", "50", "-l", "20000")
        wait_until(lambda: not sink.alive, "the end", blame=lambda: sink.log)
        assert re.search(r"took 50 messages, \d+ octets, in \d+ sessions", sink.log)


def test_the_newest_are_kept_and_the_directory_goes_with_the_sink() -> None:
    """Forty messages into room for seven; nothing of it is left behind."""
    before = set(Path("/tmp").glob("smtpsink-*"))
    with running_sink("--keep=7") as sink:
        (directory,) = set(Path("/tmp").glob("smtpsink-*")) - before
        source(sink, "-s", "4", "-m", "40", "-S", "subject here")
        assert len(sink.messages()) == len(list(directory.glob("*.eml"))) == 7
        assert sink.ask("api/status")["taken"] == 40
    assert not directory.exists()


def fates(seed: int) -> Iterator[tuple[int, ...]]:
    """Say what becomes of twenty transactions in each of three sessions."""
    rules = ("--rule=MAIL 30% reject 451", "--rule=RCPT 20% drop", f"--seed={seed}")
    with running_sink(*rules) as sink:
        for _ in range(3):
            codes = []
            with smtplib.SMTP("127.0.0.1", sink.port, timeout=20) as client:
                client.ehlo("me.test")
                try:
                    for _ in range(20):
                        codes.append(client.mail("a@x.test")[0])
                        if codes[-1] == 250:
                            codes.append(client.rcpt("b@y.test")[0])
                            client.rset()
                except smtplib.SMTPServerDisconnected:
                    codes.append(0)
            yield tuple(codes)


def test_a_run_is_repeated_by_its_seed() -> None:
    """The same refusals and the same cuts, in each session; and others with another seed."""
    once = list(fates(4711))
    assert once == list(fates(4711))
    assert once != list(fates(4712))
    assert len(set(once)) > 1


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("CONNECT reject 421 4.3.2", 421),
        ("EHLO drop", 0),
        ("DATA delay 0.2", 250),
        ("CONTENT after=30000 drop reset", 0),
        ("CONTENT delay 0.3", 250),
        ("CONTENT reject 550", 550),
        (". reject 452 4.3.1 Full", 452),
        ("MESSAGE drop taken", 0),
    ],
)
def test_each_kind_of_rule_on_a_socket(rule: str, code: int) -> None:
    """What the client hears: a reply, or nothing."""
    heard = 0
    with running_sink(f"--rule={rule}") as sink:
        try:
            with smtplib.SMTP(timeout=20) as client:
                heard, _ = client.connect("127.0.0.1", sink.port)
                if heard == 220:
                    client.ehlo("me.test")
                    client.mail("a@x.test")
                    client.rcpt("b@y.test")
                    heard, _ = client.data(b"x" * 998 + (b"\r\n" + b"x" * 998) * 100)
        except smtplib.SMTPServerDisconnected:
            heard = 0
        except smtplib.SMTPResponseException as error:
            heard = error.smtp_code
        except ConnectionError:
            heard = 0
        assert heard == code
        taken = rule == "MESSAGE drop taken" or code == 250
        wait_until(lambda: sink.ask("api/status")["sessions"] == 0, "the end of the session")
        assert len(sink.messages()) == taken
