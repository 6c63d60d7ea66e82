"""Start a mail server and a relay, send mail through both, and say what arrived.

The server wants TLS and a login, and keeps what it gets as files. The relay takes mail from this
program over SMTP, commits it to its spool before it says 250, and delivers it to the server over
STARTTLS and AUTH. All of it runs on loopback, in a temporary directory, without root.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from demo.messages import Mail, mails
from demo.processes import Program
from txsmtpconn import SMTPError, connect
from txsmtpconn.testing.certificates import CertificateZoo

_PATIENCE = 120.0


def main() -> None:
    """Run the demonstration; ends the process."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the files for you to look at")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="txsmtpconn-demo-"))
    react(lambda reactor: Deferred.fromCoroutine(_run(reactor, folder, keep=arguments.keep)), ())


async def _run(reactor: Any, folder: Path, *, keep: bool) -> None:
    programs: list[Program] = []
    try:
        good = await _demonstrate(reactor, folder, programs)
    except (RuntimeError, SMTPError) as error:
        _say(f"\nIt did not work: {error}")
        for program in programs:
            _say(program.tail())
        good = False
    finally:
        for program in reversed(programs):
            program.stop()
        if keep:
            _say(f"\nThe logs, the spool and the mail are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(0 if good else 1)


async def _demonstrate(reactor: Any, folder: Path, programs: list[Program]) -> bool:
    password = secrets.token_urlsafe(12)
    server = _server(folder, password)
    programs.append(server)
    _say(f"A mail server listens on port {server.port}; it wants TLS and a login.")
    relay = _relay(folder, server.port, password)
    programs.append(relay)
    _say(f"A relay listens on port {relay.port}; its spool is an SQLite file.\n")

    sent = mails()
    connection = await connect(reactor, f"smtp://127.0.0.1:{relay.port}")
    for mail in sent:
        began = time.monotonic()
        result = await connection.send(mail.envelope, mail.octets)
        told = str(result.reply).splitlines()[0]
        _say(
            f"  {mail.title:22} {_size(mail.octets):>9}  {len(result.accepted):>3} recipients"
            f"  {time.monotonic() - began:5.2f} s  {told}"
        )
    await connection.quit()

    _say("\nThe relay has answered for all of it, and delivers. Arrived at the server:\n")
    arrived = await _await_mail(reactor, folder / "mail", sent)
    return _compare(sent, arrived)


def _server(folder: Path, password: str) -> Program:
    """Start the server that the relay delivers to, with a certificate of its own."""
    files = CertificateZoo.make(folder / "certificates", ["server"])["server"]
    users = folder / "users"
    users.write_text(f"relay:{password}\n")
    users.chmod(0o600)
    arguments = [
        *("smtpsink", "--listen=tcp:0:interface=127.0.0.1", "--name=mx.test"),
        *(f"--store={folder / 'mail'}", f"--certificate={files.chain}"),
        *(f"--private-key={files.key}", f"--users={users}", "--require-auth"),
    ]
    return Program(arguments, folder / "server.log")


def _relay(folder: Path, port: int, password: str) -> Program:
    """Start the relay; its password comes by the environment, where ``ps`` does not show it."""
    authority = folder / "certificates" / "ca.pem"
    upstream = f"smtp://relay@localhost:{port}?require_tls=true&tls.ca_file={authority}"
    arguments = [
        *("smtprelay", "--listen=tcp:0:interface=127.0.0.1", "--name=relay.test"),
        *(f"--spool={folder / 'spool'}", f"--upstream={upstream}"),
    ]
    return Program(arguments, folder / "relay.log", {"SMTPRELAY_PASSWORD": password})


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the server kept of one transaction."""

    octets: bytes
    facts: dict[str, Any]


async def _await_mail(reactor: Any, folder: Path, sent: list[Mail]) -> list[Arrived]:
    """Wait until as many recipients were served as there are, or patience ends."""
    wanted = sum(len(mail.envelope.recipients) for mail in sent)
    deadline = reactor.seconds() + _PATIENCE
    while True:
        names = sorted(folder.glob("[!.]*.eml"))
        facts = [json.loads(name.with_suffix(".json").read_text()) for name in names]
        if sum(len(each["rcpt_to"]) for each in facts) >= wanted:
            return [
                Arrived(name.read_bytes(), each) for name, each in zip(names, facts, strict=True)
            ]
        if reactor.seconds() > deadline:
            raise RuntimeError(f"after {_PATIENCE:g} s, {len(names)} messages had arrived")
        await deferLater(reactor, 0.1)


def _compare(sent: list[Mail], arrived: list[Arrived]) -> bool:
    """Say of each message whether it arrived for everybody, octet by octet."""
    good = True
    for mail in sent:
        parts = [each for each in arrived if each.octets.endswith(mail.octets)]
        added = {each.octets[: len(each.octets) - len(mail.octets)] for each in parts}
        got = sorted(address for each in parts for address in each.facts["rcpt_to"])
        complete = got == sorted(each.address for each in mail.envelope.recipients)
        traced = all(trace.startswith(b"Received: ") for trace in added)
        how = ", ".join(sorted({f"{each.facts['protocol']} {each.facts['tls']}" for each in parts}))
        good = good and complete and traced
        verdict = "identical behind its Received field" if complete and traced else "DIFFERENT"
        _say(
            f"  {mail.title:22} {_size(mail.octets):>9}  {len(got):>3} recipients  {how}  {verdict}"
        )
    if good:
        _say("\nEverything arrived, octet for octet, over TLS and with a login.")
    return good


def _size(octets: bytes) -> str:
    count = len(octets)
    return f"{count / 1048576:.1f} MiB" if count >= 1048576 else f"{count} B"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
