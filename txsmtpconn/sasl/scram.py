"""SCRAM's arithmetic, what a server keeps of a password, and the grammar of its messages.

RFC 5802, with SHA-256 by RFC 7677. Both sides are in `scram_client` and `scram_server`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from txsmtpconn.sasl.mechanism import SASLError
from txsmtpconn.sasl.saslprep import saslprep
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.limits import SCRAM_ITERATIONS_LEAST, SCRAM_ITERATIONS_MOST

#: Rounds of key derivation for new keys: a few milliseconds of a client's time, once a login.
ITERATIONS = 15_000

_SALT_OCTETS = 16
_NONCE_OCTETS = 24
# RFC 5802 section 7: anything printable but a comma.
_NONCE = re.compile(rb"[!-+\--~]+")
_ATTRIBUTE = re.compile(rb"([A-Za-z])=(.*)", re.DOTALL)
_COUNT = re.compile(rb"[1-9][0-9]{0,9}")
# RFC 5803's form of keys, and that of Dovecot and GNU SASL.
_KEYS = re.compile(
    r"(SCRAM-SHA-(?:1|256))\$([1-9][0-9]{0,9}):([^$:]+)\$([^$:]+):([^$:]+)"
    r"|\{(SCRAM-SHA-(?:1|256))\}([1-9][0-9]{0,9}),([^,]+),([^,]+),([^,]+)"
)


@dataclass(frozen=True, slots=True)
class Hash:
    """A hash function as SCRAM uses it.

    Attributes:
        mechanism: The name of the mechanism that uses it, without -PLUS.
        name: What `hashlib` calls it.
    """

    mechanism: str
    name: str

    def digest(self, octets: bytes) -> bytes:
        return hashlib.new(self.name, octets).digest()

    def hmac(self, key: bytes, octets: bytes) -> bytes:
        return hmac.digest(key, octets, self.name)

    def salted(self, password: bytes, salt: bytes, iterations: int) -> bytes:
        """Derive the salted password: RFC 5802's Hi()."""
        return hashlib.pbkdf2_hmac(self.name, password, salt, iterations)

    def client_key(self, salted_password: bytes) -> bytes:
        return self.hmac(salted_password, b"Client Key")

    def server_key(self, salted_password: bytes) -> bytes:
        return self.hmac(salted_password, b"Server Key")


SHA_1 = Hash("SCRAM-SHA-1", "sha1")
SHA_256 = Hash("SCRAM-SHA-256", "sha256")
_HASHES = {each.mechanism: each for each in (SHA_1, SHA_256)}


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps of a password: enough to check it, and not enough to use it.

    Attributes:
        mechanism: ``"SCRAM-SHA-256"`` or ``"SCRAM-SHA-1"``; they serve its -PLUS form too.
        salt: Public, of this user only.
        iterations: Rounds of key derivation.
        stored_key: What a client's proof is checked against.
        server_key: What the server proves itself with.

    Raises:
        LocalProtocolError: The values are no such keys.
    """

    mechanism: str
    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        kind = _HASHES.get(self.mechanism)
        if kind is None:
            raise LocalProtocolError("the mechanism of SCRAM keys is SCRAM-SHA-256 or SCRAM-SHA-1")
        if not self.salt:
            raise LocalProtocolError("SCRAM keys need a salt")
        if not SCRAM_ITERATIONS_LEAST <= self.iterations <= SCRAM_ITERATIONS_MOST:
            raise LocalProtocolError(
                f"SCRAM's iterations are {SCRAM_ITERATIONS_LEAST} to {SCRAM_ITERATIONS_MOST}"
            )
        length = hashlib.new(kind.name).digest_size
        if len(self.stored_key) != length or len(self.server_key) != length:
            raise LocalProtocolError(f"the keys of {self.mechanism} have {length} octets each")

    @classmethod
    def derive(
        cls,
        password: str,
        mechanism: str = SHA_256.mechanism,
        *,
        salt: bytes | None = None,
        iterations: int = ITERATIONS,
    ) -> ScramKeys:
        """Make the keys of a password, with a salt of their own unless one is given.

        Raises:
            LocalProtocolError: SASLprep (RFC 4013) refuses the password, or the values are no
                such keys.
        """
        kind = _HASHES.get(mechanism, SHA_256)
        salt = secrets.token_bytes(_SALT_OCTETS) if salt is None else salt
        octets = saslprep(password, "password", stored=True).encode("utf-8")
        salted = kind.salted(octets, salt, max(1, iterations))
        stored_key = kind.digest(kind.client_key(salted))
        return cls(mechanism, salt, iterations, stored_key, kind.server_key(salted))

    @classmethod
    def imaginary(
        cls, user: str, mechanism: str, secret: bytes, *, iterations: int = ITERATIONS
    ) -> ScramKeys:
        """Make keys for a user who does not exist, which no password fits.

        Args:
            user: As the client calls itself.
            mechanism: As in `derive`; the salt has the length that it has there.
            secret: Known to nobody else; as long as it stays, so do the salts.
            iterations: Those of the users who exist.
        """
        kind = _HASHES[mechanism]
        # Somebody who exists has other keys, and so another salt, for each hash function.
        name = f"{mechanism} {user}".encode()
        salt = hmac.digest(secret, name, "sha256")[:_SALT_OCTETS]
        unknown = secrets.token_bytes(hashlib.new(kind.name).digest_size)
        return cls(mechanism, salt, iterations, unknown, unknown)

    @classmethod
    def parse(cls, text: str) -> ScramKeys:
        """Read what `encode` wrote, or another program in this common form.

        The form of ``doveadm pw`` and ``gsasl --mkpasswd``,
        ``{mechanism}iterations,salt,stored-key,server-key``, is read too.

        Raises:
            LocalProtocolError: It is nothing of the kind. The message shows nothing of it.
        """
        match = _KEYS.fullmatch(text)
        if match is None:
            raise LocalProtocolError("that is no SCRAM key")
        mechanism, iterations, *parts = filter(None, match.groups())
        try:
            salt, stored, server = (b64decode(part, validate=True) for part in parts)
        except ValueError:
            raise LocalProtocolError("a part of a SCRAM key is not base64") from None
        return cls(mechanism, salt, int(iterations), stored, server)

    def encode(self) -> str:
        """Write the keys on one line: ``mechanism$iterations:salt$stored-key:server-key``.

        RFC 5803 has the form. It is to be kept as carefully as any password hash, and more: who
        has it can play the server.
        """
        salt, stored, server = (
            b64encode(part).decode("ascii")
            for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"{self.mechanism}${self.iterations}:{salt}${stored}:{server}"


def new_nonce() -> bytes:
    """Make what no dialogue had before."""
    return b64encode(secrets.token_bytes(_NONCE_OCTETS))


def is_nonce(octets: bytes) -> bool:
    """Tell whether these octets may be a nonce."""
    return _NONCE.fullmatch(octets) is not None


def attributes(message: bytes, *names: bytes) -> list[bytes]:
    """Take a message apart; what follows the attributes asked for are extensions, and ignored.

    Args:
        message: ``a=value,b=value``; a value may hold anything but a comma.
        *names: The letters of the attributes that it must begin with, in order.

    Returns:
        The values of those.

    Raises:
        SASLError: It does not begin so, or has another part that is no attribute.
    """
    values = []
    for number, part in enumerate(message.split(b",")):
        match = _ATTRIBUTE.fullmatch(part)
        if match is None:
            raise SASLError("SCRAM's message has a part that is no attribute")
        # RFC 5802 section 5.1: "m" is how a later SCRAM makes this one fail.
        if match[1] == b"m":
            raise SASLError("SCRAM's message has an extension that must not be ignored")
        if number < len(names):
            if match[1] != names[number]:
                raise SASLError("SCRAM's message lacks an attribute")
            values.append(match[2])
    if len(values) < len(names):
        raise SASLError("SCRAM's message lacks an attribute")
    return values


def decoded(value: bytes) -> bytes:
    """Decode base64, strictly.

    Raises:
        SASLError: It is none, or there are no octets in it.
    """
    try:
        octets = b64decode(value, validate=True)
    except ValueError:
        raise SASLError("SCRAM's message has an attribute that is not base64") from None
    if not octets:
        raise SASLError("SCRAM's message has an attribute without a value")
    return octets


def iteration_count(value: bytes) -> int:
    """Read the rounds of key derivation that a server asks for.

    Raises:
        SASLError: It is no number, or not within the limits.
    """
    if _COUNT.fullmatch(value) is None:
        raise SASLError("SCRAM's iteration count is no number")
    count = int(value)
    if count < SCRAM_ITERATIONS_LEAST:
        raise SASLError(f"SCRAM's iteration count is below {SCRAM_ITERATIONS_LEAST}")
    if count > SCRAM_ITERATIONS_MOST:
        raise SASLError(f"SCRAM's iteration count is above {SCRAM_ITERATIONS_MOST}")
    return count


def exclusive_or(one: bytes, other: bytes) -> bytes:
    """Combine two strings of the same length."""
    return bytes(left ^ right for left, right in zip(one, other, strict=True))
