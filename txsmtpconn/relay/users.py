"""Who may log in at the relay: a file of names and password hashes.

Each line is ``name:scrypt$N$r$p$salt$hash`` (RFC 7914), salt and hash in base64; empty lines and
those that begin with ``#`` are skipped. The file holds no password, and whoever reads it has to
guess each one at the price of a login.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from txsmtpconn.errors import ConfigError
from txsmtpconn.net.files import text_of
from txsmtpconn.sasl import Finished
from txsmtpconn.server import NotBelieved, Session

_COST, _BLOCK, _PARALLEL = 2**14, 8, 1
_MOST_MEMORY = 64 * 1024 * 1024
_DIGEST = 32


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """One password's hash; `repr` shows nothing of it."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    digest: bytes

    def __repr__(self) -> str:
        return "PasswordHash(...)"

    @classmethod
    def of(cls, password: str) -> PasswordHash:
        """Hash a password with a new salt."""
        salt = secrets.token_bytes(16)
        empty = cls(_COST, _BLOCK, _PARALLEL, salt, b"\0" * _DIGEST)
        return cls(_COST, _BLOCK, _PARALLEL, salt, empty.computed(password))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read the form that `str` gives.

        Raises:
            ValueError: It is not of that form, or would cost too much to check.
        """
        scheme, cost, block, parallel, salt, digest = text.split("$")
        read = cls(
            int(cost),
            int(block),
            int(parallel),
            base64.b64decode(salt, validate=True),
            base64.b64decode(digest, validate=True),
        )
        if scheme != "scrypt" or not read.salt or len(read.digest) < 16:
            raise ValueError("not a scrypt hash")
        read.computed("")
        return read

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(each).decode() for each in (self.salt, self.digest))
        return f"scrypt${self.cost}${self.block}${self.parallel}${salt}${digest}"

    def computed(self, password: str) -> bytes:
        """Hash a password as this one was hashed."""
        return hashlib.scrypt(
            password.encode("utf-8"),
            salt=self.salt,
            n=self.cost,
            r=self.block,
            p=self.parallel,
            maxmem=_MOST_MEMORY,
            dklen=len(self.digest),
        )

    def matches(self, password: str) -> bool:
        """Tell whether this is the password; takes some tens of milliseconds."""
        return hmac.compare_digest(self.computed(password), self.digest)


class Users:
    """The relay's `on_auth` hook.

    Args:
        hashes: By user name.
        reactor: Its threads do the hashing.
    """

    def __init__(self, hashes: dict[str, PasswordHash], reactor: Any) -> None:
        self._hashes = hashes
        self._reactor = reactor
        # A name that nobody has is checked as slowly as one that somebody has.
        self._nobody = PasswordHash.of(secrets.token_hex())

    @classmethod
    def read(cls, path: str, reactor: Any) -> Users:
        """Read a file of users.

        Raises:
            ConfigError: It cannot be read, or a line of it is malformed. The text shows none.
        """
        hashes = {}
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, text = line.partition(":")
            try:
                hashes[name] = PasswordHash.parse(text.strip())
            except (ValueError, binascii.Error):
                raise ConfigError(f"{path}, line {number}: not NAME:scrypt$...") from None
        return cls(hashes, reactor)

    def __call__(self, session: Session, credentials: Finished) -> Deferred[str]:
        """Let the client in, or fail with `NotBelieved`."""
        del session
        known = self._hashes.get(credentials.authcid)
        password = credentials.password

        def check() -> str:
            right = (known or self._nobody).matches(password or "")
            if not right or known is None or password is None:
                raise NotBelieved
            if credentials.authzid not in ("", credentials.authcid):
                raise NotBelieved
            return credentials.authcid

        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), check)
