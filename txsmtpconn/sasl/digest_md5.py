"""DIGEST-MD5, which RFC 6331 declared historic: for servers that have nothing better.

RFC 2831 with ``qop=auth``, no security layer and no reauthentication. The server proves itself at
the end, as in SCRAM, by a last challenge or with its success.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, SASLError, credential

# RFC 2831 section 7.1: a token, or a quoted string in which "\" takes the next octet as it is.
_DIRECTIVE = re.compile(
    rb"[ \t\r\n]*([!#$%&'*+\-.0-9A-Za-z^_`|~]+)[ \t\r\n]*=[ \t\r\n]*"
    rb'(?:"((?:[^"\\]|\\.)*)"|([^ \t\r\n",=]+))[ \t\r\n]*(?:,|\Z)',
    re.DOTALL,
)
_REALM, _ONCE = b"realm", frozenset({b"nonce", b"charset", b"algorithm", b"rspauth", b"qop"})


class DigestMD5Client:
    """The client's side of one exchange.

    Args:
        user: The user name.
        password: Its password.
        authzid: Whom to act as, where it is not the user.
        channel: Tells the server's name.
        service: What is talked here (RFC 2831 section 2.1.2).
        nonce: Ours; by default a new one.

    Raises:
        LocalProtocolError: A part is missing or holds a control character.
    """

    name = "DIGEST-MD5"
    failure = None

    def __init__(
        self,
        user: str,
        password: str,
        authzid: str = "",
        channel: Channel = IN_CLEAR,
        *,
        service: str = "smtp",
        nonce: str | None = None,
    ) -> None:
        self._user = credential(user, "user name")
        self._password = credential(password, "password")
        self._authzid = credential(authzid, "authorization identity") if authzid else b""
        self._uri = credential(f"{service}/{channel.host or 'localhost'}", "host name")
        self._nonce = (secrets.token_hex(16) if nonce is None else nonce).encode("ascii")
        self._rspauth: bytes | None = None
        self.done = False

    def initial(self) -> None:
        """Wait: the server speaks first."""

    def step(self, challenge: bytes) -> bytes:
        """Answer the challenge with the digest, and the server's own digest with nothing."""
        if self.done:
            raise SASLError("the server wants more than DIGEST-MD5 has to say")
        if self._rspauth is None:
            return self._prove(_directives(challenge))
        proof = _directives(challenge).get(b"rspauth", [b""])[0]
        if not hmac.compare_digest(proof, self._rspauth):
            raise SASLError("the server does not prove that it knows the password")
        self.done = True
        return b""

    def _prove(self, told: dict[bytes, list[bytes]]) -> bytes:
        """Take digest-challenge, give digest-response (RFC 2831 section 2.1)."""
        nonce = told.get(b"nonce", [b""])[0]
        if not nonce or told.get(b"algorithm") != [b"md5-sess"]:
            raise SASLError("the server's challenge lacks a nonce or the algorithm md5-sess")
        if b"auth" not in told.get(b"qop", [b"auth"])[0].lower().replace(b",", b" ").split():
            raise SASLError("the server wants a security layer")
        if told.get(b"charset", [b"utf-8"])[0].lower() != b"utf-8":
            raise SASLError("the server's challenge is in a character set that nobody knows")
        utf8 = b"charset" in told
        realm = told.get(_REALM, [b""])[0]
        user = _hashed(self._user) if utf8 else _in_latin1(self._user)
        secret = _hashed(self._password) if utf8 else _in_latin1(self._password)
        proofs = self._proofs(_md5(user, _hashed(realm) if utf8 else realm, secret), nonce)
        response, self._rspauth = proofs
        said = [b"charset=utf-8"] if utf8 else []
        said.append(b"username=" + _quoted(self._user if utf8 else user))
        if _REALM in told:
            said.append(b"realm=" + _quoted(realm))
        said += [
            b"nonce=" + _quoted(nonce),
            b"nc=00000001",
            b"cnonce=" + _quoted(self._nonce),
            b"digest-uri=" + _quoted(self._uri),
            b"response=" + response,
            b"qop=auth",
        ]
        if self._authzid:
            said.append(b"authzid=" + _quoted(self._authzid))
        return b",".join(said)

    def _proofs(self, secret: bytes, nonce: bytes) -> tuple[bytes, bytes]:
        """Return our digest and the one to expect from the server (section 2.1.2.1)."""
        session = b":".join((secret, nonce, self._nonce, *([self._authzid] * bool(self._authzid))))
        key = _md5(session, to_hex=True)
        middle = (nonce, b"00000001", self._nonce, b"auth")
        ours, theirs = (
            _md5(key, *middle, _md5(b"%b:%b" % (verb, self._uri), to_hex=True), to_hex=True)
            for verb in (b"AUTHENTICATE", b"")
        )
        return ours, theirs

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'waiting'}>"


def _md5(*parts: bytes, to_hex: bool = False) -> bytes:
    digest = hashlib.md5(b":".join(parts), usedforsecurity=False)
    return digest.hexdigest().encode("ascii") if to_hex else digest.digest()


def _hashed(octets: bytes) -> bytes:
    """Give a name or password the form in which it is hashed: ISO 8859-1 where that has it."""
    try:
        return octets.decode("utf-8").encode("iso-8859-1")
    except UnicodeError:
        return octets


def _in_latin1(octets: bytes) -> bytes:
    """Write a name or password for a server that does not know UTF-8."""
    try:
        return octets.decode("utf-8").encode("iso-8859-1")
    except UnicodeEncodeError:
        raise SASLError("the server knows no character set that the credentials fit into") from None


def _quoted(octets: bytes) -> bytes:
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _directives(message: bytes) -> dict[bytes, list[bytes]]:
    """Read a list of directives: what each was given, in order (RFC 2831 section 7.1).

    Raises:
        SASLError: It is none, or a directive comes twice that may not.
    """
    found: dict[bytes, list[bytes]] = {}
    end = 0
    while end < len(message):
        match = _DIRECTIVE.match(message, end)
        if match is None:
            raise SASLError("the server's challenge is no list of directives")
        end = match.end()
        name, quoted, token = match[1].lower(), match[2], match[3]
        if name in _ONCE and name in found:
            raise SASLError("the server's challenge says one thing twice")
        value = token if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)
        found.setdefault(name, []).append(value)
    return found
