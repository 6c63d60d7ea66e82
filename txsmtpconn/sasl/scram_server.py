"""The server's side of SCRAM: check a proof without ever seeing the password.

For a user who does not exist it says what it would say for any other, with a salt that is always
the same for this name, and refuses at the end: nobody learns who has an account.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode
from collections.abc import Callable

from txsmtpconn.sasl.gs2 import BINDING_UNSEEN, Header, take_header, unescape
from txsmtpconn.sasl.mechanism import (
    IN_CLEAR,
    Challenge,
    Channel,
    Finished,
    NotProved,
    SASLError,
    SecretWanted,
    ServerStep,
    claimed,
)
from txsmtpconn.sasl.saslprep import saslprep
from txsmtpconn.sasl.scram import (
    Hash,
    ScramKeys,
    attributes,
    decoded,
    exclusive_or,
    is_nonce,
    new_nonce,
)
from txsmtpconn.wire.errors import LocalProtocolError

# Of this process: the salts of those who do not exist change when it starts anew.
_IMAGINATION = secrets.token_bytes(32)


class ScramServer:
    """The server's side of one exchange.

    Args:
        kind: The hash function.
        channel: What a client may bind to, and whether it was told so.
        plus: The mechanism is the -PLUS form: the client must bind to the channel.
        nonce: Our part; by default a new one.
        imagination: The secret that the salts of unknown users are made of.
    """

    _header: Header
    _user: str
    _authzid: str
    _first: bytes
    _nonce: bytes
    _challenged: bytes
    _keys: ScramKeys
    _exists: bool
    _signature: bytes

    def __init__(
        self,
        kind: Hash,
        channel: Channel = IN_CLEAR,
        *,
        plus: bool = False,
        nonce: bytes | None = None,
        imagination: bytes = _IMAGINATION,
    ) -> None:
        self.name = kind.mechanism + ("-PLUS" if plus else "")
        self._kind = kind
        self._channel = channel
        self._plus = plus
        self._own_nonce = new_nonce() if nonce is None else nonce
        self._imagination = imagination
        # What takes the next response.
        self._next: Callable[[bytes | None], ServerStep] = self._take_nothing
        self._over = False

    def step(self, response: bytes | None) -> ServerStep:
        """Take the user's name, then the proof, then the empty response to our own."""
        if self._over:
            raise SASLError("SCRAM has no further step")
        # Whatever is wrong with it, there is no second try.
        self._over = True
        outcome = self._next(response)
        self._over = isinstance(outcome, Finished | SecretWanted)
        return outcome

    def _take_nothing(self, response: bytes | None) -> ServerStep:
        if response is not None:
            return self._take_first(response)
        self._next = self._take_first
        return Challenge()

    def _take_first(self, response: bytes | None) -> SecretWanted:
        """Take client-first-message (RFC 5802 section 3)."""
        if response is None:
            raise SASLError("SCRAM needs the client's first message")
        self._header, self._first = take_header(response)
        self._expect_binding(self._header)
        name, nonce = attributes(self._first, b"n", b"r")
        if not is_nonce(nonce):
            raise SASLError("the client's nonce holds what no nonce may")
        self._nonce = nonce + self._own_nonce
        claim = claimed(unescape(name), "user name")
        try:
            self._user = saslprep(claim, "user name")
            self._authzid = self._header.authzid and saslprep(
                self._header.authzid, "authorization identity"
            )
        except LocalProtocolError as reason:
            raise SASLError(str(reason)) from None
        return SecretWanted(self._user, self._challenge)

    def _expect_binding(self, header: Header) -> None:
        """Compare what the client says of channel binding with what it was told."""
        kind = header.binding
        if self._plus is not (kind is not None):
            raise SASLError("the client's channel binding is not that of the mechanism")
        if kind is not None and kind not in self._channel.bindings:
            raise NotProved("the client binds to the channel by a type that is not available")
        if header.flag == BINDING_UNSEEN and self._channel.plus_offered:
            # It could bind, and believes that we cannot: our offer did not reach it.
            raise NotProved("somebody has hidden the mechanisms with channel binding")

    def _challenge(self, stored: object) -> Challenge:
        """Give server-first-message, for this user as for any other."""
        if stored is None:
            self._exists = False
            stored = ScramKeys.imaginary(self._user, self._kind.mechanism, self._imagination)
        else:
            self._exists = True
        if not isinstance(stored, ScramKeys) or stored.mechanism != self._kind.mechanism:
            raise LocalProtocolError(f"{self.name} needs ScramKeys of {self._kind.mechanism}")
        self._keys = stored
        salt = b64encode(stored.salt)
        self._challenged = b"r=%b,s=%b,i=%d" % (self._nonce, salt, stored.iterations)
        self._next = self._take_final
        self._over = False
        return Challenge(self._challenged)

    def _take_final(self, response: bytes | None) -> Challenge:
        """Take client-final-message, give server-final-message."""
        if response is None:
            raise SASLError("SCRAM needs the client's proof")
        without_proof, comma, last = response.rpartition(b",")
        if not comma or not last.startswith(b"p="):
            raise SASLError("the client's message does not end in a proof")
        bound, nonce = attributes(without_proof, b"c", b"r")
        proof = decoded(last[2:])
        binding = self._channel.bindings[self._header.binding] if self._header.binding else b""
        # Not `and`: what is wrong does not change how long this takes.
        proved = self._is_proof(proof, b",".join((self._first, self._challenged, without_proof)))
        proved &= hmac.compare_digest(decoded(bound), self._header.octets + binding)
        proved &= hmac.compare_digest(nonce, self._nonce)
        if not proved & self._exists:
            raise NotProved("the client does not prove that it knows the password")
        self._next = self._take_acknowledgement
        return Challenge(b"v=" + b64encode(self._signature))

    def _is_proof(self, proof: bytes, message: bytes) -> bool:
        kind, keys = self._kind, self._keys
        self._signature = kind.hmac(keys.server_key, message)
        expected = kind.hmac(keys.stored_key, message)
        if len(proof) != len(expected):
            return False
        return hmac.compare_digest(kind.digest(exclusive_or(proof, expected)), keys.stored_key)

    def _take_acknowledgement(self, response: bytes | None) -> Finished:
        """Take the empty response to our signature (RFC 4954 section 4)."""
        if response != b"":
            raise SASLError("the client's last response is not empty")
        return Finished(self._user, self._authzid, mechanism=self.name, verified=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {'over' if self._over else 'waiting'}>"
