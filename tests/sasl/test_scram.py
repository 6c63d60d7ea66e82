"""SCRAM: the RFCs' examples, our client against our server, and every lie of either."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sasl.talk import converse
from txsmtpconn.sasl import (
    Challenge,
    Channel,
    Finished,
    NotProved,
    SASLError,
    ScramClient,
    ScramKeys,
    ScramServer,
    SecretWanted,
    saslprep,
)
from txsmtpconn.sasl.scram import SHA_1, SHA_256, Hash
from txsmtpconn.wire.errors import LocalProtocolError

KINDS = [SHA_1, SHA_256]
CHANNEL = Channel(
    bindings={"tls-exporter": b"\x00" * 32, "tls-server-end-point": b"\x01" * 32},
    plus_offered=True,
)

# RFC 5802 section 5 and RFC 7677 section 3: user "user", password "pencil".
EXAMPLES = [
    (
        SHA_1,
        b"fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        SHA_256,
        b"rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        (
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        ),
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]
_NAMES = [kind.mechanism for kind, *_ in EXAMPLES]


def salt_of(first: bytes) -> bytes:
    """The salt in a server-first-message."""
    return b64decode(first.split(b",s=")[1].split(b",")[0])


@pytest.mark.parametrize(("kind", "nonce", "first", "final", "last"), EXAMPLES, ids=_NAMES)
def test_the_client_speaks_the_examples_of_the_rfcs(
    kind: Hash, nonce: bytes, first: bytes, final: bytes, last: bytes
) -> None:
    """Octet for octet, and success is legal only behind the server's signature."""
    client = ScramClient(kind, "user", "pencil", nonce=nonce)
    assert client.initial() == b"n,,n=user,r=" + nonce
    assert client.step(first) == final
    undone = client.done
    assert client.step(last) == b""
    assert (undone, client.done) == (False, True)


@pytest.mark.parametrize(("kind", "nonce", "first", "final", "last"), EXAMPLES, ids=_NAMES)
def test_the_server_speaks_the_examples_of_the_rfcs(
    kind: Hash, nonce: bytes, first: bytes, final: bytes, last: bytes
) -> None:
    """With keys derived from the password, whose salt and count are the example's."""
    keys = ScramKeys.derive("pencil", kind.mechanism, salt=salt_of(first), iterations=4096)
    server = ScramServer(kind, nonce=first[2 + len(nonce) :].split(b",")[0])
    wanted = server.step(b"n,,n=user,r=" + nonce)
    assert isinstance(wanted, SecretWanted)
    assert wanted.authcid == "user"
    assert wanted.go_on(keys) == Challenge(first)
    assert server.step(final) == Challenge(last)
    assert server.step(b"") == Finished("user", mechanism=kind.mechanism, verified=True)


# -- the two together


words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co"]), min_size=1, max_size=12)


def prepared(text: str, *, stored: bool = False) -> str | None:
    """What SASLprep makes of it; None if it is not allowed."""
    try:
        return saslprep(text, "text", stored=stored)
    except LocalProtocolError:
        return None


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    plus=st.booleans(),
    initial=st.booleans(),
    user=words,
    said=words,
    right=words | st.none(),
    authzid=words | st.just(""),
)
def test_who_knows_the_password_and_nobody_else_gets_in(
    kind: Hash, plus: bool, initial: bool, user: str, said: str, right: str | None, authzid: str
) -> None:
    """For any text that SASLprep allows; None stands for the right password itself."""
    name, kept = prepared(user), prepared(said if right is None else right, stored=True)
    acting_as = prepared(authzid) if authzid else ""
    if name is None or kept is None or prepared(said) is None or acting_as is None:
        return
    keys = ScramKeys.derive(kept, kind.mechanism, iterations=4096)
    client = ScramClient(kind, user, said, authzid, CHANNEL, plus=plus)
    server = ScramServer(kind, CHANNEL, plus=plus)
    if prepared(said) == kept:
        finished = converse(client, server, {name: keys}, initial=initial)
        assert finished == Finished(name, acting_as, mechanism=server.name, verified=True)
        assert client.name == server.name == kind.mechanism + "-PLUS" * plus
    else:
        with pytest.raises(NotProved):
            converse(client, server, {name: keys}, initial=initial)
        assert not client.done


@pytest.mark.parametrize("name", ["a,b", "a=b", "=2C", ",=,=", "ü=,"])
def test_a_name_may_hold_the_grammars_own_characters(name: str) -> None:
    """RFC 5802 section 5.1: comma and equals sign are written out, in both names."""
    keys = ScramKeys.derive("pencil", iterations=4096)
    client = ScramClient(SHA_256, name, "pencil", "to " + name)
    finished = converse(client, ScramServer(SHA_256), {name: keys})
    assert (finished.authcid, finished.authzid) == (name, "to " + name)


# -- the client and a server that lies


class Impostor:
    """Plays the server of RFC 7677's example, but for what a test changes."""

    kind, nonce, first, final, last = EXAMPLES[1]

    def __init__(self) -> None:
        self.client = ScramClient(self.kind, "user", "pencil", nonce=self.nonce)
        self.client.initial()


@pytest.mark.parametrize(
    "first",
    [
        b"r=rOprNGfwEbeRWgbNEkqX%hvYDpWUa,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # not our nonce
        b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # nothing added
        b"r=rOprNGfwEbeRWgbNEkq,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # cut
        b"r=rOprNGfwEbeRWgbNEkqO\x7f,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO\xc3\xa4,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967295",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=" + b"9" * 5000,
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-5000",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=5e3",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ,i=4096",  # padding
        b"r=rOprNGfwEbeRWgbNEkqO1,s=!!!!,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO1,i=4096,s=W22ZaJ0SNY7soEsUEjb6gQ==",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==",
        b"m=x,r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,m=x",
        b"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",  # success before the proof
        b"",
        b",,,",
        b"r",
        b"\xff" * 100,
    ],
)
def test_a_first_message_that_lies_or_makes_no_sense_is_refused(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C49: before any derivation, so that no count costs anything; success stays illegal."""
    impostor = Impostor()
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", _not_to_be_called)
    with pytest.raises(SASLError) as caught:
        impostor.client.step(first)
    assert "pencil" not in str(caught.value)
    assert not impostor.client.done


def _not_to_be_called(*arguments: Any) -> bytes:
    raise AssertionError("a key was derived")


@pytest.mark.parametrize(
    "last",
    [
        b"v=" + b64encode(b"\x00" * 32),
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl94G4=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
        b"v=",
        b"v=!",
        b"",
        b"x=1",
        b"x=1,v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        b"m=1,v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        EXAMPLES[1][2],  # the first message again
    ],
)
def test_a_server_that_does_not_know_the_password_is_not_believed(last: bytes) -> None:
    """C49: a wrong, cut or missing signature; there is no way from there to success."""
    impostor = Impostor()
    impostor.client.step(impostor.first)
    with pytest.raises(SASLError):
        impostor.client.step(last)
    assert not impostor.client.done


def test_extensions_that_may_be_ignored_are() -> None:
    """RFC 5802 section 5.1: behind the known attributes, with any value."""
    impostor = Impostor()
    keys = ScramKeys.derive("pencil", salt=b"salt", iterations=4096)
    server = ScramServer(SHA_256, nonce=b"more")
    assert server.step(b"n,,n=user,r=abc,x=y=z").go_on(keys)  # type: ignore[union-attr]
    answer = impostor.client.step(impostor.first + b",x=1,y=\xff=")
    assert answer.startswith(b"c=biws,")


@pytest.mark.parametrize("reason", ["invalid-proof", "unknown-user", "no-resources"])
def test_a_reported_failure_is_told_and_never_a_success(reason: str) -> None:
    """`e=` at either step is answered with nothing; what follows cannot be a success."""
    for steps in ([], [Impostor.first]):
        impostor = Impostor()
        for step in steps:
            impostor.client.step(step)
        assert impostor.client.step(f"e={reason}".encode()) == b""
        assert impostor.client.failure == reason
        assert not impostor.client.done
        assert "failed" in repr(impostor.client)
        with pytest.raises(SASLError):
            impostor.client.step(impostor.last)


def test_a_reason_that_nobody_knows_is_not_repeated() -> None:
    """The text of a server that is not trusted yet goes nowhere."""
    impostor = Impostor()
    impostor.client.step(b"e=\x1b[2Jcall 0800 123")
    assert impostor.client.failure == "other-error"


@pytest.mark.parametrize(
    "reason", ["channel-bindings-dont-match", "server-does-support-channel-binding"]
)
def test_a_proven_downgrade_is_a_violation(reason: str) -> None:
    """Not a mere refusal, after which something weaker might do."""
    impostor = Impostor()
    impostor.client.step(impostor.first)
    with pytest.raises(SASLError, match=reason):
        impostor.client.step(f"e={reason}".encode())


def test_the_client_waits_for_an_empty_challenge_and_ends_when_done() -> None:
    """Without an initial response; and nothing is said behind the end."""
    kind, nonce, first, _, last = EXAMPLES[0]
    client = ScramClient(kind, "user", "pencil", nonce=nonce)
    with pytest.raises(SASLError, match="not empty"):
        client.step(first)
    assert client.step(b"") == b"n,,n=user,r=" + nonce
    client.step(first)
    client.step(last)
    with pytest.raises(SASLError, match="more than SCRAM"):
        client.step(last)
    assert repr(client) == "<ScramClient SCRAM-SHA-1 done>"


def test_nonces_are_new() -> None:
    """Nobody can replay a dialogue."""
    clients = [ScramClient(SHA_256, "u", "p") for _ in range(20)]
    assert len({client.initial() for client in clients}) == 20
    assert all(len(client.initial()) >= 32 for client in clients)


# -- channel binding


@pytest.mark.parametrize(
    ("channel", "plus", "flag"),
    [
        (Channel(), False, b"n,,"),
        (Channel(plus_offered=True), False, b"n,,"),
        (CHANNEL, False, b"n,,"),  # the caller's choice, though -PLUS is offered
        (Channel(bindings=CHANNEL.bindings), False, b"y,,"),
        (CHANNEL, True, b"p=tls-exporter,,"),
        (Channel(bindings={"tls-server-end-point": b"x"}), True, b"p=tls-server-end-point,,"),
    ],
)
def test_the_client_says_the_truth_about_channel_binding(
    channel: Channel, plus: bool, flag: bytes
) -> None:
    """RFC 5802 section 6: "y" exactly where we could and the server seems not to."""
    client = ScramClient(SHA_256, "user", "pencil", channel=channel, plus=plus)
    assert client.initial().startswith(flag + b"n=user")


def test_without_a_channel_there_is_no_plus() -> None:
    """The caller hears it before the server hears anything."""
    with pytest.raises(LocalProtocolError, match="no TLS connection"):
        ScramClient(SHA_256, "user", "pencil", plus=True)


def exchange(client_sees: Channel, server_has: Channel, *, client: bool, server: bool) -> Finished:
    """Log in with the right password over two ends that may not belong together."""
    keys = ScramKeys.derive("pencil", iterations=4096)
    return converse(
        ScramClient(SHA_256, "user", "pencil", channel=client_sees, plus=client),
        ScramServer(SHA_256, server_has, plus=server),
        {"user": keys},
    )


@pytest.mark.parametrize("kind", list(CHANNEL.bindings))
def test_a_proof_is_worth_nothing_on_another_connection(kind: str) -> None:
    """Somebody in between has two connections with two different bindings."""
    one, other = Channel(bindings={kind: b"one"}), Channel(bindings={kind: b"other"})
    assert exchange(one, one, client=True, server=True).verified
    with pytest.raises(NotProved):
        exchange(one, other, client=True, server=True)


def test_an_offer_that_was_cut_out_is_found_missing() -> None:
    """The client saw no -PLUS and says so; the server, which offered it, refuses the password."""
    saw_nothing = Channel(bindings=CHANNEL.bindings)
    with pytest.raises(NotProved, match="hidden"):
        exchange(saw_nothing, CHANNEL, client=False, server=False)
    assert exchange(saw_nothing, saw_nothing, client=False, server=False).verified
    assert exchange(Channel(), CHANNEL, client=False, server=False).verified


def test_the_flag_cannot_be_changed_on_the_way() -> None:
    """Turning "y" into "n" would hide the downgrade: the proof covers the header."""
    keys = ScramKeys.derive("pencil", iterations=4096)
    client = ScramClient(SHA_256, "user", "pencil", channel=Channel(bindings={"tls-exporter": b""}))
    server = ScramServer(SHA_256, CHANNEL)
    changed = client.initial().replace(b"y,,", b"n,,", 1)
    challenge = server.step(changed).go_on(keys)  # type: ignore[union-attr]
    with pytest.raises(NotProved):
        server.step(client.step(challenge.octets))


@pytest.mark.parametrize(
    ("plus", "message", "error"),
    [
        (True, b"n,,n=user,r=abc", SASLError),
        (True, b"y,,n=user,r=abc", SASLError),
        (True, b"p=tls-unique,,n=user,r=abc", NotProved),
        (False, b"p=tls-exporter,,n=user,r=abc", SASLError),
        (False, b"y,,n=user,r=abc", NotProved),
    ],
)
def test_the_server_takes_the_binding_that_it_offered(
    plus: bool, message: bytes, error: type[Exception]
) -> None:
    """The -PLUS form binds, by a type that there is; the other form does not."""
    with pytest.raises(error):
        ScramServer(SHA_256, CHANNEL, plus=plus).step(message)


# -- the server and a client that lies


KEYS = ScramKeys.derive("pencil", salt=b"salt", iterations=4096)


def at_the_proof(keys: ScramKeys | None = KEYS) -> tuple[ScramServer, bytes]:
    """A server that awaits the proof, and the right one."""
    server = ScramServer(SHA_256, nonce=b"XYZ")
    client = ScramClient(SHA_256, "user", "pencil", nonce=b"abc")
    wanted = server.step(client.initial())
    assert isinstance(wanted, SecretWanted)
    challenge = wanted.go_on(keys)
    assert isinstance(challenge, Challenge)
    return server, client.step(challenge.octets)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"x,,n=user,r=abc",
        b"p=,,n=user,r=abc",
        b"p=a b,,n=user,r=abc",
        b"n,a=,n=user,r=abc",
        b"n,b=boss,n=user,r=abc",
        b"n,a=bo=ss,n=user,r=abc",
        b"n,a=\xff,n=user,r=abc",
        b"n,,r=abc,n=user",
        b"n,,n=user",
        b"n,,m=x,n=user,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user,r=a\x00c",
        b"n,,n=us=er,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,n=us\x00er,r=abc",
        b"n,,n=\xc2\xad,r=abc",
        b"n,,n=\xee\x80\x80,r=abc",
        b"n,a=\xee\x80\x80,n=user,r=abc",
        b"n,,n=user,r=abc,",
    ],
)
def test_a_first_message_without_sense_asks_nobody(first: bytes) -> None:
    """And there is no second try."""
    server = ScramServer(SHA_256)
    with pytest.raises(SASLError):
        server.step(first)
    with pytest.raises(SASLError, match="no further step"):
        server.step(b"n,,n=user,r=abc")


def changed(right: bytes, **values: bytes) -> bytes:
    """The client's final message with other values."""
    parts = dict(part.split(b"=", 1) for part in right.split(b","))
    parts |= {name.encode(): value for name, value in values.items()}
    return b",".join(name + b"=" + value for name, value in parts.items())


@pytest.mark.parametrize(
    "values",
    [
        {"p": b64encode(b"\x00" * 32)},
        {"p": b64encode(b"\x00" * 31)},
        {"c": b64encode(b"y,,")},
        {"c": b64encode(b"n,,x")},
        {"r": b"abc"},
        {"r": b"abcXYZZ"},
    ],
    ids=repr,
)
def test_a_wrong_proof_is_refused(values: dict[str, bytes]) -> None:
    """Or one over other words; then the dialogue is over."""
    server, right = at_the_proof()
    with pytest.raises(NotProved):
        server.step(changed(right, **values))
    with pytest.raises(SASLError, match="no further step"):
        server.step(right)


def test_a_proof_over_another_nonce_is_refused() -> None:
    """Whoever knows the password, too: the nonce is what keeps an old dialogue from being used."""
    server, _ = at_the_proof()
    asked = b"r=abcXYZ,s=%b,i=4096" % b64encode(KEYS.salt)
    without_proof = b"c=biws,r=abcOLD"
    salted = SHA_256.salted(b"pencil", KEYS.salt, KEYS.iterations)
    key = SHA_256.client_key(salted)
    message = b",".join((b"n=user,r=abc", asked, without_proof))
    signature = SHA_256.hmac(SHA_256.digest(key), message)
    proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    with pytest.raises(NotProved):
        server.step(without_proof + b",p=" + b64encode(proof))


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"p=AAAA",
        b"c=biws,r=abcXYZ",
        b"c=biws,r=abcXYZ,p=",
        b"c=biws,r=abcXYZ,p=!",
        b"c=!,r=abcXYZ,p=AAAA",
        b"r=abcXYZ,c=biws,p=AAAA",
        b"m=x,c=biws,r=abcXYZ,p=AAAA",
        None,
    ],
)
def test_a_final_message_without_sense_is_refused(final: bytes | None) -> None:
    """As malformed, not as a wrong password."""
    server, _ = at_the_proof()
    with pytest.raises(SASLError):
        server.step(final)


@pytest.mark.parametrize("response", [None, b"x"])
def test_the_dialogue_ends_with_an_empty_response(response: bytes | None) -> None:
    """RFC 4954 section 4: nothing is left to be said."""
    server, right = at_the_proof()
    assert isinstance(server.step(right), Challenge)
    with pytest.raises(SASLError, match="not empty"):
        server.step(response)


def test_nobody_can_tell_who_exists() -> None:
    """An unknown user has a salt that stays, as many rounds, and fails with the right password."""
    heard = []
    for _ in range(2):
        server = ScramServer(SHA_256, nonce=b"XYZ")
        wanted = server.step(b"n,,n=nobody,r=abc")
        assert isinstance(wanted, SecretWanted)
        heard.append(wanted.go_on(None))
    assert heard[0] == heard[1]
    known = ScramServer(SHA_256, nonce=b"XYZ").step(b"n,,n=user,r=abc")
    assert isinstance(known, SecretWanted)
    there = known.go_on(ScramKeys.derive("pencil"))
    assert isinstance(there, Challenge)
    assert isinstance(heard[0], Challenge)
    assert len(there.octets) == len(heard[0].octets)
    assert there.octets.split(b",i=")[1] == heard[0].octets.split(b",i=")[1]
    other = ScramServer(SHA_256, nonce=b"XYZ").step(b"n,,n=someone,r=abc")
    assert isinstance(other, SecretWanted)
    assert other.go_on(None) != heard[0]
    server, right = at_the_proof(None)
    with pytest.raises(NotProved):
        server.step(right)


def test_who_does_not_exist_has_a_salt_for_each_hash_function() -> None:
    """As those have who exist: the same one twice would tell."""
    salts = {ScramKeys.imaginary("nobody", kind.mechanism, b"secret").salt for kind in KINDS}
    assert len(salts) == 2


def test_an_application_may_imagine_users_itself() -> None:
    """With salts that outlive the process, and as many rounds as its users' keys have."""
    keys = [
        ScramKeys.imaginary("nobody", "SCRAM-SHA-256", secret, iterations=4096)
        for secret in (b"ours", b"ours", b"another")
    ]
    assert keys[0].salt == keys[1].salt != keys[2].salt
    assert {each.iterations for each in keys} == {4096}
    server, right = at_the_proof(keys[0])
    with pytest.raises(NotProved):
        server.step(right)


def test_keys_of_no_one_let_no_one_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a client that guessed them: what does not exist is never proved."""
    monkeypatch.setattr(ScramKeys, "imaginary", lambda *_: KEYS)
    server, right = at_the_proof(None)
    with pytest.raises(NotProved):
        server.step(right)


@pytest.mark.parametrize("wrong", ["pencil", ScramKeys.derive("pencil", "SCRAM-SHA-1"), object()])
def test_an_application_that_gives_the_wrong_secret_is_told(wrong: object) -> None:
    """Its fault, and not the client's."""
    wanted = ScramServer(SHA_256).step(b"n,,n=user,r=abc")
    assert isinstance(wanted, SecretWanted)
    with pytest.raises(LocalProtocolError, match="needs ScramKeys of SCRAM-SHA-256"):
        wanted.go_on(wrong)


def test_a_server_that_waits_for_its_secret_takes_nothing_else() -> None:
    """A response in between is out of place."""
    server = ScramServer(SHA_256)
    assert server.step(None) == Challenge()
    with pytest.raises(SASLError, match="first message"):
        server.step(None)
    server = ScramServer(SHA_256)
    server.step(b"n,,n=user,r=abc")
    assert repr(server) == "<ScramServer SCRAM-SHA-256 over>"
    with pytest.raises(SASLError, match="no further step"):
        server.step(b"n,,n=user,r=abc")
    assert repr(at_the_proof()[0]) == "<ScramServer SCRAM-SHA-256 waiting>"


# -- keys


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_keys_survive_being_written(kind: Hash) -> None:
    """The common form, `mechanism$iterations:salt$stored-key:server-key`."""
    keys = ScramKeys.derive("pencil", kind.mechanism)
    text = keys.encode()
    assert text.startswith(f"{kind.mechanism}$15000:")
    assert ScramKeys.parse(text) == keys
    assert ScramKeys.derive("pencil", kind.mechanism) != keys  # another salt


def test_keys_that_another_program_wrote() -> None:
    """Made of the example of RFC 7677: its salt, and what its password comes to."""
    text = (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    braced = "{SCRAM-SHA-256}" + text.partition("$")[2].replace(":", ",").replace("$", ",")
    assert ScramKeys.parse(braced) == ScramKeys.parse(text)
    assert ScramKeys.parse(text) == ScramKeys.derive("pencil", salt=salt, iterations=4096)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pencil",
        "SCRAM-SHA-512$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$0:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$4096:c2FsdA$AAAA:AAAA",
        "{SCRAM-SHA-256}4096,c2FsdA==,AAAA",
        "{PLAIN}pencil",
        KEYS.encode() + "\n",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """Without showing it: it may be the password."""
    with pytest.raises(LocalProtocolError) as caught:
        ScramKeys.parse(text)
    assert "pencil" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScramKeys.derive("pencil", "PLAIN"),
        lambda: ScramKeys.derive("pencil", salt=b""),
        lambda: ScramKeys.derive("pencil", iterations=4095),
        lambda: ScramKeys.derive("pencil", iterations=0),
        lambda: ScramKeys.derive(""),
        lambda: ScramKeys.derive("pen\x00cil"),
        lambda: ScramKeys.derive("\U0001f600"),
        lambda: ScramKeys("SCRAM-SHA-256", b"salt", 1_000_001, b"x" * 32, b"x" * 32),
        lambda: ScramKeys("SCRAM-SHA-256", b"salt", 4096, b"x" * 31, b"x" * 32),
        lambda: ScramKeys("SCRAM-SHA-256", b"salt", 4096, b"x" * 32, b"x" * 20),
    ],
)
def test_keys_that_nobody_could_use_are_refused(make: Callable[[], ScramKeys]) -> None:
    """When they are made, not when somebody logs in."""
    with pytest.raises(LocalProtocolError):
        make()


# -- secrets and surprises


def test_no_secret_shows() -> None:
    """Neither password nor key is in a repr, at any point of either side's life."""
    keys = ScramKeys.derive("sikrit-4711", iterations=4096)
    client = ScramClient(SHA_256, "user-0815", "sikrit-4711", channel=CHANNEL, plus=True)
    server = ScramServer(SHA_256, CHANNEL, plus=True)
    shown = [repr(keys), repr(CHANNEL), repr(client), repr(server)]
    wanted = server.step(client.initial())
    shown += [repr(client), repr(wanted), repr(server)]
    assert isinstance(wanted, SecretWanted)
    challenge = wanted.go_on(keys)
    assert isinstance(challenge, Challenge)
    last = server.step(client.step(challenge.octets))
    assert isinstance(last, Challenge)
    shown += [repr(client), repr(server)]
    client.step(last.octets)
    shown += [repr(client), repr(server.step(b""))]
    text = "".join(shown)
    assert "4711" not in text
    for secret in (keys.stored_key, keys.server_key, CHANNEL.bindings["tls-exporter"]):
        assert repr(secret)[2:-1] not in text


pieces = st.sampled_from(
    [b"r=abc", b"r=abcd", b"s=QQ==", b"i=4096", b"i=1", b"e=x", b"v=AAAA", b"m=", b"=", b"", b"x=y"]
)


@given(
    challenges=st.lists(
        st.binary(max_size=40) | st.lists(pieces, max_size=5).map(b",".join), max_size=4
    )
)
def test_no_challenge_breaks_the_client_or_makes_it_believe(challenges: list[bytes]) -> None:
    """Anything is answered or refused with SASLError; nothing but the signature makes it done."""
    client = ScramClient(SHA_1, "user", "pencil", nonce=b"abc")
    client.initial()
    for challenge in challenges:
        try:
            assert isinstance(client.step(challenge), bytes)
        except SASLError:
            pass
        assert not client.done
