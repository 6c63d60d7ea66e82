"""What each TLS policy lets pass, and what it does when TLS is not to be had."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.defer import Deferred, succeed

from tests.transport.nexthop.world import BODY, World, envelope
from txsmtpconn import (
    AuthenticationError,
    Credentials,
    Delivery,
    DNSError,
    RequireTLSError,
    StreamError,
    TLSError,
    TLSOptions,
)
from txsmtpconn.testing import CertificateZoo, ScriptedPeer
from txsmtpconn.testing.script import close, expect, expect_matching, send
from txsmtpconn.transport.nexthop.policy import Level
from txsmtpconn.transport.nexthop.records import MX, SRV, TLSA, RecordType
from txsmtpconn.transport.nexthop.reporting import Failed, PolicyType, TLSReports
from txsmtpconn.transport.nexthop.sts import Mode, STSPolicy

ONE = "192.0.2.1"
TLSA_NAME = "_25._tcp.mx.test"
ZOO = (
    "server",
    "wildcard",
    "wronghost",
    "expired",
    "notyet",
    "selfsigned",
    "otherissuer",
    "noeku",
    "cnonly",
    "nosan-evil",
)
#: Those that an authority vouches for, and that name mx.test.
GOOD = {"server"}


class Published:
    """MTA-STS policies, without a network."""

    def __init__(self, **policies: STSPolicy) -> None:
        self._policies = policies

    def policy_of(self, domain: str) -> Deferred[STSPolicy | None]:
        return succeed(self._policies.get(domain.replace(".", "_")))


@pytest.fixture
def world(certificate_zoo: CertificateZoo) -> World:
    """Domain a.test with the host mx.test, and all of that validated."""
    world = World(certificate_zoo)
    world.domain("a.test", "mx.test", secure=True)
    world.host("mx.test", ONE, secure=True)
    return world


def transport(world: World, policy: Any, **options: Any) -> Any:
    """Return a transport with this policy, which trusts the zoo's authority."""
    assert world.zoo is not None
    options.setdefault("tls", TLSOptions(ca_file=world.zoo.ca))
    return world.transport(policies=policy, **options)


def sent(world: World, policy: Any, message: Any = BODY, **options: Any) -> Any:
    """Send a message under a policy; return the result, or the error."""
    wanted = {name: options.pop(name) for name in ("requiretls", "mail_from") if name in options}
    sender = transport(world, policy, **options)
    outcome: list[Any] = []
    sender.send(envelope("x@a.test", **wanted), message).addBoth(outcome.append)
    world.network.settle()
    world.network.advance(40)
    world.finish(sender)
    return getattr(outcome[0], "value", outcome[0])


def asked_names(world: World) -> list[bytes | None]:
    """Start a server; return where it writes down which names it is asked for (SNI)."""
    assert world.zoo is not None
    names: list[bytes | None] = []
    tls = world.zoo.server_options("server")
    tls.getContext().set_tlsext_servername_callback(
        lambda connection: names.append(connection.get_servername())
    )
    world.server("mx.test", ONE, tls=tls)
    return names


def was_secure(world: World) -> bool:
    """Tell whether the message that arrived came under TLS."""
    assert len(world.taken) == 1
    return bool(world.network.links[-1].client.TLS)


def certificate(world: World, name: str) -> x509.Certificate:
    """Return one of the zoo's."""
    assert world.zoo is not None
    files = {"ca": world.zoo.ca, "otherca": world.zoo.other_ca}
    path = files.get(name) or world.zoo[name].certificate
    return x509.load_pem_x509_certificate(path.read_bytes())


def key_of(found: x509.Certificate) -> bytes:
    """Return its public key in DER."""
    return found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def record(world: World, usage: int, selector: int, matching: int, name: str) -> TLSA:
    """Return the TLSA record for a certificate of the zoo."""
    found = certificate(world, name)
    octets = key_of(found) if selector else found.public_bytes(Encoding.DER)
    data = {
        0: lambda: octets,
        1: lambda: hashlib.sha256(octets).digest(),
        2: lambda: hashlib.sha512(octets).digest(),
    }[matching]()
    return TLSA(usage, selector, matching, data)


def stripped(certificate_zoo: CertificateZoo) -> ScriptedPeer:
    """A server whose STARTTLS somebody on the way has cut out."""
    return ScriptedPeer(
        send("220 mx.test"),
        expect("EHLO client.test"),
        send("250 mx.test"),
        expect("STARTTLS"),
        send("502 5.5.1 what?"),
        close(),
    )


# -- the zoo, under each policy


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("policy", ["none", "may", "encrypt"])
def test_opportunistic_tls_asks_no_questions(world: World, policy: str, name: str) -> None:
    """RFC 7435: any certificate is better than none; and `none` is none."""
    world.server("mx.test", ONE, certificate=name)
    assert sent(world, policy).accepted == ["x@a.test"]
    assert was_secure(world) is (policy != "none")


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize(
    "policy", ["verify", "secure match=mx.test", {"a.test": "secure match=.test"}]
)
def test_a_name_must_be_vouched_for(world: World, policy: Any, name: str) -> None:
    """The certificate zoo: each of them, under the policies that ask for a name."""
    world.server("mx.test", ONE, certificate=name)
    outcome = sent(world, policy)
    good = GOOD | ({"wildcard", "wronghost"} if isinstance(policy, dict) else set())
    if name in good:
        assert outcome.accepted == ["x@a.test"]
        assert was_secure(world)
    else:
        assert isinstance(outcome, TLSError)
        assert (outcome.delivery, outcome.is_transient) == (Delivery.NOT_SENT, True)
        assert world.taken == []


def test_secure_does_not_believe_dns(world: World) -> None:
    """A lying MX leads to a host with a good certificate of its own, for another domain."""
    world.server("mx.test", ONE, certificate="server")
    assert isinstance(sent(world, "secure"), TLSError)
    assert sent(world, "verify").accepted == ["x@a.test"]


@pytest.mark.parametrize("name", ["server", "expired", "selfsigned", "wronghost"])
@pytest.mark.parametrize("of_key", [False, True])
def test_a_fingerprint_is_all_that_counts(world: World, name: str, of_key: bool) -> None:
    """Of the certificate or of its key."""
    found = certificate(world, name)
    octets = key_of(found) if of_key else found.public_bytes(Encoding.DER)
    digest = hashlib.sha256(octets).hexdigest()
    world.server("mx.test", ONE, certificate=name)
    assert sent(world, f"fingerprint match={'ab' * 32}|{digest}").accepted == ["x@a.test"]
    assert isinstance(sent(world, f"fingerprint match={'ab' * 32}"), TLSError)


# -- STARTTLS that is not to be had


@pytest.mark.parametrize("level", list(Level))
def test_starttls_stripped(world: World, certificate_zoo: CertificateZoo, level: Level) -> None:
    """In clear only under `none` and `may`, and where a domain has published nothing."""
    world.script(ONE, stripped(certificate_zoo))
    digest = "match=" + "ab" * 32 if level is Level.FINGERPRINT else ""
    world.zone.put(TLSA_NAME, RecordType.TLSA, record(world, 3, 1, 1, "server"), secure=True)
    enforced = STSPolicy(Mode.ENFORCE, ("mx.test",), 86400)
    policy = f"{level.value} {digest}"
    outcome = sent_in_clear(world, policy, mta_sts=Published(a_test=enforced))
    assert outcome is (level in (Level.NONE, Level.MAY))


def sent_in_clear(world: World, policy: str, **options: Any) -> bool:
    """Tell whether MAIL was said in clear, to a server without STARTTLS."""
    sender = transport(world, policy, **options)
    sending = sender.send(envelope("x@a.test"), BODY)
    sending.addErrback(lambda _: None)
    try:
        world.network.settle()
    except AssertionError as error:
        said = "MAIL FROM" in str(error)
    else:
        said = False
    sending.cancel()
    sender.close(0)
    try:
        world.network.settle()
    except AssertionError:
        pass
    return said


def broken_tls(*more: Any) -> ScriptedPeer:
    """A server that agrees to STARTTLS, and then does not speak TLS."""
    return ScriptedPeer(
        send("220 mx.test"),
        expect("EHLO client.test"),
        send("250-mx.test", "250 STARTTLS"),
        expect("STARTTLS"),
        send("220 go ahead"),
        *more,
    )


IN_CLEAR = (
    send("220 mx.test"),
    expect("EHLO client.test"),
    send("250-mx.test", "250 STARTTLS"),
    expect_matching("MAIL FROM:<.*>"),
    send("550 5.7.1 but I have seen it in clear"),
)


def test_may_goes_on_in_clear_on_a_new_connection(world: World) -> None:
    """After a failed handshake: RFC 7435."""
    ended = ScriptedPeer(*IN_CLEAR, expect("QUIT"), send("221 bye"), close())
    world.script(ONE, broken_tls(close()), ended)
    outcome = sent(world, "may")
    assert outcome.response_code == 550


@pytest.mark.parametrize("policy", ["encrypt", "verify", "secure"])
def test_nothing_else_does(world: World, policy: str) -> None:
    """One connection, and no second one in clear."""
    world.script(ONE, broken_tls(close()))
    assert isinstance(sent(world, policy), TLSError)
    assert len(world.network.links) == 1


def test_a_handshake_that_hangs_is_a_handshake_that_failed(world: World) -> None:
    """`may` goes on in clear after `tls_timeout`."""
    ended = ScriptedPeer(*IN_CLEAR, expect("QUIT"), send("221 bye"), close())
    world.network.listen(Silent(ended), f"{ONE}:25")
    outcome = sent(world, "may", tls_timeout=5.0)
    assert outcome.response_code == 550


class Silent:
    """Builds a server that hangs in the handshake, and then one that does not."""

    def __init__(self, then: ScriptedPeer) -> None:
        self._peers = [Hanging(), then]

    def doStart(self) -> None:
        pass

    def doStop(self) -> None:
        pass

    def buildProtocol(self, addr: Any) -> Any:
        return self._peers.pop(0)


def Hanging() -> Any:  # noqa: N802
    """A server that agrees to STARTTLS and says no more."""
    from twisted.internet.protocol import Protocol

    class Server(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"220 mx.test\r\n")

        def dataReceived(self, data: bytes) -> None:
            if data.startswith(b"EHLO"):
                self.transport.write(b"250-mx.test\r\n250 STARTTLS\r\n")
            elif data.startswith(b"STARTTLS"):
                self.transport.write(b"220 go\r\n")

    return Server()


def test_a_password_is_never_for_just_anybody(world: World) -> None:
    """Opportunistic policies do not say who the server is; and there is no way back to clear."""
    world.server("mx.test", ONE, certificate="server")
    for policy in ("may", "encrypt", "none"):
        sender = transport(world, policy, next_hop="a.test", auth=Credentials("u", "secret"))
        error = world.failure_of(sender.send(envelope("x@b.test"), BODY))
        assert isinstance(error, AuthenticationError)
        assert "secret" not in repr(error)
        world.finish(sender)
    assert world.network.links == []


def test_no_password_and_no_service_falls_back_to_clear(world: World) -> None:
    """Not even where `may` and `allow_insecure_auth` would let them."""
    world.script(ONE, broken_tls(close()))
    insecurely = {"auth": Credentials("u", "secret"), "allow_insecure_auth": True}
    assert isinstance(sent(world, "may", next_hop="a.test", **insecurely), TLSError)
    assert len(world.network.links) == 1
    world.zone.put("_submissions._tcp.b.test", RecordType.SRV, SRV(0, 0, 465, "mx.test"))
    world.script(ONE, ScriptedPeer(close()), port=465)
    assert isinstance(sent(world, "may", next_hop="srv:b.test"), TLSError)
    assert len(world.network.links) == 2


# -- DANE


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("usage", [2, 3])
def test_tlsa_records_of_all_kinds(world: World, usage: int, selector: int, matching: int) -> None:
    """RFC 6698, RFC 7671: both usages, selectors and all matching types."""
    name = "ca" if usage == 2 else "server"
    tlsa = record(world, usage, selector, matching, name)
    world.zone.put(TLSA_NAME, RecordType.TLSA, tlsa, secure=True)
    world.server("mx.test", ONE, certificate="server")
    # The server shows its own certificate alone: an authority in full is in the record itself.
    outcome = sent(world, "dane")
    if usage == 2 and (selector, matching) != (0, 0):
        assert isinstance(outcome, TLSError)
        assert outcome.fault == "certificate-not-trusted"
    else:
        assert outcome.accepted == ["x@a.test"]
        assert was_secure(world)


@pytest.mark.parametrize("name", ZOO)
def test_a_key_that_is_named_needs_nothing_else(world: World, name: str) -> None:
    """RFC 7671 section 5.1: usage 3 looks at no name, no date and no authority."""
    world.zone.put(TLSA_NAME, RecordType.TLSA, record(world, 3, 1, 1, name), secure=True)
    world.server("mx.test", ONE, certificate=name)
    assert sent(world, "dane").accepted == ["x@a.test"]


@pytest.mark.parametrize("name", ZOO)
def test_an_authority_that_is_named_vouches_for_good_certificates(world: World, name: str) -> None:
    """Usage 2: the chain, the dates, the use and the name count."""
    world.zone.put(TLSA_NAME, RecordType.TLSA, record(world, 2, 0, 0, "ca"), secure=True)
    world.server("mx.test", ONE, certificate=name)
    outcome = sent(world, "dane")
    if name in GOOD:
        assert outcome.accepted == ["x@a.test"]
    else:
        assert isinstance(outcome, TLSError)
        assert world.taken == []


@pytest.mark.parametrize("policy", ["dane", "dane-only", "dane+mta-sts"])
def test_a_certificate_that_does_not_match_gets_no_mail(world: World, policy: str) -> None:
    """Though every authority in the world may vouch for it, and there is no fall-back."""
    world.zone.put(TLSA_NAME, RecordType.TLSA, record(world, 3, 1, 1, "expired"), secure=True)
    world.server("mx.test", ONE, certificate="server")
    outcome = sent(world, policy, mta_sts=Published())
    assert isinstance(outcome, TLSError)
    assert (outcome.is_transient, world.taken, len(world.network.links)) == (True, [], 1)


def test_records_that_cannot_be_used_want_tls_with_anybody(world: World) -> None:
    """RFC 7672 section 2.2: usages 0 and 1, and what is no digest; STARTTLS is still required."""
    unusable = [
        record(world, 0, 1, 1, "server"),
        record(world, 1, 0, 1, "server"),
        TLSA(3, 1, 1, b"short"),
        TLSA(3, 2, 1, b"x" * 32),
        TLSA(3, 1, 9, b"x" * 32),
        TLSA(2, 0, 0, b"no certificate"),
    ]
    world.zone.put(TLSA_NAME, RecordType.TLSA, *unusable, secure=True)
    world.server("mx.test", ONE, certificate="selfsigned")
    assert sent(world, "dane").accepted == ["x@a.test"]
    assert was_secure(world)
    error = sent(world, "dane-only")
    assert (type(error), error.fault) == (TLSError, "dane-required")


def test_one_usable_record_is_what_counts(world: World) -> None:
    """The others are passed over."""
    world.zone.put(
        TLSA_NAME,
        RecordType.TLSA,
        record(world, 1, 1, 1, "server"),
        record(world, 3, 1, 1, "expired"),
        secure=True,
    )
    world.server("mx.test", ONE, certificate="server")
    assert isinstance(sent(world, "dane"), TLSError)


def test_the_strongest_digest_counts(world: World) -> None:
    """RFC 7671 section 9: a matching SHA-256 does not help where there is SHA-512."""
    world.zone.put(
        TLSA_NAME,
        RecordType.TLSA,
        record(world, 3, 1, 1, "server"),
        record(world, 3, 1, 2, "expired"),
        secure=True,
    )
    world.server("mx.test", ONE, certificate="server")
    assert isinstance(sent(world, "dane"), TLSError)


@pytest.mark.parametrize("insecure", ["MX", "A", "TLSA"])
def test_what_is_not_validated_does_not_count(world: World, insecure: str) -> None:
    """RFC 7672 section 2.2: DANE only if MX, addresses and TLSA all are; else as if none were."""
    wrong = record(world, 3, 1, 1, "expired")
    world.domain("a.test", "mx.test", secure=insecure != "MX")
    world.host("mx.test", ONE, secure=insecure != "A")
    world.zone.put(TLSA_NAME, RecordType.TLSA, wrong, secure=insecure != "TLSA")
    world.server("mx.test", ONE, certificate="server")
    assert sent(world, "dane").accepted == ["x@a.test"]
    asked = [kind for _, kind in world.zone.asked]
    assert (RecordType.TLSA in asked) is (insecure == "TLSA")
    assert isinstance(sent(world, "dane-only"), TLSError)


@pytest.mark.parametrize("family", [RecordType.A, RecordType.AAAA])
def test_who_suppresses_an_address_does_not_switch_dane_off(
    world: World, family: RecordType
) -> None:
    """It takes a lost datagram between resolver and zone; the other family's answer is signed."""
    world.domain("a.test", "mx.test", secure=True)
    world.host("mx.test", ONE, secure=True)
    if family is RecordType.A:
        world.zone.put("mx.test", RecordType.AAAA, "2001:db8::1", secure=True)
    world.zone.fail("mx.test", family)
    world.zone.put(TLSA_NAME, RecordType.TLSA, record(world, 3, 1, 1, "expired"), secure=True)
    for address in (ONE, "2001:db8::1"):
        world.server("mx.test", address, certificate="server")
    assert isinstance(sent(world, "dane"), TLSError)


@pytest.mark.parametrize("policy", ["dane", "dane-only", "dane+mta-sts"])
def test_records_that_cannot_be_had_stop_the_mail(world: World, policy: str) -> None:
    """RFC 7672 section 2.1.2: else suppressing one answer would be enough to read the mail."""
    world.zone.fail(TLSA_NAME, RecordType.TLSA)
    world.server("mx.test", ONE, certificate="server")
    error = sent(world, policy, mta_sts=Published())
    assert isinstance(error, DNSError)
    assert (error.is_transient, world.network.links) == (True, [])


def test_records_are_found_at_the_end_of_aliases_first(world: World) -> None:
    """RFC 7672 section 2.2.2; and the server is asked for that name's certificate (8.1)."""
    world.host("mx.test", ONE, secure=True, canonical="real.test")
    wrong, right = record(world, 3, 1, 1, "expired"), record(world, 3, 1, 1, "server")
    world.zone.put("_25._tcp.real.test", RecordType.TLSA, right, secure=True)
    world.zone.put(TLSA_NAME, RecordType.TLSA, wrong, secure=True)
    names = asked_names(world)
    assert sent(world, "dane").accepted == ["x@a.test"]
    assert names == [b"real.test"]


def test_where_an_alias_has_records_its_own_name_is_asked_for(world: World) -> None:
    """Those at the end of it have none."""
    world.host("mx.test", ONE, secure=True, canonical="real.test")
    right = record(world, 3, 1, 1, "server")
    world.zone.put(TLSA_NAME, RecordType.TLSA, right, secure=True)
    names = asked_names(world)
    assert sent(world, "dane").accepted == ["x@a.test"]
    assert names == [b"mx.test"]


@pytest.mark.parametrize("certain", [True, False])
def test_the_name_of_an_alias_may_be_more_certain_than_its_end(world: World, certain: bool) -> None:
    """RFC 7672 section 2.2.2, "Insecure CNAME": the records of its own name count then."""
    world.host("mx.test", ONE, canonical="unsigned.test")
    world.zone.put("mx.test", RecordType.CNAME, secure=certain, canonical="unsigned.test")
    for name in ("mx.test", "unsigned.test"):
        wrong = record(world, 3, 1, 1, "expired")
        world.zone.put(f"_25._tcp.{name}", RecordType.TLSA, wrong, secure=True)
    world.server("mx.test", ONE, certificate="server")
    assert isinstance(sent(world, "dane"), TLSError) is certain
    assert (TLSA_NAME, RecordType.TLSA) in world.zone.asked or not certain
    assert ("_25._tcp.unsigned.test", RecordType.TLSA) not in world.zone.asked


def test_an_alias_of_which_nothing_can_be_had_stops_the_mail(world: World) -> None:
    """RFC 7672 section 2.1.2: else who suppresses that answer switches DANE off."""
    world.host("mx.test", ONE, canonical="unsigned.test")
    world.zone.fail("mx.test", RecordType.CNAME)
    world.server("mx.test", ONE, certificate="server")
    error = sent(world, "dane")
    assert (type(error), error.is_transient, world.network.links) == (DNSError, True, [])


@pytest.mark.parametrize(("domain", "taken"), [("mx.test", True), ("else.test", False)])
def test_an_authority_may_vouch_for_the_domain_at_the_end_of_aliases(
    world: World, domain: str, taken: bool
) -> None:
    """RFC 7672 section 3.2.2: it is the third name that will do, where an alias leads to the MX."""
    mx, tlsa = MX(10, "other.test"), record(world, 2, 0, 0, "ca")
    world.zone.put("a.test", RecordType.MX, mx, secure=True, canonical=domain)
    world.host("other.test", ONE, secure=True)
    world.zone.put("_25._tcp.other.test", RecordType.TLSA, tlsa, secure=True)
    world.server("other.test", ONE, certificate="server")
    assert isinstance(sent(world, "dane"), TLSError) is not taken


def test_a_second_exchange_may_do_better(world: World) -> None:
    """A host whose certificate is wrong is passed over, not trusted."""
    world.domain("a.test", "bad.test", "mx.test", secure=True)
    world.host("bad.test", "192.0.2.66", secure=True)
    wrong, right = record(world, 3, 1, 1, "expired"), record(world, 3, 1, 1, "server")
    world.zone.put("_25._tcp.bad.test", RecordType.TLSA, wrong, secure=True)
    world.zone.put(TLSA_NAME, RecordType.TLSA, right, secure=True)
    world.server("bad.test", "192.0.2.66", certificate="server")
    world.server("mx.test", ONE, certificate="server")
    assert sent(world, "dane").accepted == ["x@a.test"]
    assert world.servers == ["mx.test"]


# -- MTA-STS, as far as it needs no network of its own


ENFORCE = STSPolicy(Mode.ENFORCE, ("mx.test",), 86400)


@pytest.mark.parametrize("policy", ["mta-sts", "dane+mta-sts"])
@pytest.mark.parametrize("name", ZOO)
def test_enforce_wants_the_exchanges_name(world: World, policy: str, name: str) -> None:
    """RFC 8461 section 4: authority, dates, and the name of the host."""
    world.server("mx.test", ONE, certificate=name)
    outcome = sent(world, policy, mta_sts=Published(a_test=ENFORCE))
    if name in GOOD:
        assert outcome.accepted == ["x@a.test"]
    else:
        assert isinstance(outcome, TLSError)
        assert world.taken == []


def test_an_exchange_that_the_policy_does_not_name_gets_nothing(world: World) -> None:
    """A forged MX: not even a connection."""
    world.domain("a.test", "evil.test")
    world.host("evil.test", "192.0.2.66")
    world.server("evil.test", "192.0.2.66", certificate="server")
    error = sent(world, "mta-sts", mta_sts=Published(a_test=ENFORCE))
    assert (type(error), error.is_transient, world.network.links) == (TLSError, True, [])


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("server", None),
        ("expired", "certificate-expired"),
        ("selfsigned", "certificate-not-trusted"),
        ("wronghost", "certificate-host-mismatch"),
    ],
)
def test_testing_delivers_and_tells(world: World, name: str, fault: str | None) -> None:
    """RFC 8461 section 5: as if there were no policy, but for the report."""
    reports = TLSReports("we", "postmaster@client.test")
    world.server("mx.test", ONE, certificate=name)
    testing = STSPolicy(Mode.TESTING, ("mx.test",), 86400)
    outcome = sent(world, "mta-sts", mta_sts=Published(a_test=testing), tls_reports=reports)
    assert outcome.accepted == ["x@a.test"]
    assert was_secure(world)
    ((policy, counts),) = reports.counts("a.test").items()
    assert policy.kind is PolicyType.STS
    assert [failure.kind for failure in counts.failures] == ([] if fault is None else [fault])
    assert (counts.successful, counts.failed) == ((1, 0) if fault is None else (0, 1))


def test_testing_tells_of_an_exchange_that_is_not_named(world: World) -> None:
    """And still delivers."""
    reports = TLSReports("we", "postmaster@client.test")
    world.server("mx.test", ONE, certificate="server")
    testing = STSPolicy(Mode.TESTING, ("other.test",), 86400)
    sent(world, "mta-sts", mta_sts=Published(a_test=testing), tls_reports=reports)
    ((_, counts),) = reports.counts("a.test").items()
    assert [failure.kind for failure in counts.failures] == ["validation-failure"]


def test_a_policy_of_none_is_none(world: World) -> None:
    """RFC 8461 section 5."""
    world.server("mx.test", ONE)
    nothing = STSPolicy(Mode.NONE, (), 86400)
    assert sent(world, "mta-sts", mta_sts=Published(a_test=nothing)).accepted == ["x@a.test"]
    assert not was_secure(world)


@pytest.mark.parametrize("shown", ["server", "selfsigned"])
@pytest.mark.parametrize("meant", ["server", "selfsigned"])
def test_sts_does_not_override_dane(world: World, meant: str, shown: str) -> None:
    """RFC 8461 section 2: where TLSA records speak, the policy is silent, whatever they say."""
    world.zone.put(TLSA_NAME, RecordType.TLSA, record(world, 3, 1, 1, meant), secure=True)
    world.server("mx.test", ONE, certificate=shown)
    outcome = sent(world, "dane+mta-sts", mta_sts=Published(a_test=ENFORCE))
    assert isinstance(outcome, TLSError) is (meant != shown)
    assert bool(world.taken) is (meant == shown)


@pytest.mark.parametrize("name", ZOO)
def test_sts_says_who_where_no_record_can_be_used(world: World, name: str) -> None:
    """RFC 8461 section 2: nothing of DANE fails there, so nothing of it is overridden."""
    world.zone.put(TLSA_NAME, RecordType.TLSA, TLSA(3, 1, 9, b"x" * 32), secure=True)
    world.server("mx.test", ONE, certificate=name)
    outcome = sent(world, "dane+mta-sts", mta_sts=Published(a_test=ENFORCE))
    assert isinstance(outcome, TLSError) is (name not in GOOD)
    assert bool(world.taken) is (name in GOOD)


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.TESTING], ids=str)
@pytest.mark.parametrize(
    ("name", "hosts", "fault"),
    [
        ("server", "mx.test", None),
        ("selfsigned", "mx.test", "certificate-not-trusted"),
        ("server", "other.test", "validation-failure"),
    ],
)
def test_a_session_is_counted_under_each_policy(
    world: World, mode: Mode, name: str, hosts: str, fault: str | None
) -> None:
    """RFC 8460 section 4: that no record can be used, and how the MTA-STS policy was kept."""
    world.zone.put(TLSA_NAME, RecordType.TLSA, TLSA(3, 1, 9, b"x" * 32), secure=True)
    world.server("mx.test", ONE, certificate=name)
    reports = TLSReports("we", "postmaster@client.test")
    published = Published(a_test=STSPolicy(mode, (hosts,), 86400))
    sent(world, "dane+mta-sts", mta_sts=published, tls_reports=reports)
    counts = {policy.kind: told for policy, told in reports.counts("a.test").items()}
    assert set(counts) == {PolicyType.TLSA, PolicyType.STS}
    of_records, of_sts = counts[PolicyType.TLSA], counts[PolicyType.STS]
    assert [failure.kind for failure in of_records.failures] == ["tlsa-invalid"]
    assert [failure.kind for failure in of_sts.failures] == ([] if fault is None else [fault])
    assert (of_records.successful, of_records.failed) == (0, 1)
    assert (of_sts.successful, of_sts.failed) == ((1, 0) if fault is None else (0, 1))
    assert was_secure(world) if fault is None or mode is Mode.TESTING else world.taken == []


@pytest.mark.parametrize("mode", [None, Mode.TESTING, Mode.NONE, Mode.ENFORCE], ids=str)
def test_no_sts_policy_does_away_with_the_tls_of_records(world: World, mode: Mode | None) -> None:
    """RFC 7672 section 2.2: records that cannot be used want TLS, whatever else is published."""
    policies = {} if mode is None else {"a_test": STSPolicy(mode, ("mx.test",), 86400)}
    world.zone.put(TLSA_NAME, RecordType.TLSA, TLSA(3, 1, 9, b"x" * 32), secure=True)
    world.server("mx.test", ONE)
    error = sent(world, "dane+mta-sts", mta_sts=Published(**policies))
    assert (type(error), world.taken) == (TLSError, [])


def test_records_that_cannot_be_had_are_no_matter_for_sts(world: World) -> None:
    """RFC 7672 section 2.1.2: whoever suppresses them does not get to choose the weaker check."""
    world.zone.fail(TLSA_NAME, RecordType.TLSA)
    world.server("mx.test", ONE, certificate="server")
    error = sent(world, "dane+mta-sts", mta_sts=Published(a_test=ENFORCE))
    assert (type(error), world.network.links) == (DNSError, [])


def test_the_smarthosts_policy_counts_not_the_recipients(world: World) -> None:
    """RFC 8461 section 4: the policy domain is the next hop's."""
    world.server("mx.test", ONE, certificate="wronghost")
    published = Published(b_test=STSPolicy(Mode.ENFORCE, ("mx.test",), 86400))
    sender = transport(world, "mta-sts", next_hop="a.test", mta_sts=published)
    assert world.result_of(sender.send(envelope("x@b.test"), BODY)).accepted == ["x@b.test"]
    world.finish(sender)


# -- RFC 8689


def requiring(world: World, name: str = "server", **options: Any) -> None:
    """Start a server that offers REQUIRETLS, as it is only offered under TLS."""
    world.server("mx.test", ONE, certificate=name, promises=("REQUIRETLS",), **options)


@pytest.mark.parametrize("policy", ["may", "encrypt", "verify", "dane", "mta-sts"])
def test_requiretls_is_passed_on(world: World, policy: str) -> None:
    """Under TLS, to a server that is verified and offers it; validated DNS has named it."""
    requiring(world)
    outcome = sent(world, policy, requiretls=True, mta_sts=Published())
    assert outcome.accepted == ["x@a.test"]
    assert was_secure(world)
    assert world.envelopes[0].requiretls


@pytest.mark.parametrize("policy", ["may", "encrypt", "verify", "dane", "mta-sts"])
def test_requiretls_wants_to_know_the_server(world: World, policy: str) -> None:
    """RFC 8689 section 4.2.1: a certificate that names nobody is none."""
    requiring(world, "selfsigned")
    assert isinstance(sent(world, policy, requiretls=True, mta_sts=Published()), TLSError)
    assert world.taken == []


@pytest.mark.parametrize("policy", ["may", "encrypt", "verify", "none"])
def test_requiretls_does_not_believe_dns(world: World, policy: str) -> None:
    """Nobody vouches for the MX: the best certificate may be that of the wrong host."""
    world.domain("a.test", "mx.test", secure=False)
    requiring(world)
    error = sent(world, policy, requiretls=True)
    assert isinstance(error, RequireTLSError)
    assert (error.is_permanent, error.enhanced_code, world.network.links) == (True, "5.7.10", [])


def test_requiretls_believes_an_sts_policy(world: World) -> None:
    """It names the exchanges."""
    world.domain("a.test", "mx.test", secure=False)
    requiring(world)
    outcome = sent(world, "mta-sts", requiretls=True, mta_sts=Published(a_test=ENFORCE))
    assert outcome.accepted == ["x@a.test"]


def test_requiretls_that_is_not_offered_is_not_sent(world: World) -> None:
    """And no other host of the domain gets it in another way."""
    world.server("mx.test", ONE, certificate="server")
    error = sent(world, "verify", requiretls=True)
    assert isinstance(error, RequireTLSError)
    assert (error.delivery, world.taken) == (Delivery.NOT_SENT, [])
    assert error.enhanced_code == "5.7.30"


def test_requiretls_is_looked_for_at_each_exchange(world: World) -> None:
    """RFC 8689 section 4.2.1: one that does not offer it is left for the next."""
    one, two = "one.wild.test", "two.wild.test"
    world.domain("a.test", one, two, secure=True)
    world.host(one, "192.0.2.7", secure=True)
    world.host(two, "192.0.2.8", secure=True)
    world.server(one, "192.0.2.7", certificate="wildcard")
    world.server(two, "192.0.2.8", certificate="wildcard", promises=("REQUIRETLS",))
    outcome = sent(world, "verify", requiretls=True)
    assert outcome.accepted == ["x@a.test"]
    assert world.envelopes[0].requiretls


@pytest.mark.parametrize("policy", ["may", "none"])
def test_requiretls_does_not_lose_a_report(world: World, policy: str) -> None:
    """RFC 8689 section 5: one with the null reverse-path goes where nobody offers it, too."""
    world.domain("a.test", "mx.test", secure=False)
    world.server("mx.test", ONE, certificate="server")
    assert sent(world, policy, requiretls=True, mail_from="").accepted == ["x@a.test"]


@pytest.mark.parametrize(
    ("policy", "asked"), [("may", False), ("encrypt", False), ("verify", True)]
)
def test_requiretls_of_a_report_is_said_to_verified_servers_only(
    world: World, policy: str, asked: bool
) -> None:
    """RFC 8689 section 2: never in a session that nobody vouches for. It goes all the same."""
    requiring(world)
    assert sent(world, policy, requiretls=True, mail_from="").accepted == ["x@a.test"]
    assert was_secure(world)
    assert world.envelopes[0].requiretls is asked


def test_requiretls_of_a_report_is_not_said_where_the_check_is_only_observed(world: World) -> None:
    """An MTA-STS policy that is being tested lets anybody pass."""
    requiring(world)
    published = Published(a_test=STSPolicy(Mode.TESTING, ("mx.test",), 86400))
    outcome = sent(world, "mta-sts", requiretls=True, mail_from="", mta_sts=published)
    assert outcome.accepted == ["x@a.test"]
    assert not world.envelopes[0].requiretls


WAIVED = b"TLS-Required: No\r\n" + BODY


@pytest.mark.parametrize("policy", ["dane", "mta-sts", "dane+mta-sts"])
def test_a_message_can_waive_what_its_recipients_want(world: World, policy: str) -> None:
    """RFC 8689 section 3: a report of a broken policy must arrive in spite of it."""
    world.zone.put(TLSA_NAME, RecordType.TLSA, record(world, 3, 1, 1, "expired"), secure=True)
    world.server("mx.test", ONE, certificate="selfsigned")
    published = Published(a_test=ENFORCE)
    assert isinstance(sent(world, policy, mta_sts=published), TLSError)
    folded = b"TLS-Required:\r\n\tno \r\n" + BODY
    for message in (WAIVED, b"tls-required:no\n" + BODY, folded, iterable_file(WAIVED)):
        world.taken.clear()
        assert sent(world, policy, message, mta_sts=published).accepted == ["x@a.test"]
        assert was_secure(world)


def iterable_file(octets: bytes) -> Any:
    """Return a message that is not in memory."""
    from io import BytesIO

    return lambda: BytesIO(octets + b"x" * 100_000)


@pytest.mark.parametrize("policy", ["may", "mta-sts"])
@pytest.mark.parametrize("fails", ["opening", "reading"])
def test_a_source_that_fails_under_this_look_is_not_in_doubt(
    world: World, policy: str, fails: str
) -> None:
    """Nothing has been sent: it is the same error as without the look."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError

    def source() -> Any:
        if fails == "opening":
            raise OSError
        return Broken(BODY)

    world.server("mx.test", ONE, certificate="server")
    error = sent(world, policy, source, mta_sts=Published(a_test=ENFORCE))
    assert isinstance(error, StreamError)
    assert error.delivery is Delivery.NOT_SENT


@pytest.mark.parametrize(
    "message",
    [
        BODY + b"TLS-Required: No\r\n",
        b"X-TLS-Required: No\r\n" + BODY,
        b"TLS-Required: Nobody\r\n" + BODY,
        b"Subject: a\r\n TLS-Required: No\r\n" + BODY,
    ],
    ids=["body", "other field", "other value", "folded"],
)
def test_only_the_field_itself_waives(world: World, message: bytes) -> None:
    """In the header, by its name, with its one value."""
    world.server("mx.test", ONE, certificate="selfsigned")
    outcome = sent(world, "mta-sts", message, mta_sts=Published(a_test=ENFORCE))
    assert isinstance(outcome, TLSError)


def test_the_field_does_not_waive_what_we_want_ourselves(world: World) -> None:
    """Nor REQUIRETLS: section 5."""
    requiring(world, "selfsigned")
    assert isinstance(sent(world, "verify", WAIVED), TLSError)
    assert isinstance(sent(world, "dane", WAIVED, requiretls=True), TLSError)


# -- services


def test_a_service_is_found_and_its_domain_verified(world: World) -> None:
    """RFC 6186: DNS may lie, so the certificate must name the domain, unless DNS is validated."""
    service = SRV(0, 0, 465, "mx.test")
    world.zone.put("_submissions._tcp.b.test", RecordType.SRV, service)
    listener = implicit(world)
    sender = transport(world, None, next_hop="srv:b.test")
    assert isinstance(world.failure_of(sender.verify()), TLSError)
    world.finish(sender)
    world.zone.put("_submissions._tcp.b.test", RecordType.SRV, service, secure=True)
    sender = transport(world, None, next_hop="srv:b.test")
    assert world.result_of(sender.verify()) is True
    world.finish(sender)
    listener.stopListening()


def implicit(world: World) -> Any:
    """Start a server that begins with TLS, on port 465."""
    return world.server("mx.test", ONE, port=465, certificate="server", implicit_tls=True)


# -- what reports count


def test_sessions_are_counted_by_policy(world: World) -> None:
    """RFC 8460: one that was good, one whose TLS was cut out, and one that does not match."""
    reports = TLSReports("we", "postmaster@client.test")
    world.server("mx.test", ONE, certificate="server")
    sent(world, "may", tls_reports=reports)
    tlsa = record(world, 3, 1, 1, "expired")
    world.zone.put(TLSA_NAME, RecordType.TLSA, tlsa, secure=True)
    sent(world, "dane", tls_reports=reports)
    by_kind = {policy.kind: counts for policy, counts in reports.counts("a.test").items()}
    assert by_kind[PolicyType.NONE].successful == 1
    assert by_kind[PolicyType.TLSA].failed == 1
    (failure,) = by_kind[PolicyType.TLSA].failures
    assert (failure.kind, failure.host, failure.address) == (
        "certificate-not-trusted",
        "mx.test",
        ONE,
    )


@pytest.mark.parametrize(
    ("prepare", "policy", "kind"),
    [
        (lambda world: world.zone.fail(TLSA_NAME, RecordType.TLSA), "dane", "dnssec-invalid"),
        (lambda world: None, "dane-only", "dane-required"),
        (
            lambda world: world.zone.put(
                TLSA_NAME, RecordType.TLSA, TLSA(0, 0, 1, b"x" * 32), secure=True
            ),
            "dane",
            "tlsa-invalid",
        ),
        (
            lambda world: world.zone.put(
                TLSA_NAME, RecordType.TLSA, TLSA(0, 0, 1, b"x" * 32), secure=True
            ),
            "dane-only",
            "tlsa-invalid",
        ),
        (lambda world: None, "verify", "starttls-not-supported"),
        (lambda world: None, "may", "starttls-not-supported"),
    ],
)
def test_each_failure_has_its_word(world: World, prepare: Any, policy: str, kind: str) -> None:
    """RFC 8460 section 4.3."""
    reports = TLSReports("we", "postmaster@client.test")
    prepare(world)
    secured = kind != "starttls-not-supported"
    world.server("mx.test", ONE, certificate="server" if secured else None)
    sent(world, policy, tls_reports=reports)
    found: list[Failed] = [
        failure for counts in reports.counts("a.test").values() for failure in counts.failures
    ]
    assert [failure.kind for failure in found] == [kind]
