"""NTLM, version 2 and nothing older: how Windows proves a password ([MS-NLMP], [MS-SMTPNTLM]).

The password is not said, but whoever listens can guess it at leisure, so it is for TLS like the
rest, and used only where the caller asks for it. What is left out on purpose: NTLMv1 and LM
answers, which give the password away, and signing and sealing, of which SMTP has no use.

Where the server tells the time, the answer ends in a code over all three messages, so that nobody
in between can change what the two agree upon; and where there is a certificate to bind to, it says
which server it is meant for.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from txsmtpconn.sasl.md4 import md4
from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, SASLError, credential
from txsmtpconn.wire.errors import LocalProtocolError

_SIGNATURE: Final = b"NTLMSSP\0"
_ANSWER_HEADER: Final = 64
_CODE_AT: Final = 72
_CODE_OCTETS: Final = 16


class Flags(IntFlag):
    """Section 2.2.2.5, as far as we speak of them."""

    UNICODE = 0x1
    REQUEST_TARGET = 0x4
    NTLM = 0x200
    ALWAYS_SIGN = 0x8000
    EXTENDED_SESSIONSECURITY = 0x80000
    TARGET_INFO = 0x800000
    WITH_128 = 0x20000000
    WITH_56 = 0x80000000


_WANTED: Final = (
    Flags.UNICODE
    | Flags.REQUEST_TARGET
    | Flags.NTLM
    | Flags.ALWAYS_SIGN
    | Flags.EXTENDED_SESSIONSECURITY
    | Flags.TARGET_INFO
    | Flags.WITH_128
    | Flags.WITH_56
)

#: Section 2.2.2.1: what a pair in the server's list is about.
_END, _FLAGS, _TIMESTAMP, _TARGET_NAME, _BINDINGS = 0, 6, 7, 9, 10
#: The value of _FLAGS that announces the code over all messages.
_WITH_CODE: Final = 2

#: 1601 to 1970 in seconds: the clock of Windows counts tenths of microseconds from there.
_EPOCH: Final = 11_644_473_600


def password_key(user: str, password: str, domain: str) -> bytes:
    """Return the key that server and client share (NTOWFv2, section 3.3.2)."""
    name = (user.upper() + domain).encode("utf-16-le")
    return hmac.digest(md4(password.encode("utf-16-le")), name, "md5")


def proof(
    key: bytes, server_challenge: bytes, client_challenge: bytes, stamp: bytes, pairs: bytes
) -> bytes:
    """Return the response to a challenge (NTChallengeResponse, section 3.3.2).

    Args:
        key: The `password_key`.
        server_challenge: 8 octets.
        client_challenge: 8 octets.
        stamp: The time in 8 octets.
        pairs: What is known of the server, with its end.
    """
    said = b"\x01\x01" + b"\0" * 6 + stamp + client_challenge + b"\0" * 4 + pairs + b"\0" * 4
    return hmac.digest(key, server_challenge + said, "md5") + said


def short_proof(key: bytes, server_challenge: bytes, client_challenge: bytes) -> bytes:
    """Return the response of older servers (LMv2), which know no time."""
    return hmac.digest(key, server_challenge + client_challenge, "md5") + client_challenge


@dataclass(frozen=True, slots=True)
class _Challenge:
    flags: int
    nonce: bytes
    pairs: dict[int, bytes]


class NTLMClient:
    """The client's side of NTLM.

    Args:
        user: The user name.
        password: Its password.
        domain: Its Windows domain; empty for none.
        workstation: What this machine shall be called; empty for nothing.
        channel: Tells the server's name and certificate.
        random: Gives so many octets that nobody can guess.
        now: Tells the time, in seconds since 1970, for servers that do not.

    Raises:
        LocalProtocolError: A part is missing or holds a control character.
    """

    name = "NTLM"
    failure = None

    def __init__(
        self,
        user: str,
        password: str,
        domain: str = "",
        workstation: str = "",
        channel: Channel = IN_CLEAR,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], float] = time.time,
    ) -> None:
        for text, what in ((user, "user name"), (password, "password")):
            credential(text, what)
        for text, what in ((domain, "domain"), (workstation, "workstation")):
            if text:
                credential(text, what)
        self._key = password_key(user, password, domain)
        self._names = [each.encode("utf-16-le") for each in (domain, user, workstation)]
        if max(map(len, self._names)) > 0xFFFF:
            raise LocalProtocolError("a name is too long for NTLM")
        self._channel = channel
        self._random = random
        self._now = now
        self._negotiate = struct.pack(
            "<8sII8s8s8s", _SIGNATURE, 1, _WANTED, _field(0, 0), _field(0, 0), b"\0" * 8
        )
        self._begun = False
        self.done = False

    def initial(self) -> bytes:
        """Say what we can."""
        self._begun = True
        return self._negotiate

    def step(self, challenge: bytes) -> bytes:
        """Answer the empty challenge before our first message, or the server's own."""
        if not self._begun and not challenge:
            return self.initial()
        if not self._begun or self.done:
            raise SASLError("the server's challenge is out of place in NTLM")
        self.done = True
        return self._answer(challenge)

    def _answer(self, message: bytes) -> bytes:
        challenge = _read(message)
        pairs = dict(challenge.pairs)
        stamp = pairs.get(_TIMESTAMP)
        if stamp is not None:
            told = pairs.get(_FLAGS, b"").ljust(4, b"\0")
            pairs[_FLAGS] = struct.pack("<I", struct.unpack("<I", told)[0] | _WITH_CODE)
        pairs[_BINDINGS] = self._bindings()
        pairs[_TARGET_NAME] = f"SMTPSVC/{self._channel.host}".encode("utf-16-le")
        mine = self._random(8)
        response = proof(
            self._key, challenge.nonce, mine, stamp or _stamp(self._now()), _packed(pairs)
        )
        short = b"\0" * 24 if stamp else short_proof(self._key, challenge.nonce, mine)
        answer = self._message(challenge.flags & _WANTED, short, response, coded=stamp is not None)
        if stamp is None:
            return answer
        session_key = hmac.digest(self._key, response[:16], "md5")
        code = hmac.digest(session_key, self._negotiate + message + answer, "md5")
        return answer[:_CODE_AT] + code + answer[_CODE_AT + _CODE_OCTETS :]

    def _message(self, flags: int, short: bytes, response: bytes, *, coded: bool) -> bytes:
        parts = (short, response, *self._names, b"")
        at = _CODE_AT + _CODE_OCTETS if coded else _ANSWER_HEADER
        fields = b""
        for part in parts:
            fields += _field(len(part), at)
            at += len(part)
        room = b"\0" * (_CODE_AT + _CODE_OCTETS - _ANSWER_HEADER) if coded else b""
        head = _SIGNATURE + struct.pack("<I", 3) + fields + struct.pack("<I", flags) + room
        return head + b"".join(parts)

    def _bindings(self) -> bytes:
        """Name the server's certificate (section 2.2.2.1), hashed as RFC 2744 has bindings."""
        certificate = self._channel.bindings.get("tls-server-end-point")
        if certificate is None:
            return b"\0" * 16
        data = b"tls-server-end-point:" + certificate
        bindings = b"\0" * 16 + struct.pack("<I", len(data)) + data
        return hashlib.md5(bindings, usedforsecurity=False).digest()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'waiting'}>"


def _field(length: int, offset: int) -> bytes:
    return struct.pack("<HHI", length, length, offset)


def _stamp(now: float) -> bytes:
    return struct.pack("<Q", int((now + _EPOCH) * 10_000_000))


def _read(message: bytes) -> _Challenge:
    """Take a CHALLENGE_MESSAGE apart (section 2.2.1.2).

    Raises:
        SASLError: It is none, or of a server that knows only what is older.
    """
    try:
        signature, kind, _, flags, nonce, _, length, _, at = struct.unpack_from(
            "<8sI8sI8s8sHHI", message
        )
    except struct.error:
        raise SASLError("the server's challenge is too short for NTLM") from None
    if signature != _SIGNATURE or kind != 2:
        raise SASLError("the server's challenge is none of NTLM's")
    if not flags & Flags.UNICODE or not flags & Flags.EXTENDED_SESSIONSECURITY:
        raise SASLError("the server does not speak NTLM version 2")
    told = message[at : at + length] if flags & Flags.TARGET_INFO else b""
    if flags & Flags.TARGET_INFO and len(told) != length:
        raise SASLError("the server's challenge ends too early for NTLM")
    return _Challenge(flags, nonce, _unpacked(told))


def _unpacked(octets: bytes) -> dict[int, bytes]:
    pairs: dict[int, bytes] = {}
    at = 0
    while len(octets) - at >= 4:
        about, length = struct.unpack_from("<HH", octets, at)
        at += 4
        if about == _END:
            break
        pairs[about] = octets[at : at + length]
        if len(pairs[about]) != length:
            raise SASLError("the server's challenge ends too early for NTLM")
        at += length
    for about, length in ((_TIMESTAMP, 8), (_FLAGS, 4)):
        if len(pairs.get(about, b"\0" * length)) != length:
            raise SASLError("the server's challenge is malformed for NTLM")
    return pairs


def _packed(pairs: dict[int, bytes]) -> bytes:
    packed = [struct.pack("<HH", about, len(value)) + value for about, value in pairs.items()]
    return b"".join((*packed, struct.pack("<HH", _END, 0)))
