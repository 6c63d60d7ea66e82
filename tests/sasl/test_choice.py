"""Which mechanism is chosen, and when another one may be tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.sasl import MECHANISMS, Mechanism, Secret, choose, may_try_another
from txsmtpconn.wire.errors import LocalProtocolError


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


@pytest.mark.parametrize("mechanism", MECHANISMS.values(), ids=name)
def test_what_the_registry_says_of_a_mechanism_is_true(mechanism: Mechanism) -> None:
    """Name, initial response, and whether the secret can be read off the exchange."""
    client = mechanism.start("user", "sikrit", "")
    assert client.name == mechanism.name == mechanism.name.upper()
    initial = client.initial()
    assert (initial is not None) == mechanism.has_initial
    said = initial or b""
    while not client.done:
        said += client.step(b"challenge")
    assert (b"sikrit" in said) == mechanism.reveals_secret
    if mechanism.conveys_authzid:
        assert b"boss" in (mechanism.start("user", "sikrit", "boss").initial() or b"")
    else:
        with pytest.raises(LocalProtocolError, match="authorization identity"):
            mechanism.start("user", "sikrit", "boss")


@pytest.mark.parametrize(
    ("code", "another"),
    [(504, True), (534, True), (535, False), (454, False), (432, False), (530, False),
     (501, False), (538, False), (421, False), (500, False), (235, False), (334, False)],
)  # fmt: skip
def test_only_a_refused_mechanism_leads_to_another(code: int, another: bool) -> None:
    """A wrong password is sent once: 535 ends the matter, however many mechanisms are left."""
    assert may_try_another(code) is another


@given(
    st.lists(st.sampled_from(["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "NTLM", "SCRAM-SHA-256"])),
    st.sampled_from(Secret),
    st.sets(st.sampled_from(sorted(MECHANISMS))),
)
def test_a_choice_is_offered_fits_and_was_not_refused(
    offered: list[str], secret: Secret, refused: set[str]
) -> None:
    """Whatever the server says."""
    chosen = choose(offered, secret, refused=refused)
    if chosen is not None:
        assert chosen.needs is secret
        assert chosen.name not in refused
        assert chosen.name in offered or not offered
