"""SASL with software that we did not write: our client at Dovecot, GNU SASL and others at ours."""

from __future__ import annotations

import subprocess
from contextlib import asynccontextmanager

import pytest
from twisted.internet.threads import deferToThread

from tests.interop.mail import connected, marker, message, trusting
from tests.interop.peers.available import program
from tests.interop.peers.clients import Errand, run
from tests.interop.peers.dovecot import PASSWORD, USER, UTF8_PASSWORD, UTF8_USER, access_token
from txsmtpconn import AuthenticationError, Credentials, ServerOptions, SMTPServerFactory
from txsmtpconn.sasl import ScramKeys

SCRAM = ["SCRAM-SHA-1", "SCRAM-SHA-256"]
PLUS = [f"{name}-PLUS" for name in SCRAM]
BEARER = ["XOAUTH2", "OAUTHBEARER"]
DOVECOTS = [*SCRAM, *BEARER, "CRAM-MD5", "DIGEST-MD5"]


def credentials(mechanism, *, right=True):
    """What Dovecot takes by a mechanism, or does not."""
    if mechanism in BEARER:
        token = access_token(valid=3600 if right else -60)
        return Credentials(USER, access_token=token, mechanism=mechanism)
    return Credentials(USER, PASSWORD if right else "wrong", mechanism=mechanism)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("mechanism", DOVECOTS)
async def test_dovecot_takes_our_logins(dovecot, smtp_sink, certificate_zoo, mechanism, implicit):
    """By each mechanism; the server proves itself where the mechanism has it do so."""
    smtp_sink(port=dovecot.relay)
    port = dovecot.submissions if implicit else dovecot.submission
    async with connected(port, secure=implicit, tls=trusting(certificate_zoo)) as connection:
        assert mechanism in connection.extensions.auth
        assert (await connection.login(credentials(mechanism))).code == 235
        assert connection.authenticated


@pytest.mark.parametrize("mechanism", DOVECOTS)
async def test_dovecot_refuses_wrong_credentials(dovecot, smtp_sink, certificate_zoo, mechanism):
    """535 at the end of each dialogue; then the right ones, on the same connection."""
    smtp_sink(port=dovecot.relay)
    async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
        with pytest.raises(AuthenticationError) as caught:
            await connection.login(credentials(mechanism, right=False))
        assert caught.value.response_code == 535
        await connection.login(credentials(mechanism))
        assert connection.authenticated


async def test_the_strongest_that_dovecot_has_is_used(dovecot, smtp_sink, certificate_zoo):
    """SCRAM-SHA-256 with a password, OAUTHBEARER with a token, by their traces in errors."""
    smtp_sink(port=dovecot.relay)
    async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
        for wrong, mechanism in (
            (Credentials(USER, "wrong"), "SCRAM-SHA-256"),
            (Credentials(USER, access_token=access_token(valid=-60)), "OAUTHBEARER"),
        ):
            with pytest.raises(AuthenticationError) as caught:
                await connection.login(wrong)
            assert caught.value.command == f"AUTH {mechanism}"


@pytest.mark.parametrize("mechanism", [*SCRAM, "CRAM-MD5", "PLAIN", "LOGIN"])
async def test_a_name_beyond_ascii(dovecot, smtp_sink, certificate_zoo, mechanism):
    """User and password are UTF-8."""
    smtp_sink(port=dovecot.relay)
    async with connected(dovecot.submission, tls=trusting(certificate_zoo)) as connection:
        await connection.login(Credentials(UTF8_USER, UTF8_PASSWORD, mechanism=mechanism))
        assert connection.authenticated


# -- others at our server


class Door:
    """The hooks of our server: one user, and what is kept of the password."""

    def __init__(self):
        self.claims = []
        self.taken = []

    def on_auth_secret(self, session, user, mechanism):
        if user != USER:
            return None
        return PASSWORD if mechanism == "CRAM-MD5" else ScramKeys.derive(PASSWORD, mechanism)

    def on_auth(self, session, claim):
        self.claims.append(claim)
        if claim.token is not None:
            return USER if claim.token == "good-token" else False
        if claim.mechanism == "EXTERNAL":
            return "alice@a.test"
        if claim.mechanism == "ANONYMOUS":
            return "anonymous"
        return claim.verified or claim.proves(PASSWORD if claim.authcid == USER else None)


@asynccontextmanager
async def serving(zoo, *mechanisms, **options):
    """Serve on a port of localhost; give the hooks and the port."""
    from twisted.internet import reactor

    door = Door()
    options.setdefault("tls", zoo.server_options())
    made = ServerOptions(name="mx.test", auth_mechanisms=mechanisms, auth_required=True, **options)
    factory = SMTPServerFactory(reactor, door, made)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        yield door, port.getHost().port
    finally:
        await port.stopListening()
        await factory.drain(5)


async def gsasl(port, zoo, mechanism, *arguments, user=USER, password=PASSWORD):
    """Log in with GNU SASL's own program; return its exit code and what it printed.

    It does not log in without channel binding where it could bind, unless told to forget that.
    """
    if mechanism in SCRAM:
        arguments = (*arguments, "--no-cb")
    command = [
        *(program("gsasl"), "--smtp", f"--connect=localhost:{port}"),
        *(f"--x509-ca-file={zoo.ca}", f"--mechanism={mechanism}", "--hostname=localhost"),
        *(f"--authentication-id={user}", f"--password={password}", *arguments),
    ]

    def work():
        return subprocess.run(
            command,
            input=b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )

    done = await deferToThread(work)
    return done.returncode, done.stdout.decode("utf-8", "replace")


@pytest.mark.parametrize("mechanism", [*PLUS, *SCRAM, "CRAM-MD5", "PLAIN", "LOGIN"])
async def test_gnu_sasl_logs_in(certificate_zoo, mechanism):
    """Channel binding among them, here by tls-exporter, whatever else is offered."""
    async with serving(certificate_zoo, *PLUS, *SCRAM, "CRAM-MD5", "PLAIN", "LOGIN") as (
        door,
        port,
    ):
        code, output = await gsasl(port, certificate_zoo, mechanism)
    assert code == 0, output
    (claim,) = door.claims
    assert (claim.authcid, claim.mechanism) == (USER, mechanism)


@pytest.mark.parametrize("mechanism", [*PLUS, *SCRAM, "CRAM-MD5"])
@pytest.mark.parametrize(
    ("user", "password"), [(USER, "wrong"), ("nobody@a.test", PASSWORD)], ids=["wrong", "nobody"]
)
async def test_gnu_sasl_is_refused(certificate_zoo, mechanism, user, password):
    """A wrong password and an unknown user; no hook is asked about them."""
    async with serving(certificate_zoo, mechanism) as (door, port):
        code, _ = await gsasl(port, certificate_zoo, mechanism, user=user, password=password)
    assert code != 0
    assert door.claims == []


async def test_gnu_sasl_as_nobody_and_by_certificate(certificate_zoo):
    """ANONYMOUS with its trace, EXTERNAL with a client's certificate."""
    zoo = certificate_zoo
    async with serving(zoo, "ANONYMOUS") as (door, port):
        code, output = await gsasl(port, zoo, "ANONYMOUS", "--anonymous-token=sirhc@a.test")
    assert code == 0, output
    assert door.claims[0].trace == "sirhc@a.test"
    files = zoo["client"]
    shown = [f"--x509-cert-file={files.certificate}", f"--x509-key-file={files.key}"]
    async with serving(zoo, "EXTERNAL", tls=zoo.server_options(client_ca=zoo.ca)) as (door, port):
        code, output = await gsasl(port, zoo, "EXTERNAL", "--authorization-id=", *shown)
    assert code == 0, output
    assert door.claims[0].mechanism == "EXTERNAL"


@pytest.mark.parametrize("mechanism", SCRAM)
async def test_keys_made_by_others(certificate_zoo, mechanism):
    """What `gsasl --mkpasswd` and `doveadm pw` print is what our server keeps."""
    made = [
        [program("gsasl"), "--mkpasswd", f"--mechanism={mechanism}", f"--password={PASSWORD}"],
        [program("doveadm", "dovecot-core"), "-O", "pw", "-s", mechanism, "-p", PASSWORD],
    ]
    for command in made:
        text = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        keys = ScramKeys.parse(text.decode().strip())
        again = ScramKeys.derive(PASSWORD, mechanism, salt=keys.salt, iterations=keys.iterations)
        assert again == keys


@pytest.mark.parametrize(
    ("client", "mechanism"),
    [
        *(("msmtp", mechanism) for mechanism in [*SCRAM, *BEARER, "CRAM-MD5"]),
        ("curl", "CRAM-MD5"),
        ("swaks", "CRAM-MD5"),
    ],
)
async def test_mail_clients_log_in(certificate_zoo, tmp_path, client, mechanism):
    """And deliver, by each mechanism that they have; with something wrong they do not."""
    path = tmp_path / "message.eml"
    path.write_bytes(message(marker()))
    for right in (True, False):
        secret = "good-token" if mechanism in BEARER else PASSWORD
        errand = Errand(
            0,
            certificate_zoo.ca,
            path,
            tls="starttls",
            user=USER,
            password=secret if right else "wrong",
            mechanism=mechanism,
        )
        async with serving(certificate_zoo, mechanism) as (door, port):
            object.__setattr__(errand, "port", port)
            ran = await run(client, errand)
        assert (ran.code == 0) is right, ran.output
        assert [claim.mechanism for claim in door.claims if right] == [mechanism] * right
