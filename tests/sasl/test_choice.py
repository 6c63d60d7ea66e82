"""Which mechanism is chosen, and when another one may be tried."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sasl.kerberos import installed
from txsmtpconn.sasl import (
    IN_CLEAR,
    MECHANISMS,
    AnonymousClient,
    Channel,
    Claim,
    ClientMechanism,
    LoginClient,
    Mechanism,
    SASLError,
    Secret,
    choose,
    may_try_another,
    offers_binding,
)
from txsmtpconn.wire.errors import LocalProtocolError

TLS = Channel(bindings={"tls-exporter": b"x"})
ALL_PASSWORD = [
    "LOGIN",
    "PLAIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256-PLUS",
    "EXTERNAL",
    "ANONYMOUS",
    "GSSAPI",
]


def name(mechanism: Mechanism | None) -> str | None:
    """Name a choice."""
    return None if mechanism is None else mechanism.name


@pytest.mark.parametrize(
    ("offered", "secret", "expected"),
    [
        (("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"), Secret.PASSWORD, "CRAM-MD5"),
        (("LOGIN", "PLAIN"), Secret.PASSWORD, "PLAIN"),
        (("LOGIN",), Secret.PASSWORD, "LOGIN"),
        (("PLAIN", "XOAUTH2"), Secret.TOKEN, "XOAUTH2"),
        (("XOAUTH2", "OAUTHBEARER"), Secret.TOKEN, "OAUTHBEARER"),
        (("CRAM-MD5", "SCRAM-SHA-1", "PLAIN"), Secret.PASSWORD, "SCRAM-SHA-1"),
        (("SCRAM-SHA-1", "SCRAM-SHA-256"), Secret.PASSWORD, "SCRAM-SHA-256"),
        (("SCRAM-SHA-256-PLUS", "PLAIN"), Secret.PASSWORD, "PLAIN"),  # nothing to bind to
        (("DIGEST-MD5", "ANONYMOUS"), Secret.PASSWORD, None),
        (("ANONYMOUS", "EXTERNAL"), Secret.NONE, None),
        (("PLAIN", "LOGIN", "CRAM-MD5"), Secret.TOKEN, None),
        (("XOAUTH2",), Secret.PASSWORD, None),
        (("PLAIN-CLIENTTOKEN", "GSSAPI", "X-PLAIN"), Secret.PASSWORD, None),
        ((), Secret.PASSWORD, "PLAIN"),
        ((), Secret.TOKEN, "XOAUTH2"),
    ],
)
def test_the_strongest_common_mechanism_is_chosen(
    offered: tuple[str, ...], secret: Secret, expected: str | None
) -> None:
    """The server's order counts for nothing; an unknown name resembles no known one."""
    assert name(choose(offered, secret)) == expected


def test_a_refused_mechanism_gives_way_to_the_next() -> None:
    """Down the ranking, each once, then none."""
    offered, refused = ("PLAIN", "LOGIN", "CRAM-MD5"), set[str]()
    tried = []
    while (mechanism := choose(offered, Secret.PASSWORD, refused=refused)) is not None:
        tried.append(mechanism.name)
        refused.add(mechanism.name)
    assert tried == ["CRAM-MD5", "PLAIN", "LOGIN"]


def test_an_unannounced_mechanism_is_tried_once() -> None:
    """Where the server announced nothing, one guess is made and no second one."""
    assert choose((), Secret.PASSWORD, refused={"PLAIN"}) is None


def test_the_callers_choice_is_used_whatever_is_offered() -> None:
    """auth_method overrides the ranking, in any case, and has no second choice."""
    offered = ("CRAM-MD5", "PLAIN")
    assert name(choose(offered, Secret.PASSWORD, preferred="plain")) == "PLAIN"
    assert name(choose(offered, Secret.PASSWORD, preferred=" Login ")) == "LOGIN"
    assert choose(offered, Secret.PASSWORD, preferred="PLAIN", refused={"PLAIN"}) is None


@pytest.mark.parametrize(
    ("preferred", "secret", "authzid", "complaint"),
    [
        ("KERBEROS", Secret.PASSWORD, False, "unknown"),
        ("XOAUTH2", Secret.PASSWORD, False, "XOAUTH2 needs a token"),
        ("PLAIN", Secret.TOKEN, False, "PLAIN needs a password"),
        ("LOGIN", Secret.PASSWORD, True, "authorization identity"),
    ],
)
def test_a_choice_that_cannot_work_is_the_callers_error(
    preferred: str, secret: Secret, authzid: bool, complaint: str
) -> None:
    """Nothing is silently replaced by something else."""
    with pytest.raises(LocalProtocolError, match=complaint):
        choose(("PLAIN", "LOGIN"), secret, preferred=preferred, authzid=authzid)


def test_an_authorization_identity_needs_a_mechanism_that_conveys_it() -> None:
    """Logging in as oneself where another was asked for would be a silent lie."""
    assert name(choose(("CRAM-MD5", "PLAIN"), Secret.PASSWORD, authzid=True)) == "PLAIN"
    assert choose(("CRAM-MD5", "LOGIN"), Secret.PASSWORD, authzid=True) is None
    assert name(choose((), Secret.PASSWORD, authzid=True)) == "PLAIN"


def test_under_tls_channel_binding_leads_the_ranking() -> None:
    """From the strongest to the weakest; what is used by name only is not among them."""
    offered, tried = list(ALL_PASSWORD), []
    while (mechanism := choose(offered, Secret.PASSWORD, channel=TLS)) is not None:
        tried.append(mechanism.name)
        offered.remove(mechanism.name)
    assert tried == [
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "CRAM-MD5",
        "PLAIN",
        "LOGIN",
    ]


@pytest.mark.parametrize("refused", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"])
def test_who_refuses_channel_binding_after_offering_it_gets_nothing_else(refused: str) -> None:
    """Somebody in between would begin so: anything else could be used by him."""
    assert choose(ALL_PASSWORD, Secret.PASSWORD, refused={refused}, channel=TLS) is None


def test_a_certificate_stands_for_a_password() -> None:
    """EXTERNAL where there is a certificate and nothing else; it may convey an identity."""
    shown = Channel(certificate=True)
    assert name(choose(ALL_PASSWORD, Secret.NONE, channel=shown)) == "EXTERNAL"
    assert name(choose(ALL_PASSWORD, Secret.NONE, channel=shown, authzid=True)) == "EXTERNAL"
    assert name(choose(ALL_PASSWORD, Secret.PASSWORD, channel=shown)) == "SCRAM-SHA-256"
    assert name(choose((), Secret.NONE, channel=shown)) == "EXTERNAL"
    assert choose((), Secret.NONE) is None


def test_what_needs_no_secret_can_be_named_whatever_there_is() -> None:
    """The password of the credentials is not said then."""
    for secret in Secret:
        assert name(choose((), secret, preferred="external")) == "EXTERNAL"
        assert name(choose((), secret, preferred="anonymous")) == "ANONYMOUS"
    assert name(choose((), Secret.PASSWORD, preferred="digest-md5")) == "DIGEST-MD5"


def test_plus_can_be_named_where_there_is_a_channel() -> None:
    """Whatever the server offers; without TLS it is the caller's error."""
    plus = choose(["PLAIN"], Secret.PASSWORD, preferred="SCRAM-SHA-256-PLUS", channel=TLS)
    assert name(plus) == "SCRAM-SHA-256-PLUS"
    with pytest.raises(LocalProtocolError, match="needs a TLS connection"):
        choose(ALL_PASSWORD, Secret.PASSWORD, preferred="SCRAM-SHA-256-PLUS")


def test_an_offer_of_channel_binding_is_known_by_its_name() -> None:
    """Also that of a mechanism that is not ours: the server binds, and would notice a lie."""
    assert offers_binding(["PLAIN", "SCRAM-SHA-512-PLUS"])
    assert not offers_binding(["PLAIN", "SCRAM-SHA-256", "PLUS"])


@pytest.mark.parametrize("mechanism", MECHANISMS.values(), ids=name)
def test_what_the_registry_says_of_a_mechanism_is_true(mechanism: Mechanism) -> None:
    """Name, initial response, and whether the secret can be read off the exchange."""
    channel = TLS if mechanism.binds else IN_CLEAR
    with installed():
        check_what_is_said_of(mechanism, channel)


def check_what_is_said_of(mechanism: Mechanism, channel: Channel) -> None:
    """Hold a mechanism to its entry."""
    secret = "sikritsikrit"
    client = mechanism.start(Claim("user", secret, "", channel))
    assert client.name == mechanism.name == mechanism.name.upper()
    initial = client.initial()
    assert (initial is not None) == mechanism.has_initial
    said = initial or b""
    challenge = b'nonce="abc",algorithm=md5-sess'
    if initial and b"r=" in initial:
        challenge = initial[initial.index(b"r=") :] + b"xyz,s=c2FsdA==,i=4096"
    while not client.done:
        try:
            said += client.step(challenge)
        except SASLError:
            break
    assert (b"sikrit" in said or b64decode(secret) in said) == mechanism.reveals_secret
    if mechanism.name == "GSSAPI":
        return  # It says so under its protection: tests/sasl/test_gssapi.py.
    if mechanism.conveys_authzid:
        said = client_says(mechanism.start(Claim("user", secret, "boss", channel)), challenge)
        assert b"boss" in said
    else:
        with pytest.raises(LocalProtocolError, match="authorization identity"):
            mechanism.start(Claim("user", secret, "boss"))
    if mechanism.binds:
        with pytest.raises(LocalProtocolError, match="no TLS"):
            mechanism.start(Claim("user", secret))
    assert "sikrit" not in repr(mechanism)


def client_says(client: ClientMechanism, challenge: bytes) -> bytes:
    """The first thing that a client says."""
    return client.initial() or client.step(challenge)


@pytest.mark.parametrize(
    ("code", "another"),
    [(504, True), (534, True), (535, False), (454, False), (432, False), (530, False),
     (501, False), (538, False), (421, False), (500, False), (235, False), (334, False)],
)  # fmt: skip
def test_only_a_refused_mechanism_leads_to_another(code: int, another: bool) -> None:
    """A wrong password is sent once: 535 ends the matter, however many mechanisms are left."""
    assert may_try_another(code) is another


def test_a_token_that_names_nobody() -> None:
    """OAUTHBEARER needs no user; XOAUTH2 is no choice then, nor is anything with a password."""
    assert name(choose(["XOAUTH2", "OAUTHBEARER"], Secret.TOKEN, user=False)) == "OAUTHBEARER"
    assert choose(["XOAUTH2"], Secret.TOKEN, user=False) is None
    assert choose(ALL_PASSWORD, Secret.PASSWORD, user=False, channel=TLS) is None
    assert choose([], Secret.TOKEN, user=False) is None


def test_mechanisms_of_the_callers_come_first() -> None:
    """In their order, where the server offers them; one that is called like ours replaces it."""
    first = Mechanism("X-FIRST", Secret.PASSWORD, lambda my: LoginClient(my.user, my.secret))
    plain = Mechanism("PLAIN", Secret.PASSWORD, lambda my: LoginClient(my.user, my.secret))
    keyless = Mechanism("X-KEYLESS", Secret.NONE, lambda my: AnonymousClient(my.user))
    custom = {each.name: each for each in (first, plain, keyless)}
    offers = ["SCRAM-SHA-256", "PLAIN", "X-KEYLESS"]
    assert choose(offers, Secret.PASSWORD, custom=custom) is plain
    assert choose([*offers, "X-FIRST"], Secret.PASSWORD, custom=custom) is first
    assert choose(offers, Secret.PASSWORD, custom=custom, refused=["PLAIN"]) is not plain
    assert choose(["X-FIRST"], Secret.TOKEN, custom=custom) is None
    assert choose(offers, Secret.NONE, custom=custom) is keyless
    assert choose([], Secret.PASSWORD, preferred="x-first", custom=custom) is first
    assert choose([], Secret.PASSWORD, preferred="plain", custom=custom) is plain


def test_a_refused_binding_of_the_callers_is_a_downgrade_too() -> None:
    """Nothing weaker follows it."""
    binding = Mechanism(
        "X-BOUND", Secret.PASSWORD, lambda my: LoginClient(my.user, my.secret), binds=True
    )
    custom, offers = {"X-BOUND": binding}, ["X-BOUND", "PLAIN"]
    assert choose(offers, Secret.PASSWORD, custom=custom, channel=TLS) is binding
    refused = ["X-BOUND"]
    assert choose(offers, Secret.PASSWORD, custom=custom, channel=TLS, refused=refused) is None


@given(
    st.lists(st.sampled_from([*sorted(MECHANISMS), "X-PLAIN"])),
    st.sampled_from(Secret),
    st.sets(st.sampled_from(sorted(MECHANISMS))),
    st.sampled_from([IN_CLEAR, TLS]),
)
def test_a_choice_is_offered_fits_and_was_not_refused(
    offered: list[str], secret: Secret, refused: set[str], channel: Channel
) -> None:
    """Whatever the server says."""
    chosen = choose(offered, secret, refused=refused, channel=channel)
    if chosen is not None:
        assert not chosen.binds or channel is TLS
        assert not chosen.by_name_only
        assert chosen.needs is secret
        assert chosen.name not in refused
        assert chosen.name in offered or not offered
