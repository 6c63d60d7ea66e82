"""Each mechanism from `login()` to a hook and back, and servers that lie at the end of one."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography.x509.oid import NameOID

from tests.client.dial import BODY, ENVELOPE, Dial, delivery, greeted
from txsmtpconn import (
    AuthenticationError,
    ConfigError,
    Credentials,
    ProtocolError,
    SMTPConnection,
    TLSOptions,
    connect,
    simple_server,
)
from txsmtpconn.sasl import (
    SECRET_MECHANISMS,
    SERVER_MECHANISMS,
    Finished,
    ScramKeys,
    ScramServer,
    SecretWanted,
)
from txsmtpconn.sasl.scram import SHA_1, SHA_256
from txsmtpconn.testing import CertificateZoo, MemoryNetwork, failure_result_of
from txsmtpconn.testing.script import Step, expect, expect_close, expect_silence, send

USER, PASSWORD, TOKEN = "tim@a.test", "tanstaaftanstaaf", "t0ken.of.Jw9-access"
WHO = Credentials(USER, PASSWORD)
KEYS = {
    name: ScramKeys.derive(PASSWORD, name, iterations=4096)
    for name in ("SCRAM-SHA-256", "SCRAM-SHA-1")
}


class Door:
    """The hooks of a server, which remember what they were asked."""

    def __init__(self) -> None:
        self.claims: list[Finished] = []
        self.asked: list[tuple[str, str]] = []

    def on_auth_secret(self, session: Any, user: str, mechanism: str) -> Any:
        self.asked.append((user, mechanism))
        if user != USER:
            return None
        return KEYS.get(mechanism, PASSWORD)

    def on_auth(self, session: Any, claim: Finished) -> Any:
        self.claims.append(claim)
        if claim.token is not None:
            return USER if claim.token == TOKEN else False
        if claim.mechanism == "EXTERNAL":
            shown = session.tls.peer_certificate.to_cryptography()
            return str(shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        if claim.mechanism == "ANONYMOUS":
            return "anonymous"
        return claim.verified or claim.proves(PASSWORD if claim.authcid == USER else None)


async def take(message: Any) -> None:
    """Accept a message."""
    await message.read()


class Visit:
    """A client connection to our own server, under TLS unless told otherwise."""

    def __init__(
        self,
        zoo: CertificateZoo,
        mechanisms: Any,
        hooks: Any = None,
        *,
        clear: bool = False,
        client_certificate: bool = False,
        server: str = "server",
        **options: Any,
    ) -> None:
        self.door = Door()
        self.network = MemoryNetwork()
        found = {
            name: getattr(self.door if hooks is None else hooks, name, None)
            for name in ("on_auth", "on_auth_secret")
        }
        security: dict[str, Any] = {"allow_insecure_auth": True}
        if not clear:
            client_ca = zoo.ca if client_certificate else None
            security = {"tls": zoo.server_options(server, client_ca=client_ca)}
        factory = simple_server(
            self.network.clock,
            take,
            name="mx.test",
            auth_mechanisms=mechanisms,
            **{name: hook for name, hook in found.items() if hook is not None},
            **security,
        )
        self.network.listen(factory)
        files = zoo["client"] if client_certificate else None
        tls = TLSOptions(
            ca_file=zoo.ca,
            cert_file=files and files.chain,
            key_file=files and files.key,
            minimum_version=options.pop("minimum_version", "1.2"),
        )
        self.connection: SMTPConnection = self.network.result_of(
            connect(
                self.network.clock,
                endpoint=self.network.client_endpoint(),
                host="localhost",
                name="client.test",
                tls=tls,
                allow_insecure_auth=clear,
                **options,
            )
        )
        assert self.connection.secure is not clear

    def login(self, credentials: Credentials) -> str:
        """Log in; return what the server calls the client."""
        reply = self.network.result_of(self.connection.login(credentials))
        assert reply.code == 235
        assert self.connection.authenticated
        sent = self.network.result_of(self.connection.send(ENVELOPE, BODY))
        assert sent.accepted
        return self.close()

    def is_refused(self, credentials: Credentials) -> AuthenticationError:
        """Fail to log in; the connection lives on."""
        failed = self.connection.login(credentials)
        self.network.settle()
        error = failure_result_of(failed)
        assert isinstance(error, AuthenticationError)
        assert not self.connection.authenticated
        assert self.network.result_of(self.connection.noop()).code == 250
        self.close()
        return error

    def close(self) -> str:
        """Take leave; return the mechanism that was used last."""
        self.network.result_of(self.connection.quit())
        return self.door.claims[-1].mechanism if self.door.claims else ""


OFFERED = list(SERVER_MECHANISMS)
WITH_PASSWORD = [*SECRET_MECHANISMS, "PLAIN", "LOGIN"]


@pytest.mark.parametrize("mechanism", sorted(WITH_PASSWORD))
def test_a_password_logs_in_by_each_mechanism(
    certificate_zoo: CertificateZoo, mechanism: str
) -> None:
    """The right one does, a wrong one and an unknown user do not, with the same words."""
    for offered in ([mechanism], OFFERED):
        visit = Visit(certificate_zoo, offered)
        assert visit.login(Credentials(USER, PASSWORD, mechanism=mechanism)) == mechanism
        assert visit.door.claims[0].authcid == USER
    texts = set()
    for wrong in (Credentials(USER, "wrong"), Credentials("nobody@a.test", PASSWORD)):
        visit = Visit(certificate_zoo, [mechanism])
        error = visit.is_refused(wrong)
        assert error.response_code == 535
        texts.add(str(error))
    assert len(texts) == 1


def test_the_strongest_mechanism_is_used(certificate_zoo: CertificateZoo) -> None:
    """Under TLS one that binds to it; in clear, where that is allowed, one that does not."""
    assert Visit(certificate_zoo, OFFERED).login(WHO) == "SCRAM-SHA-256-PLUS"
    assert Visit(certificate_zoo, OFFERED, clear=True).login(WHO) == "SCRAM-SHA-256"
    with_token = Credentials(USER, PASSWORD, access_token=TOKEN)
    assert Visit(certificate_zoo, OFFERED).login(with_token) == "OAUTHBEARER"


def test_what_needs_tls_is_not_offered_in_clear(certificate_zoo: CertificateZoo) -> None:
    """Neither channel binding nor EXTERNAL; and whoever asks for them all the same gets none."""
    visit = Visit(certificate_zoo, OFFERED, clear=True)
    offered = visit.connection.extensions.auth
    assert {name for name in OFFERED if name not in offered} == {
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "EXTERNAL",
    }
    error = visit.is_refused(Credentials(mechanism="EXTERNAL", authzid="root"))
    assert error.response_code == 504


@pytest.mark.parametrize("server", ["server", "server-rsa"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
def test_channel_binding_in_tls_1_2(
    certificate_zoo: CertificateZoo, server: str, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the binding is the server's certificate, of whatever kind."""
    from OpenSSL import SSL

    real = certificate_zoo.server_options

    def limited(name: str = "server", **options: Any) -> Any:
        context = real(name, **options)
        context.getContext().set_options(SSL.OP_NO_TLSv1_3)
        return context

    monkeypatch.setattr(certificate_zoo, "server_options", limited)
    said: list[bytes] = []
    initial = ScramServer.step

    def listening(self: ScramServer, response: bytes | None) -> Any:
        said.append(response or b"")
        return initial(self, response)

    monkeypatch.setattr(ScramServer, "step", listening)
    visit = Visit(certificate_zoo, [mechanism], server=server)
    assert visit.login(WHO) == mechanism
    assert said[0].startswith(b"p=tls-server-end-point,,")


def test_whoever_sits_in_between_is_found_out(
    certificate_zoo: CertificateZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has another connection, and so another binding, than the client."""
    visit = Visit(certificate_zoo, ["SCRAM-SHA-256-PLUS"])
    import txsmtpconn.client.authentication as module

    monkeypatch.setattr(module, "channel_bindings", lambda *_, **__: {"tls-exporter": b"other"})
    assert visit.is_refused(WHO).response_code == 535
    assert not visit.door.claims


def test_a_hidden_offer_of_channel_binding_is_found_out(
    certificate_zoo: CertificateZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody cut -PLUS out of the list: the client says "y", the server refuses, PLAIN waits."""
    import txsmtpconn.client.authentication as module

    visit = Visit(certificate_zoo, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"])
    real = module.choose
    cut = ("SCRAM-SHA-256", "PLAIN")
    monkeypatch.setattr(module, "choose", lambda offered, *a, **k: real(cut, *a, **k))
    monkeypatch.setattr(module, "offers_binding", lambda offered: False)
    assert visit.is_refused(WHO).response_code == 535
    assert visit.door.asked == []
    assert visit.door.claims == []


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_a_token_logs_in(certificate_zoo: CertificateZoo, mechanism: str) -> None:
    """The hook says whose it is; a bad one is explained in JSON before it is refused."""
    bearer = Credentials(USER, access_token=TOKEN, mechanism=mechanism)
    visit = Visit(certificate_zoo, [mechanism])
    assert visit.login(bearer) == mechanism
    assert (visit.door.claims[0].authcid, visit.door.claims[0].authzid) == ("", USER)
    visit = Visit(certificate_zoo, [mechanism])
    error = visit.is_refused(Credentials(USER, access_token="stale"))
    assert error.response_code == 535
    assert "status" in str(error)
    assert "stale" not in str(error)


def test_a_token_names_nobody_by_itself(certificate_zoo: CertificateZoo) -> None:
    """A hook that only nods has not looked whose it is."""

    class Nodding:
        def on_auth(self, session: Any, claim: Finished) -> bool:
            return True

    for mechanism in ("OAUTHBEARER", "XOAUTH2"):
        visit = Visit(certificate_zoo, [mechanism], Nodding())
        visit.is_refused(Credentials(USER, access_token=TOKEN))
    visit = Visit(certificate_zoo, ["ANONYMOUS"], Nodding())
    visit.is_refused(Credentials(mechanism="ANONYMOUS"))


@pytest.mark.parametrize("named", [True, False])
def test_a_certificate_logs_in(certificate_zoo: CertificateZoo, named: bool) -> None:
    """EXTERNAL, by name or because there is nothing else; the hook reads the certificate."""
    visit = Visit(certificate_zoo, ["PLAIN", "EXTERNAL"], client_certificate=True)
    credentials = Credentials(mechanism="EXTERNAL" if named else None)
    assert visit.login(credentials) == "EXTERNAL"


def test_without_a_certificate_nothing_is_not_enough(certificate_zoo: CertificateZoo) -> None:
    """No guess that EXTERNAL may do."""
    visit = Visit(certificate_zoo, ["PLAIN", "EXTERNAL"])
    assert "not complete" in str(visit.is_refused(Credentials()))


def test_a_claim_to_be_somebody_needs_a_certificate(certificate_zoo: CertificateZoo) -> None:
    """Under TLS, but nothing was shown: refused, and no hook is asked."""
    visit = Visit(certificate_zoo, ["EXTERNAL"])
    error = visit.is_refused(Credentials("alice@a.test", mechanism="EXTERNAL"))
    assert error.response_code == 535
    assert visit.door.claims == []


def test_anonymous_is_used_by_name_only(certificate_zoo: CertificateZoo) -> None:
    """By the credentials' or the option's."""
    visit = Visit(certificate_zoo, ["ANONYMOUS"])
    assert visit.login(Credentials("sirhc", mechanism="anonymous")) == "ANONYMOUS"
    assert visit.door.claims[0].trace == "sirhc"
    visit = Visit(certificate_zoo, ["ANONYMOUS"], auth_method="ANONYMOUS")
    assert visit.login(Credentials()) == "ANONYMOUS"
    visit = Visit(certificate_zoo, ["ANONYMOUS"])
    assert "none of the server's" in str(visit.is_refused(WHO))


def test_an_identity_to_act_as_reaches_the_hook(certificate_zoo: CertificateZoo) -> None:
    """By mechanisms that carry it; a hook that names nobody does not allow it."""
    visit = Visit(certificate_zoo, OFFERED)
    visit.is_refused(Credentials(USER, PASSWORD, authzid="boss"))
    assert (visit.door.claims[0].verified, visit.door.claims[0].authzid) == (True, "boss")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "EXTERNAL"])
def test_what_is_too_long_for_the_command_waits_for_a_challenge(
    certificate_zoo: CertificateZoo, mechanism: str
) -> None:
    """RFC 4954 section 4: the dialogue is the same, one step longer."""
    external = mechanism == "EXTERNAL"
    visit = Visit(certificate_zoo, [mechanism], client_certificate=external)
    long = Credentials(USER, PASSWORD, mechanism=mechanism, authzid="x" * 400)
    if external:
        visit.login(long)
    else:
        visit.is_refused(long)
    assert visit.door.claims[0].authzid == "x" * 400


def test_secrets_alone_are_enough_to_judge(certificate_zoo: CertificateZoo) -> None:
    """Without `on_auth`, who has proved to know the password is believed; PLAIN is not offered."""

    class Secrets:
        on_auth_secret = Door().on_auth_secret

    visit = Visit(certificate_zoo, ["PLAIN", "SCRAM-SHA-256"], Secrets())
    assert visit.connection.extensions.auth == ("SCRAM-SHA-256",)
    visit.login(WHO)


def test_a_mechanism_that_nobody_could_judge_is_a_mistake(certificate_zoo: CertificateZoo) -> None:
    """SCRAM without what is kept of passwords: told when the server is made."""

    class Judge:
        on_auth = Door().on_auth

    with pytest.raises(ConfigError, match="on_auth_secret"):
        Visit(certificate_zoo, ["PLAIN", "SCRAM-SHA-256"], Judge())


@pytest.mark.parametrize("broken", [ValueError("database"), "wrong kind"])
def test_an_application_that_fails_is_not_a_wrong_password(
    certificate_zoo: CertificateZoo, broken: Any, logged_failures: list[object]
) -> None:
    """451: the client may try again; what went wrong is in our log."""

    class Broken:
        def on_auth_secret(self, session: Any, user: str, mechanism: str) -> Any:
            if isinstance(broken, Exception):
                raise broken
            return broken

    visit = Visit(certificate_zoo, ["SCRAM-SHA-256"], Broken())
    error = visit.is_refused(WHO)
    assert error.response_code == 451
    assert error.is_transient
    assert len(logged_failures) == 1
    logged_failures.clear()


# -- scripted servers: the end of a dialogue


class Script:
    """The server's side of a SCRAM dialogue, as steps of a script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: Any = SHA_256) -> None:
        monkeypatch.setattr("txsmtpconn.sasl.scram_client.new_nonce", lambda: b"fixed")
        self.first = b"n,,n=%b,r=fixed" % USER.encode()
        server = ScramServer(kind, nonce=b"more")
        wanted = server.step(self.first)
        assert isinstance(wanted, SecretWanted)
        challenge: Any = wanted.go_on(KEYS[kind.mechanism])
        from txsmtpconn.sasl import ScramClient

        client = ScramClient(kind, USER, PASSWORD, nonce=b"fixed")
        client.initial()
        final = client.step(challenge.octets)
        last: Any = server.step(final)
        self.challenge, self.final, self.last = (
            b64encode(octets).decode() for octets in (challenge.octets, final, last.octets)
        )
        self.begin = (
            expect(f"AUTH {kind.mechanism} {b64encode(self.first).decode()}"),
            send(f"334 {self.challenge}"),
            expect(self.final),
        )


def dial(offer: str, *steps: Step, **options: Any) -> Dial:
    """A clear connection on which passwords are allowed."""
    options.setdefault("allow_insecure_auth", True)
    return Dial(*greeted("PIPELINING", f"AUTH {offer}"), *steps, **options)


@pytest.mark.parametrize("kind", [SHA_1, SHA_256], ids=str)
def test_the_signature_comes_in_a_challenge(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """RFC 4954 section 4: it is answered with nothing, and the success follows."""
    script = Script(monkeypatch, kind)
    steps = (*script.begin, send(f"334 {script.last}"), expect(""), send("235 ok"), *delivery())
    call = dial(f"{kind.mechanism} PLAIN", *steps)
    assert call.result_of(call.ready.login(WHO)).code == 235
    assert call.result_of(call.ready.send(ENVELOPE, BODY)).accepted
    call.ready.close()


@pytest.mark.parametrize("reply", ["235 {}", "235 2.7.0 {}", "235 2.7.0 ok {}"])
def test_the_signature_may_come_with_the_success(
    monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    """C49: servers differ; it is verified all the same."""
    script = Script(monkeypatch)
    call = dial("SCRAM-SHA-256", *script.begin, send(reply.format(script.last)), *delivery())
    assert call.result_of(call.ready.login(WHO)).code == 235
    assert call.result_of(call.ready.send(ENVELOPE, BODY)).accepted
    call.ready.close()


@pytest.mark.parametrize(
    "reply",
    [
        "235 2.7.0 Authentication successful",
        "235",
        "235 2.7.0 okay",
        f"235 {b64encode(b'v=' + b64encode(bytes(32))).decode()}",
        f"235 {b64encode(b'e=invalid-proof').decode()}",
        "235 ====",
    ],
)
def test_success_without_the_signature_is_no_success(
    monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    """C49: whoever says so does not know the password; the connection closes, no mail leaves."""
    script = Script(monkeypatch)
    call = dial("SCRAM-SHA-256 PLAIN", *script.begin, send(reply), expect_close())
    error = call.failure_of(call.ready.login(WHO))
    assert isinstance(error, ProtocolError)
    assert not call.ready.authenticated or call.is_over()
    assert call.is_over()


@pytest.mark.parametrize("where", ["at once", "with the first message"])
def test_success_before_the_proof_is_no_success(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A 235 that skips steps, with or without the octets of one."""
    script = Script(monkeypatch)
    reply = "235 ok" if where == "at once" else f"235 {script.challenge}"
    call = dial("SCRAM-SHA-256", script.begin[0], send(reply), expect_close())
    assert isinstance(call.failure_of(call.ready.login(WHO)), ProtocolError)
    assert call.is_over()


@pytest.mark.parametrize("mechanism", ["LOGIN", "CRAM-MD5"])
def test_a_success_cannot_take_the_place_of_a_challenge(mechanism: str) -> None:
    """A 235 with base64 behind it is answered with nothing, so nothing can have been proved."""
    call = dial(mechanism, expect(f"AUTH {mechanism}"), send("235 VXNlcm5hbWU6"), expect_close())
    assert isinstance(call.failure_of(call.ready.login(WHO)), ProtocolError)
    assert call.is_over()


@pytest.mark.parametrize(
    "last",
    [
        b"v=" + b64encode(bytes(32)),
        b"e=server-does-support-channel-binding",
        b"e=channel-bindings-dont-match",
        b"nonsense",
    ],
)
@pytest.mark.parametrize("code", [501, 504, 534, 535])
def test_after_a_proven_lie_there_is_no_other_mechanism(
    monkeypatch: pytest.MonkeyPatch, last: bytes, code: int
) -> None:
    """Whatever the server says then, the password does not go by PLAIN."""
    script = Script(monkeypatch)
    steps = (
        *script.begin,
        send(f"334 {b64encode(last).decode()}"),
        expect("*"),
        send(f"{code} no"),
        expect_silence(1),
    )
    call = dial("SCRAM-SHA-256 PLAIN LOGIN", *steps)
    error = call.failure_of(call.ready.login(WHO), within=1)
    assert isinstance(error, AuthenticationError)
    call.ready.close()


@pytest.mark.parametrize("code", [504, 534, 535])
def test_a_dialogue_that_has_begun_is_not_begun_with_another_mechanism(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """504 and 534 refuse a mechanism; behind a proof, what they refuse is the proof."""
    script = Script(monkeypatch)
    for end in (
        (send(f"{code} no"),),
        (send(f"334 {b64encode(b'e=invalid-proof').decode()}"), expect(""), send(f"{code} no")),
    ):
        call = dial("SCRAM-SHA-256 PLAIN", *script.begin, *end, expect_silence(1))
        error = call.failure_of(call.ready.login(WHO), within=1)
        assert isinstance(error, AuthenticationError)
        assert error.response_code == code
        call.ready.close()
    assert "invalid-proof" in str(error)


def test_a_mechanism_refused_at_once_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """504 to the AUTH command itself: SCRAM's next, then PLAIN."""
    script = Script(monkeypatch)
    plain = b64encode(b"\0%b\0%b" % (USER.encode(), PASSWORD.encode())).decode()
    steps = (script.begin[0], send("504 no"), expect(f"AUTH PLAIN {plain}"), send("235 ok"))
    call = dial("SCRAM-SHA-256 PLAIN", *steps)
    assert call.result_of(call.ready.login(WHO)).code == 235
    call.ready.close()


def test_oauthbearer_tells_the_server_and_acknowledges_a_refusal() -> None:
    """RFC 7628: host and port as the options have them, ^A on the JSON, then the 535."""
    bearer = Credentials(USER, access_token=TOKEN)
    said = f"n,a={USER},\x01host=mx.test\x01port=587\x01auth=Bearer {TOKEN}\x01\x01"
    report = json.dumps({"status": "invalid_token"})
    steps = (
        expect(f"AUTH OAUTHBEARER {b64encode(said.encode()).decode()}"),
        send(f"334 {b64encode(report.encode()).decode()}"),
        expect("AQ=="),
        send("535 5.7.8 no"),
        expect_silence(1),
    )
    call = dial("XOAUTH2 OAUTHBEARER", *steps, host="mx.test")
    error = call.failure_of(call.ready.login(bearer), within=1)
    assert error.response_code == 535
    assert "invalid_token" in str(error)
    assert TOKEN not in str(error)
    call.ready.close()


def test_digest_md5_is_used_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends with the server's proof, here with its success."""
    call = dial("DIGEST-MD5", expect_silence(1))
    assert "none of the server's" in str(call.failure_of(call.ready.login(WHO), within=1))
    call.ready.close()
    monkeypatch.setattr("txsmtpconn.sasl.digest_md5.secrets.token_hex", lambda _: "fixed")
    from txsmtpconn.sasl import Channel, DigestMD5Client

    challenge = b'nonce="abc",algorithm=md5-sess,qop="auth"'
    client = DigestMD5Client(USER, PASSWORD, channel=Channel("localhost"))
    answer = b64encode(client.step(challenge)).decode()
    proof = client._rspauth
    assert proof is not None
    steps = (
        expect("AUTH DIGEST-MD5"),
        send(f"334 {b64encode(challenge).decode()}"),
        expect(answer),
        send(f"235 {b64encode(b'rspauth=' + proof).decode()}"),
    )
    call = dial("DIGEST-MD5", *steps, auth_method="digest-md5", host="localhost")
    assert call.result_of(call.ready.login(WHO)).code == 235
    call.ready.close()


def test_no_secret_of_a_scram_dialogue_gets_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the password nor the proof, in any log line or in the error."""
    from twisted.logger import Logger

    script = Script(monkeypatch)
    events: list[Any] = []
    logger = Logger(namespace="test", observer=events.append)
    call = dial(
        "SCRAM-SHA-256",
        *script.begin,
        send("535 no"),
        logger=logger,
        transaction_log=True,
        debug=True,
    )
    error = call.failure_of(call.ready.login(WHO))
    call.ready.close()
    told = repr(events) + repr(error) + str(error) + repr(vars(error))
    proof = b64decode(script.final).rpartition(b"p=")[2].decode()
    assert events
    for secret in (PASSWORD, proof, script.final):
        assert secret not in told
