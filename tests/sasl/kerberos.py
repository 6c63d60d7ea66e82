"""A stand-in for python-gssapi: as much of it as the mechanism uses, and no Kerberos behind it.

The client's tokens are ``ticket for NAME by OWNER as USER``, then nothing; what is wrapped says so.
The real library, with a real KDC and Dovecot, is met in tests/interop/test_kerberos.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntFlag
from types import ModuleType, SimpleNamespace
from typing import Any


class GSSError(Exception):
    """What the library raises, whatever it is about."""


class RequirementFlag(IntFlag):
    mutual_authentication = 1
    integrity = 2
    out_of_sequence_detection = 4


class Name:
    def __init__(self, name: str, kind: str) -> None:
        self.text = f"{name} ({kind})"


class Credentials:
    def __init__(self, *, name: Name, mechs: list[str], usage: str) -> None:
        assert (mechs, usage) == (["kerberos"], "initiate")
        if "nobody" in name.text:
            raise GSSError("no such ticket")
        self.name = name


class Kerberos:
    """What a test may change.

    Attributes:
        flags: What the two sides agree upon.
        ticket: Whether this process has one.
        proof: What the server must show.
    """

    def __init__(self) -> None:
        self.flags = RequirementFlag(7)
        self.ticket = True
        self.proof = b"I am the server"
        self.threads: list[Any] = []


class SecurityContext:
    kerberos: Kerberos

    def __init__(
        self, *, name: Name, creds: Credentials | None, mech: str, flags: int, usage: str
    ) -> None:
        assert (mech, usage, flags) == ("kerberos", "initiate", 7)
        self._said = f"ticket for {name.text}"
        if creds is not None:
            self._said += f" of {creds.name.text}"
        self._begun = self.complete = False

    @property
    def actual_flags(self) -> RequirementFlag:
        return self.kerberos.flags

    def step(self, token: bytes | None) -> bytes | None:
        if not self._begun:
            if not self.kerberos.ticket:
                raise GSSError("no credentials cache found")
            self._begun = True
            return self._said.encode()
        if token != self.kerberos.proof:
            raise GSSError("the server is another")
        self.complete = True
        return None

    def wrap(self, message: bytes, encrypt: bool) -> Any:
        assert not encrypt
        return SimpleNamespace(message=b"wrapped " + message)

    def unwrap(self, message: bytes) -> Any:
        if not message.startswith(b"wrapped "):
            raise GSSError("not wrapped")
        return SimpleNamespace(message=message.removeprefix(b"wrapped "))


@contextmanager
def installed() -> Iterator[Kerberos]:
    """Put the stand-in in the place of the library."""
    module: Any = ModuleType("gssapi")
    kerberos = Kerberos()
    module.exceptions = SimpleNamespace(GSSError=GSSError)
    module.RequirementFlag = RequirementFlag
    module.Name, module.Credentials = Name, Credentials
    module.SecurityContext = type("SecurityContext", (SecurityContext,), {"kerberos": kerberos})
    module.NameType = SimpleNamespace(hostbased_service="service", kerberos_principal="user")
    module.MechType = SimpleNamespace(kerberos="kerberos")
    before = sys.modules.get("gssapi")
    sys.modules["gssapi"] = module
    try:
        yield kerberos
    finally:
        if before is None:
            del sys.modules["gssapi"]
        else:
            sys.modules["gssapi"] = before


@contextmanager
def missing() -> Iterator[None]:
    """Let there be no such library."""
    before = sys.modules.get("gssapi")
    sys.modules["gssapi"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del sys.modules["gssapi"]
        else:
            sys.modules["gssapi"] = before
