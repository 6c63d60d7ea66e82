"""`twistd smtpsink` as a program, with Postfix's smtp-source and smtplib as its clients."""

from __future__ import annotations

import re
import shlex
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import IO, Any

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
    with running_sink("--keep=7") as sink:
        (directory,) = sink.directory.glob("smtpsink-*")
        source(sink, "-s", "4", "-m", "40", "-S", "subject here")
        assert len(sink.messages()) == len(list(directory.glob("*.eml"))) == 7
        assert sink.ask("api/status")["taken"] == 40
        sink.stop()
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


def heard(port: int, *, lmtp: bool) -> list[str]:
    """Say a transaction to a server, line by line; return what it answers to each, and the end.

    Of a reply only the code is told; of the hello also which of some extensions are offered.
    """
    told: list[str] = []
    hello = "LHLO me.test" if lmtp else "EHLO me.test"
    lines = [
        hello,
        "MAIL FROM:<a@x.test>",
        "RCPT TO:<b@y.test>",
        "DATA",
        "Subject: x\r\n\r\nx\r\n.",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        replies = connection.makefile("rb")
        try:
            told.append(reply(replies))
            for line in [*lines, "QUIT"]:
                if line.startswith("Subject") and told[-1] != "354":
                    continue
                if line.startswith("MAIL") and told[-1] == "500":
                    connection.sendall(b"HELO me.test\r\n")
                    told.append(reply(replies))
                connection.sendall(f"{line}\r\n".encode())
                told.append(reply(replies))
        except (ConnectionError, EOFError):
            told.append("closed")
    return told


def reply(replies: IO[bytes]) -> str:
    """Read a reply."""
    words = set()
    while line := replies.readline():
        words.update(line[4:].decode().split()[:1])
        if line[3:4] != b"-":
            known = {"PIPELINING", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES"}
            # An unknown command, or one that is not there: they do not tell these apart.
            code = line[:3].decode().replace("502", "500")
            return " ".join([code, *sorted(words & known)])
    raise EOFError


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", ""),
        ("-L", "--lmtp"),
        ("-8 -N -p", "--hide 8BITMIME --hide DSN --hide PIPELINING"),
        ("-E", "--hide ENHANCEDSTATUSCODES"),
        ("-e", "--hide EHLO"),
        ("-P", "--banner ******** --hide EHLO"),
        ("-A 0", "--rule 'CONTENT reject 550'"),
        ("-A 1", "--rule 'CONTENT delay 1' --rule 'CONTENT reject 550'"),
        ("-f MAIL", "--hide PIPELINING --rule 'MAIL reject 500 5.3.0 Error: command failed'"),
        ("-r RCPT,QUIT", "--hide PIPELINING --rule 'RCPT,QUIT reject 450 4.3.0'"),
        ("-q DATA", "--rule 'DATA drop'"),
        ("-q .", "--rule '. drop'"),
        ("-q CONNECT", "--rule 'CONNECT drop'"),
        ("-Q MAIL", "--rule 'MAIL reject 421 4.3.0'"),
        ("-Q .", "--rule '. reject 421 4.3.0'"),
        ("-w 1", "--rule 'DATA delay 1'"),
        ("-H 1", "--rule 'CONTENT delay 1'"),
        ("-W RCPT:1", "--rule 'RCPT delay 1'"),
    ],
)
def test_a_client_hears_the_same_from_smtp_sink(
    smtp_sink: Callable[..., Any], theirs: str, ours: str
) -> None:
    """What the guide's table says of each option holds on the wire."""
    peer = smtp_sink(*theirs.split())
    lmtp = "--lmtp" in ours
    with running_sink(*shlex.split(ours)) as sink:
        assert heard(sink.port, lmtp=lmtp) == heard(peer.port, lmtp=lmtp)
