"""Mail transfer agents, smtp-source and git against our server: what they send is what it takes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import deferToThread

from tests.interop.mail import connected, marker, message, trusting
from tests.interop.peers.arrived import split_trace
from tests.interop.peers.available import missing, program
from tests.interop.peers.dovecot import PASSWORD, USER
from tests.interop.peers.process import wait_until
from txsmtpconn import DSN, Envelope, Recipient
from txsmtpconn.testing import CapturedMessage, CaptureServer


def serving(zoo: Any, **options: Any) -> CaptureServer:
    """Make a server that shows the certificate which the peers trust."""
    from twisted.internet import reactor

    files = zoo["server"]
    return CaptureServer(reactor, tls_cert_file=files.chain, tls_key_file=files.key, **options)


def content(captured: CapturedMessage) -> bytes:
    """Return a message without the Received field of the agent that handed it on."""
    trace, data = split_trace(captured.raw.replace(b"\r\n", b"\n"))
    assert [name for name, _ in trace] == ["received"]
    return data


async def hand_to(port: int, zoo: Any, envelope: Envelope, data: bytes) -> None:
    """Give a message to an agent, by our client."""
    async with connected(port, tls=trusting(zoo)) as connection:
        await connection.send(envelope, data)


# -- Postfix


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "in-turn"])
@pytest.mark.parametrize("service", ["clear", "lmtp"])
async def test_postfix_delivers(postfix, certificate_zoo, service, pipelining):
    """One transaction for both recipients, in as many round trips as we offer, byte for byte."""
    mark = marker()
    disabled = [] if pipelining else ["PIPELINING"]
    async with serving(certificate_zoo, lmtp=service == "lmtp", disabled=disabled) as server:
        domain = postfix.onward(service, server.port)
        people = [f"u@{domain}", f"v@{domain}"]
        await hand_to(postfix.mx, certificate_zoo, Envelope("a@a.test", people), message(mark))
        (taken,) = await server.wait_for(1, timeout=20)
        await deferToThread(wait_until, lambda: len(postfix.fates(domain)) == 2, "Postfix's log")
    assert content(taken) == message(mark)
    assert taken.mail_from == "a@a.test"
    assert sorted(taken.rcpt_to) == people
    assert taken.envelope.body == "8BITMIME"
    assert taken.session.protocol == {"clear": "ESMTP", "lmtp": "LMTP"}[service]
    assert postfix.fates(domain) == dict.fromkeys(people, "sent")
    flights = [[line.split()[0] for line in each] for each in postfix.flights(server.port)]
    together = ["MAIL", "RCPT", "RCPT", "DATA"] in flights
    assert together is pipelining


@pytest.mark.parametrize("service", ["verified", "wrapped"])
async def test_postfix_delivers_under_tls_and_logs_in(postfix, certificate_zoo, service):
    """By STARTTLS or TLS from the start, our certificate verified."""
    mark = marker()
    async with serving(
        certificate_zoo,
        implicit_tls=service == "wrapped",
        users={USER: PASSWORD},
        auth_required=True,
        tls_required=True,
    ) as server:
        people = [f"u@{postfix.onward(service, server.port)}"]
        await hand_to(postfix.mx, certificate_zoo, Envelope("a@a.test", people), message(mark))
        (taken,) = await server.wait_for(1, timeout=20)
    assert content(taken) == message(mark)
    assert taken.session.protocol == "ESMTPSA"
    assert taken.session.user == USER


@pytest.mark.parametrize("service", ["clear", "lmtp"])
async def test_postfix_hands_on_what_was_asked_of_notifications(postfix, certificate_zoo, service):
    """RET, ENVID, NOTIFY and ORCPT go through it to us as our client has said them."""
    async with serving(certificate_zoo, lmtp=service == "lmtp") as server:
        to = f"u+tag@{postfix.onward(service, server.port)}"
        dsn = DSN(notify=("FAILURE", "DELAY"), orcpt="rfc822;first+1@a.test")
        asked = DSN(ret="HDRS", envid="id=7+x")
        envelope = Envelope("a@a.test", [Recipient(to, dsn)], dsn=asked)
        await hand_to(postfix.mx, certificate_zoo, envelope, message(marker()))
        (taken,) = await server.wait_for(1, timeout=20)
    (recipient,) = taken.envelope.recipients
    assert taken.envelope.dsn == asked
    assert set(recipient.dsn.notify) == {"FAILURE", "DELAY"}
    assert recipient.dsn.orcpt == "rfc822;first+1@a.test"


@pytest.mark.parametrize("service", ["clear", "lmtp"])
async def test_postfix_delivers_addresses_beyond_ascii(postfix, certificate_zoo, service):
    """SMTPUTF8, in the envelope and in the header."""
    mark = marker()
    async with serving(certificate_zoo, lmtp=service == "lmtp") as server:
        to = f"grüße@{postfix.onward(service, server.port)}"
        data = message(mark).replace(b"To: u@a.test", f"To: {to}".encode())
        await hand_to(postfix.mx, certificate_zoo, Envelope("jörg@a.test", [to]), data)
        (taken,) = await server.wait_for(1, timeout=20)
    assert (taken.mail_from, taken.rcpt_to) == ("jörg@a.test", (to,))
    assert taken.envelope.smtputf8
    assert content(taken) == data


@pytest.mark.parametrize("service", ["clear", "lmtp"])
async def test_postfix_understands_our_refusals(postfix, certificate_zoo, service):
    """Each recipient's own: at RCPT, and in LMTP at the end of the message."""
    lmtp = service == "lmtp"
    async with serving(certificate_zoo, lmtp=lmtp) as server:
        domain = postfix.onward(service, server.port)
        names = ["good", "gone", "full", "busy"]
        server.reject(rcpt=f"gone@{domain}", code=550)
        server.mailbox_full(f"full@{domain}", verb="MESSAGE" if lmtp else "RCPT", permanent=True)
        server.reject("MESSAGE" if lmtp else "RCPT", rcpt=f"busy@{domain}", code=451)
        envelope = Envelope("a@a.test", [f"{name}@{domain}" for name in names])
        await hand_to(postfix.mx, certificate_zoo, envelope, message(marker()))
        (taken,) = await server.wait_for(1, timeout=20)
        await deferToThread(
            wait_until, lambda: len(postfix.fates(domain)) == len(names), "Postfix's log"
        )
    assert taken.rcpt_to == (f"good@{domain}",)
    found = {address.split("@")[0]: fate for address, fate in postfix.fates(domain).items()}
    assert found == {"good": "sent", "gone": "bounced", "full": "bounced", "busy": "deferred"}


async def test_postfix_believes_our_limit_on_size(postfix, certificate_zoo):
    """What is declared too big is not sent."""
    async with serving(certificate_zoo, max_size=500) as server:
        domain = postfix.onward("clear", server.port)
        to = f"u@{domain}"
        await hand_to(postfix.mx, certificate_zoo, Envelope("a@a.test", [to]), message(marker()))
        await deferToThread(wait_until, lambda: to in postfix.fates(domain), "Postfix's log")
        assert server.messages == []
        assert "C: DATA" not in server.transcript
    assert postfix.fates(domain) == {to: "bounced"}


# -- Exim


@pytest.mark.parametrize("chunking", [True, False], ids=["BDAT", "DATA"])
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_exim_delivers(exim, certificate_zoo, protocol, chunking):
    """By BDAT where we offer CHUNKING, under TLS and logged in, byte for byte."""
    mark = marker()
    async with serving(
        certificate_zoo,
        lmtp=protocol == "lmtp",
        disabled=[] if chunking else ["CHUNKING"],
        users={USER: PASSWORD},
        auth_required=True,
        tls_required=True,
    ) as server:
        domain = exim.onward(protocol, server.port)
        people = [f"u@{domain}", f"v@{domain}"]
        await hand_to(exim.mx, certificate_zoo, Envelope("a@a.test", people), message(mark))
        (taken,) = await server.wait_for(1, timeout=20)
    assert content(taken) == message(mark)
    assert taken.mail_from == "a@a.test"
    assert sorted(taken.rcpt_to) == people
    assert taken.session.tls is not None
    assert taken.session.user == USER
    assert ("C: BDAT" in server.transcript) is chunking
    assert ("C: DATA" in server.transcript) is not chunking


# -- smtp-source


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize("flags", [[], ["-d"]], ids=["a-session-each", "many-in-a-session"])
async def test_smtp_source_delivers(certificate_zoo, tmp_path, flags, lmtp):
    """Two hundred messages from ten clients at once; none is lost, cut or mixed up."""
    source = program("smtp-source", "postfix")
    sent = message(marker())
    path = tmp_path / "message.eml"
    path.write_bytes(sent.replace(b"\r\n", b"\n"))
    async with serving(certificate_zoo, lmtp=lmtp) as server:
        command = [source, "-s", "10", "-m", "200", "-r", "3", "-N", "-F", str(path), *flags]
        command += ["-L"] if lmtp else []
        command += ["-f", "a@a.test", "-t", "u@a.test", f"inet:{server.host}:{server.port}"]
        ran = await deferToThread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
    # It ends each message with an empty line of its own.
    assert [taken.raw for taken in server.messages] == [sent + b"\r\n"] * 200
    recipients = [address for taken in server.messages for address in taken.rcpt_to]
    assert len(set(recipients)) == len(recipients) == 600


# -- git send-email


@pytest.fixture
def repository(tmp_path):
    """Make a repository with two commits, the second full of lines that are hard to carry."""
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet")
    for number, text in enumerate([".\n..\n", ".\n.\n\n.From\nFrom here\ngrüße\n..\n"]):
        (path / "file").write_text(text, "utf-8")
        git(path, "add", "file")
        git(path, "commit", "--quiet", "-m", f"Commit {number}: grüße\n\n.\nand on")
    return path


def git(directory, *command: str, stdin: bytes | None = None) -> bytes:
    """Run git where no configuration of the user's or the machine's is read."""
    person = {"NAME": "Å. U. Thor", "EMAIL": "author@a.test"}
    settings = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in person.items()}
    alone = {"HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [program("git"), *command],
        cwd=directory,
        env=settings | alone,
        input=b"" if stdin is None else stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout


@pytest.mark.parametrize("tls", ["", "starttls", "implicit"])
async def test_git_delivers_a_patch_that_applies(repository, certificate_zoo, tls):
    """In clear, and under TLS with a login; what was captured makes the commit again."""
    if not Path(git(repository, "--exec-path").decode().strip(), "git-send-email").exists():
        missing("git send-email (Debian package git-email)")
    command = ["send-email", "--confirm=never", "--smtp-server=localhost", "--to=u@a.test"]
    command += ["--from=author@a.test", "--smtp-domain=client.test", "--quiet"]
    options: dict[str, Any] = {}
    if tls:
        options = {"users": {USER: PASSWORD}, "auth_required": True, "tls_required": True}
        command += ["--smtp-encryption=" + ("tls" if tls == "starttls" else "ssl")]
        command += [f"--smtp-ssl-cert-path={certificate_zoo.ca}", "--smtp-auth=PLAIN"]
        command += [f"--smtp-user={USER}", f"--smtp-pass={PASSWORD}"]
    async with serving(certificate_zoo, implicit_tls=tls == "implicit", **options) as server:
        command += [f"--smtp-server-port={server.port}", "-1"]
        await deferToThread(git, repository, *command)
    (taken,) = server.messages
    assert taken.mail_from == "author@a.test"
    assert (taken.session.tls is not None) is bool(tls)
    assert taken.session.user == (USER if tls else None)
    wanted = git(repository, "rev-parse", "HEAD^{tree}")
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    git(repository, "am", "--quiet", stdin=taken.raw)
    assert git(repository, "rev-parse", "HEAD^{tree}") == wanted
    told = git(repository, "log", "-1", "--format=%an|%s").decode()
    assert told == "Å. U. Thor|Commit 1: grüße\n"
