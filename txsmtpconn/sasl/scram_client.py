"""The client's side of SCRAM: prove the password, and have the server prove that it knows it.

The server is believed only with its signature. Where that comes in a challenge, the dialogue goes
on with an empty response; where it comes with the success (RFC 4422 section 3.1), the caller steps
with it as with a challenge. Until then, `done` is false, and success is not legal.
"""

from __future__ import annotations

import hmac
from base64 import b64encode

from txsmtpconn.sasl.gs2 import BINDING_UNSEEN, NO_BINDING, escape, header
from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, SASLError
from txsmtpconn.sasl.saslprep import saslprep
from txsmtpconn.sasl.scram import (
    Hash,
    attributes,
    decoded,
    exclusive_or,
    is_nonce,
    iteration_count,
    new_nonce,
)
from txsmtpconn.wire.errors import LocalProtocolError

# RFC 5802 section 7: what a server may give as its reason; anything else it says is not repeated.
_REASONS = frozenset(
    {
        b"invalid-encoding",
        b"extensions-not-supported",
        b"invalid-proof",
        b"channel-bindings-dont-match",
        b"server-does-support-channel-binding",
        b"channel-binding-not-supported",
        b"unsupported-channel-binding-type",
        b"unknown-user",
        b"invalid-username-encoding",
        b"no-resources",
    }
)
# These mean that somebody changes what the two sides say to each other.
_DOWNGRADES = frozenset({b"channel-bindings-dont-match", b"server-does-support-channel-binding"})


class ScramClient:
    """The client's side of one exchange.

    Args:
        kind: The hash function.
        user: The user name.
        password: Its password.
        authzid: Whom to act as, where it is not the user.
        channel: What to bind to.
        plus: Bind to the channel: the mechanism is the -PLUS form.
        nonce: Ours; by default a new one.

    Raises:
        LocalProtocolError: SASLprep (RFC 4013) refuses a part, or there is nothing to bind to.
    """

    def __init__(
        self,
        kind: Hash,
        user: str,
        password: str,
        authzid: str = "",
        channel: Channel = IN_CLEAR,
        *,
        plus: bool = False,
        nonce: bytes | None = None,
    ) -> None:
        self.name = kind.mechanism + ("-PLUS" if plus else "")
        self.done = False
        self.failure: str | None = None
        self._kind = kind
        self._password = saslprep(password, "password").encode("utf-8")
        self._nonce = new_nonce() if nonce is None else nonce
        acting_as = saslprep(authzid, "authorization identity") if authzid else ""
        flag, binding = _binding(channel, plus=plus)
        self._header = header(flag, acting_as.encode("utf-8"))
        self._bound = b64encode(self._header + binding)
        name = escape(saslprep(user, "user name").encode("utf-8"))
        self._first = b"n=%b,r=%b" % (name, self._nonce)
        self._said_first = False
        self._signature: bytes | None = None

    def initial(self) -> bytes:
        """Name the user."""
        self._said_first = True
        return self._header + self._first

    def step(self, challenge: bytes) -> bytes:
        """Answer salt and nonce with the proof, and the server's signature with nothing."""
        if self.done or self.failure is not None:
            raise SASLError("the server wants more than SCRAM has to say")
        if not self._said_first:
            if challenge:
                raise SASLError("the server's challenge is not empty, as SCRAM's first is")
            return self.initial()
        if challenge.startswith(b"e="):
            return self._refused(challenge)
        if self._signature is None:
            return self._prove(challenge)
        return self._verify(challenge)

    def _prove(self, challenge: bytes) -> bytes:
        """Take server-first-message, give client-final-message (RFC 5802 section 3)."""
        nonce, salt, count = attributes(challenge, b"r", b"s", b"i")
        if not is_nonce(nonce) or not nonce.startswith(self._nonce):
            raise SASLError("the server's nonce does not continue ours")
        if len(nonce) == len(self._nonce):
            raise SASLError("the server added nothing to our nonce")
        octets, iterations = decoded(salt), iteration_count(count)
        kind = self._kind
        salted = kind.salted(self._password, octets, iterations)
        final = b"c=%b,r=%b" % (self._bound, nonce)
        message = b",".join((self._first, challenge, final))
        client_key = kind.client_key(salted)
        proof = exclusive_or(client_key, kind.hmac(kind.digest(client_key), message))
        self._signature = kind.hmac(kind.server_key(salted), message)
        return final + b",p=" + b64encode(proof)

    def _verify(self, challenge: bytes) -> bytes:
        """Take server-final-message: whoever wrote it knows the password, or its keys."""
        (value,) = attributes(challenge, b"v")
        assert self._signature is not None
        if not hmac.compare_digest(decoded(value), self._signature):
            raise SASLError("the server does not prove that it knows the password")
        self.done = True
        return b""

    def _refused(self, challenge: bytes) -> bytes:
        """Take an error for an answer: the reply that follows cannot be a success any more."""
        reason = challenge[2:].split(b",")[0]
        if reason in _DOWNGRADES:
            raise SASLError(
                f"somebody between us and the server changes the dialogue ({reason.decode()})"
            )
        self.failure = reason.decode() if reason in _REASONS else "other-error"
        return b""

    def __repr__(self) -> str:
        state = "failed" if self.failure is not None else "done" if self.done else "waiting"
        return f"<{type(self).__name__} {self.name} {state}>"


def _binding(channel: Channel, *, plus: bool) -> tuple[bytes, bytes]:
    """Return the flag that tells of channel binding, and the octets bound to."""
    if plus:
        for kind, octets in channel.bindings.items():
            return b"p=" + kind.encode("ascii"), octets
        raise LocalProtocolError("there is no TLS connection to bind the authentication to")
    # RFC 5802 section 6: "y" only where the server does not seem to offer -PLUS. If it did, and
    # its offer was cut out on the way, it will notice, as our proof covers this flag.
    unseen = bool(channel.bindings) and not channel.plus_offered
    return (BINDING_UNSEEN if unseen else NO_BINDING), b""
