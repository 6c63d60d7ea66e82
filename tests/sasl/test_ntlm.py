"""NTLM version 2: the values that [MS-NLMP] publishes, and an acceptor that we did not write."""

from __future__ import annotations

import hashlib
import hmac
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsmtpconn.sasl import Channel, NTLMClient, SASLError
from txsmtpconn.sasl.md4 import md4
from txsmtpconn.sasl.ntlm import Flags, password_key, proof, short_proof
from txsmtpconn.wire.errors import LocalProtocolError

USER, PASSWORD, DOMAIN = "User", "Password", "Domain"
# [MS-NLMP] section 4.2.1 and 4.2.4: the common values, and the server's pairs.
SERVER_NONCE = bytes.fromhex("0123456789abcdef")
CLIENT_NONCE = b"\xaa" * 8
PAIRS = bytes.fromhex("02000c0044006f006d00610069006e0001000c0053006500720076006500720000000000")
# Section 4.2.4.3.
CHALLENGE = bytes.fromhex(
    "4e544c4d53535000020000000c000c003800000033828ae2"
    "0123456789abcdef00000000000000002400240044000000"
    "06007017000000" "0f53006500720076006500720002000c"
    "0044006f006d00610069006e0001000c0053006500720076"
    "0065007200" "00000000"
)  # fmt: skip


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
        (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4_gives_the_digests_of_rfc_1320(message: bytes, digest: str) -> None:
    """Section A.5."""
    assert md4(message).hex() == digest


def test_the_keys_and_responses_of_ms_nlmp() -> None:
    """Sections 4.2.4.1 and 4.2.4.2: NTOWFv2, NTProofStr, LMv2 and the session base key."""
    key = password_key(USER, PASSWORD, DOMAIN)
    assert key.hex() == "0c868a403bfd7a93a3001ef22ef02e3f"
    response = proof(key, SERVER_NONCE, CLIENT_NONCE, b"\0" * 8, PAIRS)
    assert response[:16].hex() == "68cd0ab851e51c96aabc927bebef6a1c"
    assert response[16:44] == b"\x01\x01" + b"\0" * 14 + CLIENT_NONCE + b"\0" * 4
    short = short_proof(key, SERVER_NONCE, CLIENT_NONCE)
    assert short.hex() == "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"


def fields(answer: bytes) -> list[bytes]:
    """Take an AUTHENTICATE_MESSAGE apart: LM, NT, domain, user, workstation, key."""
    found = []
    for at in range(12, 60, 8):
        length, _, offset = struct.unpack_from("<HHI", answer, at)
        found.append(answer[offset : offset + length])
    return found


def challenge(pairs: bytes = PAIRS, flags: int | None = None, nonce: bytes = SERVER_NONCE) -> bytes:
    """Make a CHALLENGE_MESSAGE."""
    if flags is None:
        flags = Flags.UNICODE | Flags.EXTENDED_SESSIONSECURITY | Flags.TARGET_INFO
    head = struct.pack("<8sIHHII8s8s", b"NTLMSSP\0", 2, 0, 0, 48, flags, nonce, b"\0" * 8)
    return head + struct.pack("<HHI", len(pairs), len(pairs), 48) + pairs


def client(**options: Any) -> NTLMClient:
    """The client of the document, in a world that stands still."""
    channel = Channel("mail.example", 587, options.pop("bindings", {}))
    options.setdefault("random", lambda octets: CLIENT_NONCE[:octets])
    options.setdefault("now", lambda: 0.0)
    return NTLMClient(USER, PASSWORD, DOMAIN, "COMPUTER", channel, **options)


def test_the_answer_to_a_server_without_time() -> None:
    """The document's challenge: names in UTF-16, LMv2 beside NTLMv2, whose proof is right."""
    speaking = client()
    assert speaking.initial()[:12] == b"NTLMSSP\0\x01\0\0\0"
    assert not speaking.done
    answer = speaking.step(CHALLENGE)
    assert speaking.done
    short, response, *names, session_key = fields(answer)
    assert [name.decode("utf-16-le") for name in names] == [DOMAIN, USER, "COMPUTER"]
    assert session_key == b""
    key = password_key(USER, PASSWORD, DOMAIN)
    assert short == short_proof(key, SERVER_NONCE, CLIENT_NONCE)
    stamp, pairs = response[24:32], response[44:-4]
    assert proof(key, SERVER_NONCE, CLIENT_NONCE, stamp, pairs) == response
    # 1970 as Windows counts.
    assert struct.unpack("<Q", stamp)[0] == 116_444_736_000_000_000
    assert "SMTPSVC/mail.example".encode("utf-16-le") in pairs


def test_the_certificate_is_bound() -> None:
    """MD5 over the bindings of RFC 2744; zeros where there is nothing to bind to."""
    data = b"tls-server-end-point:" + b"hash"
    expected = hashlib.md5(b"\0" * 16 + struct.pack("<I", len(data)) + data).digest()
    for bindings, wanted in (
        ({"tls-server-end-point": b"hash"}, expected),
        ({"tls-exporter": b"x"}, b"\0" * 16),
    ):
        speaking = client(bindings=bindings)
        speaking.initial()
        assert struct.pack("<HH", 10, 16) + wanted in fields(speaking.step(challenge()))[1]


def test_a_server_that_tells_the_time() -> None:
    """Then its time counts, LM's place is empty, and a code covers all three messages."""
    stamp = b"12345678"
    timed = (
        PAIRS[:-4] + struct.pack("<HH", 7, 8) + stamp + struct.pack("<HHI", 6, 4, 1) + PAIRS[-4:]
    )
    speaking = client()
    negotiate = speaking.initial()
    said = challenge(timed)
    answer = speaking.step(said)
    short, response, *_ = fields(answer)
    assert short == b"\0" * 24
    assert response[24:32] == stamp
    assert struct.pack("<HHI", 6, 4, 3) in response
    key = password_key(USER, PASSWORD, DOMAIN)
    blank = answer[:72] + b"\0" * 16 + answer[88:]
    base = hmac.digest(key, response[:16], "md5")
    assert answer[72:88] == hmac.digest(base, negotiate + said + blank, "md5")


@pytest.fixture
def acceptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pyspnego, as a server that knows three users."""
    spnego = pytest.importorskip("spnego")
    users = tmp_path / "users"
    users.write_text("Domain:User:Password\n:joe:pässwörd\nDOM:ünï:x\n", "utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    return lambda: spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)


@pytest.mark.parametrize(
    ("names", "principal"),
    [
        (("User", "Password", "Domain", "COMPUTER"), "Domain\\User"),
        (("user", "Password", "Domain", ""), "Domain\\user"),
        (("joe", "pässwörd", "", ""), "joe"),
        (("ünï", "x", "DOM", "W"), "DOM\\ünï"),
    ],
)
@pytest.mark.parametrize("initial", [True, False])
def test_others_believe_it(
    acceptor: Any, names: tuple[str, ...], principal: str, initial: bool
) -> None:
    """An acceptor that checks the proof and the code over all messages."""
    server = acceptor()
    speaking = NTLMClient(*names, Channel("mx.test", 25, {"tls-server-end-point": b"x" * 32}))
    first = speaking.initial() if initial else speaking.step(b"")
    server.step(speaking.step(server.step(first)))
    assert server.complete
    assert server.client_principal == principal


def test_others_refuse_a_wrong_password_and_a_changed_message(acceptor: Any) -> None:
    """So it was checked; and whoever changes the first message is found out."""
    from spnego.exceptions import SpnegoError

    server = acceptor()
    wrong = NTLMClient(USER, "password", DOMAIN)
    with pytest.raises(SpnegoError):
        server.step(wrong.step(server.step(wrong.initial())))
    server = acceptor()
    speaking = NTLMClient(USER, PASSWORD, DOMAIN)
    changed = bytearray(speaking.initial())
    changed[12] ^= Flags.REQUEST_TARGET
    with pytest.raises(SpnegoError):
        server.step(speaking.step(server.step(bytes(changed))))


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"NTLMSSP\0",
        b"NTLMSSP\0\x02\0\0\0",
        challenge().replace(b"NTLMSSP\0", b"NTLMSSX\0"),
        challenge()[:8] + b"\x01" + challenge()[9:],
        challenge(flags=Flags.TARGET_INFO | Flags.EXTENDED_SESSIONSECURITY),
        # NTLM version 1: who speaks no other gets nothing.
        challenge(flags=Flags.UNICODE | Flags.NTLM),
        challenge()[:-1],
        challenge(struct.pack("<HH", 1, 9) + b"short"),
        challenge(struct.pack("<HH", 7, 4) + b"1234" + b"\0" * 4),
        challenge(struct.pack("<HH", 6, 2) + b"12" + b"\0" * 4),
    ],
)
def test_what_is_no_challenge_is_refused(wrong: bytes) -> None:
    """Too short, another message, an older protocol, lengths that lie."""
    speaking = client()
    speaking.initial()
    with pytest.raises(SASLError):
        speaking.step(wrong)


def test_out_of_place() -> None:
    """A challenge before we said anything, and one more after the last."""
    with pytest.raises(SASLError, match="out of place"):
        client().step(CHALLENGE)
    speaking = client()
    speaking.initial()
    speaking.step(challenge(b"", flags=Flags.UNICODE | Flags.EXTENDED_SESSIONSECURITY))
    with pytest.raises(SASLError, match="out of place"):
        speaking.step(CHALLENGE)
    assert repr(speaking) == "<NTLMClient done>"


@pytest.mark.parametrize(
    "names",
    [
        ("", "p", "", ""),
        ("u", "", "", ""),
        ("u\0", "p", "", ""),
        ("u", "p\n", "", ""),
        ("u", "p", "d\r", ""),
        ("u", "p", "", "w\t"),
        ("u", "p", "d" * 0x8000, ""),
    ],
)
def test_what_ntlm_cannot_carry(names: tuple[str, ...]) -> None:
    """Refused before a word is said."""
    with pytest.raises(LocalProtocolError):
        NTLMClient(*names)


@given(st.binary(max_size=120))
def test_no_challenge_breaks_it(octets: bytes) -> None:
    """Answered or refused, whatever stands behind the header."""
    for said in (octets, challenge()[:48] + octets, challenge(octets)):
        speaking = client()
        speaking.initial()
        try:
            assert speaking.step(said).startswith(b"NTLMSSP\0\x03")
        except SASLError:
            pass
