"""Real clients, run as programs: each sends one message to a port of localhost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests.interop.peers.available import program
from tests.interop.peers.scripted import node_modules

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Errand:
    """What a client is to do.

    Attributes:
        port: the server's, on localhost.
        ca: the authority to trust, as PEM.
        message: a file with the message; its lines end in CRLF.
        mail_from: the reverse-path.
        rcpt_to: the forward-paths.
        tls: "", "starttls" or "implicit".
        user: who logs in, or "".
        password: with what.
        mechanism: the SASL mechanism to use, or "" for the client's choice.
    """

    port: int
    ca: Path
    message: Path
    mail_from: str = "a@a.test"
    rcpt_to: tuple[str, ...] = ("u@a.test", "v@a.test")
    tls: str = ""
    user: str = ""
    password: str = ""
    mechanism: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a client ended, and what it printed."""

    code: int
    output: str


async def run(client: str, errand: Errand) -> Ran:
    """Run a client by name, in a thread, so that the reactor can serve it."""
    command, stdin, env = CLIENTS[client](errand)

    def work() -> Ran:
        done = subprocess.run(
            command,
            input=stdin,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode("utf-8", "replace"))

    return await deferToThread(work)


_Command = tuple[list[str], bytes | None, dict[str, str] | None]


def swaks(errand: Errand) -> _Command:
    """Swaks: it doubles dots, but takes a lone one at the end of its file for the end of data."""
    ended = errand.message.with_suffix(".swaks")
    ended.write_bytes(errand.message.read_bytes() + b".\r\n")
    command = [
        program("swaks"),
        *("--server", "localhost", "--port", str(errand.port), "--ehlo", "client.test"),
        *("--from", errand.mail_from, "--to", ",".join(errand.rcpt_to)),
        *("--data", f"@{ended}"),
    ]
    if errand.tls:
        how = "--tls" if errand.tls == "starttls" else "--tls-on-connect"
        command += [how, "--tls-verify", "--tls-ca-path", str(errand.ca)]
    if errand.user:
        command += ["--auth", errand.mechanism or "PLAIN"]
        command += ["--auth-user", errand.user, "--auth-password", errand.password]
    return command, None, None


def swaks_pipelining(errand: Errand) -> _Command:
    """Swaks with PIPELINING."""
    command, stdin, env = swaks(errand)
    return [*command, "--pipeline"], stdin, env


def curl(errand: Errand) -> _Command:
    """curl: `--crlf` is not given, as the lines end in CRLF already."""
    scheme = "smtps" if errand.tls == "implicit" else "smtp"
    command = [
        *(program("curl"), "--silent", "--show-error", "--max-time", "30"),
        *("--url", f"{scheme}://localhost:{errand.port}/client.test"),
        *("--mail-from", errand.mail_from, "--upload-file", str(errand.message)),
    ]
    for address in errand.rcpt_to:
        command += ["--mail-rcpt", address]
    if errand.tls:
        command += ["--ssl-reqd", "--cacert", str(errand.ca)]
    if errand.user:
        command += ["--user", f"{errand.user}:{errand.password}"]
        if errand.mechanism:
            command += ["--login-options", f"AUTH={errand.mechanism}"]
    return command, None, None


def smtplib(errand: Errand) -> _Command:
    """The standard library's client."""
    script = str(_HERE / "smtplib_client.py")
    return [sys.executable, script, _settings(errand)], None, None


def aiosmtplib(errand: Errand) -> _Command:
    """The client of asyncio."""
    script = str(_HERE / "aiosmtplib_client.py")
    return [sys.executable, script, _settings(errand)], None, None


def nodemailer(errand: Errand) -> _Command:
    """Nodemailer's SMTP transport, with the message as it is."""
    script = str(_HERE.parent / "node" / "client.js")
    env = {"NODE_PATH": str(node_modules()), "NODE_EXTRA_CA_CERTS": str(errand.ca)}
    return [program("node", "nodejs"), script, _settings(errand)], None, env


def msmtp(errand: Errand) -> _Command:
    """Msmtp: it reads lines that end in LF, and makes them CRLF."""
    command = [
        *(program("msmtp"), "--file=/dev/null", "--host=localhost", f"--port={errand.port}"),
        *("--domain=client.test", f"--from={errand.mail_from}", "--timeout=30"),
        *("--tls=on" if errand.tls else "--tls=off", f"--tls-trust-file={errand.ca}"),
        "--tls-starttls=on" if errand.tls != "implicit" else "--tls-starttls=off",
    ]
    if errand.user:
        command += [f"--auth={errand.mechanism.lower() or 'on'}", f"--user={errand.user}"]
        command += [f"--passwordeval=printf %s '{errand.password}'"]
    lines = errand.message.read_bytes().replace(b"\r\n", b"\n")
    return [*command, "--", *errand.rcpt_to], lines, None


def _settings(errand: Errand) -> str:
    return json.dumps(
        {
            "port": errand.port,
            "ca": str(errand.ca),
            "message": str(errand.message),
            "mail_from": errand.mail_from,
            "rcpt_to": errand.rcpt_to,
            "tls": errand.tls,
            "user": errand.user,
            "password": errand.password,
            "mechanism": errand.mechanism,
        }
    )


CLIENTS: dict[str, Callable[[Errand], _Command]] = {
    "swaks": swaks,
    "swaks-pipelining": swaks_pipelining,
    "curl": curl,
    "smtplib": smtplib,
    "aiosmtplib": aiosmtplib,
    "nodemailer": nodemailer,
    "msmtp": msmtp,
}
